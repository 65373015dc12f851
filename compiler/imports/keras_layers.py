"""One Keras layer in the operators of the language.

Keras's own defaults are filled in here: a JSON of an older version may lack a setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.imports.complaints import Complaints, Unsupported
from compiler.imports.parts import Builder, Ref
from compiler.types import TensorType

Config = Mapping[str, Any]

# Keras's activation functions that are operators of ours.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("relu", {}), "relu6": ("relu6", {}), "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}), "softmax": ("softmax", {}), "log_softmax": ("log_softmax", {}),
    "elu": ("elu", {}), "gelu": ("gelu", {}), "silu": ("silu", {}), "swish": ("silu", {}),
    "softplus": ("softplus", {}), "exponential": ("exp", {}), "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}), "leaky_relu": ("leaky_relu", {"slope": 0.2}),
}
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_MERGES = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Average": "average",
           "Maximum": "maximum"}
_PASSING = ("ActivityRegularization", "Masking")
# Layers that are nothing but a function of each number or place, whatever the axes.
_DIMENSIONS = ("1D", "2D", "3D")


class KerasLayers:
    """Turns layers into parts.

    Attributes:
        builder: where the parts go.
        complaints: where remarks go.
    """

    def __init__(self, builder: Builder, complaints: Complaints):
        self.builder, self.complaints = builder, complaints

    def apply(self, kind: str, config: Config, reads: Sequence[Ref], place: str) -> list[Ref]:
        """A layer applied to tensors; what it gives.

        Raises:
            Unsupported: the language has no words for it.
        """
        self.place = place
        if config.get("data_format") == "channels_first":
            raise Unsupported("its data have the channels first", "save the model with "
                              "`data_format='channels_last'`, as Keras has it by default")
        base = kind[:-2] if kind.endswith(_DIMENSIONS) else kind
        if base in _MERGES or base in ("Concatenate", "Merge"):
            return [self._merge(base, config, reads)]
        if len(reads) != 1:
            raise Unsupported(f"`{kind}` with {len(reads)} inputs")
        x = reads[0]
        match base:
            case "Dense":
                made = self._add("dense", x, units=_size(config, "units"), bias=_bias(config))
            case "Conv" | "Convolution":
                made = self._conv(config, x)
            case "DepthwiseConv":
                made = self._depthwise(config, x, _bias(config))
            case "SeparableConv":
                made = self._add("conv", self._depthwise(config, x, False),
                                 filters=_size(config, "filters"), kernel=1, bias=_bias(config))
            case "Conv2DTranspose" | "Conv3DTranspose" | "Conv1DTranspose":
                made = self._transposed(config, x)
            case "Embedding":
                made = self._embedding(config, x)
            case "BatchNormalization" | "LayerNormalization" | "GroupNormalization":
                return [self._norm(base, config, x)]
            case "Normalization" | "Rescaling":
                return [self._given_norm(base, config, x)]
            case "Activation" | "ReLU" | "LeakyReLU" | "ELU" | "PReLU" | "Softmax":
                return [self._activation_layer(base, config, x)]
            case "Dropout" | "SpatialDropout" | "GaussianNoise":
                return [self._noise(base, config, x)]
            case "MaxPooling" | "AveragePooling":
                return [self._pool(base, config, x)]
            case "GlobalMaxPooling" | "GlobalAveragePooling":
                return [self._global_pool(base, config, x)]
            case "LSTM" | "GRU" | "SimpleRNN":
                return [self._recurrent(base, config, x)]
            case "Bidirectional":
                return [self._bidirectional(config, x)]
            case "ConvLSTM":
                return [self._conv_lstm(config, x)]
            case "TimeDistributed":
                return [self._each_step(config, x)]
            case "Flatten" | "Reshape" | "Permute" | "RepeatVector":
                return [self._reshaped(base, config, x)]
            case "ZeroPadding" | "Cropping" | "UpSampling":
                return [self._resized(base, config, x)]
            case _ if base in _PASSING:
                if base == "Masking":
                    self.complaints.remark(place, "masks are no part of the spec",
                                           "give each row its length instead of a mask")
                return [x]
            case _:
                raise Unsupported(f"there is no operator for the layer `{kind}`")
        return [self._activated(config.get("activation"), made)]

    def _add(self, word: str, x: Ref, named: bool = True, **fields: Any) -> Ref:
        """The layer itself, in one operator."""
        return self.builder.add(word, x, fields=fields, named=named)

    # ------------------------------------------------------------------- activations

    def _activated(self, function: Any, x: Ref, named: bool = False) -> Ref:
        """A tensor through an activation function, given by its name or a config of it."""
        name = function
        if isinstance(function, Mapping):
            name = function.get("config", function.get("class_name"))
            if isinstance(name, Mapping):
                return self.apply(str(function.get("class_name")), name, [x], self.place)[0]
        if name in (None, "linear"):
            return x
        if name in _ACTIVATIONS:
            word, fields = _ACTIVATIONS[name]
            return self.builder.add(word, x, fields=fields, named=named)
        if name == "hard_sigmoid":  # relu6(x + 3) / 6
            x = self.builder.add("normalise", x, fields={"mean": -3.0})
            x = self.builder.add("relu6", x)
            return self.builder.add("normalise", x, fields={"deviation": 6.0}, named=named)
        if name == "selu":
            x = self.builder.add("elu", x, fields={"alpha": _SELU_ALPHA})
            return self.builder.add("normalise", x, fields={"deviation": 1 / _SELU_SCALE},
                                    named=named)
        raise Unsupported(f"there is no operator for the activation `{name}`")

    def _activation_layer(self, base: str, config: Config, x: Ref) -> Ref:
        match base:
            case "Activation":
                return self._activated(config.get("activation"), x, named=True)
            case "LeakyReLU":
                slope = config.get("negative_slope", config.get("alpha", 0.3))
                return self._add("leaky_relu", x, slope=float(_plain_number(slope)))
            case "ELU":
                return self._add("elu", x, alpha=float(config.get("alpha", 1.0)))
            case "PReLU":
                shared = config.get("shared_axes") or []
                if len(shared) != len(x.type.axes) - 1:
                    raise Unsupported("its slopes differ from place to place",
                                      "`prelu` has a slope for each channel: "
                                      "`shared_axes` over all other axes")
                return self._add("prelu", x)
            case "Softmax":
                axis = config.get("axis", -1)
                return self._add("softmax", x, axis=_axis(x.type, axis))
            case _:
                return self._relu(config, x)

    def _relu(self, config: Config, x: Ref) -> Ref:
        most, slope = config.get("max_value"), float(config.get("negative_slope") or 0)
        if config.get("threshold"):
            raise Unsupported("a `ReLU` with a threshold")
        if slope:
            if most is not None:
                raise Unsupported("a `ReLU` with a slope and a greatest value")
            return self._add("leaky_relu", x, slope=slope)
        if most is None:
            return self._add("relu", x)
        if float(most) == 6:
            return self._add("relu6", x)
        return self._add("clip", x, min=0.0, max=float(most))

    # ------------------------------------------------------------------- convolutions

    def _conv(self, config: Config, x: Ref) -> Ref:
        groups = config.get("groups", 1)
        return self._add(
            "conv", x, filters=_size(config, "filters"), kernel=_each(config, "kernel_size"),
            stride=_each(config, "strides", 1), dilation=_each(config, "dilation_rate", 1),
            padding=self._padding(config, x), groups=groups if groups != 1 else None,
            bias=_bias(config))

    def _depthwise(self, config: Config, x: Ref, bias: bool | None) -> Ref:
        times = config.get("depth_multiplier", 1)
        channels = x.type.channels
        assert isinstance(channels, int)
        return self.builder.add("conv", x, named=bias is not False, fields={
            "filters": times * channels if times != 1 else None,
            "kernel": _each(config, "kernel_size"), "stride": _each(config, "strides", 1),
            "dilation": _each(config, "dilation_rate", 1), "padding": self._padding(config, x),
            "depthwise": True, "bias": bias})

    def _padding(self, config: Config, x: Ref) -> Any:
        """Keras's padding in our words; None is our own default, `same`."""
        padding = config.get("padding", "valid")
        kernel = _listed(config, "kernel_size", x.type)
        stride = _listed(config, "strides", x.type)
        dilation = _listed(config, "dilation_rate", x.type)
        if padding == "valid":
            return None if all(k == 1 for k in kernel) else "valid"
        if padding == "causal":
            return [[(kernel[0] - 1) * dilation[0], 0]]
        if padding != "same":
            raise Unsupported(f"the padding `{padding}`", code="F0945")
        upper = any(k % 2 == 0 or s > 1 for k, s in zip(kernel, stride))
        return "same_upper" if upper and any(k > 1 for k in kernel) else None

    def _transposed(self, config: Config, x: Ref) -> Ref:
        kernel, stride = (_listed(config, k, x.type) for k in ("kernel_size", "strides"))
        if config.get("output_padding") not in (None, [None], 0):
            raise Unsupported("a transposed convolution with `output_padding`")
        if any(d != 1 for d in _listed(config, "dilation_rate", x.type)):
            raise Unsupported("a transposed convolution with dilation")
        lacking = [max(0, s - k) for k, s in zip(kernel, stride)]
        same = config.get("padding", "valid") == "same"
        return self._add(
            "conv_transpose", x, filters=_size(config, "filters"),
            kernel=_each(config, "kernel_size"), stride=_each(config, "strides", 1),
            padding="same_upper" if same else "valid", bias=_bias(config),
            output_padding=lacking if any(lacking) and not same else None)

    # ---------------------------------------------------------------- dense and norms

    def _embedding(self, config: Config, x: Ref) -> Ref:
        if config.get("mask_zero"):
            self.complaints.remark(
                self.place, "its mask of index 0 is no part of the spec",
                "give each row its length: steps behind it are padding here")
        return self._add("embed", x, units=_size(config, "output_dim"),
                         vocabulary=_size(config, "input_dim"))

    def _norm(self, base: str, config: Config, x: Ref) -> Ref:
        fields: dict[str, Any] = {
            "epsilon": float(config.get("epsilon", 1e-3)),
            "scale": None if config.get("scale", True) else False,
            "bias": None if config.get("center", True) else False}
        axes = [_axis(x.type, axis) for axis in _as_list(config.get("axis", -1))]
        if base == "LayerNormalization":
            if config.get("rms_scaling"):
                raise Unsupported("a `LayerNormalization` with `rms_scaling`")
            return self._add("layer_norm", x, **fields,
                             axes=axes if axes != ["channels"] else None)
        if axes != ["channels"]:
            raise Unsupported(f"a `{base}` over the axis {config.get('axis')}, not the last")
        if base == "GroupNormalization":
            groups = config.get("groups", 32)
            return self._add("group_norm", x, **fields, groups=x.type.channels
                             if groups == -1 else groups)
        if config.get("renorm"):
            raise Unsupported("a `BatchNormalization` with `renorm`")
        momentum = float(config.get("momentum", 0.99))
        return self._add("batch_norm", x, **fields,
                         momentum=momentum if momentum != 0.9 else None)

    def _given_norm(self, base: str, config: Config, x: Ref) -> Ref:
        if base == "Rescaling":
            scale, offset = (_plain_number(config.get(k, d)) for k, d in (
                ("scale", 1.0), ("offset", 0.0)))
            if scale <= 0:
                raise Unsupported(f"a `Rescaling` by {scale}")
            mean, deviation = -offset / scale, 1 / scale
        else:
            mean, variance = config.get("mean"), config.get("variance")
            if mean is None or variance is None or config.get("invert"):
                raise Unsupported("a `Normalization` whose figures are not in the file",
                                  "adapt it to the data, or write `normalise` by hand")
            mean = [float(_plain_number(v)) for v in _flat(mean)]
            deviation = [max(math.sqrt(float(_plain_number(v))), 1e-7) for v in _flat(variance)]
            if len(mean) == 1:
                mean, deviation = mean[0], deviation[0]
        return self._add("normalise", x, mean=mean if mean != -0.0 else None, deviation=deviation)

    def _noise(self, base: str, config: Config, x: Ref) -> Ref:
        if base == "GaussianNoise":
            return self._add("gaussian_noise", x, stddev=float(config.get("stddev", 0)))
        if config.get("noise_shape"):
            raise Unsupported("a `Dropout` with `noise_shape`")
        rate = float(config.get("rate", 0))
        word = "dropout" if base == "Dropout" else "spatial_dropout"
        return self._add(word, x, rate=rate)

    # ------------------------------------------------------------------------ pooling

    def _pool(self, base: str, config: Config, x: Ref) -> Ref:
        window = _listed(config, "pool_size", x.type, 2)
        stride = config.get("strides")
        same = config.get("padding", "valid") == "same"
        average = base == "AveragePooling"
        return self._add(
            "average_pool" if average else "max_pool", x, window=_short(window),
            stride=None if stride is None or _listed(config, "strides", x.type) == window
            else _each(config, "strides"),
            padding="same_upper" if same else None,
            # TensorFlow's padding does not count in a mean.
            count_padding=False if average and same else None)

    def _global_pool(self, base: str, config: Config, x: Ref) -> Ref:
        if not config.get("keepdims"):
            word = "global_max_pool" if base == "GlobalMaxPooling" else "global_average_pool"
            return self._add(word, x)
        if base == "GlobalMaxPooling":
            if not all(isinstance(x.type.size(a), int) for a in x.type.window_axes):
                raise Unsupported("a pool over an unknown size that keeps its axes")
            return self._add("max_pool", x, window=[x.type.size(a) for a in x.type.window_axes])
        return self._add("adaptive_average_pool", x, size=1)

    # ---------------------------------------------------------------------- recurrent

    def _recurrent(self, base: str, config: Config, x: Ref, **more: Any) -> Ref:
        """An LSTM, GRU or SimpleRNN, and the dropout of its input."""
        fields = {**_recurrent_fields(base, config), **more,
                  "return": None if config.get("return_sequences") else "last"}
        if config.get("return_state") or config.get("stateful"):
            what = "return_state" if config.get("return_state") else "stateful"
            raise Unsupported(f"a `{base}` with `{what}`",
                              "`.state` and `carry: across` are the language's words for it")
        if rate := float(config.get("dropout") or 0):
            x = self.builder.add("spatial_dropout", x, fields={"rate": rate})
        if config.get("go_backwards"):
            if config.get("return_sequences"):
                raise Unsupported(f"a `{base}` that gives its steps backwards")
            fields["reverse"] = True
        word = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}[base]
        return self.builder.add(word, x, fields=fields, named=True)

    def _bidirectional(self, config: Config, x: Ref) -> Ref:
        layer = config.get("layer") or {}
        base, inner = str(layer.get("class_name")), layer.get("config") or {}
        if base not in ("LSTM", "GRU", "SimpleRNN"):
            raise Unsupported(f"a `Bidirectional` of a `{base}`")
        merge = config.get("merge_mode", "concat")
        if merge not in ("concat", "sum"):
            raise Unsupported(f"a `Bidirectional` with `merge_mode` {merge}",
                              "`merge` is concat or sum")
        backward = (config.get("backward_layer") or {}).get("config")
        names = ("name", "go_backwards")
        if backward is not None and {k: v for k, v in backward.items() if k not in names} != {
                k: v for k, v in inner.items() if k not in names}:
            raise Unsupported("a `Bidirectional` with another `backward_layer`")
        return self._recurrent(base, {**inner, "go_backwards": False}, x, bidirectional=True,
                               merge=merge if merge != "concat" else None)

    def _conv_lstm(self, config: Config, x: Ref) -> Ref:
        raise Unsupported("a `ConvLSTM`", "write `conv_lstm` by hand: its padding and its bias "
                          "are others than Keras's")

    def _each_step(self, config: Config, x: Ref) -> Ref:
        """`TimeDistributed`."""
        layer = config.get("layer") or {}
        kind, inner = str(layer.get("class_name")), layer.get("config") or {}
        if kind in ("Dense", "Activation", "Dropout", "Embedding") or "time" not in x.type.axes:
            return self.apply(kind, inner, [x], self.place)[0]
        return self.builder.each("time", x, lambda step: self.apply(
            kind, inner, [step], self.place)[0])

    # -------------------------------------------------------------------------- shapes

    def _merge(self, base: str, config: Config, reads: Sequence[Ref]) -> Ref:
        if len(reads) < 2:
            raise Unsupported(f"`{base}` of one tensor", code="F0945")
        if base != "Concatenate":
            return self.builder.add(_MERGES[base], *reads, named=True)
        axis = _axis(reads[0].type, config.get("axis", -1))
        return self.builder.add("concat", *reads, named=True, fields={
            "axis": axis if axis != "channels" else None})

    def _reshaped(self, base: str, config: Config, x: Ref) -> Ref:
        match base:
            case "Flatten":
                return self._add("flatten", x)
            case "RepeatVector":
                steps = self.builder.add("reshape", x, fields={"shape": [1, -1]})
                return self._add("upsample", steps, scale=_size(config, "n"))
            case "Reshape":
                shape = [-1 if size in (None, -1) else size
                         for size in _as_list(config.get("target_shape"))]
                return self._add("reshape", x, shape=shape)
            case _:
                order = [x.type.axes[_count(d) - 1] for d in _as_list(config.get("dims"))]
                if order == list(x.type.axes):
                    return x
                names = list(x.type.axes) if order[-1:] != ["channels"] else None
                return self._add("transpose", x, axes=order, names=names)

    def _resized(self, base: str, config: Config, x: Ref) -> Ref:
        axes = x.type.window_axes
        if base == "UpSampling":
            method = config.get("interpolation", "nearest")
            if method not in ("nearest", "bilinear"):
                raise Unsupported(f"`UpSampling` with `{method}`")
            sizes = _as_list(config.get("size", 2))
            scale = sizes * len(axes) if len(sizes) == 1 else sizes
            return self._add("upsample", x, scale=_short(scale),
                             method=method if method != "nearest" else None)
        given = config.get("padding" if base == "ZeroPadding" else "cropping", 1)
        sides = _as_list(given)
        if len(axes) == 1 and len(sides) == 2 and not isinstance(sides[0], list):
            sides = [sides]
        sides = sides * len(axes) if len(sides) == 1 else sides
        pairs = [[_count(n) for n in side] if isinstance(side, list | tuple) else
                 [_count(side)] * 2 for side in sides]
        if len(pairs) != len(axes):
            raise Unsupported(f"`{base}` by {given}", code="F0945")
        fields: dict[str, Any] = {axis: pair[0] if pair[0] == pair[1] else pair
                                  for axis, pair in zip(axes, pairs)}
        if len(fields) > 1 and len({str(v) for v in fields.values()}) == 1 and "time" not in fields:
            fields = {"space": next(iter(fields.values()))}
        return self._add("pad" if base == "ZeroPadding" else "crop", x, **fields)


