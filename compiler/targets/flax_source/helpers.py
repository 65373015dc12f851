"""The local classes and functions of a file: which there are, cut to what is used of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from compiler.targets.flax_source import helpers_functions as functions
from compiler.targets.flax_source import helpers_layers as layers
from compiler.targets.flax_source import helpers_recurrent as recurrent_texts
from compiler.targets.flax_source.recurrent import cell_text, layers_text

# In the order of a file: what others need first.
TEXTS: dict[str, str] = {
    "by_gate": recurrent_texts.BY_GATE,
    "between": functions.BETWEEN,
    "shifted": functions.SHIFTED,
    "dirac": functions.DIRAC,
    "Frozen": layers.FROZEN,
    "frozen": layers.FREEZE,
    "Carried": layers.CARRIED,
    "remat": layers.REMAT,
    "real_steps": functions.REAL_STEPS,
    "only_real": functions.ONLY_REAL,
    "real_places": functions.REAL_PLACES,
    "take_steps": functions.TAKE_STEPS,
    "window_lengths": functions.WINDOW_LENGTHS,
    "spread_lengths": functions.SPREAD_LENGTHS,
    "scaled_lengths": functions.SCALED_LENGTHS,
    "longer_rows": functions.LONGER_ROWS,
    "slice_lengths": functions.SLICE_LENGTHS,
    "split_lengths": functions.SPLIT_LENGTHS,
    "concat_lengths": functions.CONCAT_LENGTHS,
    "shortest": functions.SHORTEST,
    "max_pool": functions.MAX_POOL,
    "average_pool": functions.AVERAGE_POOL,
    "adaptive_average_pool": functions.ADAPTIVE_AVERAGE_POOL,
    "mean_of_real": functions.MEAN_OF_REAL,
    "max_of_real": functions.MAX_OF_REAL,
    "last_step": functions.LAST_STEP,
    "log_softmax_of_real": functions.LOG_SOFTMAX_OF_REAL,
    "softmax_of_real": functions.SOFTMAX_OF_REAL,
    "local_response_norm": functions.LOCAL_RESPONSE_NORM,
    "pad_rows": functions.PAD_ROWS,
    "slice_rows": functions.SLICE_ROWS,
    "shift": functions.SHIFT,
    "resize": functions.RESIZE,
    "last_step_goes_on": functions.LAST_STEP_GOES_ON,
    "pixel_shuffle": functions.PIXEL_SHUFFLE,
    "select_step": functions.SELECT_STEP,
    "broadcast": functions.BROADCAST,
    "concat_steps": functions.CONCAT_STEPS,
    "mel_filters": functions.MEL_FILTERS,
    "frame_lengths": functions.FRAME_LENGTHS,
    "log_mel": functions.LOG_MEL,
    "normalised_steps": functions.NORMALISED_STEPS,
    "scan_steps": functions.SCAN_STEPS,
    "rows_that_count": functions.ROWS_THAT_COUNT,
    "each_step": functions.EACH_STEP,
    "centred": layers.CENTRED,
    "BatchNorm": layers.BATCH_NORM,
    "GroupNorm": layers.GROUP_NORM,
    "AxesNorm": layers.AXES_NORM,
    "StandardisedConv": layers.STANDARDISED_CONV,
    "ConvTranspose": layers.CONV_TRANSPOSE,
    "TiedDense": layers.TIED_DENSE,
    "PReLU": layers.PRELU,
    "Scale": layers.SCALE,
    "Learned": layers.LEARNED,
    "GaussianNoise": layers.GAUSSIAN_NOISE,
    "RandomNumbers": layers.RANDOM_NUMBERS,
    "places": layers.PLACES,
    "weights_of": layers.WEIGHTS_OF,
    "attend": layers.ATTEND,
    "GeneralAttention": layers.GENERAL_ATTENTION,
    "AdditiveAttention": layers.ADDITIVE_ATTENTION,
    "MultiHeadAttention": layers.MULTI_HEAD_ATTENTION,
    "sinusoids": layers.SINUSOIDS,
    "LearnedPositions": layers.LEARNED_POSITIONS,
    "Outcome": recurrent_texts.OUTCOME,
    "cut_state": recurrent_texts.CUT_STATE,
    "same_convolution": recurrent_texts.SAME_CONVOLUTION,
    "RNN": "", "LSTM": "", "GRU": "", "RNNCell": "", "LSTMCell": "", "GRUCell": "",
    "ConvLSTM": recurrent_texts.CONV_LSTM,
    "ConvLSTMCell": recurrent_texts.CONV_LSTM_CELL,
}
# Initialisers stand before the constants that are made with them.
INITIALISERS = ("by_gate", "between", "shifted", "dirac")
# Features of a helper that others need, too.
_SPREADING = {"rows": ("BatchNorm", "each_step"), "mask": ("attend",)}


def helper_texts(needed: Mapping[str, set[str]]) -> dict[str, str]:
    """The source of the helpers that a file needs, and of those that they need themselves.

    Args:
        needed: the features that are used of each.
    """
    wanted = {name: set(features) for name, features in needed.items()}
    if "frozen" in wanted and "BatchNorm" in wanted:
        wanted["BatchNorm"].add("frozen")
    if {"GeneralAttention", "AdditiveAttention"} & set(wanted):
        wanted.setdefault("attend", set()).add("mask")
    if "shown" in wanted.get("attend", ()):
        for name in {"GeneralAttention", "AdditiveAttention"} & set(wanted):
            wanted[name].add("shown")
    texts: dict[str, str] = {}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        texts[name] = chosen(_text(name, wanted.get(name, set())), wanted.get(name, set()))
        words = set(re.findall(r"[A-Za-z_]\w*", texts[name]))
        waiting += [other for other in TEXTS if other in words and other not in texts]
    return {name: texts[name] for name in TEXTS if name in texts}


def _text(name: str, features: set[str]) -> str:
    if name in ("RNN", "LSTM", "GRU"):
        return layers_text(name, features)
    if name in ("RNNCell", "LSTMCell", "GRUCell"):
        return cell_text(name.removesuffix("Cell"), features)
    return TEXTS[name]


def chosen(text: str, features: Iterable[str]) -> str:
    """A template with the lines that its features choose."""
    having, lines = set(features), []
    for line in text.strip("\n").splitlines():
        code, mark, condition = line.partition("  #? ")
        if not mark or _holds(condition, having):
            lines.append(code.rstrip())
    return "\n".join(lines)


def _holds(condition: str, features: set[str]) -> bool:
    """ "a b" is a or b, "a & !b" is a without b."""
    def one(word: str) -> bool:
        return (word[1:] not in features) if word[0] == "!" else word in features

    return any(all(map(one, part.split("&"))) for part in condition.replace(" & ", "&").split())
