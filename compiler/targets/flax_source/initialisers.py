"""How parameters begin, as JAX's own initialisers; what they lack is a helper of the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from compiler.ops.base import Init
from compiler.targets.flax_source.code import Text, literal

_MODES = {"in": "fan_in", "out": "fan_out", "average": "fan_avg"}
_SCALED = {
    "kaiming_normal": ("normal", "out", math.sqrt(2)),
    "kaiming_uniform": ("uniform", "out", math.sqrt(2)),
    "lecun_normal": ("truncated_normal", "in", 1.0),
    "lecun_uniform": ("uniform", "in", 1.0),
    "glorot_normal": ("truncated_normal", "average", 1.0),
    "glorot_uniform": ("uniform", "average", 1.0),
}
# What JAX's truncated normal distribution keeps of its `stddev`.
_TRUNCATED = 0.87962566103423978


def initialiser(init: Init) -> tuple[str, str]:
    """The expression of an initialiser, and the helper it needs or "".

    A parameter whose gates are drawn apart needs the helper `by_gate` besides.
    """
    arguments: Mapping[str, Any] = init.arguments
    match init.name:
        case "zeros" | "ones":
            return f"nnx.initializers.{init.name}", ""
        case "constant":
            value = arguments["value"]
            if isinstance(value, tuple | list):
                return f"forget_bias({_forget_value(value)})", "forget_bias"
            return f"nnx.initializers.constant({literal(value)})", ""
        case "normal" | "truncated_normal":
            stddev, mean = arguments.get("stddev", 0.01), arguments.get("mean", 0.0)
            if init.name == "truncated_normal":
                stddev = stddev / _TRUNCATED
            text = f"nnx.initializers.{init.name}({literal(stddev)})"
            return (f"shifted({text}, {literal(mean)})", "shifted") if mean else (text, "")
        case "uniform":
            low, high = arguments.get("minval", -0.05), arguments.get("maxval", 0.05)
            return f"between({literal(low)}, {literal(high)})", "between"
        case "orthogonal":
            gain = arguments.get("gain", 1.0)
            return f"nnx.initializers.orthogonal({'' if gain == 1 else literal(gain)})", ""
        case "identity":
            gain = arguments.get("gain", 1.0)
            return f"dirac({'' if gain == 1 else literal(gain)})", "dirac"
        case _:
            distribution, fan, usual = _SCALED[init.name]
            mode = _MODES[str(arguments.get("fan", fan))]
            scale = round(float(arguments.get("gain", usual)) ** 2, 6)
            return f'nnx.initializers.variance_scaling({scale}, "{mode}", "{distribution}")', ""


def _forget_value(values: tuple[float, ...] | list[float]) -> str:
    """The number that an LSTM's forget gates begin with: the second quarter."""
    return literal(values[len(values) // 4])


class Initialisers:
    """The initialisers of a file: each has a name at its top."""

    def __init__(self) -> None:
        self.constants: dict[str, str] = {}
        self.helpers: set[str] = set()

    def of(self, init: Init, default: str = "") -> Text | None:
        """The name of an initialiser; None where it is the one that Flax takes by itself."""
        if init.name == default and not init.arguments:
            return None
        expression, helper = initialiser(init)
        if helper:
            self.helpers.add(helper)
        if init.name in ("zeros", "ones"):
            return Text(expression)
        for name, known in self.constants.items():
            if known == expression:
                return Text(name)
        wish, number = init.name.upper(), 2
        name = wish
        while name in self.constants:
            name, number = f"{wish}_{number}", number + 1
        self.constants[name] = expression
        return Text(name)
