"""The tree of one text, built from the events of YAML's reader.

The reader (PyYAML's; in C where it is there) is asked for one event at a time and
the tree grows on a stack of its own: every limit holds while the text is being
read, and no text, however nested, exhausts Python's stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from compiler.brackets import cut_formula
from compiler.diagnostics import Diagnostic, Label, diagnostic
from compiler.draft import Draft, Stop, Trap
from compiler.scalars import Value, other_reading, resolve
from compiler.traps import explain, glued_colon, glued_dash, starts_line, unquoted_start
from compiler.tree import Mapping, Node, Scalar, Sequence, copy

# The limits on a tree. No spec written by hand comes near them.
MAX_DEPTH = 64  # maps and lists within one another, with what aliases stand for
MAX_NODES = 100_000  # values written in one file
MAX_ALIASED = 20_000  # values that the aliases of one file stand for
MAX_ERRORS = 100  # errors told of one file's tree
MAX_REMARKS = 50  # remarks about YAML 1.1 on one file

_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, type] = {
    "null": type(None), "bool": bool, "int": int, "float": float, "str": str}
_PROPERTY = re.compile(r"(?:&[\w-]+|!<[^>\s]*>|![^\s,\[\]{}]*)(?:[ \t\n]|#[^\n]*)*")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_READER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclass(slots=True)
class _Open:
    """A map or list that is being read; indices are those of the draft."""

    node: Mapping | Sequence
    start: int
    end: int
    flow: bool
    anchor: str | None
    key: Scalar | None = None  # the key whose value is next; None where it cannot be one
    key_place: tuple[int, int] = (0, 0)
    value_next: bool = False
    size: int = 1  # the nodes in it, itself counted
    height: int = 1  # the maps and lists within one another, itself counted


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an anchor stands for; no node yet while it is being read."""

    node: Node | None
    size: int = 0
    height: int = 0


