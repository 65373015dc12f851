"""Small formulas in ONNX graphs that are one operator here: silu and gelu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# A node as a pattern: its operator and its inputs.
Pattern = tuple[str, list[str]]


def pattern_of(node: Any, producers: Mapping[str, Any], known: Mapping[str, Any],
               ) -> Pattern | None:
    """What a node is the last one of; None where it is only itself.

    - x · sigmoid(x) is silu.
    - x · (1 + erf(x / √2)) / 2, in any order, is gelu.
    """
    if node.op_type != "Mul" or len(node.input) != 2:
        return None
    for x, other in (node.input, node.input[::-1]):
        made = producers.get(other)
        if made is not None and made.op_type == "Sigmoid" and list(made.input) == [x]:
            return "Silu", [x]
    factors = _factors(node.output[0], producers, 3)
    for half in factors:
        rest = [f for f in factors if f != half]
        if not _is(known.get(half), 0.5) or len(rest) != 2:
            continue
        for x, bell in (rest, rest[::-1]):
            if _is_bell(bell, x, producers, known):
                return "Gelu", [x]
    return None


def _factors(name: str, producers: Mapping[str, Any], depth: int) -> list[str]:
    """What is multiplied with one another."""
    node = producers.get(name)
    if node is None or node.op_type != "Mul" or not depth:
        return [name]
    return [f for part in node.input for f in _factors(part, producers, depth - 1)]


def _is_bell(name: str, x: str, producers: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a tensor is 1 + erf(x / √2)."""
    add = producers.get(name)
    if add is None or add.op_type != "Add":
        return False
    for one, other in (add.input, add.input[::-1]):
        erf = producers.get(other)
        if _is(known.get(one), 1.0) and erf is not None and erf.op_type == "Erf":
            inner = producers.get(erf.input[0])
            if inner is not None and len(inner.input) == 2 and inner.input[0] == x:
                factor = known.get(inner.input[1])
                return _is(factor, 2**0.5) if inner.op_type == "Div" else (
                    inner.op_type == "Mul" and _is(factor, 0.5**0.5))
    return False


def _is(value: Any, number: float) -> bool:
    return isinstance(value, np.ndarray) and value.size == 1 and bool(
        abs(float(value.reshape(-1)[0]) - number) < 1e-5)
