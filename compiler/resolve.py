"""A document with everything it refers to: other files, variants, values from `--set`.

The result, a `Program`, has a value for every param and layers ready to be elaborated;
every value still knows the text it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as PyMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler import zoo
from compiler.check import check_document, check_formulas, field_names, near, some, validate
from compiler.diagnostics import Label, Report, SpecError
from compiler.layers import MODIFIERS, STRUCTURE, LayerSpec, Words, literal, read_layers
from compiler.names import form_problem, value_name_problem
from compiler.ops import WORDS
from compiler.ops.base import Operator
from compiler.params import Given, ParamSpec, bind, check_values, read_params
from compiler.parse import (
    Mapping,
    Node,
    Scalar,
    parse,
    parse_value,
    plain,
    present,
    read_source,
    scalar,
)
from compiler.parse import Sequence as SequenceNode
from compiler.scope import Budget, Enough, Scope, check_names, with_let
from compiler.source import Source, Span
from compiler.spec import Block, Document, Fact, Input, ModelUse, Used

# How many files may use one another in a chain, and be used altogether.
MAX_USE_DEPTH = 16
MAX_USES = 100


@dataclass(frozen=True, eq=False, slots=True)
class BlockSpec:
    """A block as written, ready to be used.

    Attributes:
        name: what layers call it, with its file's prefix.
        params: its declared params.
        inputs: the names of the tensors it takes.
        layers: its layers.
        outputs: output name to (local name, its place); empty: the last layer's tensor.
        let: its named values, or None.
        program: the file it is written in, whose params it reads.
        span: where it is declared.
        weights_file: a file that its weights come from, or None.
    """

    name: str
    params: dict[str, ParamSpec]
    inputs: tuple[str, ...]
    layers: tuple[LayerSpec, ...]
    outputs: dict[str, tuple[str, Span]]
    let: Node | None
    program: Program
    span: Span
    weights_file: Path | None = None


@dataclass(eq=False, slots=True)
class Program:
    """A spec file, resolved.

    Attributes:
        name: the model's name.
        document: the checked document.
        tree: the tree it was made from, with `--set` applied.
        scope: the values of its params and its `let`.
        inputs: its declared inputs.
        blocks: every block that its layers may use, its own and used files'.
        layers: the model's layers; empty where the model is another program's.
        outputs: output name to (local name, its place).
        defaults: operator fields set throughout the file.
        used: the program that each prefix of `use` names.
        model: the program that `model: {use: …}` names, or None.
        weights: a file with weights to start from, or "".
        variant: the variant chosen, or "".
        directory: where its relative paths begin; None for text without a file.
        operators: operators that the caller brought, by word.
        lost: blocks, and prefixes of used files, that could not be read.
    """

    name: str
    document: Document
    tree: Mapping
    scope: Scope
    inputs: dict[str, tuple[Input, Span]] = field(default_factory=dict)
    blocks: dict[str, BlockSpec] = field(default_factory=dict)
    layers: tuple[LayerSpec, ...] = ()
    outputs: dict[str, tuple[str, Span]] = field(default_factory=dict)
    defaults: dict[str, Mapping] = field(default_factory=dict)
    used: dict[str, Program] = field(default_factory=dict)
    model: Program | None = None
    weights: str = ""
    variant: str = ""
    directory: Path | None = None
    operators: dict[str, type[Operator]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    @property
    def words(self) -> Words:
        """What this program's layers may be called."""
        return Words(
            {n: tuple(b.params) for n, b in self.blocks.items()},
            self.operators,
            self.defaults,
            self.lost,
        )

    def operator(self, word: str) -> type[Operator] | None:
        """The class of an operator, or None where there is none of that word."""
        return Words({}, self.operators).operator(word)

    @property
    def weights_file(self) -> Path | None:
        """The file with weights to start from: the nearest that this program or its model names."""
        if self.weights:
            return (self.directory or Path()) / self.weights
        return self.model.weights_file if self.model else None

    @property
    def architecture(self) -> Program:
        """The program that holds the model's layers."""
        return self.model.architecture if self.model else self


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `--set a.b=c`."""

    path: tuple[str, ...]
    value: Node


def parse_assignment(text: str, report: Report) -> Assignment | None:
    """Read `a.b=c`; None, and a report, where it is not that."""
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        report.error(
            "F0219",
            f"`--set {text}` is not of the form `--set a.b=c`",
            help="as in `--set train.epochs=5`",
        )
        return None
    return Assignment(keys, parse_value(value, f"--set {text}", report))


def resolve(
    tree: Mapping,
    cls: type[Document],
    report: Report,
    *,
    directory: Path | None = None,
    variant: str = "",
    assignments: Iterable[str] = (),
    name: str = "",
    values: PyMapping[str, Any] | None = None,
    operators: Iterable[type[Operator]] = (),
    budget: Budget | None = None,
) -> Program:
    """Resolve a spec's tree.

    Args:
        tree: the parsed file.
        cls: the document's class.
        report: where errors go.
        directory: where its relative paths begin.
        variant: one of its variants, or "".
        assignments: the texts of `--set`.
        name: the model's name where the document gives none.
        values: values for its params, as `--set` would give them.
        operators: operators besides the built-in ones.
        budget: the work that formulas may take; counts what they take.

    Raises:
        SpecError: nothing could be made of it.
    """
    sets = [a for text in assignments if (a := parse_assignment(text, report)) is not None]
    report.check()
    nodes = {
        key: _node(value, Source(f"{key}={value!r}", repr(value)))
        for key, value in (values or {}).items()
    }
    given = {key: Given(node, None, node.span) for key, node in nodes.items()}
    words = {operator.word: operator for operator in operators}
    loader = _Loader(cls, report, words, outermost=Scope(budget=budget))
    try:
        return loader.program(tree, directory, variant, given, sets, name, ())
    except Enough:
        raise SpecError(report.diagnostics) from None


def _node(value: Any, source: Source) -> Node:
    """A Python value as a piece of tree."""
    span = Span(source, 1, 1, 1, len(source.text) + 1)
    if isinstance(value, dict):
        return Mapping(
            {str(k): _node(v, source) for k, v in value.items()},
            span,
            {str(k): span for k in value},
        )
    if isinstance(value, list | tuple):
        return SequenceNode([_node(v, source) for v in value], span)
    return scalar(value, span)


@dataclass(slots=True)
class _Loader:
    """Loads programs; every file is parsed once.

    Attributes:
        cls: the document's class.
        report: where errors go.
        operators: operators that the caller brought, by word.
        trees: the files read so far.
        uses: how many programs were loaded for others.
        outermost: the scope around every program's; all share the steps left to formulas.
    """

    cls: type[Document]
    report: Report
    operators: dict[str, type[Operator]] = field(default_factory=dict)
    trees: dict[Path, Mapping] = field(default_factory=dict)
    uses: int = 0
    outermost: Scope = field(default_factory=Scope)

    def used(
        self,
        reference: str,
        span: Span,
        directory: Path | None,
        variant: str,
        given: dict[str, Given],
        stack: tuple[Path, ...],
    ) -> Program | None:
        """The program of a file or zoo name that another program uses; None after errors."""
        try:
            path, implied = zoo.find(reference, directory, untrusted=True)
        except zoo.NotFound as error:
            self.report.error("F0217", str(error), span, error.near, help=error.help)
            return None
        real = path.resolve()
        if real in stack or len(stack) >= MAX_USE_DEPTH:
            self.report.error(
                "F0217",
                f"`{reference}` uses itself, directly or through others",
                span,
                help="put what both need into a third file",
            )
            return None
        self.uses += 1
        if self.uses > MAX_USES:
            self.report.error(
                "F0217",
                f"more than {MAX_USES} files are used, in all",
                span,
                help="put the blocks that belong together into one file",
            )
            raise Enough
        if real not in self.trees:
            try:
                self.trees[real] = parse(
                    read_source(path, shown=zoo.shown(path, reference)), self.report
                )
            except SpecError as error:
                here = Label(span, "used here")
                for complaint in error.diagnostics:
                    self.report.add(complaint if complaint.labels
                                    else replace(complaint, labels=(here,)))
                return None
        return self.program(
            self.trees[real],
            path.parent,
            variant or implied,
            given,
            [],
            path.stem,
            (*stack, real),
            span,
        )

    def program(
        self,
        tree: Mapping,
        directory: Path | None,
        variant: str,
        given: dict[str, Given],
        sets: Sequence[Assignment],
        name: str,
        stack: tuple[Path, ...],
        use: Span | None = None,
    ) -> Program:
        report = self.report
        declared = tree.get("params")
        names = list(declared) if isinstance(declared, Mapping) else []
        for item in sets:
            if item.path[0] == "params" and len(item.path) == 2:
                given = {**given, item.path[1]: Given(item.value, None, item.value.span)}
            elif len(item.path) == 1 and item.path[0] in names and item.path[0] not in tree:
                given = {**given, item.path[0]: Given(item.value, None, item.value.span)}
            else:
                tree = self.patched(tree, item, names)
        document = check_document(tree, self.cls, report)
        name = document.name or name
        params = read_params(document.params, report, f"`{name}`")
        values = self.settings(document, variant, name, params) | given
        program = Program(
            variant or name,
            document,
            tree,
            self.outermost,
            variant=variant,
            directory=directory,
            operators=self.operators,
        )
        scope = bind(
            params,
            values,
            self.outermost,
            report,
            what=f"`{name}`",
            use=use,
            program=program,
            remedy=self.remedy(document, variant, use),
        )
        self.let(document.let, params, report)
        program.scope = with_let(document.let, scope, report)
        program.inputs = self.inputs(document)
        program.defaults = self.defaults(document)
        self.facts(document)
        self.uses_of(program, stack)
        self.read_blocks(program)
        program.outputs = self.outputs(document.outputs)
        self.model(program, stack)
        return program

    def remedy(self, document: Document, variant: str, use: Span | None) -> str:
        """What to do where a required param has no value; `{}` stands for its name."""
        if use is not None:
            return ""
        if not variant and isinstance(document.variants, Mapping) and document.variants:
            return f"choose a variant: {some(document.variants)}"
        return "give it on the command line: `--set {}=…`"

    def let(self, node: Node | None, params: PyMapping[str, ParamSpec], report: Report) -> None:
        """Check a `let` of a file or a block."""
        check_names(node, "a value", "`let` is a map from names to values", report)
        check_formulas(node, report)
        if isinstance(node, Mapping):
            for name in node:
                if name in params:
                    report.error(
                        "F0210",
                        f"`{name}` is a param already",
                        node.key_spans[name],
                        help="give the value in `let` another name",
                    )

    def patched(self, tree: Mapping, item: Assignment, params: list[str]) -> Mapping:
        """The tree with the value at the assignment's path replaced or added."""
        if len(item.path) == 1 and item.path[0] not in self.cls.model_fields:
            words = [*params, *self.cls.model_fields]
            self.report.error(
                "F0219",
                f"there is no param `{item.path[0]}` to set",
                item.value.span,
                near(item.path[0], words, self.report),
                notes=(f"params: {some(params)}",),
                help=f"a param of the model that is used: `--set model.with.{item.path[0]}=…`"
                if isinstance(tree.get("model"), Mapping)
                else "give the whole path for anything else: `--set train.epochs=5`",
            )
            return tree

        def replaced(node: Node | None, path: tuple[str, ...]) -> Node:
            if not path:
                return item.value
            key, rest = path[0], path[1:]
            if isinstance(node, Mapping):  # a key may hold dots: `lib.unit`
                for length in range(len(path), 1, -1):
                    if ".".join(path[:length]) in node:
                        key, rest = ".".join(path[:length]), path[length:]
                        break
            if isinstance(node, SequenceNode):
                if not key.isdigit() or int(key) >= len(node):
                    self.report.error(
                        "F0219",
                        f"`{key}` is not the number of an element of a list of {len(node)}",
                        item.value.span,
                        help="elements count from 0",
                    )
                    return node
                items = list(node)
                items[int(key)] = replaced(items[int(key)], rest)
                return SequenceNode(items, node.span)
            if isinstance(node, Scalar) and node.value is not None:
                self.report.error(
                    "F0219", f"`{key}` cannot be set: `{node.text}` is not a map", item.value.span
                )
                return node
            old = node if isinstance(node, Mapping) else Mapping({}, item.value.span, {})
            entries = {**old, key: replaced(old.get(key), rest)}
            return Mapping(
                entries, old.span, {**old.key_spans, key: old.key_spans.get(key, item.value.span)}
            )

        result = replaced(tree, item.path)
        assert isinstance(result, Mapping)
        return result

    def settings(
        self, document: Document, variant: str, name: str, params: PyMapping[str, ParamSpec]
    ) -> dict[str, Given]:
        """The values of a variant, those it extends first; every variant is checked."""
        variants, report = document.variants, self.report
        if (variants := present(variants)) is None:
            variants = Mapping({}, Span(Source(name, ""), 1, 1, 1, 1))
        if not isinstance(variants, Mapping):
            report.error(
                "F0201",
                "`variants` is a map from names to values of params",
                variants.span,
                help="as in `variants: {small: {width: 32}}`",
            )
            return {}
        for key, node in variants.items():
            check_formulas(node, report)
            if isinstance(node, Mapping):
                own = {k: n for k, n in node.items() if k != "extends"}
                check_values(params, Mapping(own, node.span, node.key_spans), report, f"`{name}`")
            elif present(node) is not None:
                report.error(
                    "F0201",
                    f"variant `{key}` is a map of values for params",
                    node.span,
                    help=f"as in `{key}: {{width: 32}}`",
                )
        right = self.check_extends(variants)
        if variant and variant not in variants:
            report.error(
                "F0212",
                f"`{name}` has no variant `{variant}`",
                variants.span if variants else None,
                near(variant, variants, report),
                notes=(f"variants: {some(variants)}",),
            )
        values: dict[str, Given] = {}
        while variant in right:
            node = variants[variant]
            if not isinstance(node, Mapping):
                break
            own = {k: Given(n, None, node.key_spans[k]) for k, n in node.items() if k != "extends"}
            values = own | values  # what is nearer goes before what it extends
            parent = node.get("extends")
            variant = str(parent.value) if isinstance(parent, Scalar) else ""
        return {k: v for k, v in values.items() if k in params}

    def check_extends(self, variants: Mapping) -> set[str]:
        """The variants whose chains of `extends` end; the others are reported."""
        right: set[str] = set()
        seen: set[str] = set()
        for key in variants:
            chain: list[str] = []
            current = key
            while current not in seen:
                seen.add(current)
                chain.append(current)
                node = variants[current]
                parent = node.get("extends") if isinstance(node, Mapping) else None
                if parent is None:
                    right.add(current)
                    break
                name = parent.value if isinstance(parent, Scalar) else None
                if name not in variants:
                    self.report.error(
                        "F0212",
                        f"variant `{current}` extends {_shown(parent)}, which is not a variant",
                        parent.span,
                        near(str(name), variants, self.report),
                        notes=(f"variants: {some(variants)}",),
                    )
                    break
                current = str(name)
            else:
                if current in chain:
                    loop = chain[chain.index(current) :]
                    self.report.error(
                        "F0216",
                        f"variant `{current}` extends itself",
                        variants.key_spans[current],
                        notes=(" extends ".join([*loop, current]),),
                    )
            if current in right:
                right |= set(chain)
        return right

    def inputs(self, document: Document) -> dict[str, tuple[Input, Span]]:
        node = document.inputs
        check_names(node, "an input", "`inputs` is a map from names to shapes", self.report)
        found = {}
        for name, part in node.items() if isinstance(node, Mapping) else ():
            check_formulas(part, self.report)
            if not isinstance(part, Mapping):
                shape = part.text if isinstance(part, Scalar) else plain(part)
                self.report.error(
                    "F0201",
                    f"input `{name}` is a map with its shape",
                    part.span,
                    help=f"write `{name}: {{shape: {shape}}}`",
                )
                continue
            section = validate(
                Input, part, self.report, what=f"input `{name}`", main_span=node.key_spans[name]
            )
            if section is not None:
                found[name] = (section, node.key_spans[name])
        return found

    def defaults(self, document: Document) -> dict[str, Mapping]:
        node = document.defaults
        if (node := present(node)) is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error(
                "F0201",
                "`defaults` is a map from operators to fields",
                node.span,
                help="as in `defaults: {conv: {bias: false}}`",
            )
            return {}
        words, found = Words({}, self.operators), {}
        for word, fields in node.items():
            cls = words.operator(word)
            if cls is None:
                self.report.error(
                    "F0202",
                    f"`{word}` is not an operator",
                    node.key_spans[word],
                    near(word, [*WORDS, *self.operators], self.report),
                )
            elif not isinstance(fields, Mapping):
                self.report.error(
                    "F0201",
                    f"the defaults of `{word}` are a map of fields",
                    fields.span,
                    help=f"as in `{word}: {{init: {{kernel: zeros}}}}`",
                )
            else:
                check_formulas(fields, self.report)
                own = Mapping(
                    {k: n for k, n in fields.items() if k != "init"}, fields.span, fields.key_spans
                )
                # Required fields may well be missing from defaults.
                validate(
                    cls,
                    own,
                    self.report,
                    what=word,
                    partial=True,
                    evaluate=literal,
                    elsewhere=field_names(cls),
                )
                known = ("init", *field_names(cls))
                found[word] = Mapping(
                    {k: n for k, n in fields.items() if k in known}, fields.span, fields.key_spans
                )
        return found

    def facts(self, document: Document) -> None:
        node = document.facts
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`facts` is a map from variants to figures", node.span)
            return
        variants = document.variants if isinstance(document.variants, Mapping) else ()
        known = [*variants, *([document.name] if document.name else [])]
        for name, part in node.items():
            if name not in known:
                self.report.error(
                    "F0212",
                    f"facts for `{name}`, which is not a variant",
                    node.key_spans[name],
                    near(name, known, self.report),
                )
            if isinstance(part, Mapping):
                validate(Fact, part, self.report, what="facts")
            else:
                self.report.error("F0201", f"the facts of `{name}` are a map of figures", part.span)

    def uses_of(self, program: Program, stack: tuple[Path, ...]) -> None:
        """Bring in the blocks of used files, under their prefixes."""
        node = program.document.use
        if (node := present(node)) is None:
            return
        if not isinstance(node, Mapping):
            self.report.error(
                "F0201",
                "`use` is a map from prefixes to files",
                node.span,
                help="as in `use: {mobile: mobile}`",
            )
            return
        for prefix, part in node.items():
            other = self.used_as(prefix, part, node.key_spans[prefix], program, stack)
            if other is None:
                program.lost.add(prefix)

    def used_as(
        self, prefix: str, part: Node, span: Span, program: Program, stack: tuple[Path, ...]
    ) -> Program | None:
        """Bring in one used file; None after errors."""
        if problem := value_name_problem(prefix):
            self.report.error("F0209", f"`{prefix}` cannot be a prefix", span, help=problem)
            return None
        weights, given, variant = "", {}, ""
        if isinstance(part, Mapping):
            section = validate(Used, part, self.report, what=f"`{prefix}` in `use`", main_span=span)
            if section is None:
                return None
            reference, weights, variant = section.spec, section.weights, section.variant
            given = self.given(section.with_, program)
            place = part["spec"].span
        elif isinstance(part, Scalar) and isinstance(part.value, str):
            reference, place = part.value, part.span
        else:
            self.report.error(
                "F0201",
                f"`{prefix}` in `use` names a file or a zoo model",
                part.span,
                help=f"as in `{prefix}: blocks.yaml`",
            )
            return None
        other = self.used(reference, place, program.directory, variant, given, stack)
        if other is None:
            return None
        program.used[prefix] = other
        # A used file's own blocks; what it uses itself is its own business.
        for name, block in other.blocks.items():
            if "." not in name:
                program.blocks[f"{prefix}.{name}"] = block
        program.lost |= {f"{prefix}.{name}" for name in other.lost}
        owner = other.architecture
        if owner.layers and owner.inputs:
            file = (program.directory or Path()) / weights if weights else other.weights_file
            program.blocks[f"{prefix}.model"] = BlockSpec(
                f"{prefix}.model",
                {},
                tuple(owner.inputs),
                owner.layers,
                owner.outputs,
                None,
                owner,
                place,
                file,
            )
        else:
            program.lost |= {f"{prefix}.model"} if self.report.errors else set()
        return other

    def given(self, node: Node | None, program: Program) -> dict[str, Given]:
        """The values of a `with:`."""
        if (node := present(node)) is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error(
                "F0201",
                "`with` is a map of values for params",
                node.span,
                help="as in `with: {classes: 10}`",
            )
            return {}
        check_formulas(node, self.report)
        return {k: Given(n, program.scope, node.key_spans[k], program) for k, n in node.items()}

    def read_blocks(self, program: Program) -> None:
        node, report = program.document.blocks, self.report
        if (node := present(node)) is None:
            return
        if not isinstance(node, Mapping):
            report.error(
                "F0201",
                "`blocks` is a map from names to blocks",
                node.span,
                help="as in `blocks: {conv_bn: {layers: [conv: 64, batch_norm]}}`",
            )
            return
        sections: dict[str, tuple[Block, dict[str, ParamSpec]]] = {}
        for name, part in node.items():
            section = self.block_section(name, part, node.key_spans[name])
            if section is None:
                program.lost.add(name)
            else:
                sections[name] = (section, read_params(section.params, report, f"`{name}`"))
        own = {n: tuple(params) for n, (_, params) in sections.items()}
        words = program.words
        words = replace(words, blocks={**words.blocks, **own})
        for name, (section, params) in sections.items():
            self.let(section.let, params, report)
            part = node[name]
            assert isinstance(part, Mapping)
            program.blocks[name] = BlockSpec(
                name,
                params,
                self.block_inputs(section, part, params),
                read_layers(section.layers, words, report),
                self.outputs(section.outputs),
                section.let,
                program,
                node.key_spans[name],
            )

    def block_section(self, name: str, part: Node, span: Span) -> Block | None:
        """A block's fields; None after errors."""
        report = self.report
        if name in WORDS or name in STRUCTURE or name in MODIFIERS or name in self.operators:
            kind = "a modifier" if name in MODIFIERS else "an operator"
            report.error(
                "F0211",
                f"block `{name}` has the name of {kind}",
                span,
                help="choose another name, so that a reader knows which one is meant",
            )
        elif problem := form_problem(name):
            report.error("F0209", f"`{name}` cannot be the name of a block", span, help=problem)
        elif not isinstance(part, Mapping):
            report.error(
                "F0201",
                f"block `{name}` is a map with `layers`",
                part.span,
                help=f"write `{name}: {{layers: [...]}}`",
            )
        else:
            return validate(Block, part, report, what=f"block `{name}`", main_span=span)
        return None

    def block_inputs(
        self,
        section: Block,
        part: Mapping,
        params: PyMapping[str, ParamSpec],
    ) -> tuple[str, ...]:
        """The names of a block's inputs, checked."""
        names = section.inputs
        node = part.get("inputs")
        if not names and node is not None:
            self.report.error(
                "F0205",
                "a block takes at least one tensor",
                node.span,
                help="leave `inputs` away for one that is called `x`",
            )
            return ("x",)
        for i, name in enumerate(names):
            at = node[i].span if isinstance(node, SequenceNode) else part.span
            if problem := value_name_problem(name):
                self.report.error(
                    "F0209", f"`{name}` cannot be the name of an input", at, help=problem
                )
            elif name in params or name in names[:i]:
                self.report.error(
                    "F0210",
                    f"`{name}` is already the name of "
                    f"{'a param' if name in params else 'an input'}",
                    at,
                    help="give the input another name",
                )
        return names

    def outputs(self, node: Node | None) -> dict[str, tuple[str, Span]]:
        """An `outputs:` section: output name to the local name it stands for."""
        if (node := present(node)) is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error(
                "F0201",
                "`outputs` is a map from output names to layers' names",
                node.span,
                help="as in `outputs: {memory: encoder}`",
            )
            return {}
        found = {}
        for name, part in node.items():
            if problem := value_name_problem(name):
                self.report.error(
                    "F0209",
                    f"`{name}` cannot be the name of an output",
                    node.key_spans[name],
                    help=problem,
                )
            elif isinstance(part, Scalar) and isinstance(part.value, str):
                found[name] = (part.value, part.span)
            else:
                self.report.error("F0201", f"output `{name}` is the name of a layer", part.span)
        return found

    def model(self, program: Program, stack: tuple[Path, ...]) -> None:
        node, words = program.document.model, program.words
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value not in words:
            self.report.error(
                "F0201",
                "`model` is a list of layers",
                node.span,
                help=f"to take another spec's: `model: {{use: {node.value}}}`",
            )
        elif not isinstance(node, Mapping):
            program.layers = read_layers(node, words, self.report)
        elif "use" in node or not any(key in words for key in node):
            section = validate(ModelUse, node, self.report, what="`model`")
            if section is not None:
                program.model = self.used(
                    section.use,
                    node["use"].span,
                    program.directory,
                    section.variant,
                    self.given(section.with_, program),
                    stack,
                )
                program.weights = section.weights
        else:
            self.report.error(
                "F0201",
                "`model` is a list of layers",
                node.span,
                "there are no dashes",
                help=f"begin each layer with a dash: `- {next(iter(node))}: …`",
            )


def _shown(node: Node) -> str:
    return f"`{node.text}`" if isinstance(node, Scalar) else "something else"
