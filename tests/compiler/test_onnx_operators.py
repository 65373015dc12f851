"""Every row of the shared table as ONNX, run in onnxruntime, gives the compiled layer's numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from compiler.diagnostics import SpecError
from compiler.graph import Graph, Node, Value
from compiler.lower.tensor import Tensor
from compiler.targets.onnx.model import LENGTHS, Options, onnx_model
from tests.compiler.operator_table import ROWS, Row
from tests.compiler.test_operators import (
    arrays,
    check_close,
    context_of,
    data,
    layer_of,
    make,
    noise,
    outputs_of,
    ragged,
    spoiled,
    tensors,
)

REFUSED = {"random"}


def is_timed(row: Row) -> bool:
    return any("time" in t.axes for t in row.inputs)


# Rows with a time axis are run with lengths in any case.
every_row = pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.slow) if is_timed(row) else row
            for row in ROWS if row.word not in REFUSED], ids=str)
timed_rows = pytest.mark.parametrize("row", [
    row for row in ROWS if row.word not in REFUSED and is_timed(row)], ids=str)


def graph_of(row: Row, open_time: bool = False) -> tuple[Graph, dict[str, np.ndarray]]:
    """A graph of one layer, and its arrays; time of an unknown length where that is possible."""
    op, types = make(row), row.inputs
    if open_time:
        longest = max((t.length for t in types if isinstance(t.length, int)), default=0)
        types = tuple(t.resized(time="steps") if t.length == longest else t for t in types)
    inputs = tuple(Value(f"x{i}", t) for i, t in enumerate(types))
    outputs = {n: Value(f"layer.{n}", t) for n, t in op.outputs(*types).items()}
    # What is borrowed belongs to another layer.
    ties = {f: (f"tied_{i}", "table") for i, f in enumerate(op.borrows(*types))}
    node = Node("layer", op, inputs, outputs, "layer", ties=ties)
    given = {f"layer.{n}": a for n, a in arrays(row).items()}
    for i, shape in enumerate(row.tied):
        given[f"tied_{i}.table"] = noise(shape, "tied", shape).astype(np.float32)
    return Graph("row", inputs, (node,), outputs), given


def computed(row: Row, values: list[np.ndarray], lengths: list, open_time: bool = False) -> dict:
    """The outputs of the row's layer in onnxruntime, by name."""
    graph, given = graph_of(row, open_time)
    timed = frozenset(v.name for v, n in zip(graph.inputs, lengths) if n is not None)
    model = onnx_model(graph, given, Options(lengths=timed))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {}
    for value, array, rows in zip(graph.inputs, values, lengths):
        feed[value.name] = array.astype(np.int64) if array.dtype == np.int32 else array
        if rows is not None:
            feed[value.name + LENGTHS] = np.asarray(rows, np.int64)
    read = {i.name for i in session.get_inputs()}
    outputs = [o.name for o in session.get_outputs()]
    return dict(zip(outputs, session.run(None, {k: v for k, v in feed.items() if k in read})))


def expected(row: Row, values: list[np.ndarray], lengths: list | None = None) -> tuple[Tensor, ...]:
    return outputs_of(layer_of(row)(*tensors(row, values, lengths), context=context_of(row)))


@every_row
def test_a_row_gives_the_same_numbers(row: Row) -> None:
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    found = computed(row, values, [None] * len(values))
    for name, tensor in zip(make(row).outputs(*row.inputs), expected(row, values)):
        check_close(found[name], tensor.array, 2e-5, name)


@timed_rows
def test_padded_steps_change_nothing_whatever_stands_in_them(row: Row) -> None:
    """The length of time is unknown to the file, and each row has its own."""
    lengths = ragged(row)
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    bad = [spoiled(v, t, n) for v, t, n in zip(values, row.inputs, lengths)]
    try:
        graph_of(row, open_time=True)
        open_time = True
    except Exception:
        open_time = False
    found = computed(row, bad, lengths, open_time)
    rows = [None if n is None else np.asarray(n) for n in lengths]
    for name, tensor in zip(make(row).outputs(*row.inputs), expected(row, bad, rows)):
        array = found[name]
        if tensor.lengths is not None:
            told = found.get(name + LENGTHS)
            if told is not None:
                np.testing.assert_array_equal(told, np.asarray(tensor.lengths), name)
            mask = np.broadcast_to(np.asarray(tensor.mask()), array.shape)
            array = np.where(mask, array, np.zeros_like(array))
        check_close(array, tensor.filled(0), 2e-5, name)


def test_what_is_random_is_refused_with_a_remedy() -> None:
    row = next(row for row in ROWS if row.word == "random")
    graph, given = graph_of(row)
    with pytest.raises(SpecError) as error:
        onnx_model(graph, given)
    (found,) = error.value.diagnostics
    assert found.code == "F0920" and "inputs" in found.help
