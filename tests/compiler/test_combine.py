"""Joins: what they compute, what they do with lengths, what they refuse."""

import numpy as np
import pytest

from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType
from tests.compiler.layers import numbers, run

A, B = numbers(2, 5, 3, seed=1), numbers(2, 5, 3, seed=2)
GATE = numbers(2, 3, seed=3)


@pytest.mark.parametrize("word, formula", [
    ("add", A + B), ("subtract", A - B), ("multiply", A * B), ("average", (A + B) / 2),
    ("maximum", np.maximum(A, B)), ("concat", np.concatenate([A, B], -1)),
])
def test_a_join_is_its_formula(word, formula):
    np.testing.assert_allclose(run(word, {}, A, B).array, formula, rtol=1e-6)


def test_a_gate_multiplies_every_place_of_an_image():
    image = numbers(2, 4, 5, 3)
    found = run("multiply", {}, image, GATE)
    assert found.axes == ("height", "width", "channels")
    np.testing.assert_allclose(found.array, image * GATE[:, None, None])


def test_a_static_covariate_joins_every_step():
    found = run("concat", {}, GATE, A)
    assert found.axes == ("time", "channels")
    np.testing.assert_array_equal(found.array[:, 4], np.concatenate([GATE, A[:, 4]], -1))


def test_axes_meet_by_name_whatever_their_order():
    image = numbers(2, 4, 5, 3)
    turned = image.transpose(0, 2, 1, 3)
    found = run("subtract", {}, image, turned,
                axes=[("height", "width", "channels"), ("width", "height", "channels")])
    assert (found.array == 0).all()


def test_a_step_of_a_join_is_real_where_it_is_real_in_every_branch():
    found = run("add", {}, A, B, lengths=[[5, 2], [3, 4]])
    assert found.lengths.tolist() == [3, 2]


def test_a_branch_without_lengths_takes_those_of_the_other():
    assert run("add", {}, A, B, lengths=[None, [3, 4]]).lengths.tolist() == [3, 4]
    assert run("add", {}, GATE, B, lengths=[None, [3, 4]]).lengths.tolist() == [3, 4]


def test_a_single_step_that_stretches_has_no_say_in_lengths():
    found = run("add", {}, A[:, :1], B, lengths=[[1, 1], [3, 4]])
    assert found.lengths.tolist() == [3, 4]


def test_concat_over_time_packs_the_real_steps_of_each_row():
    found = run("concat", {"axis": "time"}, A, B[:, :4], A, lengths=[[5, 2], [1, 4], None])
    assert found.lengths.tolist() == [11, 11]
    np.testing.assert_array_equal(found.array[0, :11], np.concatenate([A[0], B[0, :1], A[0]]))
    np.testing.assert_array_equal(found.array[1, :11], np.concatenate([A[1, :2], B[1, :4], A[1]]))


def test_concat_of_a_full_and_a_ragged_sequence_needs_no_packing():
    found = run("concat", {"axis": "time"}, A, B, lengths=[None, [1, 4]])
    assert found.lengths.tolist() == [6, 9]
    np.testing.assert_array_equal(found.array, np.concatenate([A, B], 1))


def test_the_type_of_concat_over_time_adds_unknown_lengths():
    x = TensorType(("time", "channels"), ("text", 3))
    y = TensorType(("time", "channels"), (4, 3))
    assert operator("concat")(**{"axis": "time"}).infer(x, y, y).length == "text + 8"


def test_stack_makes_a_new_axis_where_it_belongs():
    assert run("stack", {}, GATE, GATE).axes == ("time", "channels")
    found = run("stack", {"axis": "height"}, A, B, lengths=[[5, 2], None])
    assert found.axes == ("time", "height", "channels") and found.lengths.tolist() == [5, 2]
    np.testing.assert_array_equal(found.array, np.stack([A, B], 2))


def test_matmul_multiplies_rows_by_columns():
    left = numbers(2, 4, 5)
    found = run("matmul", {}, left, A)
    np.testing.assert_allclose(found.array, left @ A, rtol=1e-5, atol=1e-5)
    found = run("matmul", {"axis": "channels"}, A, B)
    np.testing.assert_allclose(found.array, A @ B.transpose(0, 2, 1), rtol=1e-5, atol=1e-5)


def test_matmul_leaves_out_padded_steps_that_it_sums_over():
    left, right = numbers(2, 4, 5), A.copy()
    right[1, 2:] = np.nan
    left[1, :, 2:] = np.nan
    found = run("matmul", {}, left, right, lengths=[None, [5, 2]])
    np.testing.assert_allclose(found.array[1], left[1, :, :2] @ A[1, :2], rtol=1e-5, atol=1e-5)


def test_matmul_does_not_make_channels_of_an_unknown_length():
    x = TensorType(("time", "channels"), ("text", 3))
    with pytest.raises(ShapeError, match="size of time") as caught:
        operator("matmul")(**{"axis": "channels"}).infer(x, x)
    assert caught.value.code == "F0404"


@pytest.mark.parametrize("word, fields, shapes, code", [
    ("add", {}, [(4, 4, 8), (4, 4, 9)], "F0412"),
    ("add", {}, [(4, 8), (5, 8)], "F0412"),
    ("concat", {}, [(4, 4, 8), (2, 4, 8)], "F0412"),
    ("concat", {"axis": "time"}, [(4, 8), (4, 9)], "F0412"),
    ("concat", {"axis": "width"}, [(4, 8)], "F0403"),
    ("stack", {}, [(4, 8), (4, 8)], "F0460"),
    ("stack", {"axis": "side"}, [(8,)], "F0460"),
    ("matmul", {}, [(4, 8), (7, 3)], "F0461"),
    ("matmul", {"axis": "channels"}, [(4, 8), (8,)], "F0461"),
])
def test_branches_that_do_not_fit_are_refused_with_a_remedy(word, fields, shapes, code):
    from tests.compiler.operator_table import floats

    with pytest.raises(ShapeError) as caught:
        operator(word)(**fields).infer(*(floats(*s) for s in shapes))
    assert caught.value.code == code and caught.value.help


def test_kinds_do_not_mix_in_a_concat():
    tokens = TensorType(("time", "channels"), (4, 1), "int", 9)
    with pytest.raises(ShapeError, match="int, float") as caught:
        operator("concat")().infer(tokens, TensorType(("time", "channels"), (4, 3)))
    assert caught.value.code == "F0459"
