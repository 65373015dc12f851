"""Which boxes of a drawing stand open."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.targets.drawing.boxes import Box, Scene, Scope

# Where no depth is given, as many levels stand open as show at most so many boxes.
FITTING = 130
# A picture with more boxes than this is read by nobody.
MOST = 3_000


def opened(scene: Scene, *, depth: int | None = None, fold: Sequence[str] = (),
           open_: Sequence[str] = (), fitting: int = FITTING) -> frozenset[int]:
    """The boxes that stand open, by identity.

    Args:
        scene: what is drawn.
        depth: the levels to show, 1 being the model's own layers; as many as fit where None.
        fold: paths of boxes that stay closed.
        open_: paths of boxes that are open whatever the depth, with those around them.
        fitting: how many boxes fit.

    Raises:
        SpecError: F0940 a path leads to no box, F0941 there would be too many boxes.
    """
    depth = depth or fitting_depth(scene.scope, fitting)
    found = {id(box) for level, box in _levels(scene.scope) if box.inside and level < depth}
    errors = []
    for path in open_:
        if way := _way(scene.scope, path):
            found |= {id(box) for box in way if box.inside}
        else:
            errors.append(path)
    for path in fold:
        if way := _way(scene.scope, path):
            found.discard(id(way[-1]))
        else:
            errors.append(path)
    if errors:
        known = [path for box in scene.scope.all() if box.inside for path in box.paths]
        raise SpecError(
            diagnostic("F0940", f"`{path}` is no box of this drawing that could be opened",
                       help=nearest(path, known[:5_000]) or "paths are those of `flaxspec plan`, "
                       "such as " + ", ".join(f"`{p}`" for p in known[:3]) if known
                       else "nothing in it can be opened: no block is used")
            for path in errors)
    if (number := visible(scene.scope, found)) > MOST:
        raise SpecError([diagnostic(
            "F0941", f"there would be {number:,} boxes, and at most {MOST:,} are drawn",
            help="show fewer levels with `--depth N`, or fold some with `--fold PATH`")])
    return frozenset(found)


def _levels(scope: Scope, level: int = 1) -> list[tuple[int, Box]]:
    """Every box with its level."""
    found: list[tuple[int, Box]] = []
    for box in scope.layers:
        found.append((level, box))
        if box.inside is not None:
            found += _levels(box.inside, level + 1)
    return found


def fitting_depth(scope: Scope, fitting: int) -> int:
    """The greatest depth that shows at most so many boxes, at least 1."""
    levels = [level for level, _ in _levels(scope)]
    depth = 1
    while depth < max(levels, default=1) and sum(
            level <= depth + 1 for level in levels) <= fitting:
        depth += 1
    return depth


def _way(scope: Scope, path: str) -> list[Box]:
    """The boxes that lead to a path, the last being the one itself; [] where there is none."""
    for box in scope.layers:
        if path in box.paths and box.inside is not None:
            return [box]
        # Of equal neighbours the first is drawn; the inside of the others is there under its path.
        for own in box.paths if box.inside is not None else ():
            if path.startswith(f"{own}."):
                assert box.inside is not None
                if rest := _way(box.inside, box.paths[0] + path[len(own):]):
                    return [box, *rest]
    return []


def visible(scope: Scope, found: Collection[int]) -> int:
    """How many boxes are seen."""
    return sum(1 + (visible(box.inside, found) if box.inside is not None and id(box) in found
                    else 0) for box in scope.layers)
