"""A graph as an nnx module: its layers as attributes, its nodes run in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from compiler.graph import Call, Each, Graph, Node, Scan, active
from compiler.lower.context import Context, Watch
from compiler.lower.layer import Layer, apply
from compiler.lower.scan import run_scan
from compiler.lower.tensor import Tensor
from compiler.ops.base import Operator, Parameter

if TYPE_CHECKING:
    from compiler.lower.search import Decoded

# Makes the array of a parameter at a path: (path, what it is, how it begins).
MakeArray = Callable[[str, Parameter, Any], Any]


class Section(nnx.Module):
    """A step of the path without parameters of its own: an iteration, a branch, a named group."""


class GraphModule(nnx.Module):
    """A block, or a whole model: one attribute for each step of its layers' paths."""

    def __init__(self, graph: Graph, make: MakeArray, prefix: str = "", freeze: bool = False):
        """Make the layers of a graph.

        Args:
            graph: what to run.
            make: gives each parameter its array.
            prefix: the path of this module, with a dot at its end, or "".
            freeze: whether everything inside is frozen.
        """
        self.deterministic = False
        self._graph = graph
        done: set[str] = set()
        for node in graph.nodes:
            if node.weights in done:
                continue
            done.add(node.weights)
            child = _child(node, make, f"{prefix}{node.weights}", freeze or node.freeze)
            if child is not None:
                _attach(self, node.weights, child)

    @property
    def graph(self) -> Graph:
        """What it runs."""
        return self._graph

    def __call__(self, *inputs: Any, context: Context | None = None) -> Any:
        """Run the block.

        Args:
            inputs: tensors, or bare arrays (batch, *axes), which give bare arrays back.
            context: the run; where not given, the phase is what `train()`/`eval()` set last.

        Returns:
            Its output, or a dict of its outputs where there are several.
        """
        context = context or Context(training=not self.deterministic)
        results = self.execute(as_tensors(self._graph, inputs), context)
        if not any(isinstance(x, Tensor) for x in inputs):
            results = {name: t.array for name, t in results.items()}
        return results if len(self._graph.outputs) > 1 else next(iter(results.values()))

    def execute(self, inputs: tuple[Tensor, ...], context: Context) -> dict[str, Tensor]:
        """The graph's outputs by name; those of the other phase are left out."""
        graph = self._graph
        values: dict[int, Tensor] = {id(v): t for v, t in zip(graph.inputs, inputs)}
        for node in graph.nodes:
            if not active(node.during, context.training):
                # The flow passes a layer of the other phase; a head's layers are just not there.
                first = next(iter(node.outputs.values()))
                if id(node.inputs[0]) in values and first.type == node.inputs[0].type:
                    values[id(first)] = values[id(node.inputs[0])]
                continue
            results = run_node(self, node, tuple(values[id(v)] for v in node.inputs), context)
            for name, value in node.outputs.items():
                if name in results:
                    values[id(value)] = results[name]
        return {
            name: values[id(v)]
            for name, v in graph.outputs.items()
            if active(graph.phases.get(name, "always"), context.training)
        }


