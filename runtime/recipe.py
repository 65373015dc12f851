"""A recipe: a document that also says what to train on, for what, and how."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, Field, Tag, TypeAdapter, ValidationError, model_validator

from compiler.diagnostics import Report, nearest
from compiler.graph import During
from compiler.home import Home
from compiler.parse import Mapping, Node, Scalar, Sequence, plain, present
from compiler.source import Span
from compiler.spec import Document, Raw
from compiler.types import TensorType
from compiler.validate import remedy
from compiler.wording import expected, shown
from runtime.data import WORDS, DataSource, anchored, anchored_start
from runtime.data.named import data_sets
from runtime.data.source import Source
from runtime.losses import LOSSES, METRICS, AnyLoss, AnyMetric, chosen_word
from runtime.losses.loss import Weight
from runtime.optim_document import Optimizer
from runtime.policies import (
    BatchSize,
    Checkpointing,
    Compile,
    EarlyStop,
    Keep,
    Measure,
    Precision,
)
from runtime.report.trackers import Tracker
from runtime.section import Section, problem
from runtime.tasks import AnyTask, anchored_task
from runtime.tasks.task import Task
from runtime.tasks.written import Written
from runtime.train_parts import Average, Changes, Clip, EpochChanges, Mix, Phase, Positive


class Recipe(Document):
    """A spec file that may be trained."""

    @classmethod
    def open_bundle(cls, reference: str, home: Home) -> Path:
        """The spec in a bundle that `extends: {bundle: …}` names."""
        from runtime.share.opening import opened

        return opened(reference, home).spec

    one_of: ClassVar[AbstractMapping[str, Collection[str]]] = {
        **Document.one_of, "data": ("dataset", *WORDS), "task": (),
        "losses.*": LOSSES, "metrics.*": METRICS,
        # An optimiser, its arguments, a schedule as one of them, …
        "train.optimizer": (), "train.optimizer.*.*": (), "train.optimizer.*.*.*.*": (),
    }

    data: Raw = Field(default=None, description="what to train on")
    task: Raw = Field(default=None, description="what the outputs are compared with, and how")
    losses: Raw = Field(
        default=None, description="what is made small, by name, in place of a task or besides it")
    metrics: Raw = Field(default=None, description="what is told besides, by name")
    train: Raw = Field(default=None, description="how to train")
    search: Raw = Field(default=None, description="what `flaxspec sweep` tries")


class Train(Section):
    """How to train."""

    epochs: Positive | None = Field(
        default=None, description="how often every training example is seen")
    steps: Positive | None = Field(
        default=None, description="how many optimiser steps to make, instead of `epochs`")
    batch_size: BatchSize = Field(
        description="how many examples a step takes; `auto` for as many as fit the memory")
    evaluation_batch_size: Positive | None = Field(
        default=None, description="how many examples are evaluated at once, on which no figure "
                                  "depends; `batch_size` where not given")
    optimizer: Optimizer = Field(
        # A default that no document can say has no place in the JSON schema.
        default_factory=tuple, description="one of optax's optimisers by name, or a chain of its "
                                           "transformations")
    phases: list[Phase] = Field(
        default_factory=list, min_length=1,
        description="several networks trained in turns, in each step one after another, instead "
                    "of `optimizer`")
    from_: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, alias="from",
        description="the weights to start from: a file of flaxspec's, PyTorch's or Keras's, "
                    "the folder of a run, or a bundle")
    replace: list[str] = Field(
        default=[], description="patterns of paths whose parameters are drawn anew, whatever the "
                                "file of `from` has there: `[head]`")
    vectors: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="a text file with a word and its numbers in each line, as "
                                  "GloVe's and word2vec's: what the layer that embeds the text "
                                  "begins with")
    freeze: list[str] = Field(
        default=[], description="patterns of layers that stay as they are, their batch "
                                "statistics too: `[stem, stage*]`")
    clip: Clip | None = Field(default=None, description="what large gradients are cut down to")
    learning_rate_factors: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="what multiplies the learning rate of some parameters, by a "
                                "pattern of their paths: `{stem: 0.1, stage*.unit0: 0.3}`; the "
                                "last that matches counts")
    sample_factor: Weight | None = Field(
        default=None, description="what multiplies `sample` of the model's scans: "
                                  "`{linear_schedule: {init_value: 0, end_value: 1, "
                                  "transition_steps: 50%}}`")
    accumulate: Positive = Field(
        default=1, description="how many pieces a batch is worked through in, to save memory; "
                               "the gradient is that of the whole batch")
    ema: Average | None = Field(
        default=None, description="average the parameters over the steps: `0.999`")
    mix: Mix | None = Field(default=None, description="mix training examples in pairs")
    batch_size_changes: EpochChanges = Field(
        default_factory=Changes,
        description="other batch sizes from some epoch on: `{10 epochs: 256}`")
    sequence_length_changes: EpochChanges = Field(
        default_factory=Changes,
        description="how much of each sequence is trained on, from some epoch on: "
                    "`{0: 32, 5 epochs: 128}`")
    seed: int = Field(
        default=0, ge=0, lt=2**32,
        description="decides initial weights, order, augmentation and dropout")
    last_batch: Literal["keep", "drop"] = Field(
        default="keep", description="whether the examples that do not fill a batch are trained on")
    evaluate_every: Positive = Field(
        default=1, description="epochs from one look at the validation part to the next")
    keep: Keep = Field(
        default=Keep(weights="last"),
        description="which weights are tested and saved: the last ones, or those of the epoch "
                    "with the best validation metric: `best`, or `{metric: loss}`")
    early_stop: EarlyStop | None = Field(
        default=None, description="end the run when the validation part gets no better")
    checkpoint: Checkpointing = Field(
        default_factory=Checkpointing, description="how often the run is saved")
    precision: Precision = Field(
        default=Precision(), description="what numbers are held in: `float32`, `bfloat16`, or "
                                         "parameters, compute and output apart")
    compile: Compile = Field(
        default=Compile(), description="how the model becomes code: `{kernels: reference}` for "
                                       "XLA's plain operations")
    log: list[Tracker] = Field(
        default=[], description="programs that keep track of the run besides its folder: "
                                "`[tensorboard]`, `[{wandb: {project: digits}}]`")

    @property
    def best(self) -> Measure | None:
        """What the weights that are kept are chosen by; None for the last ones."""
        return self.keep if self.keep.weights == "best" else None

    @property
    def average(self) -> Average | None:
        """How parameters are averaged, of all or of the first phase that does; None for not."""
        return self.ema or next((phase.ema for phase in self.phases if phase.ema), None)

    @model_validator(mode="after")
    def _has_one_optimiser(self) -> Self:
        if not self.phases and not self.optimizer:
            raise problem("`train` needs `optimizer`", "`optimizer` is missing", code="F0204",
                          help="give it beside the others: `optimizer: {adam: 1e-3}`", at_key=True)
        if not self.phases:
            return self
        for name, is_given, instead in (
                ("optimizer", self.optimizer, "each phase has its own: take it away"),
                ("clip", self.clip, "each phase has its own `clip`: move it there"),
                ("accumulate", self.accumulate > 1, "take it away, and make the batch smaller"),
                ("mix", self.mix, "take `mix` away")):
            if is_given:
                raise problem(f"`{name}` does not go with `phases`", code="F0648", help=instead,
                              at_key=True)
        if self.ema and any(phase.ema for phase in self.phases):
            raise problem("`ema` stands beside `phases` and in one of them", code="F0648",
                          help="keep one: in a phase it averages what that phase trains",
                          at_key=True)
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise problem("a run is given either by `epochs` or by `steps`",
                          help="add `epochs: 20`" if self.epochs is None else "take one away")
        if self.replace and self.from_ is None:
            raise problem("`replace` draws anew what a file would give, and there is no `from`",
                          help="add `from: FILE`, or take `replace` away")
        changes = (*self.batch_size_changes.values, *self.sequence_length_changes.values)
        if self.steps is not None and any(when.unit == "%" for when, _ in changes):
            raise problem("a run of `steps` has no part of its epochs to change something at",
                          help="say when in epochs: `{5 epochs: 128}`")
        return self


@dataclass(frozen=True)
class Training:
    """The checked sections of a recipe, and where each begins.

    Attributes:
        data: the source.
        task: the task; where the recipe names none, what it writes out instead.
        train: the rest.
        spans: the places of the sections' keys.
        written: what it writes out, with the task in it; None where it writes nothing out.
    """

    data: Source
    task: Task
    train: Train
    spans: AbstractMapping[str, Span]
    written: Task | None = None

    @property
    def goal(self) -> Task:
        """What is made small and measured: the task, or what is written out."""
        return self.written or self.task


SECTIONS: dict[str, tuple[Any, str]] = {
    "data": (DataSource, "add `data: {dataset: digits}`"),
    "task": (AnyTask, "add `task: classification`, or write out `losses`"),
    "losses": (dict[str, AnyLoss], ""),
    "metrics": (dict[str, AnyMetric], ""),
    "train": (Train, "add `train: {epochs: 20, batch_size: 128, optimizer: {adam: 1e-3}}`"),
}


# The sections that write losses and metrics out; a recipe may do without.
WRITTEN = ("losses", "metrics")


def is_recipe(document: Document) -> bool:
    """Whether a document has any section of a recipe."""
    return any(getattr(document, name, None) is not None for name in SECTIONS)


def read_training(
    document: Document, tree: Mapping, report: Report, directory: Path | None = None,
) -> Training | None:
    """The sections of a recipe, checked; None, and a report, where they are not in order.

    Args:
        document: the document that holds them as nodes.
        tree: the document's tree, for the places.
        report: where errors go.
        directory: where its relative paths begin; where the user is, if None.
    """
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    are_written = present(getattr(document, "losses", None)) is not None
    for name, (kind, help) in SECTIONS.items():
        node = present(getattr(document, name, None))
        if node is None:
            if name in WRITTEN or (name == "task" and are_written):
                continue
            report.error("F0610", f"a recipe needs `{name}`", tree.span, f"`{name}` is missing",
                         help=help)
            continue
        # A section whose key is misspelt, which was told, has a value, but its key is another.
        spans[name] = tree.key_spans.get(name, node.span)
        if name == "data":
            node = anchored(node, directory, report)
        if name == "train":
            node = anchored_start(node, directory, report)
        if name == "task":
            node = anchored_task(node, directory, report)
        values[name] = read_section(kind, node, name, spans[name], report)
    found = {name for name, value in values.items() if value is not None}
    if found != values.keys() or not {"data", "train"} <= found or not found & {"task", "losses"}:
        return None
    training = _put_together(values, spans, tree, report)
    return training if training is not None and _can_judge(training, report) else None


def _put_together(
    values: AbstractMapping[str, Any], spans: dict[str, Span], tree: Mapping, report: Report,
) -> Training | None:
    """The sections that were read, as one; None, and a report, where they do not go together."""
    task, train = values.get("task"), values["train"]
    losses, metrics = values.get("losses", {}), values.get("metrics", {})
    spans.setdefault("task", spans.get("losses", tree.span))
    spans |= _phase_places(tree.get("train"))
    places: dict[str, Span] = {}
    for name in WRITTEN:
        section = tree.get(name)
        if isinstance(section, Mapping):
            places |= _written_places(section)
    weighted = [name for name, what in metrics.items() if "weight" in what.model_fields_set]
    for name in weighted:
        report.error("F0645", f"`{name}` is a metric, and has a weight: it is not in the sum",
                     places[name], help="take `weight` away, or write it out under `losses`")
    if task is None and not losses:
        report.error("F0645", "`losses` is empty: there is nothing to make small", spans["losses"],
                     help="write one out: `losses: {main: {cross_entropy: [output, label]}}`")
    elif task is not None and not task.has_loss and not losses:
        report.error("F0610", f"{task.word} has no loss of its own: the recipe needs `losses`",
                     spans["task"], help="write them out: `losses: {main: {squared_error: …}}`")
    elif not weighted:
        if task is not None and not (losses or metrics or train.phases):
            return Training(values["data"], task, train, spans)
        written = Written(losses=losses, metrics=metrics, own=task).placed(places)
        return Training(values["data"], task or written, train, spans, written)
    return None


def _written_places(section: Mapping) -> dict[str, Span]:
    """Where each loss or metric of a section stands, and each of its arguments: `aux.target`."""
    places = {}
    for name, node in section.items():
        places[name] = section.key_spans[name]
        word = chosen_word(plain(node))
        given = node.get(word) if isinstance(node, Mapping) and word is not None else None
        match given:
            case Mapping():
                places |= {f"{name}.{field}": given[field].span for field in given}
            case Sequence():
                places |= {f"{name}.{number}": item.span for number, item in enumerate(given)}
            case Scalar():
                places[f"{name}.0"] = given.span
    return places


def _phase_places(train: Node | None) -> dict[str, Span]:
    """Where what each phase minimises and updates stands: `phases.0.update`."""
    phases = train.get("phases") if isinstance(train, Mapping) else None
    if not isinstance(train, Mapping) or not isinstance(phases, Sequence):
        return {}
    return {"phases": train.key_spans["phases"],
            **{f"phases.{number}.{key}": node.span for number, phase in enumerate(phases)
               if isinstance(phase, Mapping) for key, node in phase.items()}}


def _can_judge(training: Training, report: Report) -> bool:
    """Whether there is a part that `keep` and `early_stop` can judge by; reports where not."""
    span, fine = training.spans["train"], True
    for name, measure in (("keep", training.train.best), ("early_stop", training.train.early_stop)):
        if measure is None:
            continue
        if not training.data.has("validation"):
            report.error("F0611", f"`{name}` needs a validation part to judge by", span,
                         help="set `validation: 0.1` in `data`, or take it away")
            fine = False
    return fine


def check_training(
    training: Training, inputs: AbstractMapping[str, TensorType],
    outputs: AbstractMapping[str, TensorType], report: Report,
    fields: AbstractMapping[str, TensorType] | None = None,
    phases: AbstractMapping[str, During] | None = None,
) -> dict[str, str]:
    """Check a recipe against its model.

    Args:
        training: the recipe's sections.
        inputs: the model's inputs.
        outputs: its outputs in training, the main one first.
        report: where errors go.
        fields: the fields of the data that was loaded; those that the recipe declares, if None.
        phases: the outputs that exist in one phase only.

    Returns:
        For each input of the model the field of the data that it gets.
    """
    fields = training.data.fields() if fields is None else fields
    if isinstance(training.goal, Written):
        training.goal.check(outputs, fields, report, training.spans["task"], phases)
    else:
        training.goal.check(outputs, fields, report, training.spans["task"])
    names = [name for name in fields if name not in training.data.targets()]
    for change in training.data.augment:
        if not any(change.takes(fields[name]) for name in names):
            report.error("F0611", f"`{change.word}` changes {change.changes}, and "
                                  f"{training.data.title} has none", training.spans["data"])
        if change.moves_images_alone and (moved := [
                name for name in training.data.targets()
                if name in fields and {"height", "boxes"} & set(fields[name].axes)]):
            report.error("F0611", f"`{change.word}` moves what is in images about, and not what "
                                  f"belongs there in `{moved[0]}`", training.spans["data"],
                         help="say `flip`, `crop`, `rotate`, `colour_jitter` and the like")
    bound: dict[str, str] = {}
    # What a task is to predict is no input; where losses are written out, it may be one, such as
    # the class that a generator is told.
    known = names if training.written is None else list(fields)
    for name, wanted in inputs.items():
        # One input and one field need no names to find each other.
        field = names[0] if name not in known and len(inputs) == len(names) == 1 else name
        if field not in known:
            report.error(
                "F0614", f"the data has no field for the model's input `{name}`",
                training.spans["data"], nearest(name, known),
                notes=[f"fields of {training.data.title}: {', '.join(known)}"],
                help="give the model's input the name of a field")
        elif reason := _misfit(fields[field], wanted):
            report.error(
                "F0614", f"`{field}` of {training.data.title} does not fit the model's input "
                         f"`{name}`: {reason}", training.spans["data"],
                notes=[f"the data's `{field}` is {fields[field].described()}",
                       f"the model's input `{name}` is {wanted.described()}"],
                help=_remedy(name, fields[field], wanted))
        else:
            bound[name] = field
    return bound


def _misfit(given: TensorType, wanted: TensorType) -> str:
    """Why data of one type cannot be an input of another, or ""."""
    if given.axes != wanted.axes:
        return "it has other axes"
    for axis, size, room in zip(given.axes, given.shape, wanted.shape):
        if isinstance(room, int) and axis == "time" and isinstance(size, str):
            return f"its rows have lengths of their own, not all {room}"
        if isinstance(room, int) and isinstance(size, int) and size != room:
            return f"{axis} is {size}, not {room}"
    if given.dtype != wanted.dtype:
        return f"it holds {given.dtype} values, not {wanted.dtype}"
    if isinstance(given.length, str) and isinstance(wanted.length, int):
        return (f"give the input the length `any`, or say `buckets: 1` and "
                f"`length: {wanted.length}` in `data`")
    if given.vocabulary and wanted.vocabulary and given.vocabulary > wanted.vocabulary:
        return f"its vocabulary is {given.vocabulary}, not {wanted.vocabulary}"
    return ""


def _remedy(name: str, given: TensorType, wanted: TensorType) -> str:
    """What to do about data that does not fit the model's input of that name."""
    if isinstance(given.length, str) and isinstance(wanted.length, int):
        return (f"give the input the length `any`, or say `buckets: 1` and "
                f"`length: {wanted.length}` in `data`")
    if given.vocabulary and wanted.vocabulary and given.vocabulary > wanted.vocabulary:
        return (f"set the model's vocabulary to {given.vocabulary}, "
                f"or say `vocabulary: {wanted.vocabulary}` in `data`")
    return f"declare the input `{name}` as the data is, or choose other data"


