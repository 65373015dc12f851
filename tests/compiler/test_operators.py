"""Every rule that an operator must keep, on every row of the shared table.

A layer is built as the compiler builds it: the operator declares its parameters, each is
initialised and then moved a little, so that zeros and ones hide nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.lower.context import Context
from compiler.lower.initialise import initial
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import FAMILIES, operator
from compiler.ops.base import Operator, ShapeError
from compiler.types import TensorType
from tests.compiler.operator_table import ROWS, Row

BATCH = 3
# Half of XLA's time is optimisation, which arrays as tiny as these have no use for.
QUICKLY = {"xla_backend_optimization_level": 0}
WORDS = [word for words in FAMILIES.values() for word in words]

every_row = pytest.mark.parametrize("row", ROWS, ids=str)
timed_rows = pytest.mark.parametrize(
    "row", [r for r in ROWS if any("time" in t.axes for t in r.inputs)], ids=str)


# ---- building and running a row


def make(row: Row) -> Operator:
    return operator(row.word)(**row.fields).settled(*row.inputs)


def noise(shape: Sequence[int], *seed: Any) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(repr(seed).encode())).standard_normal(shape)


def data(type: TensorType, seed: Any, batch: int = BATCH) -> np.ndarray:
    """A batch of the type: normal numbers, indices within the vocabulary, or coin tosses.

    The numbers are ones that bfloat16 holds too, so that its results have the same inputs.
    """
    values = noise((batch, *(int(s) for s in type.shape)), "data", seed)
    if type.dtype == "int":
        return np.abs(values * 100).astype(np.int32) % (type.vocabulary or 5)
    if type.dtype == "bool":
        return values > 0
    return np.asarray(jnp.asarray(values, jnp.bfloat16), np.float32)


@cache
def arrays(row: Row) -> dict[str, np.ndarray]:
    """The parameters of a row's layer: as initialised, and a little more."""
    result = {}
    for name, parameter in make(row).parameters(*row.inputs).items():
        start = initial(parameter.init, parameter.shape, 0, name)
        assert start.shape == parameter.shape and start.dtype == np.float32
        result[name] = start + 0.1 * np.abs(noise(start.shape, name)).astype(np.float32)
    return result


def layer_of(row: Row) -> Layer:
    op = make(row)
    return Layer(op, tuple(t.axes for t in row.inputs), op.parameters(*row.inputs),
                 {name: jnp.asarray(a) for name, a in arrays(row).items()})


def context_of(row: Row, training: bool = False, dtype: Any = jnp.float32) -> Context:
    tied = tuple(jnp.asarray(noise(s, "tied", s), dtype) for s in row.tied)
    return Context(training=training, key=jax.random.key(0), tied=tied, dtype=dtype)


def tensors(row: Row, values: Sequence[Any], lengths: Sequence[Any] | None = None) -> tuple:
    lengths = lengths or [None] * len(values)
    return tuple(Tensor(jnp.asarray(v), t.axes, n)
                 for v, t, n in zip(values, row.inputs, lengths, strict=True))


def outputs_of(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)


def run(row: Row, layer: Layer, inputs: tuple[Tensor, ...], **kwargs: Any) -> tuple[Tensor, ...]:
    return outputs_of(layer(*inputs, context=context_of(row, **kwargs)))


def check_close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Within `tolerance` of the largest number, for arrays without NaN."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, what
    if expected.size == 0:
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite], what)
    scale = max(np.abs(expected[finite]).max(initial=0), 1e-2)
    error = np.abs(found[finite] - expected[finite]).max(initial=0)
    assert error <= tolerance * scale, f"{what}: off by {error:.3g} at scale {scale:.3g}"


# ---- the words


@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_a_row_in_the_table(word):
    assert any(row.word == word for row in ROWS)


@pytest.mark.parametrize("word", WORDS)
def test_every_operator_and_each_of_its_fields_says_what_it_is(word):
    cls = operator(word)
    assert cls.word == word
    assert cls.__doc__ and cls.__doc__.splitlines()[0].rstrip().endswith("."), word
    assert cls.__doc__ != Operator.__doc__
    for name, info in cls.model_fields.items():
        assert info.description, f"{word}.{name} has no description"
    for name in (*(cls.main and (cls.main,) or ()), *cls.references, *cls.ties):
        assert name in cls.model_fields, f"{word} has no field {name}"


@every_row
def test_an_operator_is_frozen_hashable_and_equal_by_its_fields(row):
    op = make(row)
    assert hash(op) == hash(make(row)) and op == make(row)
    with pytest.raises(Exception, match="frozen"):
        setattr(op, next(iter(type(op).model_fields), "x"), None)


