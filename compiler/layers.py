"""Layers as the author wrote them: one operator, block or construct each, with modifiers.

Reading is done once for every list of layers, however often its block is used. It finds
what can be found without values: unknown words and fields, misplaced modifiers, values
that no formula could mend. It also gives each layer its segment of the path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from typing import Any

from compiler.check import UNKNOWN, check_formulas, shown, validate
from compiler.diagnostics import Report, nearest
from compiler.expressions import is_formula
from compiler.ops import FAMILIES, WORDS, operator
from compiler.ops.base import Operator
from compiler.parse import Mapping, Node, Scalar, Sequence, plain
from compiler.source import Span
from compiler.spec import Choose, Each, Head, Loop, Repeat, Section

MODIFIERS = ("name", "from", "when", "weights", "during", "freeze", "init", "remat", "was")
JOINS = FAMILIES["combine"]
STRUCTURE = ("for", "repeat", "choose", "layers", "output", "residual")
RESERVED_WORDS = {
    "scan": "stepping a body through time comes with a later version",
    "log_mel": "audio features come with a later version",
}


@dataclass(frozen=True, eq=False, slots=True)
class LayerSpec:
    """One item of a list of layers.

    Attributes:
        word: the operator, block or construct.
        kind: "operator", "join", "block", or the construct's own word.
        span: the place of the word.
        value: what stands after the word, or None.
        modifiers: the reserved words beside it.
        segment: its part of the path: its name, else word and number in its scope.
        fields: an operator's or block's fields by name (the short form resolved).
        branches: layers by branch, case or "layers", for joins and constructs.
        section: a construct's own fields.
    """

    word: str
    kind: str
    span: Span
    value: Node | None
    modifiers: AbstractMapping[str, Node]
    segment: str
    fields: AbstractMapping[str, Node]
    branches: AbstractMapping[str, tuple[LayerSpec, ...]]
    section: Section | None = None

    @property
    def is_named(self) -> bool:
        return "name" in self.modifiers


@dataclass(frozen=True, slots=True)
class Words:
    """What a layer may be called in a file.

    Attributes:
        blocks: the names of each block's params, in order.
        operators: operators that the caller of the compiler brought, by word.
        defaults: the fields that the file sets for an operator, by word.
    """

    blocks: AbstractMapping[str, tuple[str, ...]]
    operators: AbstractMapping[str, type[Operator]] = field(default_factory=dict)
    defaults: AbstractMapping[str, Collection[str]] = field(default_factory=dict)

    def operator(self, word: str) -> type[Operator] | None:
        """The class of an operator, or None where there is none of that word."""
        if word in self.operators:
            return self.operators[word]
        return operator(word) if word in WORDS else None

    def __contains__(self, word: str) -> bool:
        return word in WORDS or word in self.operators or word in self.blocks or word in STRUCTURE


def read_layers(
    node: Node | None,
    words: Words,
    report: Report,
    numbers: Counter[str] | None = None,
) -> tuple[LayerSpec, ...]:
    """Read a list of layers; what cannot be read is reported and left out.

    Args:
        node: the list; None is the empty list, a single layer a list of one.
        words: the blocks that the file knows.
        report: where errors go.
        numbers: the uses of each word in the scope so far; a new scope where not given.
    """
    numbers = Counter() if numbers is None else numbers
    if node is None or isinstance(node, Scalar) and node.value is None:
        return ()
    items = node if isinstance(node, Sequence) else [node]
    layers = (_read_layer(item, words, report, numbers) for item in items)
    return tuple(layer for layer in layers if layer is not None)


def _read_layer(
    item: Node,
    words: Words,
    report: Report,
    numbers: Counter[str],
) -> LayerSpec | None:
    if isinstance(item, Sequence):
        report.error(
            "F0206",
            "a list stands where a layer is expected",
            item.span,
            help="group layers with `layers: [...]`, or take the inner dash away",
        )
        return None
    if isinstance(item, Scalar):
        if not isinstance(item.value, str):
            report.error(
                "F0206",
                f"{shown(item.value)} stands where a layer is expected",
                item.span,
                help="write an operator or a block, as in `- relu`",
            )
            return None
        if is_formula(item.value):
            report.error(
                "F0206",
                "a formula is not a layer",
                item.span,
                help=f"to insert layers that a param holds, write `layers: {item.text}`",
            )
            return None
        return _read_word(item.value, item.span, None, {}, words, report, numbers)
    keys = [k for k in item if k not in MODIFIERS]
    if len(keys) != 1:
        _report_keys(item, keys, words, report)
        return None
    word = keys[0]
    modifiers = {k: v for k, v in item.items() if k in MODIFIERS}
    return _read_word(word, item.key_spans[word], item[word], modifiers, words, report, numbers)


def _report_keys(item: Mapping, keys: list[str], words: Words, report: Report) -> None:
    """Say what is wrong with a layer that has no operator, or more than one key for it."""
    if not keys:
        key = next(iter(item), "")
        report.error(
            "F0206",
            "a layer has modifiers but no operator",
            item.key_spans.get(key, item.span),
            help="put it beside the operator's key, at the same indentation",
        )
        return
    known = [k for k in keys if k in words]
    if len(known) == 1 or len(known) > 1 and item[known[0]] is not None:
        word = known[0]
        fields = _fields_of(word, words)
        stray = [k for k in keys if k != word and (k in fields or k not in words)]
        inside = [k for k in stray if k in fields]
        if inside:
            for key in inside:
                report.error(
                    "F0207",
                    f"`{key}` is a field of {word}, but it stands beside it",
                    item.key_spans[key],
                    f"belongs inside `{word}:`",
                    help=f"indent it below `{word}:`, or write "
                    f"`- {word}: {{{key}: {_brief(item[key])}}}`",
                )
            return
        if stray and len(known) == 1:
            for key in stray:
                report.error(
                    "F0207",
                    f"`{key}` is neither a modifier nor a field of {word}",
                    item.key_spans[key],
                    nearest(key, [*MODIFIERS, *fields]),
                    notes=(
                        f"modifiers: {', '.join(MODIFIERS)}",
                        f"fields of {word}: {', '.join(fields) or 'none'}",
                    ),
                )
            return
    if not known:
        for key in keys[:1]:
            _report_unknown(key, item.key_spans[key], words, report)
        return
    report.error(
        "F0206",
        f"a layer has {len(keys)} operators: {', '.join(keys)}",
        item.key_spans[keys[1]],
        "begins a second one",
        help="give each its own dash",
    )


def _brief(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else "…"


def _fields_of(word: str, words: Words) -> tuple[str, ...]:
    if word in words.blocks:
        return words.blocks[word]
    if (cls := words.operator(word)) is not None:
        return tuple(cls.model_fields)
    classes = {"for": Loop, "repeat": Repeat, "choose": Choose, "output": Head, "layers": Each}
    return tuple(classes[word].model_fields) if word in classes else ()


def _report_unknown(word: str, span: Span, words: Words, report: Report) -> None:
    if word in RESERVED_WORDS:
        report.error("F0220", f"`{word}` is not there yet", span, RESERVED_WORDS[word])
        return
    if "." in word:
        prefix = word.split(".")[0]
        mine = [b for b in words.blocks if b.startswith(prefix + ".")]
        help = (
            f"blocks of `{prefix}`: {', '.join(mine)}"
            if mine
            else f"bring it in with `use: {{{prefix}: FILE}}`"
        )
    else:
        help = ""
    report.error(
        "F0202",
        f"`{word}` is neither an operator nor a block of this file",
        span,
        nearest(word, [*WORDS, *words.operators, *words.blocks, *STRUCTURE]),
        help=help,
    )


def _read_word(
    word: str,
    span: Span,
    value: Node | None,
    modifiers: AbstractMapping[str, Node],
    words: Words,
    report: Report,
    numbers: Counter[str],
) -> LayerSpec | None:
    if word not in words:
        _report_unknown(word, span, words, report)
        return None
    if isinstance(value, Scalar) and value.value is None:
        value = None
    for modifier in modifiers.values():
        check_formulas(modifier, report)
    numbered = word.replace(".", "_")
    if word == "layers" and isinstance(value, Scalar) and isinstance(value.value, str):
        inserted = value.value.lstrip("= ").strip()
        numbered = inserted if inserted.isidentifier() else word
    numbers[numbered] += 1
    segment = _name(modifiers.get("name"), report) or f"{numbered}_{numbers[numbered]}"
    context = _Reading(word, span, value, modifiers, segment, words, report, numbers)
    if word in words.blocks:
        return context.block()
    if word in JOINS:
        return context.join()
    if (cls := words.operator(word)) is not None:
        return context.operator(cls)
    return context.construct()


def _name(node: Node | None, report: Report) -> str:
    """A layer's name; "" where there is none, or one that cannot be."""
    if node is None:
        return ""
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, str) or not value.isidentifier() or value.startswith("_"):
        report.error(
            "F0209",
            f"`{_brief(node)}` cannot be a layer's name",
            node.span,
            help="a name has letters, digits and `_`, and begins with a letter",
        )
        return ""
    return value


