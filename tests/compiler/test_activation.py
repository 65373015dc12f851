"""Activations keep to their formulas, written here in plain NumPy."""

from math import erf

import numpy as np
import pytest

from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType
from tests.compiler.layers import numbers, run

X = numbers(2, 3, 4) * 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "relu": ({}, lambda x: np.maximum(x, 0)),
    "relu6": ({}, lambda x: np.clip(x, 0, 6)),
    "leaky_relu": ({}, lambda x: np.where(x > 0, x, 0.01 * x)),
    "prelu": ({}, lambda x: np.where(x > 0, x, 0.25 * x)),
    "elu": ({"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(x))),
    "gelu": ({}, lambda x: x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2),
    "silu": ({}, lambda x: x * sigmoid(x)),
    "sigmoid": ({}, sigmoid),
    "tanh": ({}, np.tanh),
    "hard_swish": ({}, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "softplus": ({}, lambda x: np.log1p(np.exp(x))),
    "exp": ({}, np.exp),
    "abs": ({}, np.abs),
    "clip": ({"min": -1.0, "max": 2.0}, lambda x: np.clip(x, -1, 2)),
    "softmax": ({}, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "log_softmax": ({}, lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    "scale": ({"init_value": 0.1}, lambda x: 0.1 * x),
}


@pytest.mark.parametrize("word", FORMULAS)
def test_an_activation_is_its_formula(word):
    fields, formula = FORMULAS[word]
    np.testing.assert_allclose(run(word, fields, X).array, formula(X), rtol=1e-5, atol=1e-5)


def test_gelu_by_tanh_is_the_approximation():
    inner = np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)
    np.testing.assert_allclose(run("gelu", {"approximate": True}, X).array,
                               X * (1 + np.tanh(inner)) / 2, rtol=1e-5, atol=1e-5)


def test_prelu_and_scale_have_a_number_for_each_channel():
    by = np.array([1, 2, 3, 4], np.float32)
    np.testing.assert_allclose(run("scale", {}, X, parameters={"scale": by}).array, X * by)
    np.testing.assert_allclose(run("prelu", {}, X, parameters={"slope": by}).array,
                               np.where(X > 0, X, X * by))


def test_maxout_takes_the_largest_of_neighbouring_channels():
    found = run("maxout", {"pieces": 2}, X).array
    np.testing.assert_array_equal(found, np.maximum(X[..., 0::2], X[..., 1::2]))


def test_maxout_refuses_channels_that_its_pieces_do_not_divide():
    with pytest.raises(ShapeError, match="cannot put 4 channels into groups of 3") as caught:
        run("maxout", {"pieces": 3}, X)
    assert caught.value.code == "F0442" and "multiple of 3" in caught.value.help


@pytest.mark.parametrize("word", ["softmax", "log_softmax"])
def test_softmax_over_time_sees_real_steps_only(word):
    x = X.copy()
    x[1, 2:] = np.nan
    found = run(word, {"axis": "time"}, x, lengths=[[3, 2]]).array
    alone = run(word, {"axis": "time"}, X[1:, :2]).array
    np.testing.assert_allclose(found[1, :2], alone[0], rtol=1e-6)
    assert (found[1, 2:] == 0).all()


def test_softmax_of_an_empty_row_is_zero_not_nan():
    found = run("softmax", {"axis": "time"}, X, lengths=[[3, 0]]).array
    assert (found[1] == 0).all()


def test_softmax_of_large_numbers_does_not_overflow():
    found = run("softmax", {"axis": "time"}, X + 1e4, lengths=[[3, 2]]).array
    np.testing.assert_allclose(found.sum(1)[:, 0], 1, rtol=1e-6)


def test_cast_cuts_towards_zero_and_asks_for_non_zero():
    x = np.array([[-1.7, 0.0, 1.7]], np.float32)
    assert run("cast", {"to": "int"}, x).array.tolist() == [[-1, 0, 1]]
    assert run("cast", {"to": "bool"}, x).array.tolist() == [[True, False, True]]


def test_clip_keeps_integers_integers():
    found = run("clip", {"min": 1.0}, np.array([[0, 5]])).array
    assert found.tolist() == [[1, 5]] and found.dtype.kind == "i"


def test_clip_refuses_bounds_that_no_number_keeps():
    with pytest.raises(ShapeError, match="min 2 above max 1"):
        run("clip", {"min": 2.0, "max": 1.0}, X)


def test_no_gradient_flows_through_stop_gradient():
    import jax
    import jax.numpy as jnp

    gradient = jax.grad(lambda x: run("stop_gradient", {}, x).array.sum())(jnp.asarray(X))
    assert (gradient == 0).all()


@pytest.mark.parametrize("word", ["relu", "softmax", "prelu", "scale", "exp"])
def test_an_activation_of_indices_is_refused_with_a_remedy(word):
    tokens = TensorType(("time", "channels"), (5, 3), "int", 9)
    with pytest.raises(ShapeError, match=f"`{word}` needs floats") as caught:
        operator(word)().infer(tokens)
    assert caught.value.code == "F0440" and "embed" in caught.value.help


def test_softmax_over_a_missing_axis_names_those_that_are_there():
    with pytest.raises(ShapeError, match="the axis `width`") as caught:
        run("softmax", {"axis": "width"}, X)
    assert caught.value.field == "axis" and "time, channels" in caught.value.help


def test_a_cast_to_the_same_kind_keeps_the_vocabulary():
    tokens = TensorType(("time",), (5,), "int", 9)
    assert operator("cast")(**{"to": "int"}).infer(tokens) == tokens
    assert operator("cast")(**{"to": "float"}).infer(tokens) == TensorType(("time",), (5,))
