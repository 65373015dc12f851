"""Training from Python: `flaxspec.train`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.pipeline import graph_of, make_program
from compiler.source import Source
from compiler.tree import plain
from runtime.asking import request
from runtime.batch import Batch, Ratio
from runtime.data.dataset import Part
from runtime.data.memory import Described, Memory, as_array, described
from runtime.execution import execute
from runtime.folder import make_folder
from runtime.report.console import Form, console
from runtime.run import Prepared, prepare
from runtime.saved import Trained, load
from runtime.tasks.measures import ratio
from runtime.tasks.task import Task

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Measured
    from runtime.report.listener import Listener

PARTS = ("train", "validation", "test")
# (outputs by name, the batch's arrays by field) -> (batch,) one loss for each example.
Loss = Callable[[dict[str, jax.Array], dict[str, jax.Array]], jax.Array]


def train(
    spec: str | Path | Source, *, data: Any, task: str | Mapping[str, Any] | None,
    train: Mapping[str, Any] | None, settings: Mapping[str, Any] | Sequence[str],
    losses: Mapping[str, Loss] | None, variant: str, out: str | Path | None,
    listeners: Sequence[Listener], log: Form,
) -> Trained:
    """Train a recipe; `flaxspec.train` documents the arguments.

    Raises:
        SpecError: the recipe, the data or the run is not in order.
    """
    wishes = [f"{path}={_yaml(value)}" for path, value in settings.items()] if isinstance(
        settings, Mapping) else list(settings)
    sections = [f"{section}={_yaml(value)}" for section, value in (("task", task), ("train", train))
                if value is not None]
    source = Source("spec", spec) if isinstance(spec, str) and "\n" in spec else spec
    parts: dict[str, Part] = {}
    if data is not None:
        others = [wish for wish in wishes if not wish.startswith("data.")]
        section, parts = _given(source, variant, [*sections, *others], data)
        sections.append(f"data={_yaml(section)}")
    assignments = [*sections, *wishes]
    prepared = prepare(source, Report(), variant=variant, assignments=assignments)
    if parts:
        prepared = _with(prepared, data=cast(Memory, prepared.training.data).holding(parts))
    if losses:
        # It stands for the task wherever the loop asks for one.
        place = "written" if prepared.training.written else "task"
        prepared = _with(prepared, **{place: cast(Task, Losses(prepared.training.goal, losses))})
    folder = make_folder(Path(out) if out is not None else None, prepared.program.name)
    terminal = console(log)
    try:
        execute(prepared, folder, "flaxspec.train(...)", [terminal, *listeners])
    finally:
        terminal.close()
    trained = load(folder)
    trained.training = prepared.training
    return trained


def _with(prepared: Prepared, **sections: Any) -> Prepared:
    return replace(prepared, training=replace(prepared.training, **sections))


def _yaml(value: Any) -> str:
    """A value as YAML in one line."""
    return json.dumps(value)


def _given(
    spec: str | Path | Source, variant: str, assignments: Sequence[str], data: Any,
) -> tuple[dict[str, Any], dict[str, Part]]:
    """The `data` section for arrays, and the arrays by part.

    Raises:
        SpecError: F0634 the arrays do not go together.
    """
    program = make_program(request(spec, variant, assignments), Report())
    inputs = {v.name: v.type for v in graph_of(program, Report()).inputs}
    chosen = _task(program.tree.get("task"))
    target = getattr(chosen, "target", "label")
    by_part = data if isinstance(data, Mapping) and set(data) <= set(PARTS) else {"train": data}
    if "train" not in by_part:
        raise SpecError([diagnostic("F0634", "the data has no `train`",
                                    help="give `{\"train\": …, \"test\": …}`, or one whole")])
    names = {part: _named(arrays, list(inputs), target) for part, arrays in by_part.items()}
    fields = list(names["train"])
    # One input and one field need no names to find each other.
    others = [name for name in fields if name != target]
    bound = {name: name for name in inputs} if len(inputs) != 1 or len(others) != 1 else {
        others[0]: next(iter(inputs))}
    parts, kinds = {}, {}
    for part, arrays in names.items():
        if list(arrays) != fields:
            raise SpecError([diagnostic(
                "F0634", f"the {part} part has {', '.join(arrays)}; train has {', '.join(fields)}",
                help="give the same fields for every part")])
        made = {name: as_array(name, value, inputs.get(bound.get(name, "")))
                for name, value in arrays.items()}
        sizes = {name: len(array) for name, array in made.items()}
        if len(set(sizes.values())) > 1:
            raise SpecError([diagnostic(
                "F0634", "the arrays have different numbers of examples: "
                         + ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
                help="the first axis is that of the examples, in all of them")])
        parts[part] = Part(made)
        for name, array in made.items():
            kind = described(name, array, inputs.get(bound.get(name, "")))
            axes = chosen.target_axes(array.ndim - 1) if chosen and name == target else None
            kind = replace(kind, axes=axes or kind.axes)
            before = kinds.setdefault(name, kind)
            if kind.vocabulary is not None:
                kinds[name] = replace(before, vocabulary=max(
                    before.vocabulary or 1, kind.vocabulary))
    section: dict[str, Any] = {
        "dataset": "memory", "given": list(parts),
        "holds": {name: Described.of(kind).model_dump(exclude_defaults=True)
                   for name, kind in kinds.items()},
        "predict": [name for name in fields if name not in bound]}
    written = plain(program.tree["data"]) if "data" in program.tree else {}
    for name in ("validation", "test", "augment"):
        if isinstance(written, Mapping) and name in written:
            section[name] = written[name]
    return section, parts


def _named(arrays: Any, inputs: list[str], target: str) -> dict[str, Any]:
    """Arrays by field; a pair is an input and its target."""
    if isinstance(arrays, Mapping):
        return dict(arrays)
    if isinstance(arrays, tuple | list) and len(arrays) == 2 and len(inputs) == 1:
        return {inputs[0]: arrays[0], target: arrays[1]}
    raise SpecError([diagnostic(
        "F0634", "the data is neither a map from field to array nor a pair of input and target",
        help=f"give `{{\"{inputs[0]}\": …, \"{target}\": …}}`")])


def _task(task: Any) -> Task | None:
    """The task that a recipe chooses; None where it is not in order."""
    from pydantic import TypeAdapter, ValidationError

    from runtime.tasks import AnyTask

    try:
        return TypeAdapter(AnyTask).validate_python(plain(task))
    except (ValidationError, AttributeError):
        return None


class Losses:
    """A task whose loss is the sum of functions from Python; all else is as it was."""

    def __init__(self, task: Task, losses: Mapping[str, Loss]):
        """Take the task, and the functions by name."""
        self._task, self._losses = task, losses

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_task", "_losses"):
            raise AttributeError(name)
        return getattr(self._task, name)

    def fitted(self, dataset: Any) -> Losses:
        """The task with what it takes from the training part."""
        return Losses(self._task.fitted(dataset), self._losses)

    def scheduled(self, run: Any) -> Losses:
        """The task with what it takes from the length of the run."""
        return Losses(self._task.scheduled(run), self._losses)

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        """What the task measures, with these losses and their sum in place of its own."""
        arrays = {name: tensor.array for name, tensor in outputs.items()}
        found: dict[str, Ratio] = {}
        for name, loss in self._losses.items():
            values = jax.numpy.asarray(loss(arrays, batch.arrays))
            if values.shape != batch.rows.shape:
                raise SpecError([diagnostic(
                    "F0617", f"the loss `{name}` gives the shape {values.shape}, and a batch has "
                             f"{len(batch.rows)} examples",
                    help="give one number for each example: (batch,)")])
            found[name] = ratio(values.astype("float32"), batch.rows)
        weight = next(iter(found.values())).weight
        total = Ratio(sum((r.total for r in found.values()), jax.numpy.zeros(())), weight)
        more = {f"loss/{name}": r for name, r in found.items()} if len(found) > 1 else {}
        return {**self._task.measure(outputs, batch, training=training), **more, "loss": total}


