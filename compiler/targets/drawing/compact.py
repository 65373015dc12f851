"""Fewer boxes that say the same.

1. A layer that alone reads another, and only norms, activates or drops, stands in its box.
2. Equal neighbours in a chain are one box with their number; inside it is one of them.
   A branch's name stands at its first box only.
3. A block that holds one layer is that layer; a group that holds one box is that box.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from compiler.targets.drawing.boxes import Box, Wire

_LIGHT = ("activation", "normalisation", "noise")


def compacted(boxes: Sequence[Box]) -> list[Box]:
    """The boxes of a scope by rules 1 and 2."""
    fewer = _joined(_joined(boxes, _follows, _absorb), _repeats, _count)
    return [replace(box, name="") if box.name and any(
        fewer[wire.source].name == box.name for wire in box.reads) else box for box in fewer]


def _joined(boxes: Sequence[Box], wanted: Callable[[Box, Box], bool],
            join: Callable[[Box, Box], None]) -> list[Box]:
    """Boxes put into the one before them, where they alone read it and it is wanted."""
    readers = Counter(wire.source for box in boxes for wire in box.reads)
    places: list[int] = []  # of each old box in the new list
    ends: list[int] = []  # of each new box, the old box that its output is of
    result: list[Box] = []
    for number, box in enumerate(boxes):
        reads = [Wire(places[w.source], w.port) for w in box.reads]
        if len(reads) == 1 and not box.is_end:
            place = reads[0].source
            before = result[place]
            if readers[ends[place]] == 1 and box.during == before.during and wanted(before, box):
                join(before, box)
                places.append(place)
                ends[place] = number
                continue
        places.append(len(result))
        ends.append(number)
        result.append(replace(box, reads=reads))
    return result


def _follows(before: Box, box: Box) -> bool:
    """Rule 1."""
    light = box.family in _LIGHT and len(box.types) == 1 and not box.marks
    return (before.kind in ("layer", "join") and box.kind == "layer" and light
            and len(before.types) == 1 and before.types[0].shape == box.types[0].shape)


def _absorb(before: Box, box: Box) -> None:
    before.followers = [*before.followers, short_title(box), *box.followers]
    before.types = box.types
    before.paths = (*before.paths, *box.paths)
    before.params += box.params
    before.macs += box.macs
    before.likeness = (before.likeness, box.likeness)


def short_title(box: Box) -> str:
    """"dropout 0.5", "batch_norm": without the lesser fields."""
    return box.title.partition(",")[0] if box.family != "normalisation" else box.word


def _repeats(before: Box, box: Box) -> bool:
    """Rule 2."""
    return before.likeness == box.likeness and before.likeness is not None


def _count(before: Box, box: Box) -> None:
    before.times += box.times
    before.paths = (*before.paths, *box.paths)
    before.params += box.params
    before.macs += box.macs
    before.types = box.types
    before.name = _range(before.name, box.name)


def _range(first: str, last: str) -> str:
    """"unit1…5" of "unit1…4" and "unit5"."""
    a = re.fullmatch(r"(.*?)(\d+)(…\d+)?(\D*)", first)
    b = re.fullmatch(r"(.*?)(\d+)(\D*)", last)
    if a and b and a[1] == b[1] and a[4] == b[3]:
        return f"{a[1]}{a[2]}…{b[2]}{a[4]}"
    return first


def plain_block(box: Box) -> Box:
    """Rule 3 for blocks."""
    assert box.inside is not None
    layers = box.inside.layers
    if len(layers) != 1 or layers[0].inside is not None or layers[0].times > 1:
        return box
    (only,) = layers
    return replace(box, kind="layer", family=only.family, inside=None,
                   followers=[only.word, *only.followers], marks=[*box.marks, *only.marks],
                   paths=(*box.paths, *only.paths))


def plain_group(box: Box) -> Box:
    """Rule 3 for groups."""
    assert box.inside is not None
    layers = box.inside.layers
    if len(layers) != 1 or len(box.inside.boxes) != 3:
        return box
    (only,) = layers
    name = ".".join(filter(None, [box.name, only.name]))
    return replace(only, name=name, reads=box.reads, paths=(*box.paths, *only.paths),
                   likeness=(re.sub(r"\d+", "#", box.name), only.likeness, only.times))
