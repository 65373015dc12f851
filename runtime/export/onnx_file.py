"""`--to onnx`: the file, and the file run again in onnxruntime."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import SPACE_AXES
from runtime.export.compare import Feed, Run
from runtime.export.subject import Subject


def package(name: str, extra: str, why: str) -> Any:
    """A package that the base installation does not have.

    Raises:
        SpecError: F0636 it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", f"{why} needs the package {name}, which is not installed",
            help=f'pip install "flaxspec[{extra}]"')]) from None


def has_onnxruntime() -> bool:
    return importlib.util.find_spec("onnxruntime") is not None


def write_onnx(subject: Subject, path: Path, *, channels_first: bool) -> list[tuple[str, str]]:
    """Write a model.

    Args:
        subject: what to write.
        path: where to.
        channels_first: images come and go with their channels before their lines.

    Returns:
        Lines that tell what was written: (what, text).

    Raises:
        SpecError: F0920 layers that ONNX cannot express, F0636 without the package `onnx`.
    """
    package("onnx", "onnx", "`--to onnx`")
    from compiler.targets.onnx.model import OPSET, Options, onnx_model, save

    model = onnx_model(subject.graph, subject.arrays, Options(
        channels_first, subject.lengths,
        {name: (scale.mean, scale.deviation) for name, scale in subject.normalise.items()},
        subject.metadata))
    written = save(model, str(path))
    kinds = Counter(node.op_type for node in model.graph.node)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
    more = len(kinds) - 6
    rows = [("graph", f"opset {OPSET}, {len(model.graph.node)} nodes: {told}"
                      + (f" and {more} other kind{'s' if more > 1 else ''}" if more > 0 else ""))]
    rows += [(f"input {i.name}", _declared(i)) for i in model.graph.input]
    rows += [(f"output {o.name}", _declared(o)) for o in model.graph.output]
    if len(written) > 1:
        rows.append(("arrays", f"beside it, in {Path(written[1]).name}: keep the two together"))
    return rows


def _declared(value: Any) -> str:
    from onnx import helper

    kind = value.type.tensor_type
    sizes = ", ".join(str(d.dim_param or d.dim_value) for d in kind.shape.dim)
    return f"{helper.tensor_dtype_to_np_dtype(kind.elem_type).name} ({sizes})"


def runner(subject: Subject, path: Path, *, channels_first: bool) -> Run:
    """The file in onnxruntime, as a function of arrays with channels last.

    Raises:
        SpecError: F0921 onnxruntime does not take the file.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for every reason, none of them public
        raise SpecError([diagnostic(
            "F0921", f"onnxruntime {onnxruntime.__version__} does not take `{path}`",
            notes=[str(error).partition("\n")[0]],
            help="please report it with the spec; `--no-check` leaves the file there")]) from None
    read = [i.name for i in session.get_inputs()]
    names = [o.name for o in session.get_outputs()]
    axes = {v.name: v.type.axes for v in subject.graph.inputs}
    axes |= {n: v.type.axes for n, v in subject.graph.outputs.items()}

    def run(feed: Feed) -> Mapping[str, np.ndarray]:
        given = {n: _turned(feed[n], axes.get(n, ()), channels_first) for n in read}
        results = session.run(None, given)
        return {n: _turned(np.asarray(r), axes.get(n, ()), channels_first, back=True)
                for n, r in zip(names, results)}

    return run


def _turned(
    array: np.ndarray, axes: tuple[str, ...], channels_first: bool, back: bool = False,
) -> np.ndarray:
    """Images with their channels before their lines, or behind them again."""
    image = channels_first and set(axes) & set(SPACE_AXES) and "channels" in axes
    if not image:
        return array
    at = 2 if "time" in axes else 1
    return np.moveaxis(array, at, -1) if back else np.moveaxis(array, -1, at)