def read_section(kind: Any, node: Node, name: str, span: Span, report: Report) -> Any:
    """A value of a Pydantic type from a piece of the tree, or None after errors.

    Args:
        kind: a model, or a union of models.
        node: the piece.
        name: its key.
        span: the place of its key.
        report: where errors go.
    """
    try:
        return TypeAdapter(kind).validate_python(plain(node))
    except ValidationError as error:
        root = _Place(node, span, f"`{name}`")
        for item in error.errors(include_url=False):
            _report(cast(AbstractMapping[str, Any], item), kind, root, report)
        return None


@dataclass(frozen=True)
class _Place:
    """A node, where to point for it, and the key that it stands under, in backticks."""

    node: Node
    span: Span
    key: str

    def at(self, loc: tuple[Any, ...]) -> _Place:
        """The place that an error's location leads to, as far as it is in the tree.

        Pydantic puts the words of unions between the keys; they are passed by. What stands
        beside such a word, as the weight of a loss does, is found there.
        """
        place = beside = self
        for step in loc:
            node = place.node
            if not (isinstance(node, Mapping) and step in node) and (
                    isinstance(beside.node, Mapping) and step in beside.node):
                place = beside
                node = place.node
            if isinstance(node, Mapping) and step in node:
                beside = place
                place = _Place(node[step], node.key_spans[step], f"`{step}`")
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node):
                place = _Place(node[step], node[step].span, place.key)
        return place


