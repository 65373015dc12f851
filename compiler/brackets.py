"""Mistakes inside `{}` and `[]`: formulas without quotes, brackets and commas that are missing."""

from __future__ import annotations

import re

from compiler.draft import (
    Draft,
    Stop,
    Trap,
    in_quotes,
    indent_of,
    line_end,
    line_start,
    quotes_around,
    skip_blanks,
)

# Characters looked through for an end.
MAX_VALUE = 2_000
MAX_LOOK = 20_000

_KEY_BEFORE = re.compile(r"([\w.-]+)[ \t]*:[ \t]*$")
_PAIRS = {"{": "}", "[": "]", "(": ")"}


def cut_formula(draft: Draft, start: int, end: int) -> Trap | None:
    """The trap, where an unquoted formula inside `{}` or `[]` goes on after YAML's end of it.

    Args:
        draft: the text.
        start: the index of the formula's `=`.
        end: the index after the last character that YAML takes as the formula's.
    """
    text = draft.text
    true_end = flow_end(text, start)
    if true_end <= end:
        return None
    written = " ".join(text[start:true_end].split())
    key = _KEY_BEFORE.search(text, line_start(text, start), start)
    quoted = in_quotes(written)
    example = f"{{{key[1]}: {quoted}}}" if key else f"[{quoted}]"
    return Trap(
        draft, "F0118", "a formula with a comma or a bracket needs quotes inside `{}` and `[]`",
        start, true_end, f"without quotes YAML takes only `{text[start:end]}` of it",
        help=f"write `{example}`", mend=quotes_around(text, start, true_end))


def in_brackets(stop: Stop) -> Trap:
    """What is wrong where YAML stopped inside brackets."""
    draft, text = stop.draft, stop.draft.text
    for opener in reversed(stop.brackets):
        bracket, closer = text[opener], _PAIRS[text[opener]]
        end, closed = _closer(text, opener)
        if not closed:
            more = [(end, end + 1, f"YAML reads this as inside the `{bracket}`")]
            return Trap(draft, "F0122", f"`{bracket}` is not closed", opener, opener + 1,
                        "opened here", more=more if end < len(text) else (),
                        help=f"close it with `{closer}`")
        if text[end] != closer:
            return Trap(draft, "F0122", f"`{bracket}` is closed by `{text[end]}`", end, end + 1,
                        f"expected `{closer}`", more=[(opener, opener + 1, "opened here")],
                        help=f"close what begins with `{bracket}` with `{closer}`")
    if stop.found == ",":
        return Trap(draft, "F0129", "a comma with nothing before it", stop.at, stop.at + 1,
                    "expected a value", help="remove one of the commas")
    if stop.found == ":":
        return _colon_in_brackets(stop)
    end = stop.at + 1
    while text[end : end + 1].strip() and text[end] not in ",]}:":
        end += 1
    before = len(text[: stop.at].rstrip())
    return Trap(draft, "F0129", "a comma is missing", stop.at, end,
                "expected a comma before this", help=f"write `, {text[stop.at:end]}`",
                mend=[(before, ",")] if text[before - 1] not in ",[{:" else ())


def _colon_in_brackets(stop: Stop) -> Trap:
    """`{a: 1 b: 2}`, which lacks a comma, or `{x: y: 1}`, which lacks a bracket."""
    draft, text = stop.draft, stop.draft.text
    start, end = stop.last if stop.last and not text[stop.last[1] : stop.at].strip() else (
        stop.at, stop.at)
    words = text[start:end].rsplit(None, 1)
    if len(words) == 2 and not stop.last_quote:
        key = end - len(words[1])
        value, field = " ".join(words[0].split()), text[key : flow_end(text, stop.at + 1)]
        return Trap(draft, "F0129", "a comma is missing", start, end,
                    f"expected a comma before `{words[1]}`",
                    help=f"write `{value}, {field}`",
                    mend=[(len(text[:key].rstrip()), ",")])
    return Trap(draft, "F0126", "a second `:` before a comma", stop.at, stop.at + 1,
                "expected a comma or the end of the brackets",
                help="put a text with a colon in quotes, and a map inside a map in `{}`")


def flow_end(text: str, start: int) -> int:
    """Where an unquoted value inside brackets ends, by its own brackets and quotes."""
    limit = min(len(text), start + MAX_VALUE)
    closers: list[str] = []
    first_break = 0  # the end of the first line, for brackets that never close
    at = start + 1
    while at < limit:
        character = text[at]
        if character in "\"'":
            close = text.find(character, at + 1, line_end(text, at))
            at = close if close > 0 else at
        elif character in _PAIRS:
            closers.append(_PAIRS[character])
        elif character in ")]}":
            if not closers or closers.pop() != character:
                break
        elif character == "#" and text[at - 1] in " \t\n":
            break
        elif character == "\n":
            first_break = first_break or at
            if not closers:
                break
        elif not closers and (character == "," or text[at : at + 2] in (": ", ":\n")):
            break
        at += 1
    if closers and first_break:
        at = first_break
    return start + len(text[start:at].rstrip())


def _closer(text: str, opener: int) -> tuple[int, bool]:
    """The index of the bracket that closes, rightly or not, the one at `opener`, and True.

    Where a line that begins no further in than the opener's comes first, the author was no
    longer writing inside the brackets: the index of its first character, and False.
    """
    margin = indent_of(text, skip_blanks(text, line_start(text, opener)))
    depth, at, limit = 0, opener, min(len(text), opener + MAX_LOOK)
    while at < limit:
        character, before = text[at], text[at - 1 : at]
        if character in "\"'" and (before in tuple(" \t\n[{,:(") or not before):
            close = text.find(character, at + 1)
            at = close if close > 0 else at
        elif character == "#" and before in tuple(" \t\n"):
            at = line_end(text, at) - 1
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
            if depth == 0:
                return at, True
        elif character == "\n":
            begin = skip_blanks(text, at + 1)
            inside = indent_of(text, begin) > margin or text[begin : begin + 1] in tuple("]}\n#")
            if begin < len(text) and not inside:
                return begin, False
        at += 1
    return len(text), False
