"""Training examples mixed in pairs: mixup and CutMix.

Each example gets a partner, the order of a shuffled batch, and a share of itself that it
keeps. The inputs are mixed here; a task's loss mixes the targets by the same shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task
from runtime.train_parts import Mix

if TYPE_CHECKING:
    import jax

    from runtime.batch import Batch


def check_mix(
    mix: Mix, task: Task, inputs: Mapping[str, TensorType], report: Report, span: Span | None,
) -> None:
    """Report what cannot be mixed.

    Args:
        mix: the recipe's setting.
        task: whose targets are mixed.
        inputs: the fields that the model gets.
        report: where errors go.
        span: where the recipe has it.
    """
    if not task.mixes:
        report.error("F0611", f"the targets of {task.title} cannot be mixed", span,
                     help="take `mix` away; classification and multi_label have targets that can")
    for name, kind in inputs.items():
        if kind.dtype != "float" or "time" in kind.axes:
            report.error("F0611", f"`{name}` cannot be mixed: it is {kind.described()}"
                                  + (f" of {kind.dtype} values" if kind.dtype != "float" else ""),
                         span, help="images and vectors of numbers can; take `mix` away")
        elif mix.cutmix is not None and not {"height", "width"} <= set(kind.axes):
            report.error("F0611", f"`cutmix` pastes rectangles of images, but `{name}` is "
                                  f"{kind.described()}", span,
                         help="say `mix: {mixup: 0.2}` alone")


def mixing(
    mix: Mix, fields: Mapping[str, TensorType],
) -> Callable[[Batch, jax.Array], Batch]:
    """The function that mixes a batch.

    Args:
        mix: how.
        fields: the inputs that are mixed.
    """
    import jax
    import jax.numpy as jnp

    from runtime.batch import Mixing

    def mixed(batch: Batch, key: jax.Array) -> Batch:
        pairs, coin, blend, cut, often = jax.random.split(key, 5)
        count = len(batch.rows)
        partner = jax.random.permutation(pairs, count)
        # A row that only fills up the batch is nobody's partner.
        partner = jnp.where(batch.rows[partner], partner, jnp.arange(count))
        cuts = jnp.full(count, mix.mixup is None)
        if mix.mixup is not None and mix.cutmix is not None:
            cuts = jax.random.bernoulli(coin, 0.5, (count,))
        at_all = jax.random.bernoulli(often, mix.probability, (count,))
        share = jnp.ones(count)
        if mix.mixup is not None:
            drawn = jax.random.beta(blend, mix.mixup, mix.mixup, (count,))
            share = jnp.where(at_all & ~cuts, drawn, 1.0)
        arrays = {name: _blended(batch.arrays[name], partner, share) for name in fields}
        if mix.cutmix is not None:
            box = _Boxes(cut, mix.cutmix, count)
            for name, kind in fields.items():
                inside = box.inside(kind, batch.arrays[name].shape)
                inside &= _column(at_all & cuts, inside.ndim)
                arrays[name] = jnp.where(inside, batch.arrays[name][partner], arrays[name])
                # What a pixel's share of the picture is does not depend on its channels.
                own = 1 - inside.reshape(count, -1).mean(axis=1)
                share = jnp.where(at_all & cuts, own, share)
        return batch._replace(arrays=batch.arrays | arrays, mixing=Mixing(partner, share))

    return mixed


class _Boxes:
    """Rectangles at random places, one for each row, in parts of the image's sides."""

    def __init__(self, key: jax.Array, alpha: float, count: int):
        import jax
        import jax.numpy as jnp

        area, place = jax.random.split(key)
        self._half = jnp.sqrt(jax.random.beta(area, alpha, alpha, (count,))) / 2
        self._centre = jax.random.uniform(place, (2, count))

    def inside(self, kind: TensorType, shape: tuple[int, ...]) -> jax.Array:
        """True in the rectangle of each row, with 1 for the axes it does not depend on."""
        import jax.numpy as jnp

        inside = jnp.ones((shape[0], *(1,) * (len(shape) - 1)), bool)
        for axis, centre in zip(("height", "width"), self._centre):
            dim = kind.axes.index(axis) + 1
            places = (jnp.arange(shape[dim]) + 0.5) / shape[dim]
            within = jnp.abs(places - centre[:, None]) < self._half[:, None]
            sizes = [1] * len(shape)
            sizes[0], sizes[dim] = within.shape
            inside &= within.reshape(sizes)
        return inside


def _blended(array: jax.Array, partner: jax.Array, share: jax.Array) -> jax.Array:
    """Rows (batch, *axes) and their partners in shares (batch,)."""
    share = _column(share, array.ndim)
    return share * array + (1 - share) * array[partner]


def _column(values: jax.Array, rank: int) -> jax.Array:
    """Values (batch,) with axes of size 1 behind."""
    return values.reshape(-1, *(1,) * (rank - 1))
