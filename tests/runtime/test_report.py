"""report.html and what it is made of."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from runtime.report.chart import Line, chart, number, short, ticks
from runtime.report.png import as_pixels, png
from runtime.report.samples import text_of

VOID = {"meta", "img", "br", "circle"}


class Checked(HTMLParser):
    """Fails where tags are not closed in order; collects them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag


@pytest.fixture(scope="module")
def text(finished: Path) -> str:
    return (finished / "report.html").read_text(encoding="utf-8")


def test_the_report_is_well_formed_and_has_every_section(text: str) -> None:
    page = Checked()
    page.feed(text)
    assert page.open == []
    sections = [attrs["id"] for tag, attrs in page.seen if tag == "section"]
    assert sections == ["curves", "evidence", "plan", "architecture", "reproduce"]


def test_the_report_needs_nothing_from_outside_and_no_scripts(text: str) -> None:
    page = Checked()
    page.feed(text)
    links = [value for _, attrs in page.seen for name, value in attrs.items()
             if name in ("src", "href", "xlink:href")]
    assert links and all(link and link.startswith(("#", "data:")) for link in links)
    assert not [tag for tag, _ in page.seen if tag in ("script", "link", "iframe")]
    assert "@import" not in text and "url(http" not in text


def test_names_in_the_report_cannot_be_markup(text: str) -> None:
    assert "A small network on &lt;digits&gt;" in text
    assert "<digits>" not in text


def test_the_report_shows_scores_curves_confusion_and_mistakes(text: str) -> None:
    assert "accuracy on test" in text and "Confusion matrix" in text
    assert text.count('class="line validation"') >= 2
    assert "data:image/png;base64," in text and "The most certain mistakes" in text
    assert "compile-and-train small.yaml" in text and "<td>seed</td>" in text


# --------------------------------------------------------------------------- pictures


def test_a_png_holds_its_pixels() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    data = png(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + size
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (3, 2, 8, 2)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert rows == b"".join(b"\0" + row.tobytes() for row in pixels)


def test_a_picture_of_five_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="5 channels"):
        png(np.zeros((1, 1, 5), np.uint8))


def test_images_of_any_range_become_bytes() -> None:
    assert as_pixels(np.array([[[0.0], [1.0]]])).ravel().tolist() == [0, 255]
    assert as_pixels(np.array([[[-1.0], [1.0]]])).ravel().tolist() == [0, 255]
    assert as_pixels(np.full((1, 1, 7), 0.5)).shape == (1, 1, 1)


# ----------------------------------------------------------------------------- charts


@pytest.mark.parametrize("low, high", [(0, 1), (0.13, 0.98), (-3, 12.5), (5, 5), (0, 0),
                                       (1e-7, 3e-7), (1e6, 9e6)])
def test_ticks_are_few_and_hold_the_data_between_them(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 8
    assert found[0] <= low and found[-1] >= high and found[0] < found[-1]


def test_a_chart_leaves_out_what_is_no_number_and_thins_out_the_rest() -> None:
    points = [(i, float("nan") if i == 3 else i % 7) for i in range(5000)]
    text = chart("loss", [Line("loss", points)])
    assert "nan" not in text and text.count("L") < 2000
    assert chart("loss", [Line("loss", [(1, float("inf")), (float("nan"), 1)])]) == ""


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    text = chart("score", [Line("score", [(0.0002, 1), (0.05, 2)], "dots")], "rate", log=True)
    assert re.findall(r'text-anchor="middle">([0-9.e-]+)<', text) == ["0.001", "0.01"]


def test_numbers_at_an_axis_are_short_and_others_are_whole() -> None:
    assert [short(v) for v in (0, 0.25, 25000, 250000, -1.5e6, 2e9)] == [
        "0", "0.25", "25,000", "250 k", "-1.5 M", "2 G"]
    assert [number(v) for v in (412788, 1e-5, 3e12)] == ["412,788", "1e-05", "3e+12"]


def test_tokens_become_text() -> None:
    assert text_of(list("to be")) == "to be"
    assert text_of(["to", "be", "or"]) == "to be or" and text_of([]) == ""
