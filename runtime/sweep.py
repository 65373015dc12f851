"""`flaxspec sweep`: many runs of a recipe with other values, and what came of them.

A sweep has a folder with optuna's journal, from which it goes on after it was cut off, and a
folder for each trial, which is a run like any other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from runtime.execution import Wish, execute
from runtime.folder import METRICS, writable, write_json
from runtime.lock import alone
from runtime.report.jsonl import read_events
from runtime.report.listener import Beginning, Epoch, Listener
from runtime.run import Prepared, prepare
from runtime.search import Choices, Search, read_search
from runtime.stopping import Stop

# Figures of the tasks that are better the lower they are.
LOWER = ("loss", "mae", "rmse", "perplexity")
NUMBER = "number"  # of our trial, as optuna keeps it
JOURNAL, REQUEST, RESULTS = "journal.log", "sweep.json", "results.json"


@dataclass(frozen=True)
class Plan:
    """A sweep that was found to be in order.

    Attributes:
        spec: the recipe.
        variant: one of its variants.
        assignments: the texts of `--set`, for every trial.
        search: what to try.
        prepared: the recipe as it stands.
        metric: what to choose by.
        highest: whether the highest value is best.
    """

    spec: str
    variant: str
    assignments: tuple[str, ...]
    search: Search
    prepared: Prepared
    metric: str
    highest: bool

    @property
    def trials(self) -> int:
        """How many runs to make: of a grid no more than it has combinations."""
        most = self.search.trials
        return min(most, _grid_size(self.search)) if self.search.sampler == "grid" else most

    @property
    def request(self) -> dict[str, Any]:
        """What must be the same for a sweep to go on."""
        return {"variant": self.variant, "set": list(self.assignments), "metric": self.metric,
                "goal": "highest" if self.highest else "lowest",
                "space": {path: values.model_dump() for path, values in self.search.space.items()}}


@dataclass
class Trial:
    """A run of a sweep.

    Attributes:
        number: from 1.
        values: what was tried, by path.
        score: the metric; None where it came to nothing.
        state: "finished", "pruned", "failed".
        seconds: how long it took.
        note: why it failed.
        curve: (epoch, metric) on the validation part.
    """

    number: int
    values: dict[str, Any]
    score: float | None = None
    state: str = "failed"
    seconds: float = 0.0
    note: str = ""
    curve: list[tuple[int, float]] = field(default_factory=list)


def plan(spec: str, variant: str, assignments: Sequence[str], trials: int | None) -> Plan:
    """Check a recipe's search, each value's ends apart, before anything runs.

    Raises:
        SpecError: F0610 there is no search, or whatever is wrong with it.
    """
    report = Report()
    prepared = prepare(spec, report, variant=variant, assignments=assignments)
    found = read_search(prepared.program, prepared.training, prepared.graph, report)
    report.check()
    assert found is not None, "no search and no error"
    search = found.model_copy(update={"trials": trials or found.trials})
    task = prepared.training.goal
    for path, values in search.space.items():
        for value in values.ends():
            prepare(spec, Report(), variant=variant,
                    assignments=[*assignments, assignment(path, value)])
    metric = search.metric or task.monitor
    highest = (search.goal == "highest") if search.goal else (
        task.ways[metric] == "higher" if metric in task.ways else metric not in LOWER)
    return Plan(spec, variant, tuple(assignments), search, prepared, metric, highest)


def assignment(path: str, value: Any) -> str:
    """`--set` for a value."""
    return f"{path}={json.dumps(value)}"


def run(
    sweep: Plan, folder: Path, tell: Callable[[Trial, Trial | None], None], *,
    resume: bool = False, stop: Stop | None = None,
) -> list[Trial]:
    """Make the trials that are still to be made; all there are, in order.

    Args:
        sweep: what to try.
        folder: an empty folder, or that of the sweep to go on with.
        tell: called after each trial, with the best one so far.
        resume: go on with what is there: trials that were cut off from their checkpoints.
        stop: may ask the trial under way to save and stop.

    Raises:
        Stopped: it was asked to stop, and has.
        SpecError: F0636 optuna is missing, F0823 the folder is that of another sweep, F0825
            another process is at work there.
    """
    optuna = _optuna()
    with writable(folder), alone(folder):
        return _run(sweep, folder, tell, optuna, resume=resume, stop=stop)


def _run(
    sweep: Plan, folder: Path, tell: Callable[[Trial, Trial | None], None], optuna: Any, *,
    resume: bool, stop: Stop | None,
) -> list[Trial]:
    if resume and (folder / REQUEST).exists():
        _check_same(sweep, folder)
    else:
        write_json(folder / REQUEST, sweep.request)
    trials = read(folder)
    study = _study(optuna, sweep, folder)
    _take_up(study, trials, optuna)
    while len(trials) < sweep.trials:
        asked = study.ask()
        trial = Trial(max((t.number for t in trials), default=0) + 1, {
            path: values.draw(asked, path) for path, values in sweep.search.space.items()})
        asked.set_user_attr(NUMBER, trial.number)
        _make(sweep, trial, asked, folder, optuna, stop)
        trials.append(trial)
        write_json(folder / RESULTS, {"metric": sweep.metric, "highest": sweep.highest,
                                      "trials": [vars(t) for t in trials]})
        _record(study, asked.number, trial, optuna)
        tell(trial, best(trials, sweep.highest))
    return trials


def _take_up(study: Any, trials: Sequence[Trial], optuna: Any) -> None:
    """Let the study go on with the trial that was under way when the sweep was cut off.

    Optuna cannot go on with a trial: its next one takes the same values. As nothing came of the
    first, both have the same number among ours, and with it the folder, where the run goes on.
    """
    states = optuna.trial.TrialState
    known = {trial.number: trial for trial in trials}
    for cut_off in study.get_trials(states=(states.RUNNING,)):
        if done := known.get(cut_off.user_attrs.get(NUMBER)):  # only optuna was not told yet
            _record(study, cut_off.number, done, optuna)
            continue
        study.tell(cut_off.number, state=states.FAIL)
        study.enqueue_trial(cut_off.params)


def _record(study: Any, number: int, trial: Trial, optuna: Any) -> None:
    """Tell optuna what came of a trial."""
    states = optuna.trial.TrialState
    match trial.state:
        case "finished":
            study.tell(number, trial.score)
        case "pruned":
            study.tell(number, state=states.PRUNED)
        case _:
            study.tell(number, state=states.FAIL)


def read(folder: Path) -> list[Trial]:
    """The trials of a sweep that are done."""
    try:
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return [Trial(**trial) for trial in found["trials"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def best(trials: Sequence[Trial], highest: bool) -> Trial | None:
    """The best finished trial, the first of equals."""
    done = [trial for trial in trials if trial.state == "finished" and trial.score is not None]
    return max(done, key=lambda t: (t.score or 0) * (1 if highest else -1), default=None)


class _Watch(Listener):
    """Follows the metric through a trial, and cuts it off where optuna says so."""

    def __init__(self, asked: Any, metric: str, own: Path, pruned: type[Exception] | None):
        self._asked, self._metric, self._own, self._pruned = asked, metric, own, pruned

    def begin(self, beginning: Beginning) -> None:
        if beginning.done:  # the run goes on: optuna knows nothing of its past
            for number, value in _curve(self._own, self._metric):
                self._asked.report(value, number)

    def epoch(self, epoch: Epoch) -> None:
        if not epoch.validation:
            return
        if self._metric not in epoch.validation:
            raise SpecError([diagnostic(
                "F0611", f"the search chooses by `{self._metric}`, which the validation part "
                         "does not have", notes=[f"it has: {', '.join(epoch.validation)}"])])
        self._asked.report(epoch.validation[self._metric], epoch.epoch)
        if self._pruned is not None and self._asked.should_prune():
            raise self._pruned


def _curve(own: Path, metric: str) -> list[tuple[int, float]]:
    """(epoch, metric) on the validation part, from the history of a run."""
    if not (own / METRICS).exists():
        return []
    told = [(event["epoch"], event["validation"].get(metric))
            for event in read_events(own / METRICS) if event.get("event") == "epoch"]
    return [(epoch, value) for epoch, value in told if value is not None]


def _make(
    sweep: Plan, trial: Trial, asked: Any, folder: Path, optuna: Any, stop: Stop | None,
) -> None:
    """Make one run, or go on with it; what became of it stands in `trial`."""
    import jax

    from runtime.resume import batch_size_of

    begun, own = time.monotonic(), folder / f"trial-{trial.number}"
    assignments = [*sweep.assignments, *(assignment(p, v) for p, v in trial.values.items())]
    pruned = optuna.TrialPruned if sweep.search.prune else None
    watch = _Watch(asked, sweep.metric, own, pruned)
    try:
        prepared = prepare(sweep.spec, Report(), variant=sweep.variant, assignments=assignments)
        if prepared.auto and (size := batch_size_of(own)):
            prepared = prepare(sweep.spec, Report(), variant=sweep.variant,
                               assignments=[*assignments, f"train.batch_size={size}"])
        resume = own.exists()
        own.mkdir(exist_ok=True)
        result = execute(prepared, own, f"flaxspec sweep {sweep.spec}", [watch],
                         Wish(resume=resume, report=False, stop=stop))
        curve = _curve(own, sweep.metric)
        trial.score = dict(curve).get(result.best_epoch, curve[-1][1] if curve else None)
        trial.state = "finished" if trial.score is not None else "failed"
        if trial.score is None:
            trial.note = f"`{sweep.metric}` was no number on the validation part"
    except optuna.TrialPruned:
        trial.state = "pruned"
    except SpecError as error:
        first = error.diagnostics[0]
        if "chooses by" in first.headline:
            raise
        trial.note = f"{first.code}: {first.headline}"
    finally:
        trial.curve = _curve(own, sweep.metric)
        trial.seconds = round(time.monotonic() - begun, 3)
        # Every trial compiles its own steps: without this the memory grows with their number.
        jax.clear_caches()


def _study(optuna: Any, sweep: Plan, folder: Path) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = sweep.prepared.training.train.seed
    match sweep.search.sampler:
        case "tpe":
            sampler = optuna.samplers.TPESampler(seed=seed)
        case "random":
            sampler = optuna.samplers.RandomSampler(seed=seed)
        case "grid":
            sampler = optuna.samplers.GridSampler(
                {path: list(range(len(values.ends())))
                 for path, values in sweep.search.space.items()}, seed=seed)
            # Behind the last combination it would stop `study.optimize`, which nobody called.
            sampler.after_trial = lambda *_: None
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    return optuna.create_study(
        study_name="sweep", storage=optuna.storages.JournalStorage(backend), sampler=sampler,
        pruner=optuna.pruners.MedianPruner() if sweep.search.prune else optuna.pruners.NopPruner(),
        direction="maximize" if sweep.highest else "minimize", load_if_exists=True)


def _grid_size(search: Search) -> int:
    size = 1
    for values in search.space.values():
        assert isinstance(values, Choices), "checked by Search"
        size *= len(values.values)
    return size


def _check_same(sweep: Plan, folder: Path) -> None:
    """Raise F0823 where a folder is that of another sweep."""
    try:
        before = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except ValueError:
        before = {}
    now = json.loads(json.dumps(sweep.request))
    if isinstance(before, dict) and before:
        before.setdefault("goal", now["goal"])  # sweeps did not always say it
    differing = [key for key in now if before.get(key) != now[key]]
    if differing:
        raise SpecError([diagnostic(
            "F0823", f"`{folder}` is a sweep with another `{differing[0]}`",
            notes=[f"then: {json.dumps(before.get(differing[0]))}",
                   f"now: {json.dumps(now[differing[0]])}"],
            help="choose another `--out`, or go back to the search it began with")])


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", "a sweep needs the package optuna",
            help="install it: `pip install \"flaxspec[sweep]\"`")]) from None
    return optuna
