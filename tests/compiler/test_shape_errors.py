"""What convolutions, dense layers, pools and norms say of inputs that they cannot take."""

from __future__ import annotations

import pytest

from compiler.diagnostics import CODES
from compiler.ops import operator
from compiler.ops.base import ShapeError, Window
from compiler.types import TensorType
from tests.compiler.operator_table import category, floats, tokens

IMAGE = floats(8, 8, 6)
TEXT = TensorType(("time", "channels"), ("text", 6))
VIDEO = TensorType(("time", "depth", "height", "width", "channels"), (4, 4, 4, 4, 2))
CONV = {"filters": 4, "kernel": 3}

# word, fields, input, code, field to blame, a piece of the message.
COMPLAINTS = [
    ("conv", {**CONV, "kernel": 9, "padding": "valid"}, IMAGE, "F0405", "kernel",
     "a window of 9 does not fit on the height axis, which has 8 without padding"),
    ("conv", {**CONV, "dilation": 8, "padding": 1}, IMAGE, "F0405", "kernel",
     "a window of 17 does not fit on the height axis, which has 8 + 2 of padding"),
    ("conv", {**CONV, "groups": 4}, IMAGE, "F0406", "groups",
     "`groups: 4` does not divide the 6 channels of the input"),
    ("conv", {**CONV, "groups": 3}, IMAGE, "F0406", "groups", "does not divide the 4 filters"),
    ("conv", {**CONV, "depthwise": True}, IMAGE, "F0406", "filters",
     "a depthwise convolution of 6 channels cannot give 4"),
    ("conv", {**CONV, "depthwise": True, "groups": 2}, IMAGE, "F0407", "groups",
     "`depthwise` and `groups` exclude each other"),
    ("conv", {"kernel": 3}, IMAGE, "F0407", "filters", "`conv` needs `filters`"),
    ("conv", {**CONV, "kernel": (3, 3, 3)}, IMAGE, "F0401", "kernel",
     "`kernel` has 3 values, but the input has 2 space and time axes"),
    ("conv", {**CONV, "padding": (1, 1, 1)}, IMAGE, "F0401", "padding", "`padding` has 3 values"),
    ("conv", CONV, floats(6), "F0408", "", "moves over time or space"),
    ("conv", CONV, VIDEO, "F0408", "", "at most 3 axes, but its input has 4"),
    ("conv", CONV, tokens(5), "F0440", "", "needs floats"),
    ("conv", CONV, floats(5, axes=("time",)), "F0403", "", "needs a channels axis"),
    ("conv", CONV, TensorType(("time", "channels"), (5, "wide")), "F0404", "",
     "must be fixed, but `wide` is known only when the data is there"),
    ("conv", {**CONV, "stride": 2, "padding": "same_upper"}, TEXT, "F0401", "padding",
     "needs a known size"),
    ("conv_transpose", {**CONV, "output_padding": 1}, IMAGE, "F0407", "output_padding",
     "already says how large the output is"),
    ("conv_transpose", {**CONV, "padding": 5}, IMAGE, "F0405", "padding",
     "cuts off the whole height axis"),
    ("conv_transpose", {**CONV, "groups": 3}, IMAGE, "F0406", "groups", "does not divide"),
    ("dense", {"units": 4}, tokens(5), "F0440", "", "needs floats"),
    ("dense", {"units": 4}, floats(5, axes=("time",)), "F0403", "", "needs a channels axis"),
    ("embed", {"units": 4}, IMAGE, "F0409", "", "channels 6) holds floats"),
    ("embed", {"units": 4}, TensorType(("time", "channels"), (5, 2), "int", 7), "F0409", "",
     "makes a channels axis"),
    ("embed", {"units": 4}, TensorType(("time",), (5,), "int"), "F0407", "vocabulary",
     "nothing says how many different indices"),
    ("embed", {"units": 4, "vocabulary": 5}, tokens(5, 7), "F0450", "vocabulary",
     "`vocabulary` is 5, but the input's indices go up to 6"),
    ("one_hot", {"classes": 2}, category(3), "F0450", "classes", "go up to 2"),
    ("max_pool", {"window": 9}, IMAGE, "F0405", "window", "a window of 9 does not fit"),
    ("max_pool", {"window": 2, "padding": 2}, IMAGE, "F0411", "padding",
     "holds a whole window of 2"),
    ("max_pool", {"window": 2}, floats(6), "F0408", "", "moves over time or space"),
    ("average_pool", {"window": 2}, tokens(5), "F0440", "", "needs floats"),
    ("global_average_pool", {"over": "time"}, IMAGE, "F0403", "over", "reduces time"),
    ("global_max_pool", {}, floats(6), "F0403", "", "reduces time or space"),
    ("adaptive_average_pool", {"size": (2, 2, 2)}, IMAGE, "F0401", "size", "`size` has 3 values"),
    ("pool", {}, IMAGE, "F0403", "over", "`time`"),
    ("batch_norm", {}, tokens(5), "F0440", "", "needs floats"),
    ("group_norm", {"groups": 4}, IMAGE, "F0406", "groups", "does not divide the 6 channels"),
    ("instance_norm", {}, floats(6), "F0403", "", "goes over time or space"),
    ("layer_norm", {"axes": ("time", "channels")}, TEXT, "F0404", "", "must be fixed"),
    ("layer_norm", {"axes": ("height",)}, TEXT, "F0403", "axes", "`height`"),
    ("rms_norm", {}, floats(5, axes=("time",)), "F0403", "", "needs a channels axis"),
    ("normalise", {"mean": (1.0, 2.0)}, IMAGE, "F0410", "mean",
     "`mean` has 2 numbers, but the input has 6 channels"),
]


