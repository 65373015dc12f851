"""Files of arrays by name: safetensors, PyTorch's, Keras's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from compiler.diagnostics import SpecError, diagnostic
from compiler.weights.pth import read_pth, write_pth

SAFETENSORS, TORCH, KERAS = (".safetensors",), (".pth", ".pt", ".bin"), (".h5", ".hdf5")
Kind = Literal["safetensors", "torch", "keras"]


@dataclass(frozen=True)
class TensorFile:
    """A file that was read.

    Attributes:
        path: where it is.
        kind: its format.
        tensors: its arrays by name; only PyTorch's are in an order that means something.
    """

    path: Path
    kind: Kind
    tensors: Mapping[str, np.ndarray]


def kind_of(path: Path) -> Kind:
    """The format that a file's ending stands for; safetensors where it stands for none."""
    if path.suffix in KERAS:
        return "keras"
    return "torch" if path.suffix in TORCH else "safetensors"


def read_file(path: Path) -> TensorFile:
    """Read a file of arrays.

    Raises:
        SpecError: F0805 it is not there, damaged, or of another format, F0880 it holds more
            than arrays.
    """
    if not os.path.isfile(path):
        what = "it is a folder" if os.path.isdir(path) else ""
        raise SpecError([diagnostic("F0805", f"there is no file of weights `{path}`",
                                    notes=[what] if what else [])])
    kind = kind_of(path)
    if kind == "torch":
        return TensorFile(path, kind, read_pth(path))
    if kind == "keras":
        from compiler.weights.keras_file import read_keras

        return TensorFile(path, kind, read_keras(path))
    import ml_dtypes  # noqa: F401 - NumPy then knows bfloat16

    try:
        return TensorFile(path, kind, load_file(path))
    except AttributeError as error:  # NumPy has no such type of numbers: "float8_e4m3fn"
        raise SpecError([diagnostic(
            "F0805", f"`{path}` has numbers of a type that cannot be read here",
            notes=[str(error)], help="save it in float32, float16 or bfloat16")]) from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError([diagnostic(
            "F0805", f"`{path}` is not a safetensors file", notes=[str(error)],
            help="files of other libraries end in .pth, .pt or .h5")]) from None


def write_file(path: Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write arrays in the format of the file's ending; an old file is replaced whole.

    Raises:
        SpecError: F0807 it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        match kind_of(path):
            case "safetensors":
                # The format takes no views of other arrays.
                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()},
                          partial, metadata)
            case "torch":
                write_pth(partial, arrays)
            case "keras":
                from compiler.weights.keras_file import write_keras

                write_keras(partial, arrays)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SpecError([diagnostic(
            "F0802", f"`{path}` cannot be written: {error.strerror or error}",
            help="choose another place with `-o`")]) from None
