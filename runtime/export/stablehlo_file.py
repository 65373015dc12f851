"""`--to stablehlo`: the file, and the file loaded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from runtime.export.compare import Feed, Run
from runtime.export.onnx_file import package
from runtime.export.subject import Subject


def write_stablehlo(
    subject: Subject, path: Path, platforms: Sequence[str],
) -> list[tuple[str, str]]:
    """Write a model.

    Returns:
        Lines that tell what was written: (what, text).

    Raises:
        SpecError: F0922 an open length has to be known, F0636 without the package `flatbuffers`.
    """
    package("flatbuffers", "stablehlo", "`--to stablehlo`")
    from jax import export

    from compiler.targets.stablehlo import stablehlo_bytes

    data, least = stablehlo_bytes(subject.graph, subject.outputs, lengths=subject.lengths,
                           platforms=platforms)
    path.write_bytes(data)
    exported = export.deserialize(bytearray(data))
    shapes = exported.in_tree.unflatten(exported.in_avals)[0][0]
    results = exported.out_tree.unflatten(exported.out_avals)
    return [
        ("for", f"{', '.join(exported.platforms)}; JAX calling convention "
                f"{exported.calling_convention_version}"),
        *((f"input {n}", f"{a.dtype} ({', '.join(map(str, a.shape))})")
          for n, a in shapes.items()),
        *((f"output {n}", f"{a.dtype} ({', '.join(map(str, a.shape))})")
          for n, a in results.items()),
        *([("lengths", f"{least} steps at least: less would leave a window nothing to stand on")]
          if least > 1 else [])]


def runner(path: Path) -> Run:
    """The file, loaded as any other process would."""
    import jax
    from jax import export

    exported = export.deserialize(bytearray(path.read_bytes()))
    call = jax.jit(exported.call)

    def run(feed: Feed) -> Mapping[str, np.ndarray]:
        given = {n: a.astype(np.int32) if a.dtype == np.int64 else a for n, a in feed.items()}
        return {n: np.asarray(a) for n, a in call(given).items()}

    return run
