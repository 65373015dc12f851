"""Gettext catalogues, as programs carry their translations: .po, a text, and .mo, compiled.

https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html and MO-Files.html. What is
not translated, marked as fuzzy, or obsolete is passed over, and so is the header.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compiler.diagnostics import SpecError
from runtime.data.files import failure, read_bytes, shown
from runtime.data.tabular import Table

SUFFIXES = (".po", ".mo")
# How a compiled catalogue begins, and the order of the bytes of its numbers.
ORDERS = {(0x950412DE).to_bytes(4, "little"): "<", (0x950412DE).to_bytes(4, "big"): ">"}
# The encoding is named within so many bytes.
HEADER = 2**14
# Between a context and the text it belongs to, and between the plural forms of a text.
CONTEXT, PLURAL = "\x04", "\x00"

_CHARSET = re.compile(rb"charset=([\w.:+-]+)")
_KEYWORD = re.compile(r"(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{1,3})\])?(?=[\s\"])")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"$')
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)")
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
          '"': '"', "\\": "\\"}


@dataclass
class _Entry:
    """A text and its translations.

    Attributes:
        line: the line of its first keyword.
        texts: by keyword; `msgstr[0]` and so on for plural forms.
        fuzzy: whether it is marked as a guess.
        seen: whether any keyword was there.
    """

    line: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    fuzzy: bool = False

    @property
    def complete(self) -> bool:
        return any(key.startswith("msgstr") for key in self.texts)


def read_catalogue(path: Path) -> Table:
    """The translated texts of a catalogue, as a table of `source` and `target`.

    A text with plural forms gives two pairs: the singular with the first form of the other
    language, the plural with its last one.

    Raises:
        SpecError: F0630, F0631 it cannot be read or is empty; F0660 a line is no part of a
            catalogue, F0661 a compiled one is damaged.
    """
    pairs = _compiled(path) if path.suffix.lower() == ".mo" else _written(path)
    kept = [(line, source, target) for line, source, target in pairs
            if source.strip() and target.strip()]
    if not kept:
        raise failure("F0631", f"`{shown(path)}` has no translated texts")
    lines, sources, targets = zip(*kept)
    # Texts stand there in pieces, with escapes: there is no cell to point at.
    return Table(path, {"source": sources, "target": targets}, np.array(lines),
                 has_lines=False, called=[f"{path.name}:{line}" for line in lines])


def _written(path: Path) -> list[tuple[int, str, str]]:
    """The line, source and target of each pair of a .po file."""
    found: list[tuple[int, str, str]] = []
    entry, key = _Entry(), ""

    def finish() -> None:
        nonlocal entry, key
        if entry.texts:
            if "msgid" not in entry.texts or not entry.complete:
                missing = "msgid" if entry.complete else "msgstr"
                raise failure("F0660", f"an entry has no `{missing}`", path, entry.line,
                              help='an entry is `msgid "text"`, and below it '
                                   '`msgstr "translation"`')
            if not entry.fuzzy:
                found.extend((entry.line, *pair) for pair in _pairs(entry))
        entry, key = _Entry(), ""

    for number, raw in enumerate(_decoded(path, read_bytes(path)).split("\n"), start=1):
        line = raw.strip()
        if line.startswith("#"):
            if entry.complete:
                finish()
            if line.startswith("#,") and "fuzzy" in re.split(r"[,\s]+", line[2:]):
                entry.fuzzy = True
            continue
        if not line:
            continue
        word = _KEYWORD.match(line)
        if word is None:
            if not key or not line.startswith('"'):
                raise _odd(path, number, line)
            entry.texts[key] += _string(path, number, line)
            continue
        name = word[1] if word[2] is None else f"{word[1]}[{word[2]}]"
        # A new entry begins where the one before has its translation, but for its plurals.
        if entry.complete and word[1] != "msgstr":
            finish()
        if name in entry.texts:
            raise failure("F0660", f"an entry has `{name}` twice", path, number, name)
        key, entry.line = name, entry.line or number
        entry.texts[key] = _string(path, number, line[word.end():].strip())
    finish()
    return found


def _pairs(entry: _Entry) -> list[tuple[str, str]]:
    """The pairs of an entry; none for the header, whose text is empty."""
    texts = entry.texts
    if not texts["msgid"]:
        return []
    forms = [texts[key] for key in texts if key.startswith("msgstr")]
    pairs = [(texts["msgid"], forms[0])]
    if "msgid_plural" in texts and len(forms) > 1:
        pairs.append((texts["msgid_plural"], forms[-1]))
    return pairs


def _odd(path: Path, number: int, line: str) -> SpecError:
    return failure(
        "F0660", "the line is no part of a gettext catalogue", path, number, line[:40],
        notes=["a line is a comment (#), a keyword (msgctxt, msgid, msgid_plural, msgstr) with a "
               "text in double quotes, or such a text alone"],
        help="`msgfmt -c FILE` of gettext checks a catalogue")


def _string(path: Path, number: int, text: str) -> str:
    """What a quoted text stands for."""
    whole = _STRING.match(text)
    if whole is None:
        raise failure("F0660", "a text has to stand in double quotes, by itself", path, number,
                      text[:40], help='write a quote inside it as `\\"`')

    def sign(match: re.Match[str]) -> str:
        word = match[1]
        if word in _SIGNS:
            return _SIGNS[word]
        if word[0] in "01234567":
            return chr(int(word, 8))
        if word[0] == "x" and len(word) > 1:
            return chr(int(word[1:], 16))
        raise failure("F0660", f"`\\{word}` stands for nothing in a catalogue", path, number,
                      f"\\{word}", help="a backslash itself is written `\\\\`")

    return _ESCAPE.sub(sign, whole[1])


def _decoded(path: Path, data: bytes) -> str:
    """The text of a catalogue, in the encoding that its header names.

    Raises:
        SpecError: F0630 it is in another one, F0660 nobody knows the one that it names.
    """
    charset = _charset(path, data)
    try:
        text = data.decode(charset).removeprefix("\ufeff")
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        line = data.count(b"\n", 0, place) + 1
        raise failure(
            "F0630", f"`{shown(path)}` is not {charset.upper()} text",
            notes=[f"byte {place:,}, in line {line:,}"],
            help="name its encoding in its header, `charset=…`, or convert it to UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _charset(path: Path, header: bytes) -> str:
    """The encoding that a catalogue names; UTF-8 if it names none."""
    named = _CHARSET.search(header[:HEADER])
    charset = named[1].decode("ascii") if named else "utf-8"
    if charset == "CHARSET":  # as templates have it
        return "utf-8"
    try:
        # Those that are no encodings of text, such as zip, fail here as unknown ones do.
        "".encode(charset)
    except (LookupError, UnicodeError):
        raise failure("F0660", f"`{shown(path)}` names an encoding that nobody knows: `{charset}`",
                      help="correct `charset=` in its header; UTF-8 is the usual one") from None
    return charset


def _compiled(path: Path) -> list[tuple[int, str, str]]:
    """The number, source and target of each pair of a .mo file."""
    data = read_bytes(path)

    def damaged(why: str) -> SpecError:
        return failure("F0661", f"`{shown(path)}` is not a compiled catalogue, or a damaged one",
                       notes=[why], help="compile it again with `msgfmt`")

    order = ORDERS.get(data[:4])
    if order is None:
        raise damaged("it does not begin as one does")

    def numbers(at: int, count: int) -> tuple[int, ...]:
        if at + 4 * count > len(data):
            raise damaged("it ends too early")
        return struct.unpack_from(f"{order}{count}I", data, at)

    def texts(at: int, count: int) -> list[bytes]:
        places = numbers(at, 2 * count)
        lengths, starts = places[::2], places[1::2]
        if sum(lengths) > len(data):
            raise damaged("its texts are longer than the file")
        if any(start + length > len(data) for length, start in zip(lengths, starts)):
            raise damaged("a text lies outside of it")
        return [data[start:start + length] for length, start in zip(lengths, starts)]

    count, sources, targets = numbers(8, 3)
    rows = list(zip(texts(sources, count), texts(targets, count)))
    charset = _charset(path, next((target for source, target in rows if not source), b""))
    found = []
    for number, (source, target) in enumerate(rows, start=1):
        try:
            one, other = source.decode(charset), target.decode(charset)
        except UnicodeError:
            raise damaged(f"text {number:,} is not {charset.upper()}") from None
        forms, translated = one.rpartition(CONTEXT)[2].split(PLURAL), other.split(PLURAL)
        found.append((number, forms[0], translated[0]))
        if len(forms) > 1 and len(translated) > 1:
            found.append((number, forms[1], translated[-1]))
    return [row for row in found if row[1]]