@dataclass(slots=True)
class _Reading:
    """What is known of the layer that is being read."""

    word: str
    span: Span
    value: Node | None
    modifiers: AbstractMapping[str, Node]
    segment: str
    words: Words
    report: Report
    numbers: Counter[str]

    def made(
        self,
        kind: str,
        fields: AbstractMapping[str, Node] | None = None,
        branches: AbstractMapping[str, tuple[LayerSpec, ...]] | None = None,
        section: Section | None = None,
    ) -> LayerSpec:
        return LayerSpec(
            self.word,
            kind,
            self.span,
            self.value,
            self.modifiers,
            self.segment,
            fields or {},
            branches or {},
            section,
        )

    def layers(self, node: Node | None, same_scope: bool = False) -> tuple[LayerSpec, ...]:
        return read_layers(node, self.words, self.report, self.numbers if same_scope else None)

    def short_form(self, main: str | None) -> Mapping:
        """The fields as a map, whichever form the author chose."""
        if isinstance(self.value, Mapping):
            return self.value
        if self.value is None:
            return Mapping({}, self.span, {})
        if main is None:
            self.report.error(
                "F0205",
                f"{self.word} takes its fields by name",
                self.value.span,
                help=f"write `{self.word}: {{field: value}}`",
            )
            return Mapping({}, self.span, {})
        return Mapping({main: self.value}, self.value.span, {main: self.value.span})

    def block(self) -> LayerSpec:
        params = self.words.blocks[self.word]
        fields = self.short_form(params[0] if params else None)
        for key in fields:
            if key not in params:
                self.report.error(
                    "F0203",
                    f"`{key}` is not a param of {self.word}",
                    fields.key_spans[key],
                    "" if key in MODIFIERS else nearest(key, params),
                    notes=(f"params of {self.word}: {', '.join(params) or 'none'}",),
                    help=_beside(key),
                )
        check_formulas(fields, self.report)
        return self.made("block", fields)

    def operator(self, cls: type[Operator]) -> LayerSpec:
        fields = self.short_form(cls.main)
        check_formulas(fields, self.report)
        validate(
            cls,
            fields,
            self.report,
            what=self.word,
            main_span=self.span,
            partial=True,
            evaluate=literal,
            extra_help=_beside,
            elsewhere=self.words.defaults.get(self.word, ()),
        )
        return self.made("operator", fields)

    def join(self) -> LayerSpec | None:
        """A join: named branches, a list of names, or whatever `from` lists."""
        cls = operator(self.word)
        fields: dict[str, Node] = {}
        branches: dict[str, tuple[LayerSpec, ...]] = {}
        if isinstance(self.value, Sequence):
            for item in self.value:
                if not (isinstance(item, Scalar) and isinstance(item.value, str)):
                    self.report.error(
                        "F0205",
                        f"the list of `{self.word}` holds names of earlier layers",
                        item.span,
                        help="to join branches, give a map: "
                        f"`{self.word}: {{left: [...], right: [...]}}`",
                    )
                    return None
        elif isinstance(self.value, Mapping):
            for key, node in self.value.items():
                if key in cls.model_fields and isinstance(node, Scalar) and node.value is not None:
                    fields[key] = node
                elif isinstance(node, Scalar) and node.value is not None:
                    self.report.error(
                        "F0205",
                        f"branch `{key}` of `{self.word}` is not a list of layers",
                        node.span,
                        help=f"write `{key}: [{node.text}]`",
                    )
                else:
                    branches[key] = self.layers(node)
                    if not key.isidentifier():
                        self.report.error(
                            "F0209", f"`{key}` cannot be a branch's name", self.value.key_spans[key]
                        )
        elif self.value is not None:
            self.report.error(
                "F0205",
                f"`{self.word}` takes branches or a list of names, not {shown(plain(self.value))}",
                self.value.span,
                help=f"write `{self.word}: [first, second]`",
            )
            return None
        check_formulas(Mapping(fields, self.span, {}), self.report)
        return self.made("join", fields, branches)

    def construct(self) -> LayerSpec | None:
        value, report = self.value, self.report
        match self.word:
            case "residual":
                return self.made("residual", branches={"layers": self.layers(value)})
            case "layers" if not isinstance(value, Mapping) or "each" not in value:
                if isinstance(value, Scalar) and isinstance(value.value, str):
                    check_formulas(value, report)
                    if is_formula(value.value):
                        return self.made("insert")
                # A group without a name is transparent: its layers belong to the scope around.
                inner = self.layers(value, same_scope="name" not in self.modifiers)
                return self.made("group", branches={"layers": inner})
        if not isinstance(value, Mapping):
            keys = _fields_of(self.word, self.words)
            report.error("F0205", f"`{self.word}` needs a map with {', '.join(keys)}", self.span)
            return None
        cls = {"for": Loop, "repeat": Repeat, "choose": Choose, "output": Head, "layers": Each}[
            self.word
        ]
        section = validate(
            cls, value, report, what=f"`{self.word}`", main_span=self.span, extra_help=_beside
        )
        if section is None:
            return None
        match section:
            case Choose(cases=cases, value=chosen):
                check_formulas(chosen, report)
                if not isinstance(cases, Mapping):
                    report.error(
                        "F0205",
                        "`cases` of `choose` is a map from values to layers",
                        value.key_spans["cases"],
                    )
                    return None
                # All cases count in the scope's numbers: what follows keeps its name whatever
                # is chosen.
                inner = {k: self.layers(n, same_scope=True) for k, n in cases.items()}
                return self.made("choose", branches=inner, section=section)
            case Head():
                self.segment = _name(value["name"], report) or self.segment
                return self.made(
                    "output", branches={"layers": self.layers(section.layers)}, section=section
                )
            case Loop() | Repeat():
                source = section.each if isinstance(section, Loop) else section.times
                for part in (source, section.let):
                    check_formulas(part, report)
                if section.index:
                    _name(value["index"], report)
                return self.made(
                    self.word, branches={"layers": self.layers(section.layers)}, section=section
                )
            case Each():
                return self.made(
                    "each", branches={"layers": self.layers(section.layers)}, section=section
                )
        raise AssertionError(self.word)


def _beside(key: str) -> str:
    """The remedy for a modifier among an operator's fields."""
    if key not in MODIFIERS:
        return ""
    return f"`{key}` is a modifier: it stands beside the operator's key, not inside its fields"


def literal(node: Node) -> Any:
    """The value of a node without formulas; UNKNOWN where there is one in it."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, Sequence):
            stack.extend(item)
        elif isinstance(item.value, str) and is_formula(item.value):
            return UNKNOWN
    return plain(node)
