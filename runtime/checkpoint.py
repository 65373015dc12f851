"""Checkpoints: all that a run has become, saved through Orbax so that nothing of it is lost.

A checkpoint is a folder `checkpoints/<step>` with two parts: `state`, arrays by name, and
`run`, facts as JSON, among them the name, shape and type of every array. Arrays are always
read against these, and never into a model that has others. Orbax writes into a folder of
another name and renames it in the end, so that a checkpoint is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import SpecError, diagnostic

FOLDER = "checkpoints"
# Raised when the meaning of the facts changes.
FORMAT = 1
# How many differences an error lists.
SHOWN = 8

CHANGED = "its bytes were changed"

Named = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Saved:
    """A checkpoint on disk whose arrays are not read yet.

    Attributes:
        path: its folder.
        step: how many steps were made before it.
        facts: what `Checkpoints.save` was given.
    """

    path: Path
    step: int
    facts: Mapping[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name.

        Raises:
            SpecError: F0821 they are damaged.
        """
        import orbax.checkpoint as ocp

        empty, wanted = {}, {}
        for name, (shape, dtype) in self.facts["arrays"].items():
            there = jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
            # Orbax takes no arrays without elements.
            (wanted if there.size else empty)[name] = there
        restore = ocp.args.PyTreeRestore(item=wanted, restore_args={
            name: ocp.RestoreArgs(restore_type=np.ndarray) for name in wanted})
        with _readable(self.path), _quiet():
            with ocp.CheckpointManager(self.path.parent) as manager:
                found: Any = manager.restore(self.step, args=ocp.args.Composite(state=restore))
        return {name: np.zeros(empty[name].shape, empty[name].dtype) if name in empty else
                np.asarray(found.state[name]) for name in self.facts["arrays"]}


class Checkpoints:
    """The checkpoints of a run, the last few of which are kept."""

    def __init__(self, run: Path, keep: int):
        """Say where they are; nothing is written before the first is saved.

        Args:
            run: the run's folder.
            keep: how many to keep; an older one is deleted when a newer one is complete.
        """
        self.folder = run.absolute() / FOLDER
        self._keep = keep
        self._manager: Any = None
        self._under_way = 0  # the step whose checkpoint is being written

    def save(self, step: int, arrays: Named, facts: Mapping[str, Any]) -> None:
        """Begin to save; the writing goes on behind the training.

        Args:
            step: how many steps were made; where they have a checkpoint, nothing is done.
            arrays: arrays that nobody will change.
            facts: what JSON can hold.

        Raises:
            SpecError: F0820 this checkpoint or the one before could not be written; the
                last complete one is still there.
        """
        self.wait()
        self._under_way = step
        with self._written(), _quiet():
            import orbax.checkpoint as ocp

            if self._manager is None:
                self._manager = ocp.CheckpointManager(
                    self.folder, options=ocp.CheckpointManagerOptions(
                        max_to_keep=self._keep, cleanup_tmp_directories=True))
            if step in self._manager.all_steps():
                return
            table = {name: [list(array.shape), array.dtype.name] for name, array in arrays.items()}
            text = json.dumps({**facts, "arrays": table})
            self._manager.save(step, force=True, args=ocp.args.Composite(
                state=ocp.args.PyTreeSave({n: a for n, a in arrays.items() if a.size}),
                run=ocp.args.JsonSave({"format": FORMAT, "sha256": _sum(text), "facts": text})))

    def wait(self) -> None:
        """Wait until what was begun is complete.

        Raises:
            SpecError: F0820 it could not be written.
        """
        if self._manager is not None:
            with self._written(), _quiet():
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, whatever comes of it, and end the threads that write."""
        if self._manager is not None:
            try:
                with _quiet():
                    self._manager.close()
            except Exception:  # it was told by `save` or `wait`, or something worse is under way
                pass
            self._manager = None

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise SpecError([diagnostic(
                "F0820", f"the checkpoint of step {self._under_way} cannot be written: "
                         f"{_reason(error)}",
                notes=[f"folder: {self.folder}", "the checkpoints before it are still there"],
                help="make room or give leave to write there, then go on with `--resume`",
            )]) from error


def steps(run: Path) -> list[int]:
    """The steps of the complete checkpoints in the folder of a run, the newest last."""
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(f.name) for f in folder.iterdir() if f.is_dir() and f.name.isdecimal())


def latest(run: Path) -> Saved | None:
    """The newest checkpoint in the folder of a run; None where there is none.

    Raises:
        SpecError: F0821 it is damaged or none of ours.
    """
    found = steps(run)
    if not found:
        return None
    path = run.absolute() / FOLDER / str(found[-1])
    with _readable(path), _quiet():
        import orbax.checkpoint as ocp

        with ocp.CheckpointManager(path.parent) as manager:
            read: Any = manager.restore(found[-1], args=ocp.args.Composite(
                run=ocp.args.JsonRestore()))
        run = read.run
        if not isinstance(run, Mapping) or run.get("format") != FORMAT:
            raise ValueError("it was not made by this version of flaxspec")
        if run.get("sha256") != _sum(run.get("facts", "")):
            raise ValueError(CHANGED)
    return Saved(path, found[-1], json.loads(run["facts"]))


def named(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by their place in it: `optimizer/0/mu/conv_1.kernel`; copies."""
    return {name: np.array(_bare(leaf)) for name, leaf in _leaves(tree)}


