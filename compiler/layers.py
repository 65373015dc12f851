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

from compiler.check import (
    UNKNOWN,
    check_formulas,
    field_names,
    formulas,
    near,
    shown,
    some,
    validate,
)
from compiler.diagnostics import Report
from compiler.expressions import is_formula
from compiler.names import layer_name_problem, value_name_problem
from compiler.ops import FAMILIES, WORDS, operator
from compiler.ops.base import Operator
from compiler.parse import Mapping, Node, Scalar, Sequence, plain, present
from compiler.scope import check_names
from compiler.source import Span
from compiler.spec import Choose, Each, Head, Loop, Repeat, Section

MODIFIERS = ("name", "from", "when", "weights", "during", "freeze", "init", "remat", "was")
# The kinds of layers that a modifier may stand beside; the others go with every kind.
ONLY_BESIDE = {
    "weights": ("operator", "block", "join"),
    "init": ("operator", "join"),
    "remat": ("operator", "block"),
    "was": ("operator", "block"),
}
JOINS = FAMILIES["combine"]
STRUCTURE = ("for", "repeat", "choose", "layers", "output", "residual")
SECTIONS: dict[str, type[Section]] = {
    "for": Loop,
    "repeat": Repeat,
    "choose": Choose,
    "output": Head,
    "layers": Each,
}
RESERVED_WORDS = {
    "scan": "stepping a body through time comes with a later version",
    "log_mel": "audio features come with a later version",
}


