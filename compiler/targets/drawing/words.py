"""The texts of boxes, in lines, and how wide they are."""

from __future__ import annotations

from compiler.targets.drawing.boxes import Box
from compiler.targets.drawing.figures import costs
from compiler.types import TensorType

WIDEST = 34  # characters in a line of a box
LONGEST = 4 * WIDEST  # characters of a text


def heading(box: Box) -> str:
    """"unit 64 ×3": what a box is, and how often."""
    text = box.title or box.name
    return f"{text}  ×{box.times}" if box.times > 1 else text


def caption(box: Box) -> str:
    """The author's name, where the heading does not say it."""
    return box.name if box.title else ""


def shape(tensor: TensorType) -> str:
    """"56×56×64", "int text", "text×128": the label of a wire."""
    sizes = [str(size) if isinstance(size, int) or str(size).isidentifier() else f"({size})"
             for size in tensor.shape]
    told = cut("×".join(sizes) or "1", WIDEST)
    return told if tensor.dtype == "float" else f"{tensor.dtype} {told}"


def figures(box: Box) -> str:
    """"9.41 k params · 118 M MACs"."""
    return costs(box.params, box.macs)


def cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """A text without characters that are no text: names in specs are the author's."""
    return "".join(c if c.isprintable() else "�" for c in text)


def wrapped(text: str, most: int = WIDEST) -> list[str]:
    """A text in as few lines as are not too wide, and these about equally long."""
    text = cut(printable(text))
    lines = _lines(text, most)
    while len(lines) > 1 and most > 8 and len(narrower := _lines(text, most - 1)) == len(lines):
        lines, most = narrower, most - 1
    return lines


def _lines(text: str, most: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
        while len(lines[-1]) > WIDEST:
            lines[-1:] = [lines[-1][:WIDEST], lines[-1][WIDEST:]]
    return [line for line in lines if line]


def width(text: str, size: float = 12, bold: bool = False) -> float:
    """About how wide a text is in a sans-serif font, in pixels; rather too much."""
    units = 0.0
    for c in text:
        if c in " .,:;|!'il()[]{}·/":
            units += 0.42
        elif c in "mwMW—…":
            units += 0.98
        elif c.isupper() or ord(c) > 0x2E80:
            units += 0.76 if ord(c) <= 0x2E80 else 1.05
        else:
            units += 0.64
    return units * size * (1.1 if bold else 1)
