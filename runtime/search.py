"""The `search` section: what `flaxspec sweep` tries.

    search:
      trials: 20
      space:
        train.optimizer.adam: {log_uniform: [1e-4, 1e-2]}
        width: [16, 32, 64]
        depth: {integers: [2, 8]}

The keys are paths as `--set` takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from compiler.diagnostics import Report
from compiler.graph import Graph
from compiler.resolve import Program
from compiler.tree import present
from runtime.recipe import Training, read_section
from runtime.section import Choice, Section, problem, word_of
from runtime.train_checks import check_figure, place_of

if TYPE_CHECKING:
    import optuna


class _Values(Choice):
    def draw(self, trial: optuna.Trial, path: str) -> Any:
        """The value that a trial gives this path."""
        raise NotImplementedError

    def ends(self) -> list[Any]:
        """Values between which all others lie, or all there are: to check before anything runs."""
        raise NotImplementedError


class Choices(_Values):
    """One of a list."""

    word: ClassVar[str] = "choices"
    main: ClassVar[str | None] = "values"

    values: list[Any] = Field(min_length=1, description="the values")

    def draw(self, trial: optuna.Trial, path: str) -> Any:
        # Optuna takes plain values only: draw the place in the list.
        return self.values[trial.suggest_categorical(path, list(range(len(self.values))))]

    def ends(self) -> list[Any]:
        return self.values


class _Range(_Values):
    main: ClassVar[str | None] = "range"

    range: list[float] = Field(min_length=2, max_length=2, description="the lowest and the highest")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise problem("a range goes from the lower to the higher number",
                          help=f"say `{self.word}: [{self.range[1]:g}, {self.range[0]:g}]`")
        return self

    def ends(self) -> list[Any]:
        return list(self.range)


class Uniform(_Range):
    """A number between two others, each as likely."""

    word: ClassVar[str] = "uniform"

    def draw(self, trial: optuna.Trial, path: str) -> float:
        return trial.suggest_float(path, *self.range)


class LogUniform(_Range):
    """A number between two others above 0, each order of magnitude as likely."""

    word: ClassVar[str] = "log_uniform"

    @model_validator(mode="after")
    def _is_positive(self) -> Self:
        if self.range[0] <= 0:
            raise problem("`log_uniform` takes numbers above 0", help="use `uniform`")
        return self

    def draw(self, trial: optuna.Trial, path: str) -> float:
        return trial.suggest_float(path, *self.range, log=True)


class Integers(_Values):
    """A whole number between two others, both among them."""

    word: ClassVar[str] = "integers"
    main: ClassVar[str | None] = "range"

    range: list[int] = Field(min_length=2, max_length=2, description="the lowest and the highest")
    step: int = Field(default=1, gt=0, description="the distance between neighbours")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise problem("a range goes from the lower to the higher number")
        return self

    def draw(self, trial: optuna.Trial, path: str) -> int:
        return trial.suggest_int(path, *self.range, step=self.step)

    def ends(self) -> list[Any]:
        return list(self.range)


def _as_choices(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list) else value


_Kinds = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("log_uniform")] | Annotated[Integers, Tag("integers")],
    Discriminator(word_of),
]
Values = Annotated[
    _Kinds, BeforeValidator(_as_choices, json_schema_input_type=list[Any] | _Kinds)]


class Search(Section):
    """What to try, how often, and what to choose by."""

    space: dict[str, Values] = Field(
        min_length=1, description="the values to try by the path that `--set` takes: a list, "
                                  "`{uniform: [0, 1]}`, `{log_uniform: [1e-4, 1e-2]}` or "
                                  "`{integers: [1, 8]}`")
    trials: int = Field(default=20, gt=0, description="how many runs to make")
    metric: str | None = Field(
        default=None, description="the figure of the validation part to choose by; the task's "
                                  "own where not given")
    goal: Literal["highest", "lowest"] | None = Field(
        default=None, description="which value of the metric is best; as the task has it where "
                                  "not given")
    sampler: Literal["tpe", "random", "grid"] = Field(
        default="tpe", description="how values are chosen: by what went well (tree-structured "
                                   "Parzen estimator), by chance, or all combinations of lists")
    prune: bool = Field(
        default=False, description="whether runs that are worse than the median of the others at "
                                   "the same epoch are cut off")

    @model_validator(mode="after")
    def _can_be_a_grid(self) -> Self:
        if self.sampler == "grid":
            for path, values in self.space.items():
                if not isinstance(values, Choices):
                    raise problem(f"`sampler: grid` needs a list for `{path}`",
                                  help="list its values, or use another sampler")
        if self.goal is not None and self.metric is None:
            raise problem("`goal` belongs to a `metric`", help="say which: `metric: loss`")
        return self


def read_search(
    program: Program, training: Training, graph: Graph, report: Report,
) -> Search | None:
    """The search of a recipe; None, and a report, where it is missing or not in order.

    Args:
        program: the recipe.
        training: its sections.
        graph: its model.
        report: where errors go.
    """
    node = present(program.tree.get("search"))
    if node is None:
        report.error(
            "F0610", "a sweep needs `search`", program.tree.span, "`search` is missing",
            help="add `search: {trials: 20, space: {train.optimizer.adam: "
                 "{log_uniform: [1e-4, 1e-2]}}}`")
        return None
    search = read_section(Search, node, "search", program.tree.key_spans["search"], report)
    if search is None:
        return None
    outputs = {name: value.type for name, value in graph.outputs.items()}
    if not check_figure(search.metric, training, outputs, report,
                        place_of(program.tree, "search", "metric")):
        return None
    if not training.data.has("validation"):
        report.error("F0611", "a sweep needs a validation part to choose by",
                     training.spans["data"], help="set `validation: 0.1` in `data`")
        return None
    return search
