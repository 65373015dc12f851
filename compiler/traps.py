"""Mistakes in the YAML text, recognised where YAML's own message would mislead.

YAML's reader stops at the first thing it cannot place, which is often a line or
more below the mistake. The rules here look at the text around that point and
name the mistake itself. Most also know what to put in so that the text can be
read on (a quote, a colon, a space): the rest of the file is then checked as if
the author had written that, and nothing is complained of twice.
"""

from __future__ import annotations

import re

from compiler.brackets import flow_end, in_brackets
from compiler.draft import (
    Draft,
    Stop,
    Trap,
    columns_above,
    in_quotes,
    indent_of,
    line_end,
    line_start,
    quotes_around,
    skip_blanks,
    value_end,
)

# The words that stand beside an operator; everything else under it is a field.
MODIFIERS = frozenset(
    {"name", "from", "when", "weights", "during", "freeze", "init", "remat", "was"})

_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_GLUED_COLON = re.compile(r"([A-Za-z_][\w-]*):(?=[^\s/\\])\S*")
_GLUED_DASH = re.compile(r"-(?=[A-Za-z_{\[\"'=])")
_DASHES = re.compile(r"[ \t]*(?:-[ ]+)*")
_KEY_BEFORE = re.compile(r"([\w.-]+)[ \t]*:[ \t]*$")


# ------------------------------------------------------- mistakes that YAML itself takes


def glued_colon(draft: Draft, start: int, end: int) -> Trap | None:
    """The trap, where the scalar or line from `start` to `end` is like `filters:64`."""
    line = draft.text[start:end].split("\n")[0].rstrip()
    colon = _GLUED_COLON.match(line)
    if colon is None:
        return None
    at = colon.end(1) + 1
    return Trap(draft, "F0119", "a space is missing after the colon",
                start, start + len(line), "YAML reads this as one text",
                help=f"write `{line[:at]} {line[at:]}`, or put it in quotes if you mean the text",
                mend=[(start + at, " ")])


def glued_dash(draft: Draft, start: int, end: int) -> Trap | None:
    """The trap, where the scalar or line from `start` to `end` is like `-relu`."""
    line = draft.text[start:end].split("\n")[0].rstrip()
    if not _GLUED_DASH.match(line):
        return None
    return Trap(draft, "F0119", "a space is missing after the dash",
                start, start + len(line), "YAML reads this as one text",
                help=f"write `- {line[1:]}`", mend=[(start + 1, " ")])


def starts_line(draft: Draft, start: int) -> bool:
    """Whether nothing but spaces and dashes stands before `start` on its line."""
    begin = line_start(draft.text, start)
    return _DASHES.fullmatch(draft.text, begin, start) is not None


# ------------------------------------------------------- mistakes at which YAML stops


def explain(stop: Stop) -> Trap:
    """The mistake behind a place at which YAML stopped."""
    problem, found = stop.problem, stop.found
    if "tab character" in problem or ("cannot start" in problem and found == "\t"):
        return _tab(stop)
    if "unexpected end of stream" in problem:
        return _open_quote(stop)
    if "escape" in problem or "hexdecimal" in problem or "hexadecimal" in problem:
        return _escape(stop)
    if "mapping values are not allowed" in problem:
        return _second_colon(stop)
    if "could not find expected ':'" in problem:
        return _no_colon(stop)
    if "found unexpected ':'" in problem:
        return _colon_in_word(stop)
    if "sequence entries are not allowed" in problem:
        return _list_in_line(stop)
    if "directive" in problem or "incompatible" in problem:
        return _directive(stop)
    if stop.draft.text[stop.begin : stop.begin + 1] in tuple(_MEANINGS) and (
            "cannot start" in problem or "keys are not allowed" in problem
            or stop.at != stop.begin):
        text, start = stop.draft.text, stop.begin
        return unquoted_start(stop.draft, start, flow_end(text, start) if stop.brackets
                              else value_end(text, start))
    if trap := _after_quote(stop):
        return trap
    if stop.brackets:
        return in_brackets(stop)
    if found and found in "]}":
        return Trap(stop.draft, "F0122", f"`{found}` closes nothing", stop.at, stop.at + 1,
                    "no bracket is open here", help=f"remove the `{found}`")
    if "did not find expected" in problem or "but found" in problem:
        return _misplaced(stop)
    return _anything(stop)


