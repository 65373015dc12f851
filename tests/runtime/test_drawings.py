"""What drawings are made of: colours, grids, SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from runtime.report import paint
from runtime.report.svg import Svg


def test_colours_go_from_dark_to_bright_and_around_nothing() -> None:
    colours = paint.heat(np.linspace(-3, 9, 50)).astype(int)
    assert colours[0].tolist() == [8, 8, 40] and colours[-1].tolist() == [252, 250, 190]
    light = colours @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(light) > 0)  # told apart in grey
    blue, white, red = paint.around(np.array([-2.0, 0.0, 2.0]))
    assert blue[2] > blue[0] and len(set(white.tolist())) == 1 and red[0] > red[2]
    assert paint.heat(np.array([np.nan, 1.0]))[0].tolist() == [8, 8, 40]
    assert paint.heat(np.full((2, 2), 7.0)).shape == (2, 2, 3)


def test_a_stretched_grid_covers_the_same_rectangle() -> None:
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    found = paint.stretched(values, 4, 6)
    assert found.shape == (4, 6) and found.mean() == pytest.approx(values.mean())
    assert (found[0, 0], found[-1, -1]) == (0.0, 3.0)
    assert paint.stretched(values, 2, 2) == pytest.approx(values)
    assert paint.stretched(np.array([[5.0]]), 3, 2) == pytest.approx(5.0)
    ramp = paint.stretched(np.arange(4.0)[None], 1, 8)[0]
    assert ramp == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_pictures_are_enlarged_laid_over_and_set_in_rows() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = paint.enlarged(small, 5)
    assert large.shape == (6, 6, 3) and np.array_equal(large[::3, ::3], small)
    assert paint.enlarged(large, 5) is not None and paint.enlarged(large, 5).shape == (6, 6, 3)
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert paint.laid_over(black, white, np.eye(2))[:, :, 0].tolist() == [[255, 0], [0, 255]]
    sheet = paint.beside([black] * 3, gap=1, columns=2)
    assert sheet.shape == (5, 5, 3) and sheet[3:, 3:].min() == 255 and sheet[:2, :2].max() == 0
    assert paint.as_rgb(small[..., :1]).shape == (2, 2, 3)


def test_svg_is_well_formed_whatever_the_data_is_called() -> None:
    drawing = Svg(100, 50)
    drawing.picture(np.zeros((2, 2, 3), np.uint8), 0, 0, 100, 50)
    drawing.box(1, 2, 30, 40, "#f00")
    drawing.line([(0, 0), (1, 2)], dashed=True)
    drawing.area([(0, 0), (1, 2), (3, 3)], "#00f")
    drawing.text(3, 4, '<script>"&\x00\udcff', behind="#fff", bold=True, turned=90)
    root = ElementTree.fromstring(drawing.document())
    kinds = [child.tag.partition("}")[2] for child in root]
    assert kinds == ["rect", "image", "rect", "polyline", "polygon", "text"]
    assert root[-1].text == '<script>"&��'