@pytest.mark.parametrize(
    ("word", "fields", "type", "code", "field", "message"), COMPLAINTS,
    ids=[f"{c[0]}-{c[3]}-{i}" for i, c in enumerate(COMPLAINTS)])
def test_a_complaint_says_what_was_found_and_how_to_mend_it(
        word, fields, type, code, field, message):
    with pytest.raises(ShapeError) as caught:
        operator(word)(**fields).infer(type)
    error = caught.value
    assert message in error.message
    assert (error.code, error.field) == (code, field)
    assert error.help and error.help not in error.message
    assert code in CODES


def test_the_remedy_for_groups_divides_both():
    with pytest.raises(ShapeError) as caught:
        operator("conv")(**{"filters": 18, "kernel": 3, "groups": 5}).infer(floats(8, 8, 12))
    assert caught.value.help == "`groups: 3` divides both the channels and the filters"


@pytest.mark.parametrize(("word", "fields"), [("conv", {**CONV, "filters": 10**30}),
                                              ("group_norm", {})])
def test_a_remedy_for_more_groups_than_anybody_has_is_found_at_once(word, fields):
    with pytest.raises(ShapeError) as caught:
        operator(word)(**fields, groups=10**29 + 1).infer(floats(8, 8, 10**30))
    assert caught.value.help.startswith("`groups: 65536` d")


@pytest.mark.parametrize(("word", "fields", "size"), [
    ("conv", {**CONV}, "text"),
    ("conv", {**CONV, "padding": "valid"}, "text - 2"),
    ("conv", {**CONV, "stride": 2}, "(text - 1) // 2 + 1"),
    ("conv_transpose", {**CONV, "stride": 2}, "text * 2"),
    ("conv_transpose", {**CONV, "stride": 2, "padding": "valid"}, "text * 2 + 1"),
    ("max_pool", {"window": 2}, "(text - 2) // 2 + 1"),
    ("max_pool", {"window": 2, "ceil": True}, "(text - 1) // 2 + 1"),
])
def test_an_unknown_length_goes_through_a_window_as_a_formula(word, fields, size):
    assert operator(word)(**fields).infer(TEXT).length == size
    for length in range(3, 12):
        known = operator(word)(**fields).infer(TEXT.resized(time=length)).length
        assert known == eval(size, {"text": length})  # noqa: S307


def test_the_reach_of_a_window_is_its_span_and_its_stride():
    reach = operator("conv")(**CONV, **{"stride": (1, 2), "dilation": 2}).reach(IMAGE)
    assert reach == {"height": Window(5, 1), "width": Window(5, 2)}
    assert operator("global_average_pool")(**{"over": "space"}).reach(VIDEO) == {
        "depth": None, "height": None, "width": None}
    assert operator("adaptive_average_pool")(**{"size": 4}).reach(IMAGE)["height"] == Window(2, 2)
    assert operator("adaptive_average_pool")(**{"size": 3}).reach(IMAGE)["height"] == Window(4, 2)
    assert operator("batch_norm")().reach(IMAGE) == {}
