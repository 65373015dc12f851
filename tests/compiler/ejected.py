"""An ejected file beside the model that it came from."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compiler.graph import Graph
from compiler.lower.build import build_model
from compiler.lower.module import Model
from compiler.lower.weights import save_weights, variables
from compiler.targets.flax_source import About, eject

# Half of XLA's time is optimisation, which arrays as tiny as these have no use for.
QUICKLY = {"xla_backend_optimization_level": 0}
ABOUT = About("a test")


def module_of(text: str) -> types.ModuleType:
    """The file as a module."""
    module = types.ModuleType("ejected")
    exec(compile(text, "ejected.py", "exec"), module.__dict__)
    return module


def both(graph: Graph, folder: Path, dtype: Any = jnp.float64) -> tuple[Model, Any, Any]:
    """The compiled model, the ejected one with its weights, and the ejected file."""
    model = build_model(graph, dtype=dtype, param_dtype=dtype)
    rng = np.random.default_rng(0)
    for variable in variables(model).values():
        # Moved a little, so that zeros and ones hide nothing; and numbers that float32 holds.
        noise = 0.1 * np.abs(rng.standard_normal(variable.shape))
        moved = (np.asarray(variable[...]) + noise).astype(np.float32)
        variable[...] = jnp.asarray(moved, dtype)
    file = module_of(eject(graph, ABOUT))
    if variables(model):
        save_weights(model, folder / "weights.safetensors")
        other = file.load(folder / "weights.safetensors")
    else:
        *_, last = (c for c in vars(file).values() if isinstance(c, type)
                    and issubclass(c, nnx.Module))
        other = last(rngs=nnx.Rngs(0))
    arrays = nnx.state(other, nnx.Not(nnx.RngState))
    nnx.update(other, jax.tree.map(lambda array: array.astype(dtype), arrays))
    for _, part in nnx.iter_modules(other):
        if getattr(part, "dtype", None) is not None:
            part.dtype = dtype
    return model, other, file


def names_of_lengths(graph: Graph, other: Any) -> dict[str, str]:
    """For each argument of the ejected model that takes lengths, the input whose they are."""
    code = other.__call__.__code__
    timed = [v.name for v in graph.inputs if "time" in v.type.axes]
    found = {}
    for name in code.co_varnames[:code.co_argcount]:
        if name == "lengths":
            found[name] = timed[0]
        elif name.endswith("_lengths") and name.removesuffix("_lengths") in timed:
            found[name] = name.removesuffix("_lengths")
    return found


def compared(
    graph: Graph, folder: Path, arrays: Mapping[str, Any], *, training: bool,
    lengths: Mapping[str, Sequence[int]] | None = None, dtype: Any = jnp.float64,
) -> dict[str, float]:
    """How far the ejected model is from the compiled one in one step of training.

    Outputs at real steps, the gradient of each parameter, and the running statistics behind the
    step; each relative to the largest number of its kind.

    Args:
        graph: what both are made of.
        folder: where weights may be written.
        arrays: the inputs by name.
        training: the phase.
        lengths: those of the rows of each input; also compared without any then.
        dtype: of both models.
    """
    with jax.enable_x64(dtype == jnp.float64):
        model, other, file = both(graph, folder, dtype)
        given = {n: jnp.asarray(a, dtype if a.dtype.kind == "f" else None)
                 for n, a in arrays.items()}
        rows = {n: jnp.asarray(v) for n, v in (lengths or {}).items()}
        renamed = {a: rows.get(n) for a, n in names_of_lengths(graph, other).items()}
        (model.train if training else model.eval)()
        (other.train if training else other.eval)()

        def ours(model: Any, lengths: Any) -> dict[str, tuple[Any, Any]]:
            found = model.run(given, lengths, training=training, key=jax.random.key(0))
            return {name: (t.array, t.mask()) for name, t in found.items()}

        def theirs(model: Any, lengths: Any) -> dict[str, tuple[Any, Any]]:
            found = model(*given.values(), **lengths)
            found = found if isinstance(found, dict) else {"output": found}
            return {name: (array, None) for name, array in found.items()}

        @jax.jit
        def both_ways() -> Any:
            mine, outputs = _step(model, ours, rows or None, None)
            masks = {name: mask for name, (_, mask) in outputs.items()}
            yours, _ = _step(other, theirs, renamed, masks)
            plain = [{n: a for n, (a, _) in run(m, ls).items()} for run, m, ls in (
                (ours, nnx.clone(model), None), (theirs, nnx.clone(other), {}))] if rows else []
            return mine, yours, plain

        mine, yours, plain = jax.tree.map(
            np.asarray, both_ways.lower().compile(compiler_options=QUICKLY)())
    yours = {_in_words(name, file): value for name, value in yours.items()}
    found = _distances(yours, mine)
    if plain:
        found |= {f"{name}, no lengths": d for name, d in _distances(
            *({f"output {n}": a for n, a in outputs.items()} for outputs in plain[::-1])).items()}
    return found


def _step(model: Any, run: Any, lengths: Any, masks: Any) -> tuple[dict[str, Any], Any]:
    """Outputs, gradients by parameter and statistics after a step, and what was put out."""
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: Any) -> Any:
        merged = nnx.merge(graph, params, rest, copy=True)
        outputs = run(merged, lengths)
        real, total = {}, 0.0
        for name, (array, mask) in outputs.items():
            mask = mask if masks is None else masks[name]
            array = array if mask is None else jnp.where(mask, array, 0)
            real[name] = array
            if jnp.issubdtype(array.dtype, jnp.floating):
                places = jnp.arange(array.size, dtype=array.dtype).reshape(array.shape)
                total += (array * jnp.cos(places)).sum()
        return total, (real, outputs, nnx.state(merged, nnx.BatchStat))

    (_, (real, outputs, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    found = {f"output {name}": value for name, value in real.items()}
    for what, state in (("gradient", gradients), ("statistic", statistics)):
        for path, variable in nnx.to_flat_state(state):
            found[f"{what} {'.'.join(map(str, path))}"] = variable[...]
    return found, outputs


def _in_words(name: str, file: Any) -> str:
    """What was found of the ejected model, by the spec's own path."""
    what, _, path = name.partition(" ")
    if what == "output":
        return name
    return f"{what} {file.words([int(s) if s.isdigit() else s for s in path.split('.')])}"


def _distances(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    assert set(mine) == set(theirs), set(mine) ^ set(theirs)
    largest: dict[str, float] = {}
    for name, value in theirs.items():
        kind = name.partition(" ")[0]
        size = np.abs(np.asarray(value, np.float64)).max(initial=0)
        largest[kind] = max(largest.get(kind, 1e-3), float(size))
    found = {}
    for name, value in theirs.items():
        assert mine[name].shape == value.shape, name
        a, b = (np.asarray(v, np.float64) for v in (mine[name], value))
        found[name] = float(np.abs(a - b).max(initial=0)) / largest[name.partition(" ")[0]]
    return found
