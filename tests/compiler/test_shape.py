"""Rearranging: the elements, the lengths, and what is refused."""

import numpy as np
import pytest

from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType
from tests.compiler.layers import numbers, run
from tests.compiler.operator_table import floats

IMAGE = numbers(2, 4, 6, 8)
SEQUENCE = numbers(2, 5, 3)
LENGTHS = [[5, 3]]
TEXT = TensorType(("time", "channels"), ("text", 6))


def inferred(word, x, **fields):
    return operator(word)(**fields).infer(x)


# ---- flatten, reshape, transpose


def test_flatten_runs_through_height_width_channels():
    found = run("flatten", {}, IMAGE)
    np.testing.assert_array_equal(found.array, IMAGE.reshape(2, -1))
    assert found.axes == ("channels",)


def test_flatten_counts_padded_steps_as_zeros():
    x = SEQUENCE.copy()
    x[1, 3:] = np.nan
    found = run("flatten", {}, x, lengths=LENGTHS)
    assert found.lengths is None and (found.array[1, 9:] == 0).all()


def test_flatten_of_an_unknown_length_says_to_pool_first():
    with pytest.raises(ShapeError, match="size of time") as caught:
        inferred("flatten", TEXT)
    assert caught.value.code == "F0404" and "pool" in caught.value.help


def test_reshape_keeps_the_order_of_elements_and_works_out_one_size():
    found = run("reshape", {"shape": (2, -1, 4)}, IMAGE)
    np.testing.assert_array_equal(found.array, IMAGE.reshape(2, 2, -1, 4))


def test_reshape_of_each_step_keeps_the_length_even_if_unknown():
    assert inferred("reshape", TEXT, shape=(-1, 2, 3),
                    axes=("time", "frequency", "channels")).length == "text"
    found = run("reshape", {"shape": (-1, 3, 1), "axes": ("time", "frequency", "channels")},
                SEQUENCE, lengths=LENGTHS)
    assert found.lengths.tolist() == LENGTHS[0]


def test_reshape_that_joins_steps_counts_a_half_filled_one():
    found = run("reshape", {"shape": (2, 6)}, numbers(2, 4, 3), lengths=[[4, 3]])
    assert found.lengths.tolist() == [2, 2]
    assert (found.array[1, 1, 3:] == 0).all()


def test_reshape_may_not_cut_an_unknown_length():
    with pytest.raises(ShapeError, match="cannot change time") as caught:
        inferred("reshape", TEXT, shape=(-1, 3))
    assert "6 elements" in caught.value.help


def test_reshape_to_another_number_of_elements_is_refused():
    with pytest.raises(ShapeError, match="192 elements"):
        inferred("reshape", floats(4, 6, 8), shape=(4, 5))
    with pytest.raises(ShapeError, match="192 elements"):
        inferred("reshape", floats(4, 6, 8), shape=(-1, 5))


def test_names_go_with_their_axes_in_a_transpose():
    found = run("transpose", {"axes": ("width", "height", "channels")}, IMAGE)
    assert found.axes == ("width", "height", "channels")
    np.testing.assert_array_equal(found.array, IMAGE.transpose(0, 2, 1, 3))


def test_a_transpose_may_rename():
    found = run("transpose", {"axes": ("channels", "time"), "names": ("time", "channels")},
                SEQUENCE, lengths=LENGTHS)
    assert found.axes == ("time", "channels") and found.lengths is None
    np.testing.assert_array_equal(found.array[0], SEQUENCE[0].T)
    assert (found.array[1, :, 3:] == 0).all()


def test_a_transpose_that_moves_channels_asks_for_names():
    with pytest.raises(ShapeError, match="channels before other axes") as caught:
        inferred("transpose", floats(5, 3), axes=("channels", "time"))
    assert "names: [time, channels]" in caught.value.help


# ---- pad, crop, slice, shift


@pytest.mark.parametrize("mode, numpy", [
    ("zeros", "constant"), ("reflect", "reflect"), ("edge", "edge")])
def test_pad_is_numpys_on_each_axis(mode, numpy):
    found = run("pad", {"space": 2, "width": (1, 3), "mode": mode}, IMAGE).array
    np.testing.assert_array_equal(found, np.pad(IMAGE, [(0, 0), (2, 2), (1, 3), (0, 0)], numpy))


@pytest.mark.parametrize("mode, numpy", [
    ("zeros", "constant"), ("reflect", "reflect"), ("edge", "edge")])
def test_pad_over_time_stands_at_the_end_of_each_row(mode, numpy):
    found = run("pad", {"time": (1, 2), "mode": mode}, SEQUENCE, lengths=LENGTHS)
    assert found.lengths.tolist() == [8, 6]
    for row, length in enumerate(LENGTHS[0]):
        expected = np.pad(SEQUENCE[row, :length], [(1, 2), (0, 0)], numpy)
        np.testing.assert_array_equal(found.array[row, :length + 3], expected)