def _recurrent_fields(base: str, config: Config) -> dict[str, Any]:
    """The fields of a recurrent layer that are the cell's own."""
    bias = config.get("use_bias", True)
    fields: dict[str, Any] = {"units": _size(config, "units"), "biases": None if bias else 0}
    if rate := float(config.get("recurrent_dropout") or 0):
        fields["recurrent_dropout"] = rate
    activation = config.get("activation", "tanh")
    if base == "SimpleRNN":
        if activation not in ("tanh", "relu"):
            raise Unsupported(f"a `SimpleRNN` with the activation `{activation}`")
        return {**fields, "activation": activation if activation != "tanh" else None}
    gates = config.get("recurrent_activation", "sigmoid")
    if activation != "tanh" or gates != "sigmoid":
        raise Unsupported(f"a `{base}` with the activations `{activation}` and `{gates}`",
                          "the cells have tanh and sigmoid")
    if base == "LSTM":
        return {**fields, "forget_bias": None if config.get("unit_forget_bias", True) else 0.0}
    if config.get("reset_after", True):
        return {**fields, "biases": 2 if bias else 0}
    return {**fields, "reset": "before"}


# ------------------------------------------------------------------- values of a config


def _axis(tensor: TensorType, index: Any) -> str:
    """The axis of a number that counts the batch, too."""
    index = _as_list(index)[0]
    count = len(tensor.axes) + 1
    if type(index) is not int or not -count < index < count or index == 0:
        raise Unsupported(f"the axis {index} of a tensor {tensor.described()}", code="F0945")
    return tensor.axes[index if index < 0 else index - 1]


