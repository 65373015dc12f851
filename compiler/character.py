"""What kind of network a model is: how it reaches, remembers, shares weights, and waits.

The textbook questions about convolutional and recurrent networks, answered from plans alone,
without running anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compiler.graph import Scan
from compiler.plan import Plan, Reach, Row

# Layers that carry a state from step to step.
RECURRENT = frozenset({"rnn", "lstm", "gru", "conv_lstm"})


@dataclass(frozen=True, slots=True)
class Character:
    """How a model reaches, remembers, shares and waits.

    Attributes:
        recurrent: how many layers carry a state from step to step.
        uses: how often a weight is multiplied for one example, on average over the weights of
            convolutions and matrix products; 1 is a dense layer's.
        most_used: the layer whose weights are used most often, and how often.
        reach: the receptive field of a place before any layer looked at everything, or of the
            output, by input and axis.
        chain: the longest chain of steps that wait for each other.
        side_by_side: multiply-accumulates that may be made at the same time, on average: all of
            them by the length of the chain.
    """

    recurrent: int
    uses: float
    most_used: tuple[str, float]
    reach: Mapping[str, Mapping[str, Reach]]
    chain: int
    side_by_side: float


def character(plan: Plan) -> Character:
    """The character of a model, from its plan.

    A weight of a convolution is used at every place of its output, of a recurrent layer at every
    step, of a layer that `weights` shares in each of its uses.
    """
    working = [row for row in plan.rows if row.runs and row.macs]
    owners = {row.weights: row for row in working if row.params}
    macs: dict[str, int] = {}
    for row in working:
        if row.weights in owners:
            macs[row.weights] = macs.get(row.weights, 0) + row.macs
    used = {owners[key].path: total / _multiplied(owners[key]) for key, total in macs.items()}
    weights = sum(_multiplied(owners[key]) for key in macs)
    scans = sum(isinstance(region, Scan) for region in plan.blocks.values())
    return Character(
        recurrent=scans + sum(row.operation.word in RECURRENT for row in plan.rows if row.runs),
        uses=sum(macs.values()) / weights if weights else 0.0,
        most_used=max(used.items(), key=lambda item: item[1], default=("", 0.0)),
        reach=plan.totals.receptive_field, chain=plan.totals.steps,
        side_by_side=plan.totals.macs / max(1, plan.totals.steps))


def _multiplied(row: Row) -> int:
    """The parameters of a layer that inputs are multiplied with: its kernels."""
    kernels = sum(p.size for p in row.operation.parameters(*row.inputs).values()
                  if len(p.shape) > 1 and not p.statistic)
    return kernels or row.params


def grows(short: int, long: int, factor: int) -> str:
    """How a figure grows where a length does by a factor: "with the length", "with its square".

    Args:
        short: the figure at some length.
        long: the figure at `factor` times that length.
        factor: above 1.
    """
    if long == short:
        return "not at all"
    share = (long - short) / (short * (factor - 1)) if short else float("inf")
    if share > 1.5:
        return "with its square" if share <= 1.5 * (factor + 1) else "faster than its square"
    return "with the length" if share > 0.5 else "in part"
