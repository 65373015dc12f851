"""Makes convolution_reference.npz: PyTorch's convolutions, pools and norms, with gradients.

    pip install torch==2.13.0 && python tests/conformance/make_convolution_reference.py

PyTorch is no dependency of the project: the test reads the file. Each case holds, channels
last and by our names: the word and the fields of the operator, the input, the parameters and
statistics before, the output, the gradients of a weighted sum of it, and the statistics
after. All of it is computed in float64; `torch32/…` is how far PyTorch's own float32 result is
from that, relative to the largest number.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

AXES = {1: ["time"], 2: ["height", "width"], 3: ["depth", "height", "width"]}
BATCH = 3


def conv(rank: int, channels: int, filters: int, kernel: Any, **options: Any) -> nn.Module:
    return getattr(nn, f"Conv{rank}d")(channels, filters, kernel, **options)


def transposed(rank: int, channels: int, filters: int, kernel: Any, **options: Any) -> nn.Module:
    return getattr(nn, f"ConvTranspose{rank}d")(channels, filters, kernel, **options)


# name: (word, our fields, PyTorch's module, (channels, window axes…) of the input)
CASES: dict[str, tuple[str, dict[str, Any], nn.Module, tuple[int, ...]]] = {
    "conv1d": ("conv", {"filters": 5, "kernel": 3},
               conv(1, 4, 5, 3, padding=1), (4, 9)),
    "conv1d_strided_dilated": (
        "conv", {"filters": 5, "kernel": 3, "stride": 2, "dilation": 2, "padding": "valid"},
        conv(1, 4, 5, 3, stride=2, dilation=2), (4, 12)),
    "conv2d": ("conv", {"filters": 5, "kernel": 3}, conv(2, 3, 5, 3, padding=1), (3, 7, 6)),
    "conv2d_many_channels": (
        "conv", {"filters": 6, "kernel": 3}, conv(2, 20, 6, 3, padding=1), (20, 5, 6)),
    "conv2d_stem": ("conv", {"filters": 4, "kernel": 7, "stride": 2, "bias": False},
                    conv(2, 3, 4, 7, stride=2, padding=3, bias=False), (3, 11, 10)),
    "conv2d_strided": (
        "conv", {"filters": 6, "kernel": 3, "stride": 2},
        conv(2, 18, 6, 3, stride=2, padding=1), (18, 8, 7)),
    "conv2d_dilated": (
        "conv", {"filters": 4, "kernel": 3, "dilation": 2, "padding": 1},
        conv(2, 17, 4, 3, dilation=2, padding=1), (17, 7, 6)),
    "conv2d_dilated_one_way": (
        "conv", {"filters": 3, "kernel": [3, 2], "stride": [1, 2], "dilation": [2, 1],
                 "padding": [1, 0]},
        conv(2, 4, 3, (3, 2), stride=(1, 2), dilation=(2, 1), padding=(1, 0)), (4, 7, 6)),
    "conv2d_rectangular": (
        "conv", {"filters": 4, "kernel": [3, 2], "stride": [1, 2], "padding": [2, 0]},
        conv(2, 3, 4, (3, 2), stride=(1, 2), padding=(2, 0)), (3, 6, 7)),
    "conv2d_grouped": ("conv", {"filters": 6, "kernel": 3, "groups": 2},
                       conv(2, 4, 6, 3, padding=1, groups=2), (4, 5, 6)),
    "conv2d_depthwise": ("conv", {"filters": 8, "kernel": 3, "stride": 2, "depthwise": True},
                         conv(2, 4, 8, 3, stride=2, padding=1, groups=4), (4, 7, 6)),
    "conv2d_pointwise": ("conv", {"filters": 6, "kernel": 1},
                         conv(2, 5, 6, 1), (5, 4, 5)),
    "conv2d_pointwise_strided": ("conv", {"filters": 6, "kernel": 1, "stride": 2},
                                 conv(2, 5, 6, 1, stride=2), (5, 7, 6)),
    "conv3d": ("conv", {"filters": 4, "kernel": 3, "stride": [1, 2, 2]},
               conv(3, 3, 4, 3, stride=(1, 2, 2), padding=1), (3, 4, 5, 6)),
    "conv3d_valid": ("conv", {"filters": 3, "kernel": [1, 3, 3], "padding": "valid"},
                     conv(3, 18, 3, (1, 3, 3)), (18, 3, 4, 5)),

    "transpose1d": ("conv_transpose", {"filters": 3, "kernel": 4, "stride": 2},
                    transposed(1, 4, 3, 4, stride=2, padding=1), (4, 6)),
    "transpose2d_same_odd": (
        "conv_transpose", {"filters": 3, "kernel": 3, "stride": 2},
        transposed(2, 4, 3, 3, stride=2, padding=1, output_padding=1), (4, 4, 5)),
    "transpose2d_output_padding": (
        "conv_transpose",
        {"filters": 3, "kernel": 3, "stride": [2, 3], "padding": [1, 0],
         "output_padding": [0, 2], "bias": False},
        transposed(2, 4, 3, 3, stride=(2, 3), padding=(1, 0), output_padding=(0, 2), bias=False),
        (4, 4, 3)),
    "transpose2d_grouped_dilated": (
        "conv_transpose",
        {"filters": 6, "kernel": [2, 3], "stride": 2, "padding": 1, "dilation": 2, "groups": 2},
        transposed(2, 4, 6, (2, 3), stride=2, padding=1, dilation=2, groups=2), (4, 4, 3)),
    "transpose2d_window_smaller_than_stride": (
        "conv_transpose", {"filters": 2, "kernel": 1, "stride": 2},
        transposed(2, 3, 2, 1, stride=2, output_padding=1), (3, 3, 4)),
    "transpose3d": ("conv_transpose", {"filters": 2, "kernel": 2, "stride": 2},
                    transposed(3, 3, 2, 2, stride=2), (3, 2, 3, 3)),

    "max1d": ("max_pool", {"window": 3, "stride": 2}, nn.MaxPool1d(3, 2), (3, 9)),
    "max2d": ("max_pool", {"window": 2}, nn.MaxPool2d(2), (3, 6, 7)),
    "max2d_padded": ("max_pool", {"window": 3, "stride": 2, "padding": 1},
                     nn.MaxPool2d(3, 2, 1), (3, 8, 7)),
    "max2d_ceil": ("max_pool", {"window": 3, "stride": 2, "ceil": True},
                   nn.MaxPool2d(3, 2, ceil_mode=True), (3, 8, 7)),
    "max2d_ceil_drops_what_begins_in_padding": (
        "max_pool", {"window": 2, "stride": 3, "padding": 1, "ceil": True},
        nn.MaxPool2d(2, 3, 1, ceil_mode=True), (3, 5, 4)),
    "max2d_dilated": ("max_pool", {"window": 3, "stride": 2, "padding": 1, "dilation": 2},
                      nn.MaxPool2d(3, 2, 1, dilation=2), (3, 8, 9)),
    "max3d": ("max_pool", {"window": [1, 2, 2]}, nn.MaxPool3d((1, 2, 2)), (2, 3, 4, 5)),
    "average1d": ("average_pool", {"window": 3, "stride": 2, "padding": 1},
                  nn.AvgPool1d(3, 2, 1), (3, 8)),
    "average2d_counts_padding": ("average_pool", {"window": 3, "stride": 2, "padding": 1},
                                 nn.AvgPool2d(3, 2, 1), (3, 7, 6)),
    "average2d_without_padding": (
        "average_pool", {"window": 3, "stride": 2, "padding": 1, "count_padding": False},
        nn.AvgPool2d(3, 2, 1, count_include_pad=False), (3, 7, 6)),
    "average2d_ceil": (
        "average_pool", {"window": 3, "stride": 2, "padding": 1, "ceil": True},
        nn.AvgPool2d(3, 2, 1, ceil_mode=True), (3, 8, 6)),
    "average2d_ceil_without_padding": (
        "average_pool",
        {"window": 3, "stride": 2, "padding": 1, "ceil": True, "count_padding": False},
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (3, 8, 6)),
    "average3d": ("average_pool", {"window": 2}, nn.AvgPool3d(2), (2, 4, 4, 5)),
    "adaptive1d": ("adaptive_average_pool", {"size": 3}, nn.AdaptiveAvgPool1d(3), (3, 8)),
    "adaptive2d": ("adaptive_average_pool", {"size": [3, 4]},
                   nn.AdaptiveAvgPool2d((3, 4)), (3, 7, 6)),
    "adaptive2d_more_bins": ("adaptive_average_pool", {"size": 5},
                             nn.AdaptiveAvgPool2d(5), (3, 3, 4)),

    "batch1d_training": ("batch_norm", {}, nn.BatchNorm1d(4), (4, 7)),
    "batch2d_training": ("batch_norm", {"momentum": 0.75, "epsilon": 1e-3},
                         nn.BatchNorm2d(4, momentum=0.25, eps=1e-3), (4, 3, 2)),
    "batch2d_far_from_zero_training": ("batch_norm", {}, nn.BatchNorm2d(4), (4, 5, 6)),
    "batch2d_evaluation": ("batch_norm", {}, nn.BatchNorm2d(4).eval(), (4, 3, 4)),
    "batch3d_training": ("batch_norm", {"scale": False, "bias": False},
                         nn.BatchNorm3d(3, affine=False), (3, 2, 3, 4)),
    "layer_image": ("layer_norm", {"axes": ["height", "width", "channels"]},
                    nn.LayerNorm((4, 3, 5)), (4, 3, 5)),
    "layer_image_no_bias": ("layer_norm", {"axes": ["height", "width", "channels"],
                                           "bias": False, "epsilon": 1e-3},
                            nn.LayerNorm((4, 3, 5), bias=False, eps=1e-3), (4, 3, 5)),
    "layer_vector": ("layer_norm", {}, nn.LayerNorm(7), (7,)),
    "rms_vector": ("rms_norm", {"epsilon": 1e-4}, nn.RMSNorm(7, eps=1e-4), (7,)),
    "group2d": ("group_norm", {"groups": 2}, nn.GroupNorm(2, 6), (6, 3, 4)),
    "group1d_each_channel": ("group_norm", {"groups": 4, "epsilon": 1e-3},
                             nn.GroupNorm(4, 4, eps=1e-3), (4, 6)),
    "instance2d": ("instance_norm", {}, nn.InstanceNorm2d(4, affine=True), (4, 3, 5)),
    "instance1d_plain": ("instance_norm", {"scale": False, "bias": False},
                         nn.InstanceNorm1d(3), (3, 6)),
    "response_odd": ("local_response_norm", {"size": 5, "alpha": 0.5, "k": 2.0},
                     nn.LocalResponseNorm(5, alpha=0.5, k=2.0), (8, 3, 4)),
    "response_even": ("local_response_norm", {"size": 4, "alpha": 1.0, "beta": 0.5},
                      nn.LocalResponseNorm(4, alpha=1.0, beta=0.5), (7, 5)),
}

NAMES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def last(array: torch.Tensor) -> torch.Tensor:
    """(batch, channels, …) with its channels last."""
    return array.movedim(1, -1)


def ours(module: nn.Module, name: str, array: torch.Tensor) -> tuple[str, torch.Tensor]:
    """A parameter, or its gradient, by our name and in our layout."""
    groups = getattr(module, "groups", 1)
    if name == "weight" and "ConvTranspose" in type(module).__name__:
        split = array.reshape(groups, -1, *array.shape[1:])  # (groups, in, out, window…)
        return "kernel", split.permute(*range(3, split.ndim), 1, 0, 2).flatten(-2)
    if name == "weight" and "Conv" in type(module).__name__:
        return "kernel", array.permute(*range(2, array.ndim), 1, 0)
    return NAMES[name], array.movedim(0, -1) if array.ndim == 3 else array


def run(module: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and statistics, channels last."""
    x = x.clone().requires_grad_()
    output = module(x)
    (output * weight).sum().backward()
    found = {"output": last(output), "gradient/input": last(x.grad)}
    for name, parameter in module.named_parameters():
        ours_name, gradient = ours(module, name, parameter.grad)
        found[f"gradient/{ours_name}"] = gradient
    for name, buffer in module.named_buffers():
        if name in NAMES:
            found[f"after/{NAMES[name]}"] = buffer
    return {k: v.detach().clone() for k, v in found.items()}