def run_node(
    owner: GraphModule, node: Node, inputs: tuple[Tensor, ...], context: Context,
) -> dict[str, Tensor]:
    """What a node of a module's graph makes of its inputs, by output name."""
    context = context.at(node.path)
    context = replace(
        context,
        frozen=context.frozen or node.freeze,
        tied=tuple(part_of(owner, path).get(name) for path, name in node.ties.values()),
    )
    module = part_of(owner, node.weights)
    if context.watch is not None:
        results = _apply(node, module, inputs, context.inside(node.path))
        given = context.watch(node.path, [tensor.filled(0) for tensor in results.values()])
        if given is None:
            return results
        return {name: results[name].with_array(array)
                for name, array in zip(results, given, strict=True)}
    if not node.remat or isinstance(node.operation, Scan):  # which does so step by step
        return _apply(node, module, inputs, context)

    def again(module: Any, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return _apply(node, module, inputs, context)

    if module is NOTHING:
        return jax.checkpoint(lambda inputs: again(NOTHING, inputs))(inputs)
    return nnx.remat(again)(module, inputs)


def _apply(
    node: Node,
    module: Any,
    inputs: tuple[Tensor, ...],
    context: Context,
) -> dict[str, Tensor]:
    match node.operation:
        case Call():
            return module.execute(inputs, context)
        case Each(axis=axis):
            return {"output": _each_step(module, axis, inputs[0], context)}
        case Scan() as scan:
            return run_scan(scan, module, inputs, node.outputs, context, node.remat)
        case op:
            taps = tuple(op.taps(*(v.type for v in node.inputs)))
            if taps:
                context = replace(context, taps=tuple(n for n in taps if n in node.outputs))
            result = apply(op, module, inputs, context)
            results = result if isinstance(result, tuple) else (result,)
            return dict(zip(node.outputs, results, strict=True))


def _each_step(module: GraphModule, axis: str, x: Tensor, context: Context) -> Tensor:
    """Run a graph on every step of an axis, all steps as one batch."""
    dim = x.dim(axis)
    moved = jnp.moveaxis(x.filled(), dim, 1)
    batch, steps = moved.shape[:2]
    mask = x.mask()
    rows = None if context.row_mask is None else jnp.repeat(context.row_mask, steps)
    if mask is not None:
        real = mask.reshape(batch, steps).reshape(-1)
        rows = real if rows is None else rows & real
    axes = tuple(a for a in x.axes if a != axis)
    flat = Tensor(moved.reshape(batch * steps, *moved.shape[2:]), axes)
    result = module.execute((flat,), replace(context, row_mask=rows))["output"]
    unfolded = result.array.reshape(batch, steps, *result.array.shape[1:])
    return Tensor(unfolded, (axis, *result.axes), x.lengths)


class Model(GraphModule):
    """A whole model: an ordinary `nnx.Module` that takes and gives arrays.

    `model(x)` runs it on arrays (batch, *axes); `model.train()` and `model.eval()` choose
    the phase. Every array is at the path that the spec's own words make:
    `model.stage1.unit0.conv_1.kernel`.
    """

    def __init__(
        self,
        graph: Graph,
        make: MakeArray,
        *,
        dtype: Any = jnp.float32,
        seed: int = 0,
        kernels: str = "auto",
        output_dtype: Any = None,
    ):
        """Make a model.

        Args:
            graph: what to run.
            make: gives each parameter its array.
            dtype: what floats are computed in.
            seed: of the randomness in `__call__` (dropout), where the caller gives none.
            kernels: "auto" for our kernels, "reference" for XLA's plain operations.
            output_dtype: what float outputs are given in; what they are computed in if None.
        """
        super().__init__(graph, make)
        self._dtype = jnp.dtype(dtype)
        self._output_dtype = None if output_dtype is None else jnp.dtype(output_dtype)
        self._kernels = kernels
        if is_random(graph):
            self.rngs = nnx.Rngs(dropout=seed)

    def __call__(
        self,
        *inputs: Any,
        lengths: Any = None,
        rngs: nnx.Rngs | None = None,
        context: Context | None = None,
        **named: Any,
    ) -> Any:
        """Run the model on arrays.

        Args:
            inputs: arrays (batch, *axes) in the order of the spec's `inputs`.
            lengths: (batch,) real steps of each row, for a single input; or a dict by input.
            rngs: randomness for dropout; the model's own where not given.
            context: the whole context, in place of the model's phase and randomness.
            named: inputs by name.

        Returns:
            The output array, or a dict of arrays where the spec has several outputs.
        """
        names = [v.name for v in self._graph.inputs]
        arrays = dict(zip(names, inputs)) | named
        given = (
            {names[0]: lengths}
            if lengths is not None and not isinstance(lengths, dict)
            else lengths
        )
        if context is None:
            training = not self.deterministic
            source = rngs or getattr(self, "rngs", None)
            key = (
                source.dropout()
                if source is not None and (training or is_random(self._graph, "always"))
                else None
            )
            context = Context(training, key, dtype=self._dtype, kernels=self._kernels)
        results = self._given(self.execute(self.tensors(arrays, given), context))
        outputs = {name: t.array for name, t in results.items()}
        return outputs if len(self._graph.outputs) > 1 else next(iter(outputs.values()))

    def run(
        self,
        inputs: Mapping[str, Any],
        lengths: Mapping[str, Any] | None = None,
        *,
        training: bool,
        key: jax.Array | None = None,
        row_mask: jax.Array | None = None,
        sampling: jax.Array | None = None,
        watch: Watch | None = None,
    ) -> dict[str, Tensor]:
        """Run the model as the training loop does.

        Args:
            inputs: arrays (batch, *axes) by input name.
            lengths: (batch,) real steps of each row by input name.
            training: the phase.
            key: randomness, where the model draws any.
            row_mask: (batch,) True for real rows; the others do not count in statistics.
            sampling: what multiplies `sample` of the model's scans; None for 1.
            watch: is told what comes out of every layer; see `Context`.

        Returns:
            Tensors with their lengths by output name; "output" is the main one.
        """
        context = Context(
            training, key, row_mask, dtype=self._dtype, kernels=self._kernels, sampling=sampling,
            watch=watch)
        return self._given(self.execute(self.tensors(inputs, lengths), context))

    def decode(
        self,
        inputs: Mapping[str, Any] | None = None,
        lengths: Mapping[str, Any] | None = None,
        *,
        symbols: Mapping[str, int] | None = None,
        key: jax.Array | None = None,
        **changes: Any,
    ) -> Decoded:
        """Let the scan that has `decode` find its best sequences, in evaluation, under `jit`.

        Args:
            inputs: arrays (batch, *axes) by input name; what the scan steps through is not needed.
            lengths: (batch,) real steps of each row by input name.
            symbols: the numbers of the symbols that the spec's `start` and `end` name.
            key: randomness, where layers draw any in evaluation.
            changes: fields of `decode` with other values than the spec's: `beam=1`, `length=80`.

        Returns:
            The best sequences, their scores, and what the scan's `outputs` name.

        Raises:
            TypeError: an input that is needed is missing, or one is unknown.
            ValueError: no scan of the model has `decode`, or a value is not one it takes.
        """
        from compiler.lower import search

        return search.decode(self, inputs or {}, lengths, search.settled(
            self._graph, changes, symbols or {}), Context(
                False, key, dtype=self._dtype, kernels=self._kernels))

    def _given(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs in the width that they are given in."""
        wide = self._output_dtype
        if wide is None:
            return outputs
        return {name: t.with_array(t.array.astype(wide))
                if jnp.issubdtype(t.array.dtype, jnp.floating) else t
                for name, t in outputs.items()}

    def tensors(
        self, arrays: Mapping[str, Any], lengths: Mapping[str, Any] | None,
        only: tuple[str, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """The inputs as tensors; those of `only`, where not all are given.

        Raises:
            TypeError: an input is missing, unknown, or has another rank than the spec says.
        """
        values = [v for v in self._graph.inputs if only is None or v.name in only]
        names = [v.name for v in values]
        if set(arrays) != set(names):
            raise TypeError(
                f"the model takes {', '.join(names)}; given: {', '.join(arrays) or 'nothing'}"
            )
        found = []
        for value in values:
            array = jnp.asarray(arrays[value.name])
            if array.ndim != len(value.type.axes) + 1:
                raise TypeError(
                    f"input {value.name} is (batch, {', '.join(value.type.axes)}), given an "
                    f"array of shape {array.shape}"
                )
            if value.type.dtype == "float":
                array = array.astype(self._dtype)
            steps = (lengths or {}).get(value.name)
            found.append(
                Tensor(array, value.type.axes, None if steps is None else jnp.asarray(steps))
            )
        return tuple(found)


def as_tensors(graph: Graph, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Arrays as tensors with the axes of the graph's inputs."""
    return tuple(
        x if isinstance(x, Tensor) else Tensor(jnp.asarray(x), v.type.axes)
        for x, v in zip(inputs, graph.inputs, strict=True)
    )


def is_random(graph: Graph, when: str = "") -> bool:
    """Whether anything in a graph draws random numbers; with "always", outside training too."""
    for node in graph.nodes:
        match node.operation:
            case Call(graph=inner) | Each(graph=inner):
                if is_random(inner, when):
                    return True
            case Scan(graph=inner, sample=sample):
                if is_random(inner, when) or (sample > 0 and not when):
                    return True
            case op:
                if op.random == "always" or (op.random == "training" and not when):
                    return True
    return False


def _child(node: Node, make: MakeArray, path: str, freeze: bool) -> nnx.Module | None:
    """The module of a node; None for an operator that owns nothing."""
    operation = node.operation
    if not isinstance(operation, Operator):
        return GraphModule(operation.graph, make, f"{path}.", freeze)
    types = tuple(v.type for v in node.inputs)
    parameters = operation.parameters(*types)
    if not parameters:
        return None
    # What the author chose replaces how a parameter is drawn, not that gates are drawn apart.
    inits = {name: replace(node.init.get(p.role, p.init), blocks=p.init.blocks)
             for name, p in parameters.items()}
    arrays = {name: make(f"{path}.{name}", p, inits[name]) for name, p in parameters.items()}
    return Layer(operation, tuple(t.axes for t in types), parameters, arrays, freeze)


def _attach(module: nnx.Module, path: str, child: nnx.Module) -> None:
    """Make `child` an attribute at a dotted path, with sections for the steps between."""
    *steps, last = path.split(".")
    for step in steps:
        inner = getattr(module, step, None)
        if inner is None:
            inner = Section()
            setattr(module, step, inner)
        module = inner
    setattr(module, last, child)


class _Nothing:
    """Stands for the layer of an operator without parameters."""

    def get(self, name: str, dtype: Any = None) -> None:
        return None


NOTHING = _Nothing()


def part_of(module: Any, path: str) -> Any:
    """The module at a dotted path; `NOTHING` where there is none."""
    for step in path.split("."):
        module = getattr(module, step, None)
        if module is None:
            return NOTHING
    return module
