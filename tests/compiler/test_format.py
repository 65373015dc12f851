"""`fmt` keeps every comment and the meaning, and does nothing the second time."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler import zoo
from compiler.diagnostics import Report, SpecError
from compiler.format.format import formatted, same
from compiler.parse import parse, read_source
from compiler.source import Source

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(zoo.directory().rglob("*.yaml"))


def fmt(text: str) -> str:
    return formatted(Source("t.yaml", text))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_what_is_shipped_is_in_canonical_style(path: Path) -> None:
    source = read_source(path)
    assert formatted(source) == source.text


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))],
                         ids=lambda path: path.stem)
def test_the_second_time_nothing_is_done_to_the_specs_of_a_page(page: Path) -> None:
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        with suppress(SpecError):
            once = fmt(text)
            assert fmt(once) == once


def test_a_spec_of_another_version_of_the_language_is_refused() -> None:
    with pytest.raises(SpecError, match="version 2 of the language; this program knows version 1"):
        fmt("model: [relu]\nflaxspec: 2\n")


CASES = {
    "the line that names the schema stays the first": ("""\
# yaml-language-server: $schema=flaxspec.schema.json
name: net
flaxspec: 1
""", """\
# yaml-language-server: $schema=flaxspec.schema.json
flaxspec: 1
name: net
"""),
    "two columns a level, lists under their keys": ("""\
model:
- conv:
      filters: 3
      kernel:  3
-   relu
""", """\
model:
  - conv:
      filters: 3
      kernel: 3
  - relu
"""),
    "one space behind colons and commas, none inside brackets": ("""\
model: [ { conv:   {filters: 3,kernel: 3 , } },relu, [ ], { } ]
""", """\
model: [{conv: {filters: 3, kernel: 3}}, relu, [], {}]
"""),
    "brackets stay brackets, lines stay lines": ("""\
inputs: {image: {shape: [8, 8, 1]}}
params:
  classes: 10
""", None),
    "line breaks inside brackets stay": ("""\
classes: [
   a, b,
    c,  # the last
      d
]
""", """\
classes: [
  a, b,
  c,  # the last
  d]
"""),
    "a broken line goes on below the first value of its bracket": ("""\
model:
  - {conv: {filters: 8,
    kernel: 3}, name: [a, {
    b: 1,
  c: 2}]}
""", """\
model:
  - {conv: {filters: 8,
            kernel: 3}, name: [a, {
              b: 1,
              c: 2}]}
"""),
    "one empty line at most, none where a map begins": ("""\


name: t


params:

  a: 1



  b: 2

""", """\
name: t

params:
  a: 1

  b: 2
"""),
    "comments stay where they are": ("""\
# above all

# above the name
name: t  # behind it
params:  # behind a key
  # above the first
  a: 1

  # below the last of the params
# above the inputs
inputs: {x: {shape: [4]}}
model:
  # first
  - relu  # behind an item
  # between
  - dense: 4
    # below the dense

# below all
""", None),
    "comments that stood below each other do so again": ("""\
params:
   a: 1          # the first
   bcd: 22       # the second
   long_name: 1 # the third
x: 1 # alone
""", """\
params:
  a: 1           # the first
  bcd: 22        # the second
  long_name: 1  # the third
x: 1  # alone
"""),
    "a comment between a key and its value goes above": ("""\
summary:
  # why
  of one line
""", """\
# why
summary: of one line
"""),
    "a comment between a dash and its map goes above": ("""\
model:
  -  # first
    dense: 3
""", """\
model:
  # first
  - dense: 3
"""),
    "double quotes, unless single ones are needed": ("""\
a: 'x'
b: 'say "x"'
c: 'it''s'
d: "x"
""", """\
a: "x"
b: 'say "x"'
c: 'it''s'
d: "x"
"""),
    "formulas that need quotes get them": ("""\
model: [conv: {filters: =max(8, x.channels), kernel: =k[0]}]
""", """\
model: [conv: {filters: "=max(8, x.channels)", kernel: "=k[0]"}]
"""),
    "texts of several lines stay what they are": ("""\
a: |
    one
      two

    three
b: >-
  one
  two