def test_pad_of_channels_makes_the_shortcut_of_option_a():
    found = run("pad", {"channels": (8, 8)}, IMAGE).array
    assert found.shape == (2, 4, 6, 24) and (found[..., 8:16] == IMAGE).all()


def test_a_mirror_image_larger_than_the_tensor_is_refused():
    with pytest.raises(ShapeError, match="cannot mirror 4 elements of height, which has 4"):
        inferred("pad", floats(4, 6, 8), height=4, mode="reflect")


@pytest.mark.parametrize("part", [
    {"step": 2}, {"start": 1}, {"stop": -1}, {"start": -2}, {"start": -4, "stop": -1},
    {"start": 1, "stop": 4, "step": 2}, {"stop": 2}, {"start": 3, "stop": -2}, {"start": -9},
])
def test_slice_takes_of_each_row_what_python_takes(part):
    cut = slice(part.get("start"), part.get("stop"), part.get("step"))
    x = numbers(3, 7, 2)
    lengths = [7, 4, 1]
    found = run("slice", {"time": part}, x, lengths=[lengths])
    assert found.array.shape[1] == len(x[0, cut])
    for row, length in enumerate(lengths):
        expected = x[row, :length][cut]
        assert found.lengths[row] == len(expected)
        np.testing.assert_array_equal(found.array[row, :len(expected)], expected)


def test_slice_of_space_is_every_second_line_and_column():
    found = run("slice", {"space": {"step": 2}}, IMAGE).array
    np.testing.assert_array_equal(found, IMAGE[:, ::2, ::2])


@pytest.mark.parametrize("part, length", [
    ({"start": 2}, "text - 2"), ({"stop": -3}, "text - 3"), ({"start": -5}, "min(text, 5)"),
    ({"stop": 4}, "min(text, 4)"), ({"step": 2}, "(text - 1) // 2 + 1"), ({}, "text"),
    ({"start": -5, "stop": -2}, "min(text, 5) - 2"),
])
def test_a_slice_of_an_unknown_length_is_told_by_its_formula(part, length):
    assert inferred("slice", TEXT, time=part).length == length


def test_an_empty_slice_or_crop_is_refused():
    for word, fields in [("slice", {"time": {"start": 5}}), ("crop", {"time": 3}),
                         ("slice", {"time": {"start": 3, "stop": 2}})]:
        with pytest.raises(ShapeError) as caught:
            inferred(word, floats(5, 3), **fields)
        assert caught.value.code == "F0448" and caught.value.help
    with pytest.raises(ShapeError):
        inferred("slice", TEXT, time={"start": 3, "stop": 2})


def test_a_slice_of_time_counts_both_bounds_from_one_end():
    with pytest.raises(ShapeError, match="different ends of time") as caught:
        inferred("slice", floats(5, 3), time={"start": -3, "stop": 4})
    assert caught.value.code == "F0449"


def test_crop_keeps_the_centre_with_the_odd_line_at_the_end():
    found = run("crop", {"size": (3, 4)}, IMAGE).array
    np.testing.assert_array_equal(found, IMAGE[:, 0:3, 1:5])


def test_crop_takes_steps_from_the_end_of_each_row():
    found = run("crop", {"time": (1, 1)}, SEQUENCE, lengths=LENGTHS)
    assert found.lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(found.array, SEQUENCE[:, 1:4])


def test_crop_to_more_than_there_is_is_refused():
    with pytest.raises(ShapeError, match="cannot leave 5 elements of height, which has 4"):
        inferred("crop", floats(4, 6, 8), size=5)


def test_shift_shows_each_step_the_one_before():
    found = run("shift", {"time": 1, "fill": 9.0}, SEQUENCE, lengths=LENGTHS)
    assert found.lengths.tolist() == LENGTHS[0]
    assert (found.array[:, 0] == 9).all()
    for row, length in enumerate(LENGTHS[0]):
        np.testing.assert_array_equal(found.array[row, 1:length], SEQUENCE[row, :length - 1])


def test_a_shift_back_is_filled_at_the_end_of_each_row():
    found = run("shift", {"time": -2, "fill": 9.0}, SEQUENCE, lengths=LENGTHS).array
    np.testing.assert_array_equal(found[0], np.pad(SEQUENCE[0, 2:], [(0, 2), (0, 0)],
                                                   constant_values=9))
    np.testing.assert_array_equal(found[1, :3], np.pad(SEQUENCE[1, 2:3], [(0, 2), (0, 0)],
                                                       constant_values=9))


def test_a_shift_beyond_the_axis_leaves_fill_only():
    assert (run("shift", {"time": 9, "fill": 1.0}, SEQUENCE).array == 1).all()


