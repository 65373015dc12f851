"""What happens in which epoch: how many steps, how large a batch, how long a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.types import TensorType
from runtime.optim_document import Run

if TYPE_CHECKING:
    from runtime.batch import Batch
    from runtime.recipe import Train


@dataclass(frozen=True)
class Timetable:
    """The epochs of a run.

    Attributes:
        run: its length.
        sizes: the batch size of each epoch.
        lengths: how much of each sequence is trained on in each epoch; None for all of it.
    """

    run: Run
    sizes: tuple[int, ...]
    lengths: tuple[int | None, ...]

    @property
    def epochs(self) -> int:
        """How many there are; the last may be cut short."""
        return len(self.sizes)

    def size(self, epoch: int) -> int:
        """The batch size of an epoch, from 1; beyond the last, that of the last."""
        return self.sizes[min(epoch, self.epochs) - 1]

    def length(self, epoch: int) -> int | None:
        """How much of each sequence an epoch is trained on; None for all of it."""
        return self.lengths[min(epoch, self.epochs) - 1]


def timetable(train: Train, examples: int, *, drop_last: bool = False) -> Timetable:
    """The timetable of a run.

    Args:
        train: the recipe's section.
        examples: how many there are to train on.
        drop_last: whether those that do not fill a batch are left out.
    """
    sizes: list[int] = []
    ends: list[int] = []
    while len(sizes) < train.epochs if train.epochs else not ends or ends[-1] < (train.steps or 0):
        size = train.batch_size_changes.at(len(sizes) + 1, train.epochs or 0) or train.batch_size
        steps = examples // size if drop_last else -(-examples // size)
        sizes.append(size)
        ends.append((ends[-1] if ends else 0) + max(steps, 1))
    epochs = len(sizes)
    lengths = (train.sequence_length_changes.at(epoch + 1, epochs) for epoch in range(epochs))
    differ = len(set(sizes)) > 1
    run = Run(train.steps or ends[-1], ends[0], tuple(ends) if differ else ())
    return Timetable(run, tuple(sizes), tuple(lengths))


def shortened(
    batch: Batch, fields: Mapping[str, TensorType], inputs: Mapping[str, str], length: int,
) -> Batch:
    """A batch with only the first steps of its sequences.

    Args:
        batch: the batch.
        fields: the types of its fields.
        inputs: for each input of the model, its field.
        length: how many steps are left. Of the targets those are cut that are as long as an input.
    """
    import jax.numpy as jnp

    timed = {name: batch.arrays[name].shape[1] for name, kind in fields.items()
             if name in batch.arrays and kind.axes[:1] == ("time",)}
    long = {timed[name] for name in inputs.values() if name in timed}
    cut = {name for name, steps in timed.items() if steps in long and steps > length}
    return batch._replace(
        arrays={n: array[:, :length] if n in cut else array for n, array in batch.arrays.items()},
        lengths={n: jnp.minimum(steps, length) if n in cut else steps
                 for n, steps in batch.lengths.items()})
