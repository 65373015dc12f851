"""What a JAX function costs: the multiplications that it makes, and XLA's memory for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def described(function: Callable[..., Any], *arguments: Any) -> dict[str, int]:
    """Multiply-adds of a jitted function, and bytes of its arguments and temporaries."""
    memory = function.lower(*arguments).compile().memory_analysis()
    return {"macs": multiplications(function, *arguments),
            "argument_bytes": memory.argument_size_in_bytes,
            "temporary_bytes": memory.temp_size_in_bytes}


def multiplications(function: Callable[..., Any], *arguments: Any) -> int:
    """Multiply-adds in the matrix products and convolutions of a function, as a CPU runs it.

    Counted in the traced program, without what no output needs: a loop's body as often as it
    runs, windows without regard to the border, and no multiplication by the zeros that a
    strided convolution's gradient is spread with.

    Args:
        function: what is traced.
        arguments: what it is called with.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    needed, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _of(needed)


def _of(jaxpr: core.Jaxpr) -> int:
    total = 0
    chosen: dict[Any, int] = {}  # variables that tell which branch this platform takes
    for equation in jaxpr.eqns:
        params, out = equation.params, equation.outvars
        match equation.primitive.name:
            case "dot_general":
                (left, _), _ = params["dimension_numbers"]
                shape = _shape(equation.invars[0])
                total += math.prod(_shape(out[0])) * math.prod(shape[axis] for axis in left)
            case "conv_general_dilated":
                numbers, kernel = params["dimension_numbers"], _shape(equation.invars[1])
                _, channels, *window = numbers.rhs_spec
                taps = math.prod(kernel[axis] for axis in (channels, *window))
                spread = math.prod(params["lhs_dilation"])
                total += math.prod(_shape(out[0])) * taps // spread
            case "platform_index":
                chosen[out[0]] = _mine(params["platforms"])
            case "cond":
                branches = [_of(branch.jaxpr) for branch in params["branches"]]
                which = chosen.get(equation.invars[0])
                total += max(branches) if which is None else branches[which]
            case "scan":
                total += params["length"] * _of(params["jaxpr"].jaxpr)
            case _:
                total += sum(map(_of, _inner(params)))
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _mine(platforms: Any) -> int:
    """The branch for a CPU; the default has no names."""
    for number, names in enumerate(platforms):
        if names is None or "cpu" in names:
            return number
    raise ValueError(f"no branch for a CPU among {platforms}")


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The programs within an equation; the condition of a loop is no work to speak of."""
    for name, value in params.items():
        for item in value if isinstance(value, tuple | list) else [value]:
            inner = getattr(item, "jaxpr", item)
            if name != "cond_jaxpr" and hasattr(inner, "eqns"):
                yield inner