@dataclass(frozen=True, eq=False, slots=True)
class LayerSpec:
    """One item of a list of layers.

    Attributes:
        word: the operator, block or construct.
        kind: "operator", "join", "block", the construct's own word, or "broken" where it
            could not be read.
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
    fields: Mapping
    branches: AbstractMapping[str, tuple[LayerSpec, ...]]
    section: Section | None = None

    @property
    def is_named(self) -> bool:
        return "name" in self.modifiers

    def possible_names(self) -> set[str]:
        """What this layer and those in it may be called; an iteration by its index alone."""
        names = {self.segment, *self.branches}
        if isinstance(self.section, Loop | Repeat) and self.section.index:
            names.add(self.section.index)
        for branch in self.branches.values():
            for layer in branch:
                names |= layer.possible_names()
        return names


@dataclass(frozen=True, slots=True)
class Words:
    """What a layer may be called in a file.

    Attributes:
        blocks: the names of each block's params, in order.
        operators: operators that the caller of the compiler brought, by word.
        defaults: the fields that the file sets for an operator, by word.
        lost: blocks, and prefixes of used files, that could not be read: nothing is said of
            layers that use them.
    """

    blocks: AbstractMapping[str, tuple[str, ...]]
    operators: AbstractMapping[str, type[Operator]] = field(default_factory=dict)
    defaults: AbstractMapping[str, Collection[str]] = field(default_factory=dict)
    lost: Collection[str] = ()

    def operator(self, word: str) -> type[Operator] | None:
        """The class of an operator, or None where there is none of that word."""
        if word in self.operators:
            return self.operators[word]
        return operator(word) if word in WORDS else None

    def fields(self, word: str) -> tuple[str, ...]:
        """The fields of an operator or construct, the params of a block."""
        if word in self.blocks:
            return self.blocks[word]
        if (cls := self.operator(word)) is not None:
            return field_names(cls)
        return field_names(SECTIONS[word]) if word in SECTIONS else ()

    def __contains__(self, word: str) -> bool:
        return word in WORDS or word in self.operators or word in self.blocks or word in STRUCTURE


def read_layers(
    node: Node | None,
    words: Words,
    report: Report,
    numbers: Counter[str] | None = None,
) -> tuple[LayerSpec, ...]:
    """Read a list of layers; what cannot be read is reported, and a broken layer in its place.

    Args:
        node: the list; None is the empty list, a single layer a list of one.
        words: the blocks that the file knows.
        report: where errors go.
        numbers: the uses of each word in the scope so far; a new scope where not given.
    """
    numbers = Counter() if numbers is None else numbers
    if (node := present(node)) is None:
        return ()
    items = node if isinstance(node, Sequence) else [node]
    return tuple(_read_layer(item, words, report, numbers) for item in items)


def _read_layer(item: Node, words: Words, report: Report, numbers: Counter[str]) -> LayerSpec:
    if isinstance(item, Mapping):
        keys = [k for k in item if k not in MODIFIERS]
        modifiers = {k: v for k, v in item.items() if k in MODIFIERS}
        if len(keys) == 1:
            word = keys[0]
            return _read_word(
                word, item.key_spans[word], item[word], modifiers, words, report, numbers
            )
        _report_keys(item, keys, words, report)
        return _broken(item.span, modifiers)
    if isinstance(item, Sequence):
        report.error(
            "F0206",
            "a list stands where a layer is expected",
            item.span,
            help="group layers with `layers: [...]`, or take the inner dash away",
        )
    elif not isinstance(item.value, str):
        report.error(
            "F0206",
            f"{shown(item.value)} stands where a layer is expected",
            item.span,
            help="write an operator or a block, as in `- relu`",
        )
    elif is_formula(item.value):
        report.error(
            "F0206",
            "a formula is not a layer",
            item.span,
            help=f"to insert layers that a param holds, write `layers: {item.text}`",
        )
    else:
        return _read_word(item.value, item.span, None, {}, words, report, numbers)
    return _broken(item.span, {})


def _broken(span: Span, modifiers: AbstractMapping[str, Node]) -> LayerSpec:
    """Stands for a layer that could not be read; its name is known all the same."""
    name = modifiers.get("name")
    segment = str(name.value) if isinstance(name, Scalar) else ""
    return LayerSpec("", "broken", span, None, {}, segment, Mapping({}, span), {})


def _report_keys(item: Mapping, keys: list[str], words: Words, report: Report) -> None:
    """Say what is wrong with a layer that has no operator, or more than one key for it."""
    if not item:
        report.error("F0206", "a layer is empty", item.span, help="write an operator, or nothing")
        return
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
    if not known:
        _report_unknown(keys[0], item.key_spans[keys[0]], words, report)
        return
    # The operator is the word to whose fields the others belong: `lstm` with `layers` beside
    # it, not `layers` with `lstm`.
    word = max(known, key=lambda w: sum(k in words.fields(w) for k in keys))
    fields = words.fields(word)
    for key in keys:
        if key == word:
            continue
        if key in fields:
            example = f"- {word}: {{{key}: {_brief(item[key])}}}"
            report.error(
                "F0207",
                f"`{key}` is a field of {word}, but it stands beside it",
                item.key_spans[key],
                f"belongs inside `{word}:`",
                help=f"indent it below `{word}:`, or write `{example}`",
            )
        elif key in known:
            report.error(
                "F0206",
                f"a layer has two operators: {word} and {key}",
                item.key_spans[key],
                "begins a second one",
                help="give each its own dash",
            )
        else:
            report.error(
                "F0207",
                f"`{key}` is neither a modifier nor a field of {word}",
                item.key_spans[key],
                near(key, [*MODIFIERS, *fields], report),
                notes=(
                    f"modifiers: {', '.join(MODIFIERS)}",
                    f"fields of {word}: {some(fields)}",
                ),
            )


def _brief(node: Node) -> str:
    return node.text if isinstance(node, Scalar) and len(node.text) <= 40 else "…"


def _report_unknown(word: str, span: Span, words: Words, report: Report) -> None:
    if word in RESERVED_WORDS:
        report.error("F0220", f"`{word}` is not there yet", span, RESERVED_WORDS[word])
        return
    help = ""
    prefix, dot, _ = word.partition(".")
    if word in words.lost or dot and prefix in words.lost:
        return
    if dot:
        mine = [b for b in words.blocks if b.startswith(prefix + ".")]
        help = (
            f"blocks of `{prefix}`: {some(mine)}"
            if mine
            else f"bring it in with `use: {{{prefix}: FILE}}`"
        )
    report.error(
        "F0202",
        f"`{word}` is neither an operator nor a block of this file",
        span,
        near(word, [*WORDS, *words.operators, *words.blocks, *STRUCTURE], report),
        help=help,
    )


def _read_word(
    word: str,
    span: Span,
    value: Node | None,
    modifiers: dict[str, Node],
    words: Words,
    report: Report,
    numbers: Counter[str],
) -> LayerSpec:
    if word not in words:
        _report_unknown(word, span, words, report)
        return _broken(span, modifiers)
    if present(value) is None:
        value = None
    numbered = word.replace(".", "_")
    if word == "layers" and isinstance(value, Scalar) and isinstance(value.value, str):
        inserted = value.value.removeprefix("=").strip()
        numbered = inserted if inserted.isidentifier() else word
    numbers[numbered] += 1
    reading = _Reading(
        word, span, value, modifiers, f"{numbered}_{numbers[numbered]}", words, report, numbers
    )
    layer = reading.layer()
    return _broken(span, modifiers) if layer is None else layer


def _name(node: Node, report: Report, what: str = "a layer") -> str:
    """A name as written; "", and a report, where it cannot be one."""
    value = node.value if isinstance(node, Scalar) else None
    problem = layer_name_problem(value if isinstance(value, str) else "")
    if problem:
        report.error(
            "F0209", f"`{_brief(node)}` cannot be the name of {what}", node.span, help=problem
        )
    return "" if problem else str(value)


@dataclass(slots=True)
class _Reading:
    """What is known of the layer that is being read."""

    word: str
    span: Span
    value: Node | None
    modifiers: dict[str, Node]
    segment: str
    words: Words
    report: Report
    numbers: Counter[str]

    def layer(self) -> LayerSpec | None:
        """The layer; None, and a report, where it cannot be read."""
        cls = self.words.operator(self.word)
        if self.word in self.words.blocks:
            layer = self.block()
        elif self.word in JOINS:
            layer = self.join()
        elif cls is not None:
            layer = self.operator(cls)
        else:
            layer = self.construct()
        if layer is not None:
            self.check_modifiers(layer.kind)
        return layer

    def made(
        self,
        kind: str,
        fields: Mapping | None = None,
        branches: AbstractMapping[str, tuple[LayerSpec, ...]] | None = None,
        section: Section | None = None,
    ) -> LayerSpec:
        if "name" in self.modifiers:
            self.segment = _name(self.modifiers["name"], self.report) or self.segment
        fields = Mapping({}, self.span) if fields is None else fields
        return LayerSpec(
            self.word,
            kind,
            self.span,
            self.value,
            self.modifiers,
            self.segment,
            fields,
            branches or {},
            section,
        )

    def check_modifiers(self, kind: str) -> None:
        """Report modifiers that do not go with this layer, or are not of the form they need."""
        for key, node in self.modifiers.items():
            check_formulas(node, self.report)
            if kind not in ONLY_BESIDE.get(key, (kind,)):
                self.report.error(
                    "F0208",
                    f"`{key}` cannot stand beside `{self.word}`",
                    node.span,
                    help="put it beside the operator it is meant for"
                    if key == "init"
                    else "put it beside the layers inside, or make a block of them",
                )
        if "from" in self.modifiers:
            self.check_from(self.modifiers["from"])
        if "weights" in self.modifiers:
            _name(self.modifiers["weights"], self.report, "shared weights")
        if (was := self.modifiers.get("was")) is not None:
            path = was.value if isinstance(was, Scalar) else None
            if not isinstance(path, str) or not all(p.isidentifier() for p in path.split(".")):
                self.report.error(
                    "F0208",
                    "`was` is the path that the layer had before",
                    was.span,
                    help="as in `was: stage1.unit0.conv_1`",
                )

    def check_from(self, node: Node) -> None:
        items = list(node) if isinstance(node, Sequence) else [node]
        if not items:
            self.report.error(
                "F0208",
                "`from` names no layer",
                node.span,
                help="name one, or take `from` away: the layer before is meant then",
            )
        for item in items:
            value = item.value if isinstance(item, Scalar) else None
            if not isinstance(value, str) or is_formula(value):
                self.report.error(
                    "F0208",
                    "`from` is the name of an earlier layer, or a list of names",
                    item.span,
                    help="a name is written as it is: `from: stem`, `from: [left, right]`",
                )

    def layers(self, node: Node | None, same_scope: bool = False) -> tuple[LayerSpec, ...]:
        return read_layers(node, self.words, self.report, self.numbers if same_scope else None)

    def inside(self, value: Mapping, fields: Collection[str]) -> Mapping:
        """A map of fields without the modifiers that stand in it by mistake.

        They are reported, and taken as if they stood where they belong.
        """
        stray = [k for k in value if k in MODIFIERS and k not in fields]
        for key in stray:
            self.report.error(
                "F0207",
                f"`{key}` is a modifier, but it stands inside `{self.word}:`",
                value.key_spans[key],
                f"belongs beside `{self.word}:`",
                help=f"give it the indentation of `{self.word}:`, or write "
                f"`- {{{self.word}: …, {key}: {_brief(value[key])}}}`",
            )
            self.modifiers.setdefault(key, value[key])
        if not stray:
            return value
        return Mapping(
            {k: v for k, v in value.items() if k not in stray}, value.span, value.key_spans
        )

    def short_form(self, main: str | None, fields: Collection[str]) -> Mapping:
        """The fields as a map, whichever form the author chose."""
        if isinstance(self.value, Mapping):
            return self.inside(self.value, fields)
        if self.value is None:
            return Mapping({}, self.span, {})
        if main is None:
            self.report.error(
                "F0205",
                f"{self.word} takes its fields by name"
                if fields
                else f"{self.word} takes no "
                + ("params" if self.word in self.words.blocks else "fields"),
                self.value.span,
                help=f"write `{self.word}: {{{next(iter(fields))}: …}}`"
                if fields
                else f"write `- {self.word}`",
            )
            return Mapping({}, self.span, {})
        return Mapping({main: self.value}, self.value.span, {main: self.value.span})

    def block(self) -> LayerSpec:
        params = self.words.blocks[self.word]
        fields = self.short_form(params[0] if params else None, params)
        for key in fields:
            if key not in params:
                self.report.error(
                    "F0203",
                    f"`{key}` is not a param of `{self.word}`",
                    fields.key_spans[key],
                    near(key, params, self.report),
                    notes=(f"params of `{self.word}`: {some(params)}",),
                )
        check_formulas(fields, self.report)
        return self.made("block", fields)

    def operator(self, cls: type[Operator]) -> LayerSpec:
        fields = self.short_form(cls.main, field_names(cls))
        check_formulas(fields, self.report)
        validate(
            cls,
            fields,
            self.report,
            what=self.word,
            main_span=self.span,
            partial=True,
            evaluate=literal,
            elsewhere=self.words.defaults.get(self.word, ()),
        )
        return self.made("operator", fields)

    def join(self) -> LayerSpec | None:
        """A join: named branches, a list of names, or whatever `from` lists."""
        cls = operator(self.word)
        value = self.value
        if isinstance(value, Sequence):
            return self.made("join") if self.check_listed(value) else None
        if value is None:
            if not isinstance(self.modifiers.get("from"), Sequence):
                self.report.error(
                    "F0402",
                    f"`{self.word}` has nothing to join",
                    self.span,
                    "one tensor arrives",
                    help=self.example(),
                )
                return None
            return self.made("join")
        if not isinstance(value, Mapping):
            self.report.error(
                "F0205",
                f"`{self.word}` takes branches or a list of names, not {shown(plain(value))}",
                value.span,
                help=self.example(),
            )
            return None
        value = self.inside(value, field_names(cls))
        fields: dict[str, Node] = {}
        branches: dict[str, tuple[LayerSpec, ...]] = {}
        for key, node in value.items():
            if key in field_names(cls) and not isinstance(node, Mapping | Sequence):
                fields[key] = node
            elif isinstance(node, Scalar) and node.value is not None:
                help = f"write `{key}: [{_brief(node)}]`" if str(node.value) in self.words else ""
                self.report.error(
                    "F0205",
                    f"branch `{key}` of `{self.word}` is not a list of layers",
                    node.span,
                    near(key, field_names(cls), self.report),
                    help=help,
                )
                branches[key] = (_broken(node.span, {}),)
            else:
                branches[key] = self.layers(node)
                if problem := layer_name_problem(key):
                    self.report.error(
                        "F0209",
                        f"`{key}` cannot be the name of a branch",
                        value.key_spans[key],
                        help=problem,
                    )
        if not branches and not isinstance(self.modifiers.get("from"), Sequence):
            self.report.error(
                "F0402",
                f"`{self.word}` has nothing to join",
                self.span,
                "it has no branches",
                help=self.example(),
            )
            return None
        found = Mapping(fields, value.span, value.key_spans)
        check_formulas(found, self.report)
        validate(
            cls,
            found,
            self.report,
            what=self.word,
            main_span=self.span,
            partial=True,
            evaluate=literal,
        )
        return self.made("join", found, branches)

    def check_listed(self, value: Sequence) -> bool:
        """Whether a join's list holds names; a report where it does not."""
        if "from" in self.modifiers:
            self.report.error(
                "F0208",
                f"`from` cannot stand beside `{self.word}` with a list of names",
                self.modifiers["from"].span,
                help="the list says what is joined: take one of the two away",
            )
        if not value:
            self.report.error(
                "F0402", f"`{self.word}` has nothing to join", value.span, help=self.example()
            )
        right = bool(value)
        for item in value:
            if (
                not isinstance(item, Scalar)
                or not isinstance(item.value, str)
                or is_formula(item.value)
            ):
                right = False
                self.report.error(
                    "F0205",
                    f"the list of `{self.word}` holds names of earlier layers",
                    item.span,
                    help=f"to join branches, give a map: `{self.word}: "
                    "{left: [...], right: [...]}`",
                )
        return right

    def example(self) -> str:
        return (
            f"name earlier layers, `{self.word}: [first, second]`, or give branches, "
            f"`{self.word}: {{left: [...], right: [...]}}`"
        )

    def construct(self) -> LayerSpec | None:
        value, report = self.value, self.report
        if self.word == "residual":
            return self.made("residual", branches={"layers": self.layers(value)})
        if self.word == "layers" and not (isinstance(value, Mapping) and "each" in value):
            if isinstance(value, Scalar) and is_formula(str(value.value)):
                check_formulas(value, report)
                return self.made("insert")
            # A group without a name is transparent: its layers belong to the scope around.
            inner = self.layers(value, same_scope="name" not in self.modifiers)
            return self.made("group", branches={"layers": inner})
        cls = SECTIONS[self.word]
        if not isinstance(value, Mapping):
            keys = ", ".join(field_names(cls))
            report.error(
                "F0205",
                f"`{self.word}` needs a map with {keys}",
                self.span,
                help=f"write `{self.word}: {{{_EXAMPLES[self.word]}}}`",
            )
            return None
        value = self.inside(value, field_names(cls))
        section = validate(cls, value, report, what=f"`{self.word}`", main_span=self.span)
        match section:
            case Choose():
                return self.choose(section, value)
            case Head():
                if "name" in self.modifiers:
                    report.error(
                        "F0208",
                        "`name` cannot stand beside `output`",
                        self.modifiers["name"].span,
                        help="the name of an output stands inside: `output: {name: aux, …}`",
                    )
                self.modifiers["name"] = value["name"]
                return self.made(
                    "output", branches={"layers": self.layers(section.layers)}, section=section
                )
            case Loop() | Repeat():
                return self.loop(section, value)
            case Each():
                return self.made(
                    "each", branches={"layers": self.layers(section.layers)}, section=section
                )
        return None

    def choose(self, section: Choose, value: Mapping) -> LayerSpec | None:
        cases = section.cases
        check_formulas(section.value, self.report)
        if not isinstance(cases, Mapping):
            self.report.error(
                "F0205",
                "`cases` of `choose` is a map from values to layers",
                value.key_spans["cases"],
                help="as in `cases: {small: [relu], large: [gelu]}`",
            )
            return None
        # All cases count in the scope's numbers: what follows keeps its name whatever is chosen.
        inner = {k: self.layers(n, same_scope=True) for k, n in cases.items()}
        return self.made("choose", branches=inner, section=section)

    def loop(self, section: Loop | Repeat, value: Mapping) -> LayerSpec:
        report = self.report
        source = section.each if isinstance(section, Loop) else section.times
        for part in (source, section.let):
            check_formulas(part, report)
        check_names(section.let, "a value", "`let` is a map from names to values", report)
        lists = isinstance(section, Loop) and isinstance(source, Mapping)
        names = source.key_spans if lists else {}
        for name, span in names.items():
            if problem := value_name_problem(name):
                report.error(
                    "F0209", f"`{name}` cannot be the name of a value", span, help=problem
                )
        if section.index:
            _name(value["index"], report, "an index")
            if section.index in names:
                report.error(
                    "F0210",
                    f"`{section.index}` is both the index and a list of the loop",
                    value["index"].span,
                    help="give the index another name",
                )
        return self.made(
            self.word, branches={"layers": self.layers(section.layers)}, section=section
        )


_EXAMPLES = {
    "for": "each: {width: [32, 64]}, layers: [...]",
    "repeat": "times: 3, layers: [...]",
    "choose": "value: =kind, cases: {basic: [...], wide: [...]}",
    "output": "name: aux, layers: [...]",
    "layers": "each: time, layers: [...]",
}


def literal(node: Node) -> Any:
    """The value of a node without formulas; UNKNOWN where there is one in it."""
    return UNKNOWN if any(formulas(node)) else plain(node)