# ---- types and counts


@every_row
def test_the_inferred_types_are_those_of_the_arrays(row):
    op = make(row)
    expected = op.outputs(*row.inputs)
    assert next(iter(expected.values())) == op.infer(*row.inputs)

    results = eager(row)
    assert len(results) == len(expected)
    for (name, type), result in zip(expected.items(), results):
        assert result.axes == type.axes, name
        assert result.array.shape == (BATCH, *type.shape), name
        kind = {"f": "float", "i": "int", "u": "int", "b": "bool"}[result.array.dtype.kind]
        assert kind == type.dtype, name
        if type.dtype == "float":
            assert result.array.dtype == jnp.float32, name


@every_row
def test_parameters_and_multiplications_are_those_counted_by_hand(row):
    op = make(row)
    parameters = op.parameters(*row.inputs).values()
    assert sum(p.size for p in parameters if not p.statistic) == row.params
    assert sum(p.size for p in parameters if p.statistic) == row.statistics
    assert op.macs(*row.inputs) == row.macs
    assert op.saved(*row.inputs) >= 0 and op.steps(*row.inputs) >= 0
    assert set(op.reach(*row.inputs)) <= {a for t in row.inputs for a in t.window_axes}


@timed_rows
def test_a_length_that_is_not_known_is_inferred_or_refused_with_a_remedy(row):
    op = make(row)
    known = op.outputs(*row.inputs)
    open_types = [t.resized(time="text") for t in row.inputs]
    try:
        unknown = op.outputs(*open_types)
    except ShapeError as e:
        assert e.message and e.help
        return
    assert list(unknown) == list(known)
    for name, type in unknown.items():
        assert type.axes == known[name].axes
        for axis, size, known_size in zip(type.axes, type.shape, known[name].shape):
            assert size == known_size or axis == "time", (name, axis)


# ---- numbers


@cache
def eager(row: Row) -> tuple[Tensor, ...]:
    """The outputs for the row's batch, in training where that differs, operation by operation."""
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    return run(row, layer_of(row), tensors(row, values), training=make(row).modal)


@cache
def compiled(row: Row, training: bool) -> Callable[..., Any]:
    """A function of inputs and weights: outputs, gradients by parameter and by float input.

    The gradients are those of the weighted sum of all real steps of all float outputs.
    """
    graphdef, params, rest = nnx.split(layer_of(row), nnx.Param, ...)
    floating = [t.dtype == "float" for t in row.inputs]

    def loss(params, moving, rest, inputs, weights):
        moving = iter(moving)
        inputs = tuple(x.with_array(next(moving)) if f else x for x, f in zip(inputs, floating))
        layer = nnx.merge(graphdef, params, rest, copy=True)
        results = run(row, layer, inputs, training=training)
        total = jnp.zeros((), jnp.float32)
        for result, weight in zip(results, weights):
            if jnp.issubdtype(result.array.dtype, jnp.floating):
                part = result.array * weight[:, *(slice(n) for n in result.array.shape[1:])]
                mask = result.mask()
                total += jnp.sum(part if mask is None else jnp.where(mask, part, 0))
        return total, results

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True),
                   compiler_options=QUICKLY)

    def call(inputs, weights):
        moving = [x.array for x, f in zip(inputs, floating) if f]
        (_, results), (by_parameter, by_input) = step(params, moving, rest, inputs, weights)
        flat = {".".join(map(str, path)): np.asarray(leaf[...])
                for path, leaf in nnx.to_flat_state(by_parameter)}
        return results, flat, [np.asarray(g) for g in by_input]

    return call


def cotangents(row: Row) -> list[np.ndarray]:
    """A weight for every number of every output, (batch, …)."""
    types = make(row).outputs(*row.inputs).values()
    return [noise((BATCH, *(int(s) for s in t.shape)), "weight", i).astype(np.float32)
            for i, t in enumerate(types)]


@every_row
def test_compiled_and_eager_agree_and_gradients_are_finite_and_reach_every_parameter(row):
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    results, by_parameter, by_input = compiled(row, make(row).modal)(
        tensors(row, values), cotangents(row))
    for found, expected in zip(results, eager(row), strict=True):
        assert found.axes == expected.axes
        check_close(found.array, expected.array, 1e-5, "compiled against eager")
        assert np.isfinite(np.asarray(found.array, np.float64)).all()
    for name, gradient in by_parameter.items():
        assert np.isfinite(gradient).all(), name
        assert (gradient != 0).any(), f"no gradient reaches {name}"
    for gradient in by_input:
        assert np.isfinite(gradient).all()


