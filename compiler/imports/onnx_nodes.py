"""One ONNX node in the operators of the language.

https://onnx.ai/onnx/operators/ says what each node does. Arrays are turned on the way: ONNX has
a convolution's kernel as (out, in, window …), ours is (window …, in, out).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.imports.complaints import Unsupported
from compiler.imports.onnx_recurrent import recurrent
from compiler.imports.onnx_values import (
    ANY,
    BATCH,
    OPEN,
    Found,
    Laid,
    Several,
    Zeros,
    constant,
    flattened,
    image,
    numbers,
    plain,
    tensor,
)
from compiler.imports.parts import Builder, Ref

Given = Mapping[str, Any]
# Numbers that may be computed from the file's arrays, all together: a graph of a few lines can
# ask for any amount.
MOST_KNOWN = 2**26
_PLAIN = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus",
          "Exp": "exp", "Abs": "abs", "HardSwish": "hard_swish"}
_JOINS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Max": "maximum", "Sum": "add",
          "Mean": "average"}
# What leaves a tensor of zeros one.
_MOVING = ("Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Expand", "Concat", "Gather")
# What a node of sizes, not of tensors, does to known numbers.
_KNOWN = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum,
          "Min": np.minimum}


class OnnxNodes:
    """Turns nodes into parts.

    Attributes:
        builder: where the parts go.
        opset: the version of ONNX's own operators.
    """

    def __init__(self, builder: Builder, opset: int):
        self.builder, self.opset = builder, opset
        self.left = MOST_KNOWN

    def apply(self, kind: str, inputs: Sequence[Any], given: Given, count: int) -> list[Found]:
        """A node applied to what its inputs stand for; what its outputs do.

        Args:
            kind: the operator.
            inputs: what arrives, None where an optional input is left out.
            given: its attributes.
            count: how many outputs are read.

        Raises:
            Unsupported: the language has no words for it.
        """
        match kind:
            case "Identity" | "Dropout" | "Cast" if isinstance(inputs[0], np.ndarray | Zeros):
                return [inputs[0]]
            case _ if kind in _MOVING and isinstance(inputs[0], Zeros):
                return [inputs[0]]
            case "Identity":
                return [inputs[0]]
            case "Cast":
                return [self._cast(tensor(inputs[0]), given)]
            case "Dropout":
                return [self._each(tensor(inputs[0]), "dropout", rate=_rate(inputs, given))]
            case "Conv":
                return [self._conv(inputs, given)]
            case "ConvTranspose":
                return [self._transposed(inputs, given)]
            case "Gemm":
                return [self._gemm(inputs, given)]
            case "MatMul":
                return [self._matmul(inputs)]
            case "BatchNormalization":
                return [self._batch_norm(inputs, given)]
            case "InstanceNormalization" | "LayerNormalization" | "GroupNormalization":
                return [self._norm(kind, inputs, given)]
            case "LRN":
                return [self._each(image(tensor(inputs[0]), self.builder, kind),
                                   "local_response_norm", size=int(given["size"]),
                                   alpha=given.get("alpha", 1e-4), beta=given.get("beta", 0.75),
                                   k=given.get("bias", 1.0))]
            case "MaxPool" | "AveragePool":
                return [self._pool(kind, inputs, given)]
            case "GlobalAveragePool" | "GlobalMaxPool":
                return [self._global(kind, tensor(inputs[0]))]
            case "ReduceMean" | "ReduceMax" if isinstance(inputs[0], Laid):
                return [self._reduced(kind, inputs, given)]
            case "LSTM" | "GRU" | "RNN":
                every, last = recurrent(kind, inputs, given, self.builder)
                return [every, *([last] if last is not None else [])]
            case "Pad":
                return [self._pad(inputs, given)]
            case "Resize" | "Upsample":
                return [self._resize(kind, inputs, given)]
            case "DepthToSpace":
                return [self._shuffle(inputs, given)]
            case "Split":
                return self._split(inputs, given, count)
            case _ if kind in _JOINS or kind in ("Div", "Min", "Pow", "Sqrt"):
                return [self._arithmetic(kind, inputs)]
            case _ if isinstance(inputs[0] if inputs else None, Laid) and kind in (
                    *_PLAIN, "LeakyRelu", "Elu", "Selu", "PRelu", "Clip", "Softmax",
                    "LogSoftmax", "HardSigmoid", "Gelu"):
                return [self._activation(kind, inputs, given)]
            case _:
                return [self._shape(kind, inputs, given)]

    def _each(self, x: Laid, word: str, arrays: Mapping[str, Any] | None = None, **fields: Any,
              ) -> Laid:
        """An operator whose output lies as its input."""
        return x.given(self.builder.add(word, x.ref, fields=fields, arrays=arrays, named=True)
                       ) if x.places is None else replace(x, ref=self.builder.add(
                           word, x.ref, fields=fields, arrays=arrays, named=True), before=None)

    def _afford(self, count: int) -> None:
        """Take numbers that are computed from known ones off what is left for the file."""
        self.left -= count
        if self.left < 0:
            raise Unsupported(f"more than {MOST_KNOWN:,} numbers are computed before it runs")

    def _cast(self, x: Laid, given: Given) -> Laid:
        floats = (1, 10, 11, 16)
        if (x.ref.type.dtype == "float") == (given.get("to") in floats) or (
                x.ref.type.dtype == "int" and given.get("to") in (6, 7)):
            return x
        raise Unsupported(f"a `Cast` of {x.ref.type.dtype}s")

    # ---------------------------------------------------------------- with weights

    def _conv(self, inputs: Sequence[Any], given: Given) -> Laid:
        x, kernel = tensor(inputs[0]), constant(inputs[1], "its kernel")
        bias = None if len(inputs) < 3 or inputs[2] is None else constant(inputs[2], "its bias")
        if kernel.ndim < 3 or (bias is not None and bias.shape != kernel.shape[:1]):
            raise Unsupported(f"a kernel of the shape {kernel.shape}", code="F0945")
        window = kernel.shape[2:]
        groups = int(given.get("group", 1))
        if x.order[:2] == (BATCH, "channels") and set(x.order[2:]) == {"one"}:
            # A convolution of a single place is a dense layer.
            if any(k != 1 for k in window) or groups != 1:
                raise Unsupported("a convolution with a window of a tensor with one place")
            made = self._dense(replace(x, order=(BATCH, "channels")), kernel.reshape(
                kernel.shape[:2]).T, bias)
            return made.given(made.ref, x.order)
        x = image(x, self.builder, "Conv")
        if len(window) != len(x.order) - 2 or kernel.shape[1] * groups != x.channels:
            raise Unsupported(f"a kernel {kernel.shape} in {groups} groups for "
                              f"{x.ref.type.described()}", code="F0945")
        arrays = {"kernel": np.moveaxis(kernel, (0, 1), (-1, -2))}
        if bias is not None:
            arrays["bias"] = bias
        depthwise = groups > 1 and groups == x.channels
        fields: dict[str, Any] = {
            "filters": None if depthwise and kernel.shape[0] == groups else kernel.shape[0],
            "kernel": _short(window), "stride": _spread(given, "strides"),
            "dilation": _spread(given, "dilations"), "bias": None if bias is not None else False,
            "padding": _padding(given, window, conv=True)}
        if depthwise:
            fields["depthwise"] = True
        elif groups > 1:
            fields["groups"] = groups
        return self._each(x, "conv", arrays, **fields)

    def _transposed(self, inputs: Sequence[Any], given: Given) -> Laid:
        x, kernel = image(tensor(inputs[0]), self.builder, "ConvTranspose"), constant(
            inputs[1], "its kernel")
        bias = None if len(inputs) < 3 or inputs[2] is None else constant(inputs[2], "its bias")
        if given.get("group", 1) != 1 or given.get("auto_pad", "NOTSET") not in (
                "NOTSET", "VALID") or given.get("output_shape"):
            raise Unsupported("a `ConvTranspose` in groups, or with `auto_pad` or `output_shape`")
        if kernel.ndim != len(x.order) or kernel.shape[0] != x.channels:
            raise Unsupported(f"a kernel of the shape {kernel.shape}", code="F0945")
        window = kernel.shape[2:]
        arrays = {"kernel": np.moveaxis(kernel, (0, 1), (-2, -1))}
        if bias is not None:
            arrays["bias"] = bias
        more = given.get("output_padding") or [0]
        padding = _padding(given, window, conv=False)
        return self._each(
            x, "conv_transpose", arrays, filters=kernel.shape[1], kernel=_short(window),
            stride=_spread(given, "strides"), dilation=_spread(given, "dilations"),
            bias=None if bias is not None else False, padding="valid" if padding is None
            else padding, output_padding=_short(more) if any(more) else None)

    def _dense(self, x: Laid, kernel: np.ndarray, bias: np.ndarray | None) -> Laid:
        """A dense layer; the kernel (in, out) as the graph has it."""
        if x.order[-1:] != ("channels",) or kernel.ndim != 2 or kernel.shape[0] != x.channels:
            raise Unsupported(f"a product of {x.ref.type.described()} with a matrix "
                              f"{kernel.shape}", code="F0945")
        if x.places is not None:
            turned = np.empty_like(kernel)
            turned[x.places] = kernel
            kernel = turned
        arrays = {"kernel": kernel}
        if bias is not None:
            arrays["bias"] = bias
        return Laid(self.builder.add("dense", x.ref, fields={
            "units": kernel.shape[1], "bias": None if bias is not None else False},
            arrays=arrays, named=True), x.order)

    def _gemm(self, inputs: Sequence[Any], given: Given) -> Laid:
        x, kernel = tensor(inputs[0]), constant(inputs[1], "its matrix")
        if given.get("transA") or kernel.ndim != 2:
            raise Unsupported("a `Gemm` of a transposed tensor")
        kernel = kernel.T if given.get("transB") else kernel
        kernel = kernel * np.float32(given.get("alpha", 1.0))
        bias = None
        if len(inputs) > 2 and inputs[2] is not None:
            found = constant(inputs[2], "its bias") * np.float32(given.get("beta", 1.0))
            if found.size not in (1, kernel.shape[1]):
                raise Unsupported(f"a bias of the shape {found.shape}", code="F0945")
            bias = np.broadcast_to(found.reshape(-1), kernel.shape[1:]).copy()
        return self._dense(x, kernel, bias)

    def _matmul(self, inputs: Sequence[Any]) -> Laid:
        if isinstance(inputs[1], np.ndarray):
            return self._dense(tensor(inputs[0]), inputs[1], None)
        raise Unsupported("a `MatMul` of two tensors of the model",
                          "`matmul` and `attention` are the language's words for it")

    def _batch_norm(self, inputs: Sequence[Any], given: Given) -> Laid:
        if given.get("training_mode"):
            raise Unsupported("a `BatchNormalization` in training mode",
                              "export the model for evaluation")
        x = tensor(inputs[0])
        if x.order[:2] != (BATCH, "channels"):
            raise Unsupported(f"a `BatchNormalization` of the axes {', '.join(x.order)}")
        names = ("scale", "bias", "mean", "var")
        arrays = {n: constant(a, f"its {n}") for n, a in zip(names, inputs[1:5], strict=True)}
        if any(a.shape != (x.channels,) for a in arrays.values()):
            raise Unsupported("arrays that are not as long as the channels", code="F0945")
        if x.places is not None:
            arrays = {n: a[np.argsort(x.places)] for n, a in arrays.items()}
        return self._each(x, "batch_norm", arrays, epsilon=_number(given, "epsilon", 1e-5),
                          momentum=_number(given, "momentum", 0.9))

    def _norm(self, kind: str, inputs: Sequence[Any], given: Given) -> Laid:
        x = plain(tensor(inputs[0]), self.builder)
        arrays = {"scale": constant(inputs[1], "its scale").reshape(-1)}
        if len(inputs) > 2 and inputs[2] is not None:
            arrays["bias"] = constant(inputs[2], "its bias").reshape(-1)
        fields: dict[str, Any] = {"epsilon": _number(given, "epsilon", 1e-5),
                                  "bias": None if "bias" in arrays else False}
        if kind == "LayerNormalization":
            if x.axis(given.get("axis", -1)) != "channels" or x.order[-1] != "channels":
                raise Unsupported("a `LayerNormalization` over other axes than the channels")
        else:
            x = image(x, self.builder, kind)
        word = {"LayerNormalization": "layer_norm", "InstanceNormalization": "instance_norm",
                "GroupNormalization": "group_norm"}[kind]
        if kind == "GroupNormalization":
            fields["groups"] = int(given["num_groups"])
        if any(a.shape != (x.channels,) for a in arrays.values()):
            raise Unsupported("arrays that are not as long as the channels", code="F0945")
        return self._each(x, word, arrays, **fields)

    # --------------------------------------------------------------------- windows

    def _pool(self, kind: str, inputs: Sequence[Any], given: Given) -> Laid:
        x = image(tensor(inputs[0]), self.builder, kind)
        window = [int(k) for k in given["kernel_shape"]]
        padding = _padding(given, window, conv=False)
        stride = [int(s) for s in given.get("strides") or [1] * len(window)]
        average = kind == "AveragePool"
        if average and _spread(given, "dilations") is not None:
            raise Unsupported("an `AveragePool` with dilations")
        return self._each(
            x, "average_pool" if average else "max_pool", window=_short(window),
            stride=None if stride == window else _short(stride), padding=padding,
            ceil=True if given.get("ceil_mode") else None,
            dilation=None if average else _spread(given, "dilations"),
            count_padding=False if average and padding is not None
            and not given.get("count_include_pad") else None)

    def _global(self, kind: str, x: Laid) -> Laid:
        if set(x.order[2:]) == {"one"}:
            return x
        x = image(x, self.builder, kind)
        word = "global_average_pool" if kind == "GlobalAveragePool" else "global_max_pool"
        ref = self.builder.add(word, x.ref, named=True)
        return Laid(ref, (BATCH, "channels", *["one"] * (len(x.order) - 2)))

    def _reduced(self, kind: str, inputs: Sequence[Any], given: Given) -> Laid:
        x = plain(tensor(inputs[0]), self.builder)
        given_axes = given.get("axes") if len(inputs) < 2 or inputs[1] is None else numbers(
            inputs[1], "its axes")
        axes = [x.axis(a) for a in given_axes or ()]
        window = set(x.ref.type.window_axes)
        real = {a for a in axes if a != "one"}
        space = window - {"time"}
        over = None if real == window else "time" if real == {"time"} else (
            "space" if real == space else "")
        if not real or over == "":
            raise Unsupported(f"`{kind}` over {', '.join(axes) or 'nothing'}")
        word = "global_average_pool" if kind == "ReduceMean" else "global_max_pool"
        ref = self.builder.add(word, x.ref, fields={"over": over}, named=True)
        keep = given.get("keepdims", 1)
        order = [("one" if keep else "") if a in axes else a for a in x.order]
        return Laid(ref, tuple(a for a in order if a))

    def _pad(self, inputs: Sequence[Any], given: Given) -> Laid:
        x = plain(tensor(inputs[0]), self.builder)
        pads = numbers(inputs[1], "its padding") if len(inputs) > 1 else list(given["pads"])
        mode = given.get("mode", "constant")
        value = float(np.asarray(constant(inputs[2], "its value")).reshape(-1)[0]) if len(
            inputs) > 2 and inputs[2] is not None else given.get("value", 0.0)
        rank = len(x.order)
        if len(inputs) > 3 and inputs[3] is not None:
            axes = [int(a) % rank for a in numbers(inputs[3], "its axes")]
            given_pads, pads = pads, [0] * 2 * rank
            for i, axis in enumerate(axes):
                pads[axis], pads[axis + rank] = given_pads[i], given_pads[i + len(axes)]
        if len(pads) != 2 * rank or mode not in ("constant", "reflect", "edge") or (
                mode == "constant" and value != 0) or min(pads) < 0:
            raise Unsupported(f"a `Pad` by {pads} with {mode} {value}")
        fields = {axis: _short([pads[i], pads[i + rank]]) for i, axis in enumerate(x.order)
                  if pads[i] or pads[i + rank]}
        if not fields:
            return x
        if {BATCH, "one"} & set(fields):
            raise Unsupported("a `Pad` of the batch")
        space = [a for a in x.ref.type.axes if a in ("depth", "height", "width")]
        if len(space) > 1 and list(fields) == space and len({str(v) for v in fields.values()}) == 1:
            fields = {"space": next(iter(fields.values()))}
        return self._each(x, "pad", **fields,
                          mode=None if mode == "constant" else mode)

    def _resize(self, kind: str, inputs: Sequence[Any], given: Given) -> Laid:
        x = image(tensor(inputs[0]), self.builder, kind)
        scales = inputs[1] if kind == "Upsample" else inputs[2] if len(inputs) > 2 else None
        if scales is not None and constant(scales, "its scale").size:
            first, factors = np.split(constant(scales, "its scale").astype(float), [2])
            if given.get("axes") or (first != 1).any():
                raise Unsupported(f"a `{kind}` of other axes than those of space")
            factors = [float(f) for f in factors]
        else:
            sizes = numbers(inputs[3] if len(inputs) > 3 else None, "its size")[2:]
            if given.get("axes") or given.get("keep_aspect_ratio_policy", "stretch") != "stretch":
                raise Unsupported(f"a `{kind}` of some axes, or that keeps the aspect ratio")
            factors = [s / x.size(a) for s, a in zip(sizes, x.order[2:], strict=True)]
        mode = given.get("mode", "nearest")
        how = given.get("coordinate_transformation_mode", "half_pixel")
        whole = [round(f) for f in factors]
        halves = how in ("half_pixel", "pytorch_half_pixel")
        rounding = given.get("nearest_mode", "round_prefer_floor")
        if kind == "Upsample":
            how, rounding = "asymmetric", "floor"
        # Whole factors: nearest is the same under each of these.
        fine = halves if mode == "linear" else mode == "nearest" and (
            halves and rounding.startswith("round") or how == "asymmetric" and rounding == "floor")
        if factors != [float(f) for f in whole] or min(whole) < 1 or not fine:
            raise Unsupported(f"a `{kind}` by {factors} with `{mode}`, `{how}`",
                              "`upsample` is by whole factors, nearest or half-pixel linear")
        return self._each(x, "upsample", scale=_short(whole),
                          method="bilinear" if mode == "linear" else None)

    def _shuffle(self, inputs: Sequence[Any], given: Given) -> Laid:
        x = image(tensor(inputs[0]), self.builder, "DepthToSpace")
        if given.get("mode", "DCR") != "CRD":
            raise Unsupported("a `DepthToSpace` in the order DCR")
        return self._each(x, "pixel_shuffle", factor=int(given["blocksize"]))

    # ---------------------------------------------------------------- element by element

    def _activation(self, kind: str, inputs: Sequence[Any], given: Given) -> Laid:
        x = tensor(inputs[0])
        match kind:
            case _ if kind in _PLAIN:
                return self._each(x, _PLAIN[kind])
            case "LeakyRelu":
                return self._each(x, "leaky_relu", slope=_number(given, "alpha", 0.01))
            case "Elu":
                return self._each(x, "elu", alpha=_number(given, "alpha", 1.0))
            case "Selu":
                x = self._each(x, "elu", alpha=_number(given, "alpha", 1.6732632423543772))
                return self._each(x, "normalise",
                                  deviation=1 / _number(given, "gamma", 1.0507009873554805))
            case "HardSigmoid":
                return self._hard_sigmoid(x, given)
            case "Gelu":
                tanh = given.get("approximate") == "tanh"
                return self._each(x, "gelu", approximate=True if tanh else None)
            case "Clip":
                return self._clip(x, inputs, given)
            case "PRelu":
                slope = constant(inputs[1], "its slope").reshape(-1)
                if slope.size == 1:
                    slope = np.repeat(slope, x.channels)
                if slope.shape != (x.channels,) or x.places is not None:
                    raise Unsupported(f"a `PRelu` with {slope.size} slopes")
                return self._each(x, "prelu", {"slope": slope})
            case _:
                number = int(given.get("axis", -1 if self.opset >= 13 else 1))
                axis = plain(x, self.builder).axis(number)
                if self.opset < 13 and number not in (-1, len(x.order) - 1):
                    raise Unsupported(f"a `{kind}` over several axes, from {axis} on")
                word = "softmax" if kind == "Softmax" else "log_softmax"
                return self._each(plain(x, self.builder), word,
                                  axis=axis if axis != "channels" else None)

    def _hard_sigmoid(self, x: Laid, given: Given) -> Laid:
        """max(0, min(1, alpha · x + beta))."""
        alpha, beta = _number(given, "alpha", 0.2), _number(given, "beta", 0.5)
        if alpha <= 0:
            raise Unsupported(f"a `HardSigmoid` with alpha {alpha}")
        x = self._each(x, "normalise", mean=-beta / alpha, deviation=1 / alpha)
        return self._each(x, "clip", min=0.0, max=1.0)

    def _clip(self, x: Laid, inputs: Sequence[Any], given: Given) -> Laid:
        bounds: list[float | None] = []
        for place, name in ((1, "min"), (2, "max")):
            found = inputs[place] if len(inputs) > place else given.get(name)
            if isinstance(found, np.ndarray):
                found = float(found.reshape(-1)[0]) if found.size == 1 else None
            bounds.append(None if found is None or abs(found) > 3e38 else float(found))
        if bounds == [0, 6]:
            return self._each(x, "relu6")
        if bounds == [0, None]:
            return self._each(x, "relu")
        return self._each(x, "clip", min=bounds[0], max=bounds[1])

    def _arithmetic(self, kind: str, inputs: Sequence[Any]) -> Found:
        if all(isinstance(v, np.ndarray) for v in inputs):
            self._afford(math.prod(np.broadcast_shapes(*(v.shape for v in inputs))))
            return _known(kind, inputs)
        if kind in _JOINS and all(isinstance(v, Laid) for v in inputs) and len(inputs) > 1:
            return self._joined(_JOINS[kind], [plain(tensor(v), self.builder) for v in inputs])
        if len(inputs) != 2 or not any(isinstance(v, Laid) for v in inputs):
            raise Unsupported(f"`{kind}` of these tensors")
        first = isinstance(inputs[0], Laid)
        x, other = tensor(inputs[0 if first else 1]), constant(inputs[1 if first else 0], "it")
        return self._with_numbers(kind, x, other, first)

    def _joined(self, word: str, parts: list[Laid]) -> Laid:
        """Tensors that are joined element by element; their axes must lie alike."""
        rank = max(len(p.order) for p in parts)
        order = ["one"] * rank
        for part in parts:
            for i, axis in enumerate(reversed(part.order)):
                place = rank - 1 - i
                if axis != "one" and order[place] not in ("one", axis):
                    raise Unsupported(f"`{word}` of tensors whose axes lie differently")
                order[place] = axis if axis != "one" else order[place]
        return Laid(self.builder.add(word, *(p.ref for p in parts), named=True), tuple(order))

    def _with_numbers(self, kind: str, x: Laid, other: np.ndarray, first: bool) -> Laid:
        """A tensor and known numbers: one, or one for each channel."""
        if kind == "Add" and (bias := self._as_bias(x, other)) is not None:
            return bias
        if other.size == 1:
            value = float(other.reshape(-1)[0])
            if kind == "Add" and value:
                return self._each(x, "normalise", mean=-value)
            if kind == "Sub" and first:
                return self._each(x, "normalise", mean=value)
            if kind == "Mul" and value > 0:
                return self._each(x, "normalise", deviation=1 / value) if value != 1 else x
            if kind == "Div" and first and value > 0:
                return self._each(x, "normalise", deviation=value) if value != 1 else x
            if kind == "Pow" and first and value == 2:
                return Laid(self.builder.add("multiply", x.ref, x.ref), x.order)
        elif x.places is None and _along(other, x, "channels"):
            values = other.reshape(-1)
            if kind == "Mul":
                return self._each(x, "scale", {"scale": values})
            if kind in ("Add", "Sub") and first and values.size <= 64:
                sign = -1.0 if kind == "Add" else 1.0
                return self._each(x, "normalise", mean=[sign * float(v) for v in values])
        raise Unsupported(f"`{kind}` with numbers of the shape {other.shape}")

    def _as_bias(self, x: Laid, other: np.ndarray) -> Laid | None:
        """The bias of a product before it.

        The product without it stays for others that read it, else it goes with what is dead.
        """
        part = self.builder.parts[x.ref.owner] if isinstance(x.ref.owner, int) else None
        if part is None or part.word not in ("dense", "conv") or "bias" in part.arrays or (
                not _along(other, x, "channels")):
            return None
        return self._each(Laid(part.reads[0], x.order), part.word, {
            **part.arrays, "bias": other.reshape(-1)}, **{
                k: v for k, v in part.fields.items() if k != "bias"})

    # ---------------------------------------------------------------------- shapes

    def _shape(self, kind: str, inputs: Sequence[Any], given: Given) -> Found:
        x = inputs[0] if inputs else None
        match kind:
            case "Constant":
                return _constant(given)
            case "ConstantOfShape":
                sizes = numbers(x, "its shape")
                fill = np.asarray(given.get("value", np.zeros(1, np.float32))).reshape(-1)[:1]
                if any(s < 0 for s in sizes) and not fill.any():
                    return Zeros()
                if math.prod(s for s in sizes) > 10_000 or min(sizes, default=0) < 0:
                    raise Unsupported(f"a constant of the shape {sizes}")
                return np.full(sizes, fill[0] if fill.size else 0)
            case "Shape":
                sizes = [tensor(x).size(a) for a in tensor(x).order]
                return np.array(sizes[slice(given.get("start", 0), given.get("end"))])
            case "Expand" if isinstance(x, Zeros) or isinstance(x, np.ndarray) and not x.any():
                return Zeros()
            case "Transpose" if isinstance(x, Laid):
                perm = given.get("perm") or range(len(x.order))[::-1]
                x = plain(x, self.builder)
                return x.given(x.ref, [x.axis(p) for p in perm])
            case "Flatten":
                axis = int(given.get("axis", 1))
                if axis not in (1, 1 - len(tensor(x).order)):
                    raise Unsupported(f"a `Flatten` from axis {axis}")
                return flattened(plain(tensor(x), self.builder), self.builder)
            case "Reshape" if isinstance(x, Laid):
                return self._reshape(x, numbers(inputs[1], "its shape"))
            case "Squeeze" | "Unsqueeze" if isinstance(x, Laid):
                axes = given.get("axes") if len(inputs) < 2 else numbers(inputs[1], "its axes")
                return self._squeeze(kind, x, axes)
            case "Concat" if any(isinstance(v, Laid | Several) for v in inputs):
                return self._concat(inputs, int(given.get("axis", 0)))
            case "Gather":
                return self._gather(inputs, int(given.get("axis", 0)))
            case "Slice" if isinstance(x, Laid | Several):
                return self._slice(inputs, given)
            case "Slice" | "Squeeze" | "Unsqueeze" | "Concat" | "Reshape" | "Transpose" | "Expand":
                if kind == "Concat":
                    self._afford(sum(constant(v, "its input").size for v in inputs))
                return _rearranged(kind, inputs, given)
        raise Unsupported(f"there is no operator for the node `{kind}`")

    def _reshape(self, x: Laid, target: list[int]) -> Laid:
        sizes = [x.size(a) for a in x.order]
        wanted = [sizes[i] if n == 0 and i < len(sizes) else n for i, n in enumerate(target)]
        order = list(x.order)
        # The two directions as one axis.
        if "ways" in order and order.index("ways") + 1 == order.index("channels") and len(
                wanted) == len(order) - 1:
            joined = x.given(x.ref, [a for a in order if a != "ways"])
            if all(w in (joined.size(a), -1) for w, a in zip(wanted, joined.order)):
                return joined
        if len(wanted) == 2 and order[0] == BATCH and (
                wanted[0] in (ANY, -1) or wanted[1] == -1 and wanted[0] < 0):
            return flattened(plain(x, self.builder), self.builder)
        x = plain(x, self.builder)
        solid = [a for a in order if a != "one"]
        if [w for w in wanted if w != 1] == [x.size(a) for a in solid]:
            names = iter(solid)
            return x.given(x.ref, ["one" if w == 1 else next(names) for w in wanted])
        own = [BATCH, *x.ref.type.axes]
        if order == own and wanted[0] in (ANY, -1, 1):
            ref = self.builder.add("reshape", x.ref, fields={"shape": wanted[1:]}, named=True)
            return Laid(ref, (BATCH, *ref.type.axes))
        raise Unsupported(f"a `Reshape` of the axes {', '.join(order)} to "
                          f"{['batch' if w == ANY else w for w in wanted]}")

    def _squeeze(self, kind: str, x: Laid, axes: Sequence[int] | None) -> Laid:
        order = list(x.order)
        if kind == "Unsqueeze":
            rank = len(order) + len(axes or ())
            for axis in sorted(int(a) % rank for a in axes or ()):
                order.insert(axis, "one")
            return replace(x, order=tuple(order)) if x.places is None else x
        gone = {int(a) % len(order) for a in axes} if axes is not None else {
            i for i, a in enumerate(order) if a == "one"}
        if any(order[i] != "one" for i in gone):
            # An axis of ours of the size 1: it is selected.
            if len(gone) == 1 and x.size(x.axis(min(gone))) == 1 and order[min(gone)] != BATCH:
                return self._selected(x, order[min(gone)], 0)
            raise Unsupported("a `Squeeze` of " + ", ".join(order[i] for i in gone))
        return x.given(x.ref, [a for i, a in enumerate(order) if i not in gone])

    def _concat(self, inputs: Sequence[Any], axis: int) -> Found:
        if all(isinstance(v, Laid) and v.axis(axis) in ("one", "ways") for v in inputs):
            return Several(tuple(tensor(v) for v in inputs))
        parts = [plain(tensor(v), self.builder) for v in inputs]
        if len({p.order for p in parts}) > 1 or len(parts) < 2:
            raise Unsupported("a `Concat` of tensors whose axes lie differently")
        name = parts[0].axis(axis)
        if name in (BATCH, "one", "ways"):
            raise Unsupported(f"a `Concat` along {name}")
        ref = self.builder.add("concat", *(p.ref for p in parts), named=True, fields={
            "axis": name if name != "channels" else None})
        return Laid(ref, parts[0].order)

    def _gather(self, inputs: Sequence[Any], axis: int) -> Found:
        x, index = inputs[0], inputs[1]
        if isinstance(x, np.ndarray) and isinstance(index, np.ndarray):
            self._afford(index.size * (x.size // x.shape[axis] if x.size else 0))
            return np.asarray(np.take(x, index, axis))
        if isinstance(x, np.ndarray):
            ids = tensor(index)
            if axis or x.ndim != 2 or ids.ref.type.dtype != "int":
                raise Unsupported("a `Gather` from known numbers that is no embedding")
            ref = self.builder.add("embed", ids.ref, fields={
                "units": x.shape[1], "vocabulary": x.shape[0]}, arrays={"embedding": x},
                named=True)
            return Laid(ref, (*ids.order, "channels"))
        number = int(constant(index, "its index").reshape(-1)[0])
        if constant(index, "its index").size != 1:
            raise Unsupported("a `Gather` of several places")
        if isinstance(x, Several):
            part = x.parts[number]
            return part.given(part.ref, part.order[1:]) if part.order[0] == "one" else part
        x = plain(tensor(x), self.builder)
        name = x.axis(axis)
        gone = np.asarray(index).ndim == 0
        if name == "one":
            return x.given(x.ref, [a for i, a in enumerate(x.order)
                                   if i != axis % len(x.order)]) if gone else x
        if name in (BATCH, "ways"):
            raise Unsupported(f"a `Gather` along {name}")
        return self._selected(x, name, number)

    def _selected(self, x: Laid, name: str, number: int) -> Laid:
        ref = self.builder.add("select", x.ref, named=True, fields={
            "index": "last" if number == -1 and name == "time" else number,
            "axis": name if name != "time" else None})
        return Laid(ref, tuple(a for a in x.order if a != name))

    def _slice(self, inputs: Sequence[Any], given: Given) -> Found:
        x = inputs[0]
        if len(inputs) > 1:
            starts, ends = (numbers(v, "its bounds") for v in inputs[1:3])
            axes = numbers(inputs[3], "its axes") if len(inputs) > 3 else list(range(len(starts)))
            steps = numbers(inputs[4], "its steps") if len(inputs) > 4 else [1] * len(starts)
        else:
            starts, ends = list(given["starts"]), list(given["ends"])
            axes, steps = list(given.get("axes") or range(len(starts))), [1] * len(starts)
        if isinstance(x, Several):
            if axes != [0] or steps != [1]:
                raise Unsupported("a `Slice` of several states")
            part = x.parts[starts[0]:ends[0]]
            return part[0] if len(part) == 1 else Several(part)
        x = plain(tensor(x), self.builder)
        fields: dict[str, Any] = {}
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            name, size = x.axis(axis), x.size(x.axis(axis))
            if name in (BATCH, "one", "ways") or step < 1:
                raise Unsupported(f"a `Slice` along {name} by {step}")
            cut = {"start": start or None, "step": step if step != 1 else None,
                   "stop": None if end >= 2**31 - 1 or end == size else end}
            if part := {k: v for k, v in cut.items() if v is not None}:
                fields[name] = part
        return self._each(x, "slice", **fields) if fields else x

    def _split(self, inputs: Sequence[Any], given: Given, count: int) -> list[Found]:
        x = plain(tensor(inputs[0]), self.builder)
        name = x.axis(given.get("axis", 0))
        sizes = numbers(inputs[1], "its sizes") if len(inputs) > 1 and inputs[1] is not None \
            else given.get("split")
        size = x.size(name)
        if sizes is None:
            sizes = [size // count] * count
        if name in (BATCH, "one", "ways") or sum(sizes) != size or len(sizes) < 2:
            raise Unsupported(f"a `Split` of {name} in {sizes}")
        equal = len(set(sizes)) == 1
        first = self.builder.add("split", x.ref, named=True, fields={
            "parts": len(sizes) if equal else None, "sizes": None if equal else list(sizes),
            "axis": name if name != "channels" else None}, port="part_1")
        return [Laid(Ref(first.owner, x.ref.type.resized(**{name: s}), f"part_{i + 1}"), x.order)
                for i, s in enumerate(sizes)]


# ------------------------------------------------------------------- attributes and numbers


def _rate(inputs: Sequence[Any], given: Given) -> float:
    found = inputs[1] if len(inputs) > 1 and inputs[1] is not None else given.get("ratio", 0.5)
    rate = float(np.asarray(found).reshape(-1)[0])
    return round(rate, 6)


def _number(given: Given, key: str, default: float) -> float:
    """A float attribute; what was written as 1e-5 is not 9.999999747e-06."""
    return float(f"{float(given.get(key, default)):.7g}")


def _short(values: Sequence[int]) -> Any:
    found = [int(v) for v in values]
    return found[0] if len(set(found)) == 1 else found


def _spread(given: Given, key: str) -> Any:
    """Strides or dilations; None where they are all 1."""
    short = _short(given.get(key) or [1])
    return None if short == 1 else short


def _padding(given: Given, window: Sequence[int], *, conv: bool) -> Any:
    """Padding in our words; None is the operator's default: same, of a pool valid."""
    auto = given.get("auto_pad", "NOTSET")
    if auto == "SAME_UPPER":
        return "same_upper"
    if auto == "SAME_LOWER":
        raise Unsupported("`auto_pad` SAME_LOWER")
    rank = len(window)
    pads = [int(p) for p in given.get("pads") or [0] * 2 * rank] if auto != "VALID" else [
        0] * 2 * rank
    if len(pads) != 2 * rank or min(pads) < 0:
        raise Unsupported(f"the padding {pads}", code="F0945")
    pairs = [[pads[i], pads[i + rank]] for i in range(rank)]
    dilation = [int(d) for d in given.get("dilations") or [1] * rank]
    if conv and all(k % 2 and pair == [d * (k // 2)] * 2
                    for k, d, pair in zip(window, dilation, pairs)):
        return None
    if not any(pads):
        return "valid" if conv else None
    sides = [a if a == b else [a, b] for a, b in pairs]
    return sides[0] if all(s == sides[0] for s in sides) and isinstance(sides[0], int) else sides


def _along(other: np.ndarray, x: Laid, axis: str) -> bool:
    """Whether numbers go along one axis of a tensor and are the same along the others."""
    if axis not in x.order or other.ndim > len(x.order):
        return False
    place = x.order.index(axis) - len(x.order)
    return other.ndim >= -place and other.shape[place] == x.size(axis) == other.size


def _constant(given: Given) -> np.ndarray:
    for key in ("value", "value_int", "value_ints", "value_float", "value_floats"):
        if key in given:
            return np.asarray(given[key])
    raise Unsupported("a constant that is no number")


def _known(kind: str, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Arithmetic of sizes; the batch's own size is no number."""
    if any(np.isin(v, (ANY, OPEN)).any() for v in inputs if v.dtype.kind in "iu"):
        raise Unsupported(f"`{kind}` of a size that is not known")
    if len(inputs) == 2 and max(v.size for v in inputs) <= 100_000:
        if kind in _KNOWN:
            return np.asarray(_KNOWN[kind](*inputs))
        if kind == "Div":
            a, b = inputs
            if b.all():
                return np.asarray(a // b if a.dtype.kind in "iu" else a / b)
    if kind == "Sqrt" and inputs[0].size <= 100_000 and (inputs[0] >= 0).all():
        return np.sqrt(inputs[0])
    raise Unsupported(f"`{kind}` of known numbers")


def _rearranged(kind: str, inputs: Sequence[Any], given: Given) -> np.ndarray:
    """Known numbers in another form."""
    x = constant(inputs[0], "its input")
    match kind:
        case "Concat":
            found = [constant(v, "its input") for v in inputs]
            return np.concatenate(found, int(given.get("axis", 0)))
        case "Reshape":
            return x.reshape(numbers(inputs[1], "its shape"))
        case "Transpose":
            return x.transpose(given.get("perm"))
        case "Expand":
            sizes = numbers(inputs[1], "its shape")
            if min(sizes, default=1) < 0 or math.prod(sizes) > 1_000_000:
                raise Unsupported("an `Expand` by the batch's size")
            return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes)))
        case "Slice":
            if len(inputs) > 1:
                starts, ends = (numbers(v, "its bounds") for v in inputs[1:3])
                axes = numbers(inputs[3], "its axes") if len(inputs) > 3 else range(len(starts))
                steps = numbers(inputs[4], "its steps") if len(inputs) > 4 else [1] * len(starts)
            else:
                starts, ends = given["starts"], given["ends"]
                axes, steps = given.get("axes") or range(len(starts)), [1] * len(starts)
            cut = [slice(None)] * x.ndim
            for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
                cut[axis] = slice(start, end, step)
            return x[tuple(cut)]
    axes = given.get("axes") if len(inputs) < 2 else numbers(inputs[1], "its axes")
    if kind == "Squeeze":
        return x.squeeze(None if axes is None else tuple(axes))
    return np.expand_dims(x, tuple(axes or ()))
