"""The vocabulary: which file holds which operator.

A family is imported when a spec first uses one of its words: building all operator
classes costs more than checking a spec does.
"""

from __future__ import annotations

import importlib
from functools import cache

from compiler.ops.base import Operator

FAMILIES: dict[str, tuple[str, ...]] = {
    "convolution": ("conv", "conv_transpose"),
    "dense": ("dense", "embed", "one_hot", "parameter"),
    "pooling": (
        "max_pool",
        "average_pool",
        "global_average_pool",
        "global_max_pool",
        "adaptive_average_pool",
        "pool",
    ),
    "normalisation": (
        "batch_norm",
        "layer_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "local_response_norm",
        "normalise",
    ),
    "activation": (
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "elu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "softmax",
        "log_softmax",
        "hard_swish",
        "softplus",
        "maxout",
        "abs",
        "exp",
        "clip",
        "scale",
        "stop_gradient",
        "cast",
        "identity",
    ),
    "recurrent": (
        "rnn",
        "lstm",
        "gru",
        "rnn_cell",
        "lstm_cell",
        "gru_cell",
        "conv_lstm",
        "conv_lstm_cell",
    ),
    "attention": ("attention", "multi_head_attention", "positional_encoding"),
    "combine": ("add", "subtract", "multiply", "concat", "average", "maximum", "stack", "matmul"),
    "shape": (
        "flatten",
        "reshape",
        "transpose",
        "pad",
        "slice",
        "crop",
        "upsample",
        "pixel_shuffle",
        "shift",
        "split",
        "select",
    ),
    "spectrum": ("log_mel",),
    "noise": ("dropout", "spatial_dropout", "drop_path", "gaussian_noise", "random"),
}

WORDS: dict[str, str] = {word: family for family, words in FAMILIES.items() for word in words}


@cache
def operator(word: str) -> type[Operator]:
    """The class of an operator by its word.

    Raises:
        KeyError: there is no such operator.
    """
    module = importlib.import_module(f"compiler.ops.{WORDS[word]}")
    return {cls.word: cls for cls in module.OPERATORS}[word]
