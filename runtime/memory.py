"""How large a batch the memory holds, and what to say when it does not suffice."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import Diagnostic, diagnostic
from compiler.plan import FLOAT_BYTES, Plan, Row
from compiler.source import Span
from runtime.optim_document import Call, table
from runtime.patterns import matches
from runtime.policies import MOST
from runtime.train_parts import Clip, Phase

if TYPE_CHECKING:
    from runtime.recipe import Train

SHOWN = 3  # layers that are named
# XLA took up to 3.1 times what the plan says that the backward pass keeps.
SURPLUS = 3.1
SHARE = 0.8  # of the memory that is free


def fitting_batch(plan: Plan, train: Train, available: int) -> int:
    """The largest power of two of examples whose training fits the memory, at least 1.

    Args:
        plan: the model's, in training, for any batch.
        train: how it is trained.
        available: bytes.
    """
    room = SHARE * available - held(plan, train)
    # What the backward pass keeps is that of one piece of the batch.
    each = max(1.0, SURPLUS * plan.totals.activation_bytes["training"] / plan.batch
               / train.accumulate)
    size = 1
    while 2 * size <= MOST and 2 * size * each <= room:
        size *= 2
    return size


def held(plan: Plan, train: Train) -> int:
    """Bytes that training holds whatever the batch.

    The weights; and for each trained parameter, in float32, its gradient, what the optimiser
    keeps (moments), its average, the sum over the pieces of a batch, and the best weights until
    now.
    """
    copies = 1 + (train.average is not None) + (train.accumulate > 1) + (train.best is not None)
    kept = copies * plan.totals.trainable
    if train.phases:
        kept += sum(_kept(phase.optimizer, phase.clip) * _updated(plan, phase)
                    for phase in train.phases)
    else:
        kept += _kept(train.optimizer, train.clip) * plan.totals.trainable
    return plan.totals.weight_bytes + round(FLOAT_BYTES * kept)


def _kept(optimizer: Sequence[Call], clip: Clip | None) -> float:
    """How many numbers an optimiser keeps for each parameter."""
    return sum(moments(call) for call in (*optimizer, *(clip.calls if clip else ())))


def _updated(plan: Plan, phase: Phase) -> int:
    """How many numbers a phase trains; a layer of which it trains a part counts as a whole."""
    return sum(row.params for row in plan.rows if not row.frozen and any(
        matches(pattern, row.weights) or pattern.startswith(f"{row.weights}.")
        for pattern in phase.update))


def moments(call: Call) -> float:
    """How many numbers a function of optax keeps for each parameter, from the committed table."""
    kept = table()[call.group][call.name]["moments"]
    return sum(more for name, more in kept.items()
               if not name or call.arguments.get(name) not in (None, False))


def available() -> int:
    """Bytes that training may take: of the first device if it has its own, else of the machine.

    JAX is asked where it is there already; nothing is imported.
    """
    jax = sys.modules.get("jax")
    if jax is not None:
        known = jax.local_devices()[0].memory_stats() or {}
        if "bytes_limit" in known:
            return known["bytes_limit"] - known.get("bytes_in_use", 0)
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 * 2**30


def too_small(plan: Plan, train: Train, span: Span | None, said: str = "") -> Diagnostic:
    """A run has asked for more memory than there is.

    Args:
        plan: of the model, with the recipe's batch.
        train: how it is trained.
        span: where the recipe gives the batch size.
        said: what JAX says of it.
    """
    kept = plan.totals.activation_bytes["training"]
    largest = sorted((row for row in plan.rows if row.runs), key=lambda row: -_bytes(row))
    layers = ", ".join(f"`{row.path}` {_size(_bytes(row) * plan.batch)}" for row in largest[:SHOWN])
    piece = f" for each of {train.accumulate} pieces" if train.accumulate > 1 else ""
    notes = [f"the backward pass keeps at least {_size(kept / train.accumulate)}{piece}; "
             f"parameters, gradients, the optimiser's state and averages take "
             f"{_size(held(plan, train))}",
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