@pytest.mark.parametrize("word, fields", [
    ("pad", {"space": 1}), ("pad", {"width": 1}), ("crop", {"size": 2}), ("shift", {"depth": 1}),
    ("slice", {"frequency": {"step": 2}}),
])
def test_an_axis_that_the_input_has_not_is_refused(word, fields):
    with pytest.raises(ShapeError, match="channels 3") as caught:
        inferred(word, floats(5, 3), **fields)
    assert caught.value.code == "F0403" and caught.value.help


# ---- upsample, pixel_shuffle, split, select


def test_upsample_repeats_each_element():
    found = run("upsample", {"scale": (2, 3)}, IMAGE).array
    np.testing.assert_array_equal(found, IMAGE.repeat(2, 1).repeat(3, 2))


def test_bilinear_upsampling_has_pytorchs_corners():
    # torch.nn.functional.interpolate(…, scale_factor=2, mode="linear", align_corners=False)
    x = np.array([[[0.0], [4.0], [2.0]]], np.float32)
    found = run("upsample", {"method": "bilinear"}, x).array
    np.testing.assert_allclose(found[0, :, 0], [0, 1, 3, 3.5, 2.5, 2], atol=1e-6)


def test_linear_upsampling_goes_on_as_a_rows_last_step():
    x = np.array([[[0.0], [4.0], [np.nan]]], np.float32)
    found = run("upsample", {"method": "bilinear"}, x, lengths=[[2]])
    assert found.lengths.tolist() == [4]
    np.testing.assert_allclose(found.array[0, :4, 0], [0, 1, 3, 4], atol=1e-6)


def test_upsampling_by_a_factor_tells_unknown_lengths():
    x = TensorType(("time", "channels"), ("text - 2", 6))
    assert inferred("upsample", x, scale=3).length == "(text - 2) * 3"


def test_pixel_shuffle_has_pytorchs_order():
    # y[n, c, h·r + i, w·r + j] = x[n, c·r² + i·r + j, h, w] in channels first.
    found = run("pixel_shuffle", {"factor": 2}, IMAGE).array
    assert found.shape == (2, 8, 12, 2)
    for c, h, i, w, j in [(0, 0, 0, 0, 0), (1, 2, 1, 3, 0), (1, 3, 0, 5, 1), (0, 1, 1, 2, 1)]:
        np.testing.assert_array_equal(found[:, 2 * h + i, 2 * w + j, c],
                                      IMAGE[:, h, w, 4 * c + 2 * i + j])


def test_pixel_shuffle_asks_for_channels_that_divide():
    with pytest.raises(ShapeError, match="8 channels over 9 places"):
        inferred("pixel_shuffle", floats(4, 6, 8), factor=3)


def test_the_parts_of_a_split_are_named_and_put_together_are_the_input():
    op = operator("split")(**{"sizes": (1, 7)})
    assert list(op.outputs(floats(4, 6, 8))) == ["part_1", "part_2"]
    parts = run("split", {"sizes": (1, 7)}, IMAGE)
    np.testing.assert_array_equal(np.concatenate([p.array for p in parts], -1), IMAGE)


def test_a_split_of_time_gives_each_part_its_lengths():
    parts = run("split", {"sizes": (2, 3), "axis": "time"}, SEQUENCE, lengths=[[5, 1]])
    assert [p.lengths.tolist() for p in parts] == [[2, 1], [3, 0]]


@pytest.mark.parametrize("fields, code", [
    ({"parts": 3}, "F0442"), ({"sizes": (3, 4)}, "F0446"), ({}, "F0452"),
    ({"parts": 2, "sizes": (4, 4)}, "F0452"), ({"parts": 2, "axis": "depth"}, "F0403"),
])
def test_a_split_that_does_not_work_out_is_refused(fields, code):
    with pytest.raises(ShapeError) as caught:
        inferred("split", floats(4, 6, 8), **fields)
    assert caught.value.code == code and caught.value.help


def test_select_last_is_each_rows_last_real_step():
    found = run("select", {"index": "last"}, SEQUENCE, lengths=LENGTHS)
    assert found.axes == ("channels",) and found.lengths is None
    np.testing.assert_array_equal(found.array, [SEQUENCE[0, 4], SEQUENCE[1, 2]])


def test_select_of_a_step_that_a_row_has_not_is_zero():
    found = run("select", {"index": 3}, SEQUENCE, lengths=LENGTHS).array
    np.testing.assert_array_equal(found, [SEQUENCE[0, 3], np.zeros(3)])
    assert (run("select", {"index": -1}, SEQUENCE, lengths=[[0, 0]]).array == 0).all()


def test_select_of_a_channel_keeps_the_lengths():
    found = run("select", {"index": 1, "axis": "channels"}, SEQUENCE, lengths=LENGTHS)
    assert found.axes == ("time",) and found.lengths.tolist() == LENGTHS[0]


def test_an_index_beyond_the_axis_is_refused():
    with pytest.raises(ShapeError, match="element 5 of time, which has 5") as caught:
        inferred("select", floats(5, 3), index=5)
    assert "0 to 4" in caught.value.help