@dataclass(slots=True)
class Composer:
    """Builds the tree of one draft.

    Attributes:
        draft: the text.
        found: what is wrong or remarkable in the tree, and did not stop the reading.
        root: the tree, where the text holds one.
    """

    draft: Draft
    found: list[Diagnostic] = field(default_factory=list)
    root: Node | None = None
    _stack: list[_Open] = field(default_factory=list)
    _anchors: dict[str, _Anchored] = field(default_factory=dict)
    _last: tuple[int, int] | None = None  # the place of the scalar read last
    _nodes: int = 0
    _aliased: int = 0
    _errors: int = 0
    _remarks: int = 0

    def run(self) -> None:
        """Read the whole text.

        Raises:
            Trap: the text cannot be read on, or a limit is reached.
        """
        documents = 0
        try:
            for event in events(self.draft.text):
                match event:
                    case yaml.ScalarEvent():
                        self._scalar(event)
                    case yaml.AliasEvent():
                        self._alias(event)
                    case yaml.CollectionStartEvent():
                        self._open(event)
                    case yaml.CollectionEndEvent():
                        self._close(event)
                    case yaml.DocumentStartEvent():
                        documents += 1
                        if documents > 1:
                            raise Trap(self.draft, "F0108", "a second document begins here",
                                       event.start_mark.index, event.end_mark.index,
                                       "expected the end of the file",
                                       help="keep one spec in a file, and remove the `---`")
        except yaml.MarkedYAMLError as error:
            raise explain(self._stop(error)) from None

    def _stop(self, error: yaml.MarkedYAMLError) -> Stop:
        text = self.draft.text
        at = error.problem_mark or error.context_mark
        begin = error.context_mark or at
        brackets = [item.start for item in self._stack
                    if item.flow and text[item.start : item.start + 1] in ("[", "{")]
        return Stop(self.draft, str(error.problem or error.context),
                    min(at.index, len(text)) if at else len(text),
                    min(begin.index, len(text)) if begin else len(text), self._last, brackets)

    def _error(self, code: str, headline: str, start: int, end: int, label: str,
               help: str, more: tuple[Label, ...] = ()) -> None:
        self._errors += 1
        if self._errors <= MAX_ERRORS:
            self.found.append(diagnostic(
                code, headline, self.draft.span(start, end), label, help=help, more=more))

    # ------------------------------------------------------------------ events

    def _scalar(self, event: Any) -> None:
        draft, start, end = self.draft, self._after_properties(event), event.end_mark.index
        unquoted = not event.style
        if event.style in ("|", ">"):
            end = start + len(draft.text[start:end].rstrip())
            if not event.value:
                raise unquoted_start(draft, start, end)
        self._last = (start, end)
        text = draft.text[start:end]
        top = self._stack[-1] if self._stack else None
        is_key = top is not None and isinstance(top.node, Mapping) and not top.value_next
        flow = top is not None and top.flow
        if unquoted and flow and text[:1] == "=":
            _spring(cut_formula(draft, start, end))
        if unquoted and not flow and not is_key and starts_line(draft, start):
            _spring(glued_dash(draft, start, end))
            _spring(glued_colon(draft, start, end) if "\n" not in text else None)
        written = draft.written(start, end)
        quoted = not unquoted and written[:1] in ('"', "'", "|", ">")
        value = self._value(event, start, end, is_key)
        self._place(Scalar(value, draft.span(start, end), written, quoted), start, end,
                    event.anchor)

    def _alias(self, event: Any) -> None:
        start, end, name = event.start_mark.index, event.end_mark.index, event.anchor
        known = self._anchors.get(name)
        if known is None:
            raise Trap(self.draft, "F0112", f"there is no anchor `&{name}` above", start, end,
                       "this stands for what has that anchor",
                       help=f'if you mean the text, put it in quotes: `"*{name}"`')
        if known.node is None:
            raise Trap(self.draft, "F0113", f"the anchor `&{name}` contains itself", start, end,
                       "this stands inside what it stands for",
                       help="a spec is finite: write out what you mean here")
        self._aliased += known.size
        if self._aliased > MAX_ALIASED:
            raise Trap(self.draft, "F0114", "the aliases of this file stand for too much",
                       start, end, f"more than {MAX_ALIASED:,} values up to here",
                       help="build what repeats with `blocks`, `for` and `repeat`")
        if len(self._stack) + known.height > MAX_DEPTH:
            raise self._too_deep(start, end)
        self._last = None
        self._place(copy(known.node), start, end, None, known.size, known.height)

    def _open(self, event: Any) -> None:
        start = self._after_properties(event)
        if len(self._stack) == MAX_DEPTH:
            raise self._too_deep(start, start + 1)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _CORE + ("map" if is_map else "seq")):
            self._unknown_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(None)
        span = self.draft.span(start, start)
        node = Mapping({}, span) if is_map else Sequence([], span)
        self._stack.append(_Open(node, start, start, bool(event.flow_style), event.anchor))

    def _close(self, event: Any) -> None:
        item = self._stack.pop()
        end = event.end_mark.index if item.flow else item.end
        item.node.span = self.draft.span(item.start, end)
        self._place(item.node, item.start, end, item.anchor, item.size, item.height)

    # ------------------------------------------------------------------ the tree

    def _place(self, node: Node, start: int, end: int, anchor: str | None,
               size: int = 1, height: int = 0) -> None:
        """Put a node that has been read where it belongs."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Trap(self.draft, "F0116", "this file has too many values", start, end,
                       f"more than {MAX_NODES:,} up to here",
                       help="build what repeats with `blocks`, `for` and `repeat`")
        if anchor:
            self._anchors[anchor] = _Anchored(node, size, height)
        if not self._stack:
            self.root = node
            return
        item = self._stack[-1]
        item.end = max(item.end, end)
        item.size += size
        item.height = max(item.height, height + 1)
        if isinstance(item.node, Sequence):
            item.node.append(node)
        elif item.value_next:
            if start == end and item.flow and item.key is not None and not item.key.quoted:
                _spring(glued_colon(self.draft, *item.key_place))
            item.value_next = False
            if item.key is not None:
                text = _key_text(item.key)
                item.node[text] = node
                item.node.key_spans[text] = item.key.span
        else:
            item.key = self._key(item.node, node, start, end)
            item.key_place = (start, end)
            item.value_next = True

    def _key(self, mapping: Mapping, node: Node, start: int, end: int) -> Scalar | None:
        """The node as a key; None, after saying why, where it cannot be one."""
        if not isinstance(node, Scalar):
            self._error("F0110", "a map or a list cannot be a key", start, start + 1,
                        "expected a word", "write a word before the colon")
        elif node.value is None:
            self._error("F0110", "a key is missing" if start == end else "null cannot be a key",
                        start, end, "expected a word", "write a word before the colon")
        elif node.text == "<<":
            self._error("F0125", "`<<` does not merge maps: YAML 1.2 has no merge key", start, end,
                        "a key of YAML 1.1 only",
                        "put what is shared in a block and use it, or set it for the whole file "
                        "in `defaults`")
        elif (text := _key_text(node)) in mapping:
            self._error("F0109", f"`{text}` is given twice", start, end, "given again here",
                        "keep one of the two",
                        (Label(mapping.key_spans[text], "given here first"),))
        else:
            return node
        return None

    def _value(self, event: Any, start: int, end: int, is_key: bool) -> Value:
        """The value of a scalar: by its tag, where it has one, else by how it is written."""
        text, tag = event.value, event.tag
        if control := _CONTROL.search(text):
            self._error("F0105", "a text may not hold this character", start, end,
                        f"it holds the character U+{ord(control[0]):04X}", "leave it out")
        kind = tag[len(_CORE) :] if tag and tag.startswith(_CORE) else tag
        if kind == "str" or tag == "!" or (tag is None and event.style):
            return text
        if tag is not None and kind not in _TYPES:
            self._unknown_tag(event)
            return text
        try:
            value = resolve(text)
        except ValueError as error:
            self._error("F0117", "a number is out of range", start, end, *error.args)
            return 0
        if tag is None:
            if not is_key:
                self._compare(text, value, start, end)
            return value
        if kind == "float" and type(value) is int:
            return float(value)
        if type(value) is not _TYPES[kind]:
            self._error("F0111", f"`{text}` is not what its tag says", start, end,
                        f"expected what `!!{kind}` means", "remove the tag")
        return value

    def _compare(self, text: str, value: Value, start: int, end: int) -> None:
        """Remark on a value that tools of YAML 1.1 read differently."""
        other = other_reading(text, value)
        if other is None or self._remarks == MAX_REMARKS:
            return
        self._remarks += 1
        self.found.append(diagnostic(
            "F0131" if isinstance(value, float) else "F0130",
            f"`{text}` is {other.here} here, but {other.there} to tools that read YAML 1.1",
            self.draft.span(start, end),
            help=f"write {other.remedy}" + ", which all of them read as a number" * (
                isinstance(value, float)),
            severity="hint" if other.harmless else "warning"))

    # ------------------------------------------------------------------ smaller things

    def _after_properties(self, event: Any) -> int:
        """The index of a node's first character after its anchor and its tag."""
        at, end = event.start_mark.index, event.end_mark.index
        if event.anchor is None and event.tag is None:
            return at
        while found := _PROPERTY.match(self.draft.text, at):
            at = found.end()
        return min(at, end) if isinstance(event, yaml.ScalarEvent) else at

    def _unknown_tag(self, event: Any) -> None:
        start, text = event.start_mark.index, self.draft.text
        while (found := _PROPERTY.match(text, start)) and text[start] == "&":
            start = found.end()
        tag = (found[0].split() or ["!"])[0] if found else "!"
        self._error("F0111", f"the tag `{tag}` means nothing in a spec", start, start + len(tag),
                    "not a tag of YAML's core schema",
                    "remove the tag; if you mean the text, put it in quotes")

    def _too_deep(self, start: int, end: int) -> Trap:
        return Trap(self.draft, "F0115", "the spec is nested too deeply", start, end,
                    f"more than {MAX_DEPTH} maps and lists within one another",
                    help="build nested structure with `blocks`")


def _spring(trap: Trap | None) -> None:
    if trap is not None:
        raise trap


def _key_text(key: Scalar) -> str:
    """A key as the text it is written as: `010` is the key "010", `true` the key "true"."""
    if isinstance(key.value, str):
        return key.value
    return key.text.strip("\"'")


def events(text: str) -> Iterator[Any]:
    """The events of PyYAML for a text, by libyaml where that is there.

    Raises:
        MarkedYAMLError: the text is no YAML.
    """
    reader = _READER(text)
    try:
        while reader.check_event():
            yield reader.get_event()
    finally:
        reader.dispose()