def _size(config: Config, key: str) -> int:
    return _count(config.get(key), key, least=1)


def _count(value: Any, key: str = "a size", least: int = 0) -> int:
    if type(value) is not int or not least <= value < 2**31:
        raise Unsupported(f"`{key}` is {str(value)[:60]}", code="F0945")
    return value


def _plain_number(value: Any) -> float:
    if isinstance(value, Mapping):  # how Keras writes NumPy's numbers
        value = value.get("config", {}).get("value") if isinstance(
            value.get("config"), Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unsupported(f"{str(value)[:60]} is no number", code="F0945")
    return float(value)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return _flat(value.get("config", {}).get("value"))
    return [x for part in value for x in _flat(part)] if isinstance(value, list) else [value]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _listed(config: Config, key: str, tensor: TensorType, default: int = 1) -> list[int]:
    """A setting for each window axis."""
    given = _as_list(config.get(key, default))
    given = [default] if given == [None] else given
    rank = len(tensor.window_axes)
    spread = given * rank if len(given) == 1 else given
    if len(spread) != rank:
        raise Unsupported(f"`{key}` has {len(given)} numbers for a tensor "
                          f"{tensor.described()}", code="F0945")
    return [_count(v, key) for v in spread]


def _each(config: Config, key: str, default: int | None = None) -> Any:
    """A setting in its short form, or None where it is the default."""
    given = [_count(v, key, least=1) for v in _as_list(config.get(key, default))]
    short = _short(given)
    return None if short == default and default is not None else short


def _short(values: Sequence[int]) -> Any:
    return values[0] if len(set(values)) == 1 else list(values)


def _bias(config: Config) -> bool | None:
    return None if config.get("use_bias", True) else False
