"""Objects in pictures: scores by class, and pictures with the boxes that are true and found."""

from __future__ import annotations

from html import escape

from runtime.report.evidence.classes import by_class
from runtime.report.evidence.seen import Seen
from runtime.tasks.boxes_drawn import drawn, frame_of

# So many pictures are shown, the first ones: they are neither the best nor the worst.
PICTURES = 8


def found(seen: Seen) -> str:
    shown = [i for i in range(min(seen.part.size, PICTURES)) if seen.image(i) is not None]
    tables = by_class(seen.details, "class", "objects", "map")
    if not shown:
        return tables
    return (tables + '<h3>Boxes</h3><p class="dim">On the left what is true, on the right what '
            f"the model finds.</p>{''.join(_pair(seen, i) for i in shown)}")


def _pair(seen: Seen, i: int) -> str:
    """A picture with its true boxes, and beside it with those that are found."""
    pixels = seen.image(i)
    assert pixels is not None
    classes = seen.dataset.labels.get("label", ())
    frame = frame_of(seen.part.arrays, i)
    sides = (drawn(pixels, told[i]["objects"], frame, classes) for told in (seen.true, seen.said))
    return ('<div class="row2">' + "".join(
        f'<figure class="drawing">{side.inside()}</figure>' for side in sides)
        + f'</div><p class="dim">{escape(seen.part.called(i))}</p>')