def refill(tree: Any, arrays: Named, saved: Saved) -> Any:
    """A tree of the same structure with other arrays, each where its like was.

    Args:
        tree: the structure, with arrays that are thrown away.
        arrays: for each leaf's place its array.
        saved: where they are from, for messages.

    Raises:
        SpecError: F0822 the tree has other leaves, or leaves of other shapes.
    """
    leaves = dict(_leaves(tree))
    wanted = {name: _described(_bare(leaf)) for name, leaf in leaves.items()}
    found = {name: _described(array) for name, array in arrays.items()}
    if wanted != found:
        names = sorted(wanted.keys() | found.keys())
        different = [f"{n}: saved {found.get(n, 'nothing')}, now {wanted.get(n, 'nothing')}"
                     for n in names if wanted.get(n) != found.get(n)]
        more = [f"and {len(different) - SHOWN} more"] if len(different) > SHOWN else []
        raise SpecError([diagnostic(
            "F0822", f"the checkpoint of step {saved.step} is of another model or optimiser",
            notes=[f"checkpoint: {saved.path}", *different[:SHOWN], *more],
            help="go on with the spec that made it, or begin a new run")])
    return jax.tree.unflatten(jax.tree.structure(tree), [
        _like(leaf, arrays[name]) for name, leaf in leaves.items()])


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _bare(leaf: Any) -> Any:
    """A leaf as plain numbers: a random key's data in place of the key."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf)
    return leaf


def _like(leaf: Any, array: np.ndarray) -> Any:
    """An array in the form, and on the devices, of a leaf."""
    value = jnp.array(array)
    if _bare(leaf) is not leaf:
        value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array) and leaf.committed:
        value = jax.device_put(value, leaf.sharding)
    return value


def _described(array: Any) -> str:
    """"float32 (3, 3, 1, 16)"."""
    return f"{np.dtype(array.dtype).name} {tuple(array.shape)}"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong while reading, as a diagnostic.

    Raises:
        SpecError: F0821.
    """
    try:
        yield
    except Exception as error:
        _hush()
        raise SpecError([diagnostic(
            "F0821", f"the checkpoint of step {path.name} cannot be read: {_reason(error)}",
            notes=[f"folder: {path}"],
            help="move this folder away to go on from the checkpoint before it")]) from error


def _reason(error: BaseException) -> str:
    """What an error of Orbax or TensorStore says, in short."""
    text = str(error)
    for sign, words in (("No space left", "the disk is full"), ("ENOSPC", "the disk is full"),
                        ("Read-only file system", "the disk is read-only"),
                        ("Permission denied", "permission denied"),
                        ("PERMISSION_DENIED", "permission denied"),
                        ("checksum", CHANGED), ("rror decoding", CHANGED),
                        ("do not match", CHANGED), ("Requested byte range", "it is cut short"),
                        ("NOT_FOUND", "a part of it is missing"),
                        ("Error reading", "a part of it is missing"),
                        ("Not a directory", "a file is in the way"),
                        ("File exists", "a file is in the way")):
        if sign in text:
            return words
    if isinstance(error, FileNotFoundError):
        return "a part of it is missing"
    if isinstance(error, json.JSONDecodeError):
        return CHANGED
    return text.strip().partition("\n")[0].partition(" [tensorstore_spec")[0] or (
        type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Orbax logs from the terminal: what matters is raised."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _hush() -> None:
    """Keep the readers that a failed restore leaves behind from printing tracebacks.

    Their event loop is closed when they return, which is nothing that a user can mend.
    """
    before = sys.unraisablehook

    def hook(problem: Any) -> None:
        if str(problem.exc_value) != "Event loop is closed":
            before(problem)

    sys.unraisablehook = hook
