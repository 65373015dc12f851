"""The devices of a run: one, or several that share every batch.

With several, parameters lie on each of them and every batch is cut by rows. The step is one
program over all devices, in which XLA adds up what crosses the cut: gradients, the loss, and
the statistics of batch norms, which so are those of the whole batch.

The devices may be those of several processes (`jax.distributed`). Each process then reads its
shard of every batch, the rows for its own devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import (
    AxisType,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

from compiler.diagnostics import SpecError, diagnostic
from runtime.batch import Batch
from runtime.data.pipeline import WHOLE, Shard

# What a user asks for, by the name of JAX's backend, with the extra that brings it.
EXTRAS = {"cpu": "", "cuda": "cuda", "gpu": "cuda", "tpu": "tpu"}


@dataclass(frozen=True)
class Placement:
    """Where arrays go.

    Attributes:
        devices: what the run computes on.
        everywhere: the sharding of what lies on every device; None where JAX puts it anyway.
        rows: the sharding of what is cut by rows; None likewise.
    """

    devices: tuple[Any, ...]
    everywhere: Sharding | None = None
    rows: Sharding | None = None

    @classmethod
    def over(cls, devices: Sequence[Any]) -> Placement:
        """The placement over some devices of one kind; JAX's own objects."""
        if len(devices) == 1:
            only = SingleDeviceSharding(devices[0])
            default = devices[0] == jax.local_devices()[0]
            return cls(tuple(devices)) if default else cls(tuple(devices), only, only)
        mesh = jax.make_mesh((len(devices),), ("rows",), axis_types=(AxisType.Auto,),
                             devices=tuple(devices))
        return cls(tuple(devices), NamedSharding(mesh, PartitionSpec()),
                   NamedSharding(mesh, PartitionSpec("rows")))

    def copied(self, tree: Any) -> Any:
        """A tree whose arrays lie on every device."""
        return tree if self.everywhere is None else jax.device_put(tree, self.everywhere)

    def cut(self, batch: Batch) -> Batch:
        """A batch cut among the devices, filled up where it cannot be cut evenly.

        What fills it up are copies of its first row, which do not count.

        Args:
            batch: the rows of this process; those of all of them where there is only one.
        """
        if self.rows is None:
            return batch
        processes = self.shard.count
        missing = -len(batch.rows) % (len(self.devices) // processes)
        batch = _filled(batch, missing) if missing else batch
        if processes == 1:
            return jax.device_put(batch, self.rows)
        rows = self.rows
        return jax.tree.map(
            lambda a: jax.make_array_from_process_local_data(rows, np.asarray(a)), batch)

    @property
    def shard(self) -> Shard:
        """The rows of every batch that this process reads."""
        processes = sorted({device.process_index for device in self.devices})
        return WHOLE if len(processes) == 1 else Shard(
            processes.index(jax.process_index()), len(processes))

    @property
    def readable(self) -> Sharding | None:
        """The sharding of results that every process can read as a whole; None where all are."""
        return self.everywhere if self.shard.count > 1 else None

    def rows_of(self, size: int) -> int:
        """How many rows a batch of some size has once it is cut."""
        return size if self.rows is None else size + -size % len(self.devices)

    @property
    def described(self) -> str:
        """"cpu", "2 × NVIDIA H100"."""
        count = f"{len(self.devices)} × " if len(self.devices) > 1 else ""
        kinds = {device.device_kind for device in self.devices}
        return f"{count}{' and '.join(sorted(kinds))}"


@partial(jax.jit, static_argnums=1)
def _filled(batch: Batch, missing: int) -> Batch:
    def more(array: jax.Array) -> jax.Array:
        return jnp.concatenate([array, jnp.repeat(array[:1], missing, 0)])

    filled = jax.tree.map(more, batch)
    size = len(batch.rows)
    return filled._replace(rows=filled.rows & (jnp.arange(size + missing) < size))


def choose(asked: str = "", count: int | None = None) -> Placement:
    """The placement over the devices that were asked for.

    Args:
        asked: "" for all that JAX finds, the fastest kind; a kind, `cpu`, `cuda`, `tpu`, for all
            of it; `cuda:1` for one of them.
        count: take the first few of them, if there are more: as many as a run began with.

    Raises:
        SpecError: F0824 there are none.
    """
    if not asked:
        return Placement.over(jax.local_devices()[:count])
    kind, _, number = asked.partition(":")
    if kind not in EXTRAS or (number and not number.isdecimal()):
        raise SpecError([diagnostic(
            "F0824", f"`{asked}` is not a device", notes=[f"kinds: {', '.join(EXTRAS)}"],
            help="for example `--device cpu` or `--device cuda:0`")])
    try:
        devices = jax.local_devices(backend=kind)
    except RuntimeError as error:
        raise SpecError([_missing(kind, error)]) from None
    if number:
        if int(number) >= len(devices):
            raise SpecError([diagnostic(
                "F0824", f"there is no `{asked}`: {kind} has {len(devices)} "
                         f"{'devices' if len(devices) > 1 else 'device'}",
                help=f"they are counted from 0: `--device {kind}:0`")])
        devices = [devices[int(number)]]
    return Placement.over(devices[:count])


def _missing(kind: str, error: RuntimeError) -> Any:
    """What to say where JAX finds no device of a kind."""
    extra = EXTRAS[kind]
    said = str(error).partition("\n")[0].partition(" (you may need")[0]
    if extra and not _installed(extra):
        return diagnostic(
            "F0824", f"JAX is installed without {kind}", notes=[f"JAX says: {said}"],
            help=f"pip install 'flaxspec[{extra}]'")
    return diagnostic(
        "F0824", f"JAX finds no {kind} device", notes=[f"JAX says: {said}"],
        help="look whether the driver is there, or leave `--device` out")


def _installed(extra: str) -> bool:
    """Whether the packages of an extra are there."""
    from importlib.metadata import distributions

    prefix = {"cuda": ("jax-cuda", "jax_cuda"), "tpu": ("libtpu",)}[extra]
    return any((d.metadata["Name"] or "").lower().startswith(prefix) for d in distributions())
