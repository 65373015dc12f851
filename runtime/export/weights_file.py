"""`--to safetensors` and `--to torch`: the parameters and running statistics, and nothing else."""

from __future__ import annotations

from pathlib import Path

from compiler.lower.weights import save_weights
from compiler.weights.files import write_file
from compiler.weights.save import weights_to_torch
from runtime.export.subject import Subject


def write_weights(subject: Subject, path: Path, to: str) -> list[tuple[str, str]]:
    """Write the arrays of a model.

    Args:
        subject: the model.
        path: where to.
        to: "safetensors" for our paths, "torch" for PyTorch's names and layouts.

    Returns:
        Lines that tell what was written: (what, text).

    Raises:
        SpecError: F0884 a layer has no counterpart in PyTorch.
    """
    arrays = subject.arrays
    if to == "torch":
        arrays = weights_to_torch(subject.model.graph, arrays)
        write_file(path, arrays, subject.metadata)
        names = f"PyTorch's: {next(iter(arrays), 'none')}, …"
    else:
        save_weights(subject.model, path, subject.metadata)
        names = "the paths of the model"
    count = sum(array.size for array in arrays.values())
    return [("arrays", f"{len(arrays):,}, {count:,} numbers; names are {names}")]
