"""The table of optax's optimisers, schedules and transformations: `optax_signatures.json`.

A recipe is checked against this table, so that checking needs no JAX. After an update of
optax write it anew with `python -m runtime.optax_signatures`; a test compares the two.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("optax_signatures.json")
GROUPS = ("optimizers", "schedules", "transforms")

# What a training step cannot drive: these want more than gradients, parameters and the
# loss at each update, or other parameters for evaluation than for training. The last one
# is deprecated.
UNSUITABLE = {
    "lbfgs", "noisy_sgd", "dpsgd", "sophia", "schedule_free_adamw", "schedule_free_sgd",
    "galore", "add_noise", "scale_by_lbfgs", "scale_by_sign",
    "optimistic_adam",
}
# Everything else in optax is machinery to put these together.
OPTIMIZER_MODULES = ("optax._src.alias", "optax.contrib.")
SCHEDULE_MODULES = ("optax.schedules._schedule", "optax.schedules._join")
TRANSFORM_MODULES = (
    "optax._src.transform", "optax.transforms._adding", "optax.transforms._clipping",
    "optax.transforms._constraining", "optax.transforms._accumulation",
    "optax.contrib._reduce_on_plateau",
)

# Arguments whose annotation says too little: by their names.
KINDS_BY_NAME = {
    "boundaries_and_scales": "scales", "schedules": "schedules", "boundaries": "step list",
    "cosine_kwargs": "cycles", "ns_coeffs": "numbers", "betas": "numbers",
    "interpolate_type": "one of linear, cosine",
}


def signatures() -> dict[str, Any]:
    """The table of the installed optax.

    Returns:
        `optax` (its version) and, under `optimizers`, `schedules` and `transforms`, for
        each function its module, its arguments with kind and, if optional, default, and its
        `moments`: how many numbers it keeps for each parameter, and by how many more where an
        argument is given that is off by default.
    """
    import optax
    import optax.contrib

    table: dict[str, Any] = {"optax": optax.__version__, **{group: {} for group in GROUPS}}
    for module in (optax, optax.contrib):
        for name, function in _functions(module):
            group = _group(name, function)
            arguments = _arguments(function)
            if group is not None and arguments is not None:
                entry = {"module": module.__name__, "arguments": arguments}
                if group != "schedules":
                    entry["moments"] = _moments(function, arguments)
                table[group].setdefault(name, entry)
    return table


# What a required argument is given to look at an optimiser's state, by kind.
SAMPLES = {"schedule": 0.1, "number": 0.5, "number or null": 0.5, "int": 2}


def _moments(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, float]:
    """How many numbers a function keeps for each parameter; "" stands for its defaults."""
    needed = {name: SAMPLES[argument["kind"]] for name, argument in arguments.items()
              if "default" not in argument}
    usual = _kept(function(**needed))
    moments = {"": usual}
    for name, argument in arguments.items():
        off = argument.get("default", 0) in (None, False) and argument["kind"] in (
            "bool", "number or null")
        if off:
            on = True if argument["kind"] == "bool" else 0.5
            if more := round(_kept(function(**needed, **{name: on})) - usual, 2):
                moments[name] = more
    return moments


def _kept(transformation: Any) -> float:
    """How many numbers its state holds for each number of a large matrix."""
    import math

    import jax

    large = jax.ShapeDtypeStruct((512, 512), "float32")
    state = jax.eval_shape(transformation.init, {"kernel": large})
    return round(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)) / 512**2, 2)


def written(table: dict[str, Any]) -> str:
    """The table as JSON with a line for each function."""
    groups = []
    for group in GROUPS:
        lines = [f"  {json.dumps(name)}: {json.dumps(entry)}"
                 for name, entry in table[group].items()]
        groups.append(f" {json.dumps(group)}: {{\n" + ",\n".join(lines) + "\n }")
    return f'{{\n "optax": {json.dumps(table["optax"])},\n' + ",\n".join(groups) + "\n}\n"


def _functions(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in sorted(dir(module)):
        function = getattr(module, name)
        if inspect.isfunction(function) and not name.startswith("_") and name not in UNSUITABLE:
            yield name, function


def _group(name: str, function: Callable[..., Any]) -> str | None:
    """Which part of the table a function belongs to, or None."""
    module = function.__module__
    if module in SCHEDULE_MODULES:
        return "schedules"
    if "GradientTransformation" not in str(inspect.signature(function).return_annotation):
        return None
    if module in TRANSFORM_MODULES:
        return "transforms"
    rates = {"learning_rate", "max_learning_rate"} & set(inspect.signature(function).parameters)
    is_optimizer = module.startswith(OPTIMIZER_MODULES) and not name.startswith("scale_by")
    return "optimizers" if is_optimizer and rates else None


def _arguments(function: Callable[..., Any]) -> dict[str, Any] | None:
    """The arguments that a document can give; None where a required one is not among them."""
    arguments: dict[str, Any] = {}
    schedule = function.__module__ in SCHEDULE_MODULES
    for name, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is parameter.empty
        kind = _kind(name, parameter.annotation, schedule)
        if kind is None and required:
            return None
        if kind is not None:
            arguments[name] = {"kind": kind} if required else {
                "kind": kind, "default": _plain(parameter.default)}
    return arguments


def _kind(name: str, annotation: Any, schedule: bool) -> str | None:
    """What a document may give for an argument, or None where it may not give any."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    if name in KINDS_BY_NAME:
        return KINDS_BY_NAME[name]
    if name.endswith("mask"):
        return "mask"
    if "dtype" in name:
        return "dtype"
    if schedule and (name.endswith("_steps") or name == "transition_begin"):
        return "steps"
    if name.endswith(("_numbers", "_fn")) and name != "step_size_fn":
        return None
    if literals := re.search(r"Literal\[(.*?)\]", text):
        return "one of " + literals.group(1).replace("'", "")
    if "GradientTransformation" in text:
        return None
    if "Callable" in text:
        return "schedule"
    if text in ("bool", "int"):
        return text
    if "float" in text:
        return "number or null" if "None" in text else "number"
    return None


def _plain(value: Any) -> Any:
    """A default as JSON can hold it; a type by its name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return getattr(value, "__name__", type(value).__name__)


if __name__ == "__main__":
    TABLE.write_text(written(signatures()))
