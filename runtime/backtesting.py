"""Backtests of forecasts: a series cut at several days, each time forecast as it was then.

Evaluation over rolling origins (Tashman 2000), with a training part that grows: a recipe is
trained once for each fold, on nothing but what comes before the steps that it is tested on, and
forecasts from every origin in them. A run that was trained before is judged as it is, on its own
test part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import Report, SpecError, diagnostic
from runtime.data.series import Windowed
from runtime.run import prepare
from runtime.tasks.forecasting import Forecasting

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset
    from runtime.run import Prepared
    from runtime.saved import Trained

MODEL = "model"


@dataclass(frozen=True)
class Fold:
    """The forecasts from the origins of one test part.

    Attributes:
        origins: how many.
        first: what the first origin is called; its number where it has no name.
        last: what the last one is called.
        trained_on: how many windows taught the model.
        figures: by method, `model` first, and by figure: (horizon,), a mean over the origins and
            columns, in the data's own units.
    """

    origins: int
    first: str
    last: str
    trained_on: int
    figures: Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Plan:
    """A backtest that is in order.

    Attributes:
        prepared: the recipe as it was given.
        folds: the recipe of each fold, the earliest first.
    """

    prepared: Prepared
    folds: Sequence[Prepared]


def plan(spec: str, variant: str, assignments: Sequence[str], folds: int) -> Plan:
    """Cut the series of a recipe into folds.

    The last fold is the recipe's own test part; each of the others ends where the next one's test
    part begins. Validation parts are as long as the recipe's, and lie before the test parts.

    Args:
        spec: a path, or a name from the zoo.
        variant: one of the spec's variants.
        assignments: the texts of `--set`.
        folds: how many.

    Raises:
        SpecError: the recipe is not in order; F0721 it forecasts nothing; F0722 too many folds
            leave the first one nothing to learn from.
    """
    own = prepare(spec, Report(), variant=variant, assignments=assignments)
    data = forecasting(own, spec)[0]
    if not data.has("test"):
        raise SpecError([diagnostic("F0722", "the recipe has no test part to forecast",
                                    help="say how large it is: `--set data.test=0.1`")])
    # In parts of all steps there are in the data.
    test, validation = data.test * data.until, data.validation * data.until
    first = data.until - (folds - 1) * test
    if first - test - validation <= 0:
        most = int((data.until - validation - 1e-9) / test)
        raise SpecError([diagnostic(
            "F0722", f"{folds} folds leave the first one nothing to learn from",
            notes=[f"each takes {test:.3g} of the steps to test on, and {validation:.3g} validate"],
            help=f"at most {most} folds of this size, or smaller ones: `--set data.test=0.05`")])
    found = []
    for fold in range(folds):
        until = data.until - (folds - 1 - fold) * test
        settings = [f"data.until={until:.6g}", f"data.test={test / until:.6g}",
                    f"data.validation={validation / until:.6g}"] if fold < folds - 1 else []
        found.append(prepare(spec, Report(), variant=variant,
                             assignments=[*assignments, *settings]))
    return Plan(own, found)


def run(
    plan: Plan, folder: Path, command: str, tell: Callable[[int, Fold], None],
) -> Iterator[Fold]:
    """Train the recipe of each fold and judge it.

    Args:
        plan: the recipes.
        folder: a run of its own in `fold-1` and so on.
        command: what was asked for, to stand in the folders.
        tell: hears of each fold by its number from 1 on.

    Raises:
        SpecError: a run came to nothing.
        Stopped: it was asked to stop.
    """
    from runtime.execution import Wish, execute
    from runtime.saved import load
    from runtime.stopping import on_signals

    for number, prepared in enumerate(plan.folds, 1):
        at = folder / f"fold-{number}"
        at.mkdir()
        with on_signals() as stop:
            execute(prepared, at, command, (), Wish(stop=stop, report=False))
        fold = judged(load(at))
        tell(number, fold)
        yield fold


def forecasting(prepared: Prepared | Trained, title: str) -> tuple[Windowed, Forecasting]:
    """The series and the task of a recipe that forecasts.

    Raises:
        SpecError: F0721 it does something else.
    """
    data, task = prepared.training.data, prepared.training.task
    if isinstance(data, Windowed) and isinstance(task, Forecasting):
        return data, task
    raise SpecError([diagnostic(
        "F0721", f"`{title}` forecasts no series, so there are no earlier days to go back to",
        notes=["its data has no time to go back in" if isinstance(task, Forecasting) else
               f"its task is `{task.word}`"],
        help="score it with `flaxspec evaluate`, or give one with `task: forecasting`")])


def judged(trained: Trained) -> Fold:
    """The forecasts of a finished run from every origin of its test part.

    Raises:
        SpecError: F0618 there is no such part; F0634 the data has changed since; F0721 the run
            forecasts nothing.
    """
    import numpy as np

    title = str(trained.folder)
    data, _ = forecasting(trained, title)
    task, dataset = trained.task, data.load()
    assert isinstance(task, Forecasting), "the task is that of the recipe"
    test = dataset.test
    if not test.size:
        raise SpecError([diagnostic("F0618", f"the data of `{title}` has no test part",
                                    help="train it with one: `--set data.test=0.1`")])
    known = trained.preprocessing.meaning.scales
    if not all(np.shape(scale.mean) == np.shape(known[name].mean)
               and np.allclose(scale.mean, known[name].mean, rtol=0, atol=1e-3 * scale.deviation)
               and np.allclose(scale.deviation, known[name].deviation, rtol=1e-3)
               for name, scale in dataset.scales.items()):
        raise SpecError([diagnostic(
            "F0634", f"the data of `{title}` is no longer what it was trained on",
            notes=["its mean or its deviation is another one"],
            help="train it again, or backtest its recipe: `flaxspec backtest "
                 f"{title}/spec.yaml`")])
    methods = {MODEL: task.forecasts(trained, test),
               **{name: forecast[..., None] for name, forecast in task.simple(dataset).items()}}
    called = np.arange(test.size).astype(str) if test.names is None else test.names
    return Fold(test.size, str(called[0]), str(called[-1]), dataset.train.size,
                {name: _by_step(task, said, dataset) for name, said in methods.items()})


def _by_step(task: Forecasting, said: np.ndarray, dataset: Dataset) -> dict[str, np.ndarray]:
    """The figures of forecasts (examples, horizon, columns, quantiles) at each step ahead."""
    import numpy as np

    true, series = dataset.test.arrays[task.target], dataset.test.arrays.get("series")
    steps: list[dict[str, float]] = []
    middle = (task.quantiles or [0.5]).index(0.5) if said.shape[-1] > 1 else 0
    for ahead in range(true.shape[1]):
        now = slice(ahead, ahead + 1)
        errors = np.abs(said[:, now, :, middle] - true[:, now]).mean(axis=(0, 1))
        mae = task.in_units(errors, np.square(errors), dataset)["mae"]
        steps.append({"mae": mae, **task.scores(said[:, now], true[:, now], series, dataset)})
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def together(folds: Sequence[Fold]) -> dict[str, dict[str, np.ndarray]]:
    """The figures of all folds, each counted by its origins; of methods that all of them have."""
    import numpy as np

    weights = np.array([fold.origins for fold in folds], float)
    return {method: {name: np.average([fold.figures[method][name] for fold in folds], axis=0,
                                      weights=weights) for name in figures}
            for method, figures in folds[0].figures.items()
            if all(method in fold.figures for fold in folds)}