def case(name: str) -> dict[str, np.ndarray]:
    """Everything the test needs to know of a case."""
    word, fields, module, shape = CASES[name]
    module = module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for buffer_name, buffer in module.named_buffers():
        if buffer_name in NAMES:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    x = torch.randn(BATCH, *shape, dtype=torch.float64)
    if "far_from_zero" in name:
        x = x + 100
    # What float32 can hold, so that its error is that of the arithmetic.
    x = x.float().double()
    module = module.float().double()
    weight = torch.randn_like(copy.deepcopy(module)(x)).float().double()

    found = {"input": last(x), "weight": last(weight)}
    for key, array in (*module.named_parameters(), *module.named_buffers()):
        if key in NAMES:
            ours_name, value = ours(module, key, array.detach().clone())
            found[f"parameter/{ours_name}"] = value
    single = copy.deepcopy(module).float()
    exact = run(module, x, weight)
    rounded = run(single, x.float(), weight.float())
    arrays = {k: v.float().numpy() for k, v in found.items()}
    arrays |= {k: v.numpy() for k, v in exact.items()}
    for key, value in exact.items():
        error = (rounded[key].double() - value).abs().max() / value.abs().max()
        arrays[f"torch32/{key}"] = np.asarray(error)
    arrays["operator"] = np.asarray(json.dumps({
        "word": word, "fields": fields, "training": module.training,
        "axes": [*AXES.get(len(shape) - 1, []), "channels"]}))
    return arrays


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    path = Path(__file__).with_name("convolution_reference.npz")
    np.savez_compressed(path, **{f"{name}/{key}": array for name in CASES
                                 for key, array in case(name).items()})