def _report(
    item: AbstractMapping[str, Any], kind: Any, root: _Place, report: Report,
) -> None:
    """Report one of Pydantic's errors at its place in the tree."""
    loc, context = item["loc"], item.get("ctx", {})
    place = root.at(loc)
    # A wrong key is shown by the key, a wrong value by the value.
    span = place.node.span if isinstance(place.node, Scalar) else place.span
    match item["type"]:
        case "problem":
            report.error(context["code"], context["headline"],
                         place.span if context["at_key"] else span, context["label"],
                         notes=context["notes"], help=context["help"])
        case "missing":
            info = _fields_at(kind, loc[:-1])[loc[-1]]
            report.error("F0204", f"{place.key} needs `{loc[-1]}`", place.span,
                         f"`{loc[-1]}` is missing",
                         help=remedy(str(loc[-1]), info))
        case "extra_forbidden":
            fields, owner = list(_fields_at(kind, loc[:-1])), root.at(loc[:-1])
            report.error("F0203", f"`{loc[-1]}` is not a field of {owner.key}", place.span,
                         nearest(str(loc[-1]), fields),
                         notes=[f"fields of {owner.key}: {', '.join(fields)}"])
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "").split(", ")
            names = [tag for tag in tags if not tag.endswith(":")]
            if root.key == "`data`" and not loc:
                names += data_sets()
            # A tag stands behind its own key (`dataset: digits`), or is the key or the value.
            chosen = place.at(("dataset",)).node
            report.error("F0612", f"`{context['tag']}` is not one of the choices",
                         chosen.span if isinstance(chosen, Scalar) else span,
                         nearest(context["tag"], names), notes=[f"there are: {', '.join(names)}"])
        case "union_tag_not_found":
            words = [_word(a) for a in typing.get_args(_bare(_kind_at(kind, loc)))]
            near = ""
            if root.key == "`data`" and not loc:
                words = ["dataset", *WORDS]
                keys = place.node if isinstance(place.node, Mapping) else ()
                near = next((text for key in keys if (text := nearest(key, words))), "")
            report.error("F0612", f"{place.key} does not say which one", span, near,
                         notes=[f"there are: {', '.join(words)}"])
        case "model_type" | "model_attributes_type" | "dict_type":
            report.error("F0205", f"{place.key} takes a map, not {shown(plain(place.node))}", span)
        case _:
            found = plain(place.node) if isinstance(place.node, Scalar) else item["input"]
            info = _fields_at(kind, loc[:-1]).get(loc[-1]) if loc else None
            wanted = f"takes {expected(info)}" if info else (
                f"does not fit: {item['msg'][0].lower()}{item['msg'][1:]}")
            report.error("F0205", f"{place.key} {wanted}, not {shown(found)}", span)


def _fields_at(kind: Any, loc: tuple[Any, ...]) -> AbstractMapping[str, Any]:
    """The fields of the model that an error's location leads to; {} where it is none."""
    fields = getattr(_bare(_kind_at(kind, loc)), "model_fields", {})
    return {info.alias or name: info for name, info in fields.items()}


def _kind_at(kind: Any, loc: tuple[Any, ...]) -> Any:
    """The type that an error's location leads to."""
    for step in loc:
        kind = _bare(kind)
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if _word(a) == step)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _fields_at(kind, ())[step].annotation
        else:  # a list or a map
            kind = typing.get_args(kind)[-1]
    return kind


def _bare(kind: Any) -> Any:
    """A type without its annotations, and without `| None`."""
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    members = [a for a in typing.get_args(kind) if a is not type(None)]
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return _bare(members[0]) if is_union and len(members) == 1 else kind


def _word(alternative: Any) -> str:
    """What chooses a member of a union: the tag that it is annotated with."""
    marks = typing.get_args(alternative)[1:]
    return next((mark.tag for mark in marks if isinstance(mark, Tag)), "")