c: one
    two
d: |2
     begins with blanks
    then less
e: |+
  kept

f: "one
    two"
""", """\
a: |
  one
    two

  three
b: >-
  one
  two
c: one
  two
d: |2
     begins with blanks
    then less
e: |+
  kept

f: "one
  two"
"""),
    "sections in order, each with its comments": ("""\
# A model.
model: [relu]  # one layer

# what it takes
inputs: {x: {shape: [4]}}
name: t
flaxspec: 1
""", """\
# A model.
flaxspec: 1
name: t

# what it takes
inputs: {x: {shape: [4]}}

model: [relu]  # one layer
"""),
    "fields and modifiers in order": ("""\
flaxspec: 1
params: {kind: {choices: [a, b], default: a, type: string}}
inputs: {x: {shape: [8, 3], axes: [time, channels]}}
model:
  - {when: true, conv: {kernel: 3, filters: 8}, name: c}
  - for: {layers: [{from: c, add: {b: [relu], a: [pool: {window: 2}]}}], each: {b: [1], a: [2]}}
  - when: true
    layers: [relu]
""", """\
flaxspec: 1
params: {kind: {type: string, default: a, choices: [a, b]}}
inputs: {x: {axes: [time, channels], shape: [8, 3]}}
model:
  - {conv: {filters: 8, kernel: 3}, name: c, when: true}
  - for: {each: {b: [1], a: [2]}, layers: [{add: {b: [relu], a: [pool: {window: 2}]}, from: c}]}
  - when: true
    layers: [relu]
"""),
    "blocks, branches, params and variants as the author has them": ("""\
flaxspec: 1
params: {b: 1, a: 2}
variants: {z: {b: 2, a: 1}, y: {a: 3}}
blocks:
  conv_bn:
    params: {kernel: 1, filters: int}
    layers: [conv: {filters: =filters, kernel: =kernel}]
model: [conv_bn: {filters: 3, kernel: 1}, concat: {z: [relu], a: [relu]}]
""", None),
    "nothing changes places where there are anchors": ("""\
flaxspec: 1
model: [dense: &d {units: 3, bias: false}, dense: *d]
name: t
""", None),
    "a whole spec in brackets": ("""\
# above
{flaxspec: 1, name: t,
  model: [relu]}  # behind
# below
""", """\
# above
{flaxspec: 1, name: t,
 model: [relu]}  # behind
