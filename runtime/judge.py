"""Which epoch was better, by a figure of the validation part."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compiler.diagnostics import SpecError, diagnostic, nearest
from runtime.keeper import Progress
from runtime.policies import EarlyStop, Measure
from runtime.tasks.task import Task


class Judge:
    """Compares the epochs of a run by one figure."""

    def __init__(self, measure: Measure, task: Task):
        """Take up office.

        Args:
            measure: the figure, as the recipe names it.
            task: says which figure it is judged by, where the recipe does not.
        """
        chosen = measure.resolved(task.monitor, task.ways)
        assert chosen is not None, "recipes that leave this open are refused"
        self.metric, mode = chosen
        self._sign = 1 if mode == "higher" else -1
        self._patience = measure.patience if isinstance(measure, EarlyStop) else 0
        self._margin = measure.min_change if isinstance(measure, EarlyStop) else 0.0

    def score(self, figures: Mapping[str, float]) -> float:
        """The figure, turned so that higher is better.

        Raises:
            SpecError: F0611 the task gives no such figure.
        """
        if self.metric not in figures:
            raise SpecError([diagnostic(
                "F0611", f"the task gives no figure `{self.metric}`",
                notes=[f"there are: {', '.join(figures)}"],
                help=nearest(self.metric, figures) or "name one of them as `metric`")])
        return self._sign * figures[self.metric]

    def is_better(self, figures: Mapping[str, float], epoch: int, score: float) -> bool:
        """Whether an epoch's figures are better than the best until now.

        Args:
            figures: of the validation part.
            epoch: the best epoch until now; 0 for none.
            score: its score.
        """
        found = self.score(figures)
        return math.isfinite(found) and (epoch == 0 or found > score + self._margin)

    def is_over(self, progress: Progress) -> bool:
        """Whether patience has run out, before the epoch that would be next."""
        waited = progress.epoch - 1 - progress.top_epoch
        return progress.top_epoch > 0 and waited >= self._patience
