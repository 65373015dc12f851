"""The text of a spec in canonical style, with the proof that it means what it meant."""

from __future__ import annotations

from collections.abc import Iterator, Set

from compiler.check import check_version
from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.format.layout import laid_out
from compiler.format.order import arrange
from compiler.format.pieces import Group, Piece, read_pieces
from compiler.parse import parse, parse_mended
from compiler.source import Source
from compiler.tree import Mapping, Node, Scalar, Sequence

NEEDS_QUOTES = "F0118"

Path = tuple[str | int, ...]  # keys and numbers of items


def formatted(source: Source) -> str:
    """The text of a spec in canonical style.

    Formulas that need quotes get them; all else that is wrong is told and not mended.

    Raises:
        SpecError: the text is not in order; F0218: it is of another version of the language;
            F0840: it cannot be written in this style.
    """
    report = Report()
    before, text = parse_mended(source, report)
    if any(d.code != NEEDS_QUOTES for d in report.errors):
        raise SpecError(report.diagnostics)
    if "flaxspec" in before:  # the order of another version's sections is not known
        check_version(before, Report())
    if text != source.text:
        before = parse(Source(source.name, text), Report())
    document = read_pieces(text)
    comments = document.comments()
    paths = dict(_paths(document.root, ()))
    sorted_maps = {paths[key] for key in arrange(document)}
    result = laid_out(document)
    problem = "" if result == source.text else _lost(before, comments, result, sorted_maps)
    if problem:
        raise SpecError([diagnostic(
            "F0840", f"`{source.name}` cannot be written in canonical style: {problem}",
            help="nothing was changed; write the lines concerned in a plainer form")])
    return result


def _paths(piece: Piece, path: Path) -> Iterator[tuple[int, Path]]:
    """The id and the path of every map and list."""
    if isinstance(piece, Group):
        yield id(piece), path
        for i, entry in enumerate(piece.entries):
            yield from _paths(entry.value, (*path, entry.key.value if entry.key else i))


def _lost(before: Mapping, comments: list[str], result: str, sorted_maps: Set[Path]) -> str:
    """What the new text lacks or says otherwise; "" where it is the same."""
    try:
        after = parse(Source("the new text", result), Report())
    except SpecError as error:
        return error.diagnostics[0].headline
    if not same(before, after, sorted_maps):
        return "it would say something else"
    if read_pieces(result).comments() != comments:
        return "a comment would be lost"
    return ""


def same(a: Node, b: Node, sorted_maps: Set[Path] = frozenset(), path: Path = ()) -> bool:
    """Whether two trees say the same.

    Args:
        a: a tree.
        b: another one.
        sorted_maps: the paths of maps whose keys may have changed places.
        path: where the trees begin.
    """
    match a, b:
        case Mapping(), Mapping():
            if a.keys() != b.keys() or not (path in sorted_maps or list(a) == list(b)):
                return False
            return all(same(a[key], b[key], sorted_maps, (*path, key)) for key in a)
        case Sequence(), Sequence():
            return len(a) == len(b) and all(
                same(x, y, sorted_maps, (*path, i)) for i, (x, y) in enumerate(zip(a, b)))
        case Scalar(), Scalar():
            # No number is equal to itself where it is `.nan`.
            return (repr(a.value), a.quoted) == (repr(b.value), b.quoted)
        case _:
            return False
