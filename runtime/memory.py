"""What to say when the memory does not suffice."""

from __future__ import annotations

from math import prod

from compiler.diagnostics import Diagnostic, diagnostic
from compiler.plan import FLOAT_BYTES, Plan, Row
from compiler.source import Span

SHOWN = 3  # layers that are named


def too_small(plan: Plan, span: Span | None, said: str = "") -> Diagnostic:
    """A run has asked for more memory than there is.

    Args:
        plan: of the model, with the recipe's batch.
        span: where the recipe gives the batch size.
        said: what JAX says of it.
    """
    kept = plan.totals.activation_bytes["training"]
    largest = sorted((row for row in plan.rows if row.runs), key=lambda row: -_bytes(row))
    layers = ", ".join(f"`{row.path}` {_size(_bytes(row) * plan.batch)}" for row in largest[:SHOWN])
    notes = [f"the backward pass keeps at least {_size(kept)}, parameters take "
             f"{_size(plan.totals.weight_bytes)} and the optimiser's state with gradients two to "
             "three times as much",
             f"the largest outputs are those of {layers}"]
    if said := said.partition("\n")[0].removeprefix("RESOURCE_EXHAUSTED: ").strip():
        notes.append(f"JAX says: {said}")
    return diagnostic(
        "F0804", f"the memory is too small for this model and a batch of {plan.batch:,}", span,
        notes=notes,
        help=f"try `batch_size: {max(1, plan.batch // 2)}`; `remat: true` beside a block computes "
             "it again in the backward pass and keeps less")


def _bytes(row: Row) -> int:
    """What the output of a layer takes for one example."""
    sizes = [size for size in row.output.shape if isinstance(size, int)]
    return FLOAT_BYTES * prod(sizes)


def _size(count: float) -> str:
    """"97.7 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
