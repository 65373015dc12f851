"""Drawings with text, lines and pictures in them, as SVG that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from runtime.report.png import data_uri

if TYPE_CHECKING:
    import numpy as np

FONT = 'font-family="ui-sans-serif,system-ui,Segoe UI,DejaVu Sans,sans-serif"'
INK, PAPER = "#1c2430", "#ffffff"
# Colours that are told apart on a picture, one for each kind of thing, the first ones first.
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#00a5b5", "#f032e6",
           "#8a6d00", "#0b7a75", "#9a6324", "#800000", "#5a8f00", "#808000", "#000075")


class Svg:
    """A drawing, filled piece by piece; what comes later lies above.

    All places are in pixels from the upper left corner. Texts of the data are escaped, and the
    file asks for nothing from outside.

    Example:
        >>> drawing = Svg(200, 100)
        >>> drawing.picture(photo, 0, 0, 200, 100)
        >>> drawing.box(20, 10, 50, 40, COLOURS[0])
        >>> drawing.text(22, 22, "cat 0.98", size=12)
        >>> Drawing(".svg", drawing.document())
    """

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self._parts: list[str] = []

    def picture(
        self, pixels: np.ndarray, x: float, y: float, width: float, height: float,
    ) -> None:
        """A picture of (height, width, channels) bytes; its pixels stay squares."""
        self._parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated" '
            f'href="{data_uri(pixels)}"/>')

    def box(
        self, x: float, y: float, width: float, height: float, colour: str = INK, *,
        fill: str = "none", thickness: float = 2, opacity: float = 1,
    ) -> None:
        """A rectangle: its edge in `colour`, its inside in `fill`."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" stroke="{colour}" '
            f'stroke-width="{thickness:g}" fill="{fill}" opacity="{opacity:g}"/>')

    def line(
        self, points: Sequence[tuple[float, float]], colour: str = INK, thickness: float = 1.5, *,
        dashed: bool = False, opacity: float = 1,
    ) -> None:
        """A line through points (x, y)."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{_path(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="{thickness:g}" stroke-linejoin="round" opacity="{opacity:g}"{dashes}/>')

    def area(
        self, points: Sequence[tuple[float, float]], colour: str, opacity: float = 0.3,
    ) -> None:
        """The inside of the polygon through points (x, y)."""
        self._parts.append(
            f'<polygon points="{_path(points)}" fill="{colour}" opacity="{opacity:g}"/>')

    def text(
        self, x: float, y: float, words: str, *, size: float = 13, colour: str = INK,
        anchor: str = "start", behind: str = "", bold: bool = False, turned: float = 0,
    ) -> None:
        """A line of text.

        Args:
            x: where it begins, ends, or has its middle, as `anchor` says.
            y: where its letters stand.
            words: the text.
            size: of its letters.
            colour: of its letters.
            anchor: "start", "end" or "middle".
            behind: a colour about the letters, which are read on any picture then.
            bold: whether they are.
            turned: by how many degrees, clockwise.
        """
        halo = (f' paint-order="stroke" stroke="{behind}" stroke-width="3" '
                'stroke-linejoin="round"' if behind else "")
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate({turned:g} {x:g} {y:g})"' if turned else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}" '
            f'text-anchor="{anchor}" xml:space="preserve"{weight}{halo}{turn}>'
            f"{escape(_printable(words))}</text>")

    def inside(self) -> str:
        """The drawing as an `svg` element, to stand in a page."""
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} '
                f'{self.height:g}" width="{self.width:g}" height="{self.height:g}" {FONT}>'
                f'<rect width="100%" height="100%" fill="{PAPER}"/>'
                f'{"".join(self._parts)}</svg>')

    def document(self) -> bytes:
        """The drawing as a file."""
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{self.inside()}\n'.encode()


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _printable(words: str) -> str:
    """The text without what no XML may hold: controls, and halves of characters."""
    return "".join("�" if (c < " " and c not in "\t\n") or "\ud800" <= c <= "\udfff"
                   or c in "\ufffe\uffff" else c for c in words)
