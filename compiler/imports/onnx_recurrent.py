"""ONNX's LSTM, GRU and RNN as ours: their gates lie in another order, a direction is a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compiler.imports.complaints import Unsupported
from compiler.imports.onnx_values import Laid, Zeros, constant, tensor
from compiler.imports.parts import Builder, Ref

# Where our gates (i f g o, r z n) are among ONNX's (i o f c, z r h).
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"),
                "RNN": ("Tanh",)}


def recurrent(
    kind: str, inputs: Sequence[Any], given: Mapping[str, Any], builder: Builder,
) -> tuple[Laid, Laid | None]:
    """All steps of a recurrent layer, and its last outputs.

    Raises:
        Unsupported: it does what ours do not.
    """
    inputs = [*inputs, *[None] * (8 - len(inputs))]
    x, kernel, recurrent_kernel, bias, lengths, first, cell, peepholes = inputs[:8]
    x = tensor(x)
    wanted = ("time", "batch", "channels") if not given.get("layout") else (
        "batch", "time", "channels")
    if x.order != wanted:
        raise Unsupported(f"`{kind}` of a tensor whose axes are {', '.join(x.order)}")
    if lengths is not None:
        raise Unsupported(f"`{kind}` with lengths of its own", "lengths come with the data here")
    if peepholes is not None or given.get("clip") or given.get("input_forget"):
        raise Unsupported(f"`{kind}` with peepholes or clipping")
    for state in (first, cell):
        if state is not None and not isinstance(state, Zeros) and not (
                isinstance(state, np.ndarray) and not state.any()):
            raise Unsupported(f"`{kind}` that begins with a state", "`initial` is for that")
    way = given.get("direction", "forward")
    ways = 2 if way == "bidirectional" else 1
    activations = tuple(given.get("activations") or _ACTIVATIONS[kind] * ways)
    one = activations[:len(activations) // ways]
    if kind == "RNN" and one == ("Relu",):
        pass
    elif activations != _ACTIVATIONS[kind] * ways:
        raise Unsupported(f"`{kind}` with the activations {', '.join(activations)}")

    units = int(given.get("hidden_size", 0))
    arrays, biases = _arrays(kind, ways, units, x.channels, kernel, recurrent_kernel, bias)
    fields: dict[str, Any] = {"units": units, "biases": biases if biases != 1 else None,
                              "bidirectional": True if ways == 2 else None,
                              "reverse": True if way == "reverse" else None}
    if kind == "GRU":
        fields["reset"] = None if given.get("linear_before_reset") else "before"
    if kind == "RNN" and one == ("Relu",):
        fields["activation"] = "relu"
    if fields.get("reset") == "before" and biases == 2:
        # Both are added to the input's product, before anything is multiplied.
        raise Unsupported("a `GRU` that resets before, with two biases")
    ref = builder.add(kind.lower(), x.ref, fields=fields, arrays=arrays, named=True)
    spread = "ways" if ways == 2 else "one"
    every = Laid(ref, ("time", spread, "batch", "channels") if not given.get("layout") else (
        "batch", "time", spread, "channels"))
    last_type = ref.type.without("time")
    last = Laid(Ref(ref.owner, last_type, "last"), (spread, "batch", "channels")
                if not given.get("layout") else ("batch", spread, "channels"))
    return every, last


def _arrays(kind: str, ways: int, units: int, channels: int, kernel: Any, recurrent_kernel: Any,
            bias: Any) -> tuple[dict[str, np.ndarray], int]:
    """The weights by our names, and how many biases there are."""
    gates = _GATES[kind]
    wide = len(gates) * units
    w, r = constant(kernel, "its kernel"), constant(recurrent_kernel, "its recurrent kernel")
    b = None if bias is None else constant(bias, "its bias")
    if w.shape != (ways, wide, channels) or r.shape != (ways, wide, units) or (
            b is not None and b.shape != (ways, 2 * wide)):
        raise Unsupported(f"`{kind}` of {units} units with weights of the shapes {w.shape} and "
                          f"{r.shape}", code="F0945")

    def turned(rows: np.ndarray) -> np.ndarray:
        """(gates · units, …) in the order of our gates."""
        return np.concatenate([rows[g * units:(g + 1) * units] for g in gates])

    second = b is not None and b[:, wide:].any()
    biases = 0 if b is None else 2 if second else 1
    found: dict[str, np.ndarray] = {}
    for number in range(ways):
        suffix = "_0_backward" if number else "_0"
        found[f"kernel{suffix}"] = turned(w[number]).T
        found[f"recurrent_kernel{suffix}"] = turned(r[number]).T
        if b is not None:
            found[f"bias{suffix}"] = turned(b[number, :wide])
            if second:
                found[f"recurrent_bias{suffix}"] = turned(b[number, wide:])
    return found, biases
