"""YAML 1.2 text -> a tree with a place on every node.

What is wrong with the text goes to the report. A mistake that is recognised (see
`traps`) is mended in a copy of the text, which is then read again, so that one
run tells of every mistake in the file.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from compiler.compose import Composer
from compiler.diagnostics import Diagnostic, Report, SpecError, diagnostic, nearest
from compiler.draft import Draft, Trap
from compiler.home import Home, home_of
from compiler.source import Source, Span
from compiler.tree import Mapping, Node, Scalar, Sequence, comment_after, plain, present, scalar

__all__ = [
    "Mapping", "Node", "Scalar", "Sequence", "comment_after", "parse", "parse_mended",
    "parse_value", "plain", "present", "read_source", "scalar",
]

# The limits on a text; those on a tree are in `compose`.
MAX_BYTES = 1 << 20
MAX_MENDS = 30  # mistakes in one text that are read past

# All that YAML 1.2 allows in a text, less the line breaks that only YAML 1.1 knows (U+0085,
# U+2028, U+2029): they would begin lines where no editor shows one.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
                        "\U00010000-\U0010ffff]")


def read_source(
    path: Path | str, shown: str | None = None, home: Home | None = None,
) -> Source:
    """The text of a file.

    Args:
        path: the file.
        shown: the name it goes by in messages; the path where not given.
        home: where it lies; that of a file which the user opened, where not given.

    Raises:
        SpecError: the file is not there or not readable (F0102), larger than 1 MiB
            (F0103), or not UTF-8 text (F0104).
    """
    name = str(path) if shown is None else shown
    try:
        if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):
            raise SpecError([diagnostic(  # reading a pipe could wait for ever
                "F0102", f"`{name}` is not a file but a device or a pipe",
                help="give the path of a YAML file")])
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError([_unreadable(Path(path), name, error)]) from None
    if len(data) > MAX_BYTES:
        raise SpecError([_too_large(name)])
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SpecError([diagnostic("F0104", f"`{name}` is UTF-16 text, not UTF-8",
                                    help="save the file as UTF-8")])
    if b"\0" in data:
        raise SpecError([diagnostic("F0104", f"`{name}` is not a text file",
                                    notes=["it holds zero bytes, as images, weights and "
                                           "programs do"],
                                    help="give the path of a YAML file")])
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return Source(name, data.decode("utf-8"), home or home_of(Path(path)))
    except UnicodeDecodeError as error:
        at = len(data[: error.start].decode("utf-8"))
        shown_text = Source(name, data.decode("utf-8", "replace"))
        raise SpecError([diagnostic(
            "F0104", f"`{name}` is not UTF-8 text", shown_text.span(at, at + 1),
            f"the byte 0x{data[error.start]:02x} here is not part of any character",
            help="save the file as UTF-8")]) from None


def parse(source: Source, report: Report) -> Mapping:
    """The document in a source. Errors that leave a tree standing only go to the report.

    Raises:
        SpecError: there is no tree to go on with.
    """
    return parse_mended(source, report)[0]


def parse_mended(source: Source, report: Report) -> tuple[Mapping, str]:
    """The document in a source, and the text in which the mistakes that could be are mended.

    Raises:
        SpecError: there is no tree to go on with.
    """
    node, text = _read(source, report)
    if isinstance(node, Mapping):
        return node, text
    start = "begin the file with `flaxspec: 1`"
    if node is None or (isinstance(node, Scalar) and not node.text):
        said = "holds nothing but comments" if source.text.strip() else "is empty"
        report.error("F0106", f"`{source.name}` {said}", help=start)
    else:
        place = node.span
        report.error("F0107", "a spec is a map of sections",
                     Span(source, place.line, place.column, place.line, place.column + 1),
                     "expected a key and a colon", help=start)
    raise SpecError(report.diagnostics)


def parse_value(text: str, name: str, report: Report) -> Node:
    """The value of `--set a.b=VALUE`: one value in YAML; no text at all is null.

    Args:
        text: the value.
        name: what it goes by in messages: "--set a.b=VALUE".
        report: where errors go.

    Raises:
        SpecError: the text is not YAML.
    """
    source = Source(name, text)
    node, _ = _read(source, report)
    if node is not None:
        return node
    if text.strip():
        report.error("F0106", "there is no value, only a comment", source.span(0, len(text)),
                     "YAML begins a comment at `#`", help='put the value in "quotes"')
        report.check()
    return Scalar(None, source.span(0, len(text)), text, False)


def _read(source: Source, report: Report) -> tuple[Node | None, str]:
    """The tree of a source, None where it holds none, and the text that it was read from."""
    if len(source.text) > MAX_BYTES:
        report.add(_too_large(source.name))
        raise SpecError(report.diagnostics)
    if bad := _FORBIDDEN.search(source.text):
        others = sum(1 for _ in _FORBIDDEN.finditer(source.text)) - 1
        report.error("F0105", "a character that a spec may not hold", source.span(*bad.span()),
                     f"the character U+{ord(bad[0]):04X}",
                     notes=[f"the file holds {others} more of the kind"] if others else (),
                     help="remove it")
        raise SpecError(report.diagnostics)
    traps: dict[tuple[int, int], Diagnostic] = {}
    draft = Draft(source, source.text)
    composer = Composer(draft)
    readable = False
    while not readable:
        composer = Composer(draft)
        try:
            composer.run()
            readable = True
        except Trap as trap:
            place = _place(trap.diagnostic)
            if place in traps:  # the mend did not help; what follows from it is not told
                break
            traps[place] = trap.diagnostic
            # A large text is not read over and over.
            if not trap.mend or len(traps) > min(MAX_MENDS, MAX_BYTES // len(draft.text)):
                break
            draft = draft.mended(trap.mend)
    for found in sorted([*traps.values(), *composer.found], key=_place):
        report.add(found)
    if not readable:
        raise SpecError(report.diagnostics)
    return composer.root, draft.text


def _place(found: Diagnostic) -> tuple[int, int]:
    return found.labels[0].span.line, found.labels[0].span.column


def _too_large(name: str) -> Diagnostic:
    return diagnostic("F0103", f"`{name}` is larger than {MAX_BYTES >> 20} MiB",
                      notes=["a spec takes a few kilobytes"], help="give the path of a YAML spec")


def _unreadable(path: Path, name: str, error: Exception) -> Diagnostic:
    match error:
        case FileNotFoundError():
            return diagnostic("F0102", f"there is no file `{name}`", help=_near(path))
        case IsADirectoryError():
            return diagnostic("F0102", f"`{name}` is a folder",
                              help="give the path of a YAML file in it")
        case PermissionError():
            return diagnostic("F0102", f"`{name}` may not be read",
                              help="change the rights of the file")
        case OSError():
            return diagnostic("F0102", f"`{name}` cannot be read",
                              notes=[f"the system says: {error.strerror or error}"])
    return diagnostic("F0102", "the name of the file holds a zero byte",
                      help="give the path of a YAML file")


def _near(path: Path) -> str:
    """The remedy for a path that is not there."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return f"there is no folder `{path.parent}` either"
