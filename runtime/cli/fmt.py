"""`flaxspec fmt`: specs in canonical style."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from compiler.format.format import formatted
from compiler.parse import MAX_BYTES, read_source
from compiler.source import Source
from runtime.cli.terminal import say, show
from runtime.cli.writing import write_text

STDIN = "-"
SUFFIXES = (".yaml", ".yml")
# What tells a spec from other YAML files, where a folder is given.
MARK = re.compile(rb"^flaxspec:", re.M)


def run(files: Sequence[str], *, check: bool, diff: bool) -> int:
    """Put files in canonical style; the exit status.

    Args:
        files: files, folders, or `-` for standard input, whose text goes to standard output.
        check: write nothing, and tell which files would change.
        diff: write nothing, and show what would change.
    """
    changed = kept = failed = 0
    for path in (path for name in files for path in _specs(name)):
        try:
            is_new = _format(path, check=check, diff=diff)
            changed, kept = changed + is_new, kept + (not is_new)
        except SpecError as error:
            show(error.diagnostics)
            failed += 1
    if list(files) != [STDIN] and not diff:
        say(_summary({"would change" if check else "formatted": changed,
                      "in canonical style already": kept, "not in order": failed}))
    return 2 if failed else 1 if changed and (check or diff) else 0


def _summary(found: dict[str, int]) -> str:
    """"1 file formatted, 3 in canonical style already"."""
    told = [(count, what) for what, count in found.items() if count]
    if not told:
        return "no specs here"
    (first, what), *others = told
    return ", ".join([f"{first} file{'s' if first > 1 else ''} {what}",
                      *(f"{count} {what}" for count, what in others)])


def _specs(name: str) -> Iterator[str]:
    """The file, or the specs under a folder; what lies in hidden folders is passed by."""
    if name == STDIN or not os.path.isdir(name):
        yield name
        return
    for folder, inner, names in os.walk(name):
        inner[:] = sorted(n for n in inner if not n.startswith("."))
        for entry in sorted(names):
            path = os.path.join(folder, entry)
            if entry.endswith(SUFFIXES) and os.path.isfile(path) and _is_spec(path):
                yield os.path.relpath(path) if not os.path.isabs(name) else path


def _is_spec(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return MARK.search(file.read(MAX_BYTES)) is not None
    except OSError:
        return True  # to be told why it cannot be read


def _format(name: str, *, check: bool, diff: bool) -> bool:
    """Put one file in canonical style; whether that changes it.

    Raises:
        SpecError: the spec is not in order, or the file cannot be read or written.
    """
    source = _stdin() if name == STDIN else read_source(name)
    text = formatted(source)
    is_new = text != (source.text if name == STDIN else _bytes_of(name))
    if diff:
        shown = difflib.unified_diff(source.text.splitlines(keepends=True),
                                     text.splitlines(keepends=True), source.name, source.name)
        say("".join(_ended(line) for line in shown).rstrip("\n")) if is_new else None
    elif check:
        if is_new:
            say(f"would change {source.name}")
    elif name == STDIN:
        print(text, end="")
    elif is_new:
        write_text(Path(name), text)
        say(f"formatted {name}")
    return is_new


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _bytes_of(name: str) -> str:
    """The text as it lies on the disk, with its line breaks: others are written anew."""
    return Path(name).read_bytes().decode("utf-8")


def _stdin() -> Source:
    """Standard input as a source.

    Raises:
        SpecError: it is no text, or too long.
    """
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise SpecError([diagnostic("F0104", "standard input is not UTF-8 text",
                                    help="give a YAML spec")]) from None
    return Source("standard input", text)