# below
"""),
    "marks of a document go": ("%YAML 1.2\n---\nname: t\n...\n", "name: t\n"),
    "explicit keys become plain ones": ("? name\n: t\n? [a]\n", None),
    "a last line gets its end": ("name: t", "name: t\n"),
}


@pytest.mark.parametrize("rule", [r for r in CASES if r != "explicit keys become plain ones"])
def test_rule(rule: str) -> None:
    before, after = CASES[rule]
    assert fmt(before) == (after or before)
    assert fmt(after or before) == (after or before)


def test_what_is_no_spec_is_told_as_ever() -> None:
    with pytest.raises(SpecError) as found:
        fmt("model:\n  - conv:\n      filters:64\n")
    assert [d.code for d in found.value.diagnostics] == ["F0119"]


# ------------------------------------------------------------------------- texts of all kinds

WORDS = ["relu", "dense", "8", "-1", "0.5", "true", "=width * 2", "=a if b else c", "x y", "été",
         "\"=max(1, 2)\"", "'q'", "'it''s'", '"two\\nlines"', "null", "~", "1e-3", "a:b", "a#b",
         "\"# no comment\"", "''"]
KEYS = ["conv", "name", "when", "params", "model", "a", "b-c", "'k'", "010", '"x y"', "layers"]


class Writer:
    """Writes random trees in random styles, with a comment wherever one may stand."""

    def __init__(self, seed: int):
        self.random, self.comments = Random(seed), 0

    def chance(self, times: int = 4) -> bool:
        return self.random.randrange(times) == 0

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def keys(self) -> list[str]:
        return self.random.sample(KEYS, self.random.randint(1, 4))

    def comment(self) -> str:
        self.comments += 1
        return f"#{self.pick('', ' ')}c{self.comments}."

    def tail(self) -> str:
        return f"{self.pick(' ', '   ')}{self.comment()}" if self.chance() else self.pick("", "  ")

    def own_lines(self, indent: int) -> str:
        lines = ""
        while self.chance(3):
            column = max(indent + self.random.randint(-2, 3), 0)
            lines += ("" if self.chance() else " " * column + self.comment()) + "\n"
        return lines

    def mark(self) -> str:
        return self.pick("&m ", "!!str ", "&m !!str ") if self.chance(25) else ""

    def flow(self, depth: int) -> str:
        if depth == 0 or self.chance(2):
            return self.pick(*WORDS)
        gap = f" {self.comment()}\n  " if self.chance(8) else self.pick("", " ", "\n   ")
        if self.chance(2):
            items = [self.pick(self.flow(depth - 1), f"a: {self.flow(depth - 1)}")
                     for _ in range(self.random.randrange(4))]
            inner = f"{self.pick(' ', '')},{gap or ' '}".join(items)
            return f"[{gap}{inner}{self.pick(',', '') if items else ''}{gap}]"
        pairs = [f"{key}: {self.mark()}{self.pick('', self.flow(depth - 1))}"
                 for key in self.keys()]
        return f"{{{gap}{f' ,{gap}'.join(pairs)}{gap}}}"

    def lines_of_text(self, indent: int) -> str:
        pad = " " * (indent + self.random.randint(1, 3))
        head = self.pick("|", ">", "|-", ">-", "|+", f"| {self.comment()}", "|1", ">2-")
        if head[1:2].isdigit():
            pad = " " * (indent + int(head[1]))
        body = self.pick("one\n", "one\n\n{0}two\n", "one\n{0}  two\n\n", "#not\n{0}one\n")
        return f" {head}\n{pad}{body.format(pad)}"

    def block(self, indent: int, depth: int) -> str:
        """What stands behind a colon or a dash, to the end of its last line."""
        kind = self.random.randrange(9)
        if kind == 2:
            return f"{self.tail()}\n"
        if kind == 3:
            return self.lines_of_text(indent)
        if kind == 4:
            pad, quote = " " * (indent + 1), self.pick("", '"', "'")
            return f" {quote}one  \n{pad}two\n{self.pick('', chr(10))}{pad} three{quote}\n"
        if depth == 0 or kind < 4:
            between = f"{self.tail()}\n{' ' * (indent + 1)}" if self.chance(8) else " "
            return f"{between}{self.mark()}{self.flow(depth)}{self.tail()}\n"
        inner = indent + self.random.randint(1, 4)
        return f"{self.tail()}\n{self.group(inner, depth - 1)}"

    def group(self, indent: int, depth: int) -> str:
        pad, text = " " * indent, ""
        if self.chance(2):
            return self.map(indent, depth)
        for _ in range(self.random.randint(1, 3)):
            text += self.own_lines(indent) + pad + "-"
            if depth and self.chance(3):  # a map or list that begins on the line of the dash
                inner = self.group(indent + 2, depth - 1)
                text += " " + inner[indent + 2:] if inner[:indent + 2].isspace() and (
                    inner[indent + 2] not in " #\n") else f"\n{inner}"
            else:
                text += self.block(indent, depth)
        return text

    def map(self, indent: int, depth: int) -> str:
        return "".join(f"{self.own_lines(indent)}{' ' * indent}{key}:{self.block(indent, depth)}"
                       for key in self.keys())

    def text(self) -> str:
        first = self.pick("", "flaxspec: 1\n", "# top\n\n")
        return first + self.map(0, 3) + self.own_lines(0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_text_keeps_its_meaning_and_its_comments(seed: int) -> None:
    text, report = Writer(seed).text(), Report()
    try:
        before = parse(Source("t.yaml", text), report)
    except SpecError:
        return
    if report.errors:
        return
    after = fmt(text)
    assert fmt(after) == after, text
    tree = parse(Source("t.yaml", after), Report())
    assert same(before, tree) or "flaxspec:" in text
    comments = re.compile(r"#\s?c\d+\.")
    assert sorted(comments.findall(text)) == sorted(comments.findall(after)), text
