"""Optimisers: optax's own, as a recipe names them.

The recipe's text is read by `optim_document.py`; here the transformation is put together:

    clip -> what the recipe lists, weight decay on kernels only -> factors by path
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib

from runtime.optim_document import Call, Run, Steps, table, undecided
from runtime.patterns import Factors, factor_of

# The mask that is not about weight decay.
RATIO = "trust_ratio_mask"


def build(
    calls: Sequence[Call], run: Run, clip: Sequence[Call] = (), factors: Factors = (),
) -> optax.GradientTransformationExtraArgs:
    """The optimiser of a recipe.

    Args:
        calls: what is applied to the gradients, in this order.
        run: how long the run is.
        clip: what comes before.
        factors: what multiplies the learning rate of parameters by their path.
    """
    parts = [_make(call, run) for call in (*clip, *calls)]
    if factors:
        parts.append(_scaled(factors))
    return optax.with_extra_args_support(optax.chain(*parts))


def first_memory(optimizer: optax.GradientTransformationExtraArgs, params: Any) -> Any:
    """What an optimiser remembers before the first step: that of its `init`, made on the host.

    `init` itself compiles a program for every shape that it fills with zeros. Here it is traced,
    and what only fills is filled by NumPy.

    Args:
        optimizer: from `build`.
        params: the parameters, a tree.
    """
    try:
        traced, shapes = jax.make_jaxpr(optimizer.init, return_shape=True)(params)
    except TypeError:  # it looks at numbers, which tracing does not have
        return optimizer.init(params)
    filled = {id(made.outvars[0]): made.invars[0] for made in traced.jaxpr.eqns
              if made.primitive.name == "broadcast_in_dim"}
    values = [getattr(filled.get(id(found), found), "val", None) for found in traced.jaxpr.outvars]
    leaves, structure = jax.tree.flatten(shapes)
    if any(value is None or leaf.weak_type for value, leaf in zip(values, leaves, strict=True)):
        return optimizer.init(params)
    return jax.tree.unflatten(structure, jax.device_put([
        np.full(leaf.shape, value, leaf.dtype) for value, leaf in zip(values, leaves)]))


def _scaled(factors: Factors) -> optax.GradientTransformation:
    """Multiplies the finished update of each parameter, and so its learning rate."""
    def scale(updates: Any, _: Any) -> Any:
        return {path: array * factor_of(path, factors) for path, array in updates.items()}

    return optax.stateless(scale)


def learning_rate(calls: Sequence[Call], run: Run) -> Callable[[int], float] | None:
    """The learning rate of the last optimiser at each step, for reports; None if it has none."""
    for call in reversed(calls):
        rate = call.arguments.get("learning_rate")
        if isinstance(rate, Call):
            schedule = _make(rate, run)
            return lambda step: float(schedule(step))
        if isinstance(rate, int | float):
            return lambda step: float(rate)
    return None


def schedule(call: Call, run: Run) -> Callable[[Any], Any]:
    """A schedule as a function of the optimiser's step."""
    return _make(call, run)


def rate(value: float | Call, run: Run) -> Callable[[Any], Any]:
    """A number or a schedule as a function of the step."""
    return schedule(value, run) if isinstance(value, Call) else lambda step: value


def decays(path: str, array: jax.Array) -> bool:
    """Whether weight decay is for a parameter: kernels and embeddings, not norms and biases.

    Args:
        path: where it lies, its last part being its name: `stage1.conv_1.kernel`.
        array: its value.
    """
    name = path.rsplit(".", 1)[-1]
    return array.ndim >= 2 and "bias" not in name and "scale" not in name


def _weights(params: Any) -> Any:
    """The mask of weight decay for a map from paths to parameters.

    Optimisers that treat some parameters apart hand over maps with holes in them.
    """
    return jax.tree_util.tree_map_with_path(lambda path, array: decays(path[0].key, array), params)


def _make(call: Call, run: Run) -> Any:
    """Call optax's function."""
    entry = table()[call.group][call.name]
    module = optax if entry["module"] == "optax" else optax.contrib
    make = SPECIAL.get(call.name) or getattr(module, call.name)
    arguments = {name: _value(value, run) for name, value in call.arguments.items()}
    known = entry["arguments"]
    masks = [name for name in known if known[name]["kind"] == "mask"]
    asked = {name: arguments.pop(name, None) for name in masks or ("mask",)}
    if asked.pop(RATIO, None) == "weights":
        arguments[RATIO] = _weights
    everywhere = "all" in asked.values()
    arguments |= {name: known[name]["default"] if everywhere else _weights
                  for name in asked if name in known}
    if "decay_steps" in known and "decay_steps" not in arguments:
        arguments["decay_steps"] = run.steps
    loose = {name: 0.0 for name in undecided(known)
             if arguments.get(name, known[name].get("default")) != 0}
    if everywhere or not loose:
        return make(**arguments)
    # The function has no mask of its own: parameters that do not decay get a second one.
    return optax.partition(
        {"weights": make(**arguments), "rest": make(**(arguments | loose))},
        lambda params: jax.tree.map(lambda decays: "weights" if decays else "rest",
                                    _weights(params)))


def _adaptive_grad_clip(clipping: float, eps: float = 1e-3) -> optax.GradientTransformation:
    """Optax's, with the kernels of convolutions over time cut unit by unit too.

    Optax takes an array of three axes for attention heads; here it is (window, in, out).
    """
    return optax.partition(
        {"usual": optax.adaptive_grad_clip(clipping, eps),
         "kernel": optax.adaptive_grad_clip(clipping, eps, axis=(0, 1))},
        lambda params: jax.tree.map(lambda p: "kernel" if p.ndim == 3 else "usual", params))


# Functions of optax that want to know more of our parameters.
SPECIAL: dict[str, Callable[..., Any]] = {"adaptive_grad_clip": _adaptive_grad_clip}


def _value(value: Any, run: Run) -> Any:
    """An argument as optax takes it."""
    if isinstance(value, Steps):
        return value.count(run)
    if isinstance(value, Call):
        return _make(value, run)
    if isinstance(value, Mapping):
        return {"decay_steps": run.steps} | {k: _value(v, run) for k, v in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {steps.count(run): factor for steps, factor in value}
    if isinstance(value, list):
        return [_value(v, run) for v in value]
    return value