def _anything(stop: Stop) -> Trap:
    return Trap(stop.draft, "F0101", "the text is not YAML", stop.at, stop.at + 1,
                "YAML cannot go on here", notes=[f"YAML's reader says: {stop.problem}"])


def _tab(stop: Stop) -> Trap:
    text = stop.draft.text
    begin = line_start(text, stop.at)
    indent = re.compile(r"[ \t]*").match(text, begin)
    end = indent.end() if indent else begin
    if "\t" not in text[begin:end]:
        return Trap(stop.draft, "F0121", "a tab where YAML needs a space", stop.at, stop.at + 1,
                    "a tab", help="write a space instead of the tab")
    others = len(re.findall(r"(?m)^ *\t[ \t]*\S", text)) - 1
    notes = [f"{others} more {'line begins' if others == 1 else 'lines begin'} with a tab"]
    return Trap(stop.draft, "F0121", "a tab in the indentation, where YAML needs spaces",
                begin, end, "the tab is here", notes=notes if others > 0 else (),
                help="indent with spaces; most editors can convert the whole file")


def _open_quote(stop: Stop) -> Trap:
    start = stop.begin
    quote = stop.draft.text[start : start + 1]
    end = value_end(stop.draft.text, start)
    return Trap(stop.draft, "F0123", f"the quote `{quote}` is not closed", start, end,
                "the text begins here and goes on to the end of the file",
                help=f"close it with `{quote}`")


def _escape(stop: Stop) -> Trap:
    text = stop.draft.text
    bad = re.compile(r"\\(x[0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}"
                     r"|U0010[0-9a-fA-F]{4}|[^xuU])")
    known = frozenset("0abt\tnvfre \"/\\N_LPxuU\n")
    at = text.find("\\", stop.begin)
    while at >= 0 and (match := bad.match(text, at)) and text[at + 1] in known:
        at = text.find("\\", match.end())
    at = max(at, stop.begin)
    numeric = re.compile(r"\\[xuU][0-9a-fA-F]*").match(text, at)
    if numeric:
        return Trap(stop.draft, "F0128", f"the escape `{numeric[0]}` stands for no character",
                    *numeric.span(), help="write the character itself, or 2 digits after `\\x`, "
                                          "4 after `\\u` or 8 after `\\U`")
    shown = text[at : at + 2].strip()
    return Trap(stop.draft, "F0128", f"`{shown}` is not an escape that YAML knows", at, at + 2,
                help="write `\\\\` for a backslash, or use 'single quotes', "
                     "in which a backslash is itself")


def _second_colon(stop: Stop) -> Trap:
    draft, text = stop.draft, stop.draft.text
    if stop.last is None or stop.last_quote:
        return _two_colons(stop, line_start(text, stop.at), stop.at)
    start, end = stop.last
    if "\n" not in text[start:end]:
        return _two_colons(stop, start, end)
    if starts_line(draft, start) and (
            trap := glued_dash(draft, start, end) or glued_colon(draft, start, end)):
        return trap
    # YAML took the line above and this line's key as one text of two lines.
    key_start = skip_blanks(text, line_start(text, stop.at))
    above_end = len(text[start:key_start].rstrip()) + start
    first = text[start:above_end]
    if _NAME.fullmatch(first) and starts_line(draft, start):
        return _bare_name(draft, start, above_end, key_start, stop.at)
    parent = _KEY_BEFORE.search(text, line_start(text, start), start)
    deeper = text[key_start : stop.at].strip()
    if parent is None:
        return Trap(draft, "F0120", "a colon is missing in this line", start, above_end,
                    f"YAML reads this and `{deeper}` as one text",
                    more=[(key_start, stop.at, "the text goes on to here")],
                    help="end the line in a colon, or begin both lines in one column")
    return Trap(
        draft, "F0124", f"`{deeper}` is indented under `{parent[1]}`, which already has a value",
        key_start, stop.at, f"{_spaces(indent_of(text, key_start))} before this",
        more=[(start, value_end(text, start), f"the value of `{parent[1]}`")],
        help=f"to put `{deeper}` beside `{parent[1]}`, give it "
             f"{_spaces(indent_of(text, parent.start()))}; to put it inside, remove the value "
             f"of `{parent[1]}`")


