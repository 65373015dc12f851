"""Keras's `.weights.h5`: the arrays of each layer, numbered, in groups for the layers.

A layer is called by its class and its number among the layers of that class, `conv2d_1`; a
tensor here by the groups that it is in: `conv2d_1.vars.0`, `lstm.cell.vars.2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic

TOP = "layers"
MAX_ARRAYS = 100_000
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
            found: dict[str, np.ndarray] = {}
            _collect(h5py, file[TOP], "", found, file.id.get_filesize())
            return found
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise SpecError([diagnostic(
            "F0805", f"`{path}` cannot be read as weights of Keras 3",
            notes=[str(error).partition("\n")[0]],
            help="save them with `model.save_weights(\"NAME.weights.h5\")`")]) from None


def _collect(
    h5py: ModuleType, group: Any, prefix: str, found: dict[str, np.ndarray], size: int,
) -> None:
    """The arrays under a group; links, which could lead anywhere, are refused."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"`{prefix}{name}` is a link")
        inner, path = group[name], f"{prefix}{name}"
        if isinstance(inner, h5py.Group):
            if path.count(".") > 32:
                raise ValueError("its groups are nested too deeply")
            if name != RANDOM:
                _collect(h5py, inner, f"{path}.", found, size)
            continue
        if inner.dtype.kind not in "fiub":
            raise ValueError(f"`{path}` holds no numbers")
        # Outside its own bytes a file says where to read, and how much to unfold.
        if inner.external or inner.is_virtual or inner.compression or inner.nbytes > size:
            raise ValueError(f"`{path}` does not lie in the file as it is")
        if len(found) >= MAX_ARRAYS:
            raise ValueError("it has too many arrays")
        found[path] = inner[()]


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
