"""One layer from its word and what stands after it: an operator, a block, a join, a construct.

It finds what can be found without values: unknown fields, misplaced modifiers, values that no
formula could mend.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from typing import Any

from compiler.diagnostics import Report
from compiler.expressions import is_formula
from compiler.formulas import check_formulas, formulas
from compiler.layers import JOINS, SECTIONS, LayerSpec, Words, broken
from compiler.modifiers import MODIFIERS, brief, check_modifiers, name_of
from compiler.names import layer_name_problem, value_name_problem
from compiler.ops import operator
from compiler.ops.base import Operator
from compiler.parse import Mapping, Node, Scalar, Sequence, plain
from compiler.scan_forms import check_scan
from compiler.scope import check_names
from compiler.source import Span
from compiler.spec import Choose, Each, Head, Loop, Repeat, Scan, Section
from compiler.validate import UNKNOWN, validate
from compiler.wording import field_names, near, shown, some


@dataclass(slots=True)
class Form:
    """What is known of the layer that is being read.

    Attributes:
        word: the operator, block or construct.
        span: the place of the word.
        value: what stands after it, or None.
        modifiers: the reserved words beside it.
        segment: its part of the path.
        words: what a layer may be called in this file.
        report: where errors go.
        read: reads a list of layers within this one, with the numbers of this one's scope or
            with its own.
    """

    word: str
    span: Span
    value: Node | None
    modifiers: dict[str, Node]
    segment: str
    words: Words
    report: Report
    read: Callable[[Node | None, bool], tuple[LayerSpec, ...]]

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
            check_modifiers(self.modifiers, self.word, layer.kind, self.report)
        return layer

    def made(
        self,
        kind: str,
        fields: Mapping | None = None,
        branches: AbstractMapping[str, tuple[LayerSpec, ...]] | None = None,
        section: Section | None = None,
    ) -> LayerSpec:
        if "name" in self.modifiers:
            self.segment = name_of(self.modifiers["name"], self.report) or self.segment
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
                f"`- {{{self.word}: …, {key}: {brief(value[key])}}}`",
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
                help = f"write `{key}: [{brief(node)}]`" if str(node.value) in self.words else ""
                self.report.error(
                    "F0205",
                    f"branch `{key}` of `{self.word}` is not a list of layers",
                    node.span,
                    near(key, field_names(cls), self.report),
                    help=help,
                )
                branches[key] = (broken(node.span, {}),)
            else:
                branches[key] = self.read(node, False)
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
            return self.made("residual", branches={"layers": self.read(value, False)})
        if self.word == "layers" and not (isinstance(value, Mapping) and "each" in value):
            if isinstance(value, Scalar) and is_formula(str(value.value)):
                check_formulas(value, report)
                return self.made("insert")
            # A group without a name is transparent: its layers belong to the scope around.
            inner = self.read(value, "name" not in self.modifiers)
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
                    "output", branches={"layers": self.read(section.layers, False)}, section=section
                )
            case Loop() | Repeat():
                return self.loop(section, value)
            case Each():
                return self.made(
                    "each", branches={"layers": self.read(section.layers, False)}, section=section
                )
            case Scan():
                check_scan(section, value, report)
                return self.made(
                    "scan", branches={"layers": self.read(section.layers, False)}, section=section
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
        inner = {k: self.read(n, True) for k, n in cases.items()}
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
            name_of(value["index"], report, "an index")
            if section.index in names:
                report.error(
                    "F0210",
                    f"`{section.index}` is both the index and a list of the loop",
                    value["index"].span,
                    help="give the index another name",
                )
        return self.made(
            self.word, branches={"layers": self.read(section.layers, False)}, section=section
        )


_EXAMPLES = {
    "for": "each: {width: [32, 64]}, layers: [...]",
    "repeat": "times: 3, layers: [...]",
    "choose": "value: =kind, cases: {basic: [...], wide: [...]}",
    "output": "name: aux, layers: [...]",
    "layers": "each: time, layers: [...]",
    "scan": "over: {token: target}, carry: {h: encoder.state}, layers: [...]",
}


def literal(node: Node) -> Any:
    """The value of a node without formulas; UNKNOWN where there is one in it."""
    return UNKNOWN if any(formulas(node)) else plain(node)