def _two_colons(stop: Stop, start: int, end: int) -> Trap:
    draft, text = stop.draft, stop.draft.text
    end_of_value = value_end(text, start)
    value = text[start:end_of_value]
    key = _KEY_BEFORE.search(text, line_start(text, start), start)
    quoted = f"{key[1]}: {in_quotes(value)}" if key else in_quotes(value)
    if value[:1] == "=":
        return Trap(draft, "F0118", "a formula with a colon needs quotes", start, end_of_value,
                    f"without quotes YAML takes only `{text[start:end]}` of it",
                    help=f"write `{quoted}`", mend=quotes_around(text, start, end_of_value))
    help = f"if the value is a text, put it in quotes: `{quoted}`"
    if key and _NAME.fullmatch(text[start:end]):
        help = f"for fields of `{key[1]}` write `{key[1]}: {{{value}}}`;\n{help}"
        mend = ()
    else:
        mend = quotes_around(text, start, end_of_value)
    return Trap(draft, "F0126", "a second `: ` in one line", stop.at, stop.at + 1,
                "only one key and its value fit on a line", help=help, mend=mend)


def _bare_name(draft: Draft, start: int, end: int, key_start: int, key_end: int) -> Trap:
    """`- relu` followed by an indented `name: a`: a name that must take a colon first."""
    text = draft.text
    name, key = text[start:end], text[key_start:key_end].strip()
    line = text[key_start : line_end(text, key_start)].rstrip()
    item = "- " if text[line_start(text, start) : start].strip() else ""
    deeper = indent_of(text, key_start) - indent_of(text, start)
    modifier = bool(item) and key in MODIFIERS
    indent = " " * (len(item) + (0 if modifier else 2))
    if modifier and deeper >= 0:
        mend = [(start, " " * deeper), (end, ":")]  # now both stand in one column
    else:
        mend = [(end, ":")] if deeper > 0 else []
    return Trap(
        draft, "F0120", f"`{name}` needs a colon before `{key}` can follow", start, end,
        f"YAML reads `{name} {key}` as one text",
        more=[(key_start, key_end, f"meant for `{name}`")],
        help=f"write\n{item}{name}:\n{indent}{line}", mend=mend)


def _colon_in_word(stop: Stop) -> Trap:
    """`{kernel:[3, 3]}`, which YAML stops at, where it takes `{kernel:3}` for one text."""
    text, start = stop.draft.text, stop.begin
    end = max(flow_end(text, start), stop.at + 1)
    fixed = f"{text[start : stop.at + 1]} {text[stop.at + 1 : end]}"
    return Trap(stop.draft, "F0119", "a space is missing after the colon", start, end,
                "YAML cannot tell where the key ends", help=f"write `{fixed}`",
                mend=[(stop.at + 1, " ")])


def _no_colon(stop: Stop) -> Trap:
    draft, text = stop.draft, stop.draft.text
    start, end = stop.begin, value_end(text, stop.begin)
    if trap := glued_dash(draft, start, end) or glued_colon(draft, start, end):
        return trap
    words = text[start:end].split(None, 1)
    example = f"{words[0]}: {words[1] if len(words) > 1 else '…'}" if words else "name: value"
    return Trap(draft, "F0120", "a colon is missing in this line", start, end,
                "expected a key, a colon and a value",
                help=f"write `{example}`, or indent the line further if it goes on from the "
                     "line above")


def _list_in_line(stop: Stop) -> Trap:
    text = stop.draft.text
    item = text[stop.at + 1 : value_end(text, stop.at)].strip()
    return Trap(stop.draft, "F0124", "a list cannot begin on the line of its key",
                stop.at, stop.at + 1, "the first item is here",
                help=f"put `- {item}` on the next line, or write the list as `[{item}]`")


_MEANINGS = {
    "*": "`*` is an alias: what the anchor of that name stands for",
    "&": "`&` is an anchor: a name for what follows",
    "!": "`!` is a tag: the type of what follows",
    "|": "`|` is a block of text on the lines below",
    ">": "`>` is a block of text on the lines below",
    "%": "`%` is a directive to YAML",
    "?": "`?` is the sign of a key",
    "@": "`@` is reserved by YAML",
    "`": "this is reserved by YAML",
}


def unquoted_start(draft: Draft, start: int, end: int) -> Trap:
    """The trap of an unquoted text whose first character means something else in YAML."""
    text = draft.text[start:end]
    return Trap(draft, "F0127", "a text that begins with this character needs quotes",
                start, max(end, start + 1), _MEANINGS[text[:1]],
                help=f"write `{in_quotes(text)}`",
                mend=quotes_around(draft.text, start, end))


