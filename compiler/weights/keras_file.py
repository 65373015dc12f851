"""Keras's `.weights.h5`: the arrays of each layer, numbered, in groups for the layers.

A layer is called by its class and its number among the layers of that class, `conv2d_1`; a
tensor here by the groups that it is in: `conv2d_1.vars.0`, `lstm.cell.vars.2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic

TOP = "layers"
MAX_ENTRIES, MAX_DEPTH = 100_000, 32
# Kept beside a layer's arrays: states of its random numbers.
RANDOM = "seed_generator"


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that `model.save_weights("….weights.h5")` of Keras 3 wrote.

    Raises:
        SpecError: F0805 it is damaged, or another file of that ending; F0636 h5py is missing.
    """
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            if TOP not in file or not isinstance(file.get(TOP, getlink=True), h5py.HardLink):
                raise ValueError("it has no `layers`, as files of Keras 2 and whole models "
                                 "have none")
            return dict(_arrays(h5py, file[TOP], "", _Budget(file.id.get_filesize())))
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise SpecError([diagnostic(
            "F0805", f"`{path}` cannot be read as weights of Keras 3",
            notes=[str(error).partition("\n")[0]],
            help="save them with `model.save_weights(\"NAME.weights.h5\")`")]) from None


@dataclass
class _Budget:
    """What may still be read: bytes, and groups and arrays. Several names may be of one."""

    bytes: int
    entries: int = MAX_ENTRIES


def _arrays(
    h5py: ModuleType, group: Any, prefix: str, budget: _Budget,
) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays under a group; links, which could lead anywhere, are refused."""
    for name in group:
        budget.entries -= 1
        if budget.entries < 0 or prefix.count(".") > MAX_DEPTH:
            raise ValueError("it has too many groups and arrays")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"`{prefix}{name}` is a link")
        inner, path = group[name], f"{prefix}{name}"
        if isinstance(inner, h5py.Group):
            if name != RANDOM:
                yield from _arrays(h5py, inner, f"{path}.", budget)
            continue
        if inner.dtype.kind not in "fiub":
            raise ValueError(f"`{path}` holds no numbers")
        budget.bytes -= inner.nbytes
        # Outside its own bytes a file says where to read, and how much to unfold.
        if inner.external or inner.is_virtual or inner.compression or budget.bytes < 0:
            raise ValueError(f"`{path}` does not lie in the file as it is")
        yield path, inner[()]


def write_keras(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by such names as a file that `model.load_weights` of Keras 3 reads."""
    with _h5py().File(path, "w", track_order=False) as file:
        for name, array in arrays.items():
            file.create_dataset(f"{TOP}/{name.replace('.', '/')}", data=array)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", "files of Keras need the package h5py",
            help="install it: `pip install flaxspec[keras]`")]) from None
    return h5py