@every_row
def test_bfloat16_in_gives_bfloat16_out_near_the_float32_result(row):
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    low = [jnp.asarray(v, jnp.bfloat16) if v.dtype == np.float32 else v for v in values]
    layer = layer_of(row)
    results = jax.jit(
        lambda inputs: run(row, nnx.merge(*nnx.split(layer), copy=True), inputs,
                           training=make(row).modal, dtype=jnp.bfloat16),
        compiler_options=QUICKLY)(tensors(row, low))
    for (name, type), a, b in zip(make(row).outputs(*row.inputs).items(), results, eager(row)):
        if type.dtype == "float":
            assert a.array.dtype == jnp.bfloat16, name
        if make(row).random == "never":
            check_close(a.array, b.array, row.bfloat16, name)


# ---- lengths


def ragged(row: Row) -> list[list[int] | None]:
    """For each input with a time axis three lengths: full, shorter by two, empty."""
    return [[int(t.size("time")), max(int(t.size("time")) - 2, 1), 0]  # type: ignore[arg-type]
            if "time" in t.axes else None for t in row.inputs]


def spoiled(value: np.ndarray, type: TensorType, lengths: list[int] | None) -> np.ndarray:
    """The batch with garbage at every padded step: NaN, indices out of range, True."""
    value = value.copy()
    if lengths is not None:
        steps = np.moveaxis(value, type.axes.index("time") + 1, 1)
        for row, length in enumerate(lengths):
            steps[row, length:] = {"float": np.nan, "int": 10**6, "bool": True}[type.dtype]
    return value


def cut(value: np.ndarray, axes: tuple[str, ...], row: int, length: int | None) -> np.ndarray:
    """One row of a batch, its time axis cut to its length."""
    value = value[row:row + 1]
    if length is None or "time" not in axes:
        return value
    return np.take(value, np.arange(length), axis=axes.index("time") + 1)


def only(weights: list[np.ndarray], row: int) -> list[np.ndarray]:
    """Zero weight for the outputs of every other row."""
    return [np.where((np.arange(BATCH) == row).reshape(-1, *[1] * (w.ndim - 1)), w, 0)
            for w in weights]


@timed_rows
def test_padded_steps_change_no_result_and_no_gradient(row):
    """A batch of a full, a shorter and an empty row, NaN behind each, gives what they give alone.

    Alone is the shorter row by itself, cut to its length, and the full one in a batch
    without lengths.
    """
    lengths, weights = ragged(row), cotangents(row)
    values = [data(t, i) for i, t in enumerate(row.inputs)]
    step = compiled(row, False)
    padded = tensors(
        row, [spoiled(v, t, n) for v, t, n in zip(values, row.inputs, lengths)],
        [None if n is None else jnp.asarray(n) for n in lengths])

    for b in range(2):
        together, by_parameter, by_input = step(padded, only(weights, b))
        for result in together:
            real = np.asarray(result.filled(0), np.float64)
            assert np.isfinite(real).all(), "garbage reached a real step"
        for name, gradient in by_parameter.items():
            assert np.isfinite(gradient).all(), f"garbage reached the gradient of {name}"
        if not row.rows_apart:
            continue

        own = [None if n is None else n[b] for n in lengths]
        if b == 0:
            results, of_parameter, of_input = step(tensors(row, values), only(weights, 0))
        else:
            alone = [cut(v, t.axes, b, n) for v, t, n in zip(values, row.inputs, own)]
            results, of_parameter, of_input = step(
                tensors(row, alone), [w[b:b + 1] for w in weights])
        for x, y in zip(together, results, strict=True):
            length = y.array.shape[y.dim("time")] if "time" in y.axes else None
            if length is not None and x.lengths is None:
                assert x.array.shape[x.dim("time")] == length, "the lengths were lost"
            elif length is not None:
                assert int(x.lengths[b]) == length, "the length is not the row's own"
            y_row = np.asarray(y.array)[0 if b else slice(0, 1)].reshape(1, *y.array.shape[1:])
            check_close(cut(np.asarray(x.array), x.axes, b, length), y_row, 2e-5, "result")
        for name, gradient in by_parameter.items():
            check_close(gradient, of_parameter[name], 2e-5, f"gradient of {name}")
        floats = [(t, n) for t, n in zip(row.inputs, own) if t.dtype == "float"]
        for g, h, (type, length) in zip(by_input, of_input, floats, strict=True):
            check_close(cut(g, type.axes, b, length), h[:1], 2e-5, "gradient of an input")