def _directive(stop: Stop) -> Trap:
    text = stop.draft.text
    start = line_start(text, stop.begin)
    return Trap(stop.draft, "F0127", "a line that begins with `%` is a directive to YAML",
                start, line_end(text, start), "not a directive of YAML 1.2",
                help="remove the line")


def _after_quote(stop: Stop) -> Trap | None:
    """A text in quotes and something after it: a quote too many, or one too few above."""
    text = stop.draft.text
    quote = stop.last_quote
    if stop.last is None or not quote or stop.found in tuple(",:]}"):
        return None
    start, end = stop.last
    if text[end : stop.at].strip(" \t") or not stop.found or stop.found == "\n":
        return None
    if "\n" in text[start:end]:
        line = stop.draft.source.place(stop.draft.index(end))[0]
        return Trap(stop.draft, "F0123", f"the quote `{quote}` is not closed on its line",
                    start, line_end(text, start), f"the text begins here and ends in line {line}",
                    more=[(end - 1, end, "YAML takes this as its end")],
                    help=f"close it with `{quote}`")
    whole_end = flow_end(text, start) if stop.brackets else value_end(text, start)
    whole = text[start:whole_end]
    whole = whole[1:-1] if whole.endswith(quote) and whole_end > end else whole
    return Trap(stop.draft, "F0123", "a text follows the closing quote",
                stop.at, max(whole_end, stop.at + 1), "not part of the value",
                more=[(start, end, "the value ends here")],
                help=f"if all of it is one text, write `{in_quotes(whole)}`")


def _misplaced(stop: Stop) -> Trap:
    """A line whose indentation or kind fits nothing that is open above it."""
    draft, text = stop.draft, stop.draft.text
    if "document start" in stop.problem and re.search(r"(?m)^\.\.\.", text[: stop.at]):
        return Trap(draft, "F0108", "text after the end of the document", stop.at, stop.at + 1,
                    "`...` above ends the document", help="remove the `...`")
    if stop.found == ":":
        return Trap(draft, "F0110", "a key is missing", stop.at, stop.at + 1,
                    "expected a word before this", help="write a word before the colon")
    if not stop.first_on_line:
        return Trap(draft, "F0101", "something follows a value that is already complete",
                    stop.at, value_end(text, stop.at), "not part of the value",
                    help="put the whole value in quotes if it is one text")
    indent = indent_of(text, stop.at)
    line = line_start(text, stop.at)
    above = columns_above(text, line)
    if above and indent not in above:
        name = _bare_name_above(text, line)
        colon = text.find(":", stop.at, line_end(text, stop.at))
        if name and colon > 0 and indent > indent_of(text, name[0]):
            return _bare_name(draft, *name, stop.at, colon)
        below = max((column for column in above if column < indent), default=None)
        higher = min((column for column in above if column > indent), default=None)
        near = [above[column] for column in (below, higher) if column is not None]
        return Trap(
            draft, "F0124", "the indentation of this line matches no line above it", line, stop.at,
            f"{_spaces(indent)} here",
            more=[(at, at + 1, f"{_spaces(indent_of(text, at))} before this") for at in near],
            help="align it with the line above that it belongs beside")
    if trap := glued_dash(draft, stop.at, value_end(text, stop.at)):
        return trap
    if stop.found == "-":
        return Trap(draft, "F0124", "a list item among the fields of a map", stop.at, stop.at + 1,
                    "expected a key and a colon",
                    help="indent it further if it belongs to the key above, which must then "
                         "end in a colon")
    return Trap(draft, "F0124", "a field among the items of a list", stop.at,
                value_end(text, stop.at), "expected `- `",
                help="begin the line with `- ` if it is an item; indent it further if it belongs "
                     "to the item above")


def _spaces(count: int) -> str:
    return f"{count} space{'' if count == 1 else 's'}"


def _bare_name_above(text: str, line: int) -> tuple[int, int] | None:
    """Start and end of the name, where the line above `line` is nothing but a name."""
    above = line_start(text, max(line - 1, 0))
    dashes = _DASHES.match(text, above)
    start = dashes.end() if dashes else above
    name = _NAME.match(text, start)
    return (start, name.end()) if name and name.end() == value_end(text, start) else None
