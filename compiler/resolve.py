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
from compiler.check import check_document, check_formulas, validate
from compiler.diagnostics import Report, nearest
from compiler.layers import STRUCTURE, LayerSpec, Words, literal, read_layers
from compiler.ops import WORDS, operator
from compiler.ops.base import Operator
from compiler.params import Given, ParamSpec, bind, read_params
from compiler.parse import Mapping, Node, Scalar, parse, parse_value, read_source, scalar
from compiler.parse import Sequence as SequenceNode
from compiler.scope import Scope, with_let
from compiler.source import Source, Span
from compiler.spec import Block, Document, Fact, Input, ModelUse, Used

# How many files may use one another in a chain.
MAX_USE_DEPTH = 16


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

    @property
    def words(self) -> Words:
        """What this program's layers may be called."""
        return Words(
            {n: tuple(b.params) for n, b in self.blocks.items()}, self.operators, self.defaults
        )

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

    Raises:
        SpecError: nothing could be made of it.
    """
    sets = [a for text in assignments if (a := parse_assignment(text, report)) is not None]
    report.check()
    given = {
        key: Given(_node(value, Source(f"{key}={value!r}", repr(value))), Scope())
        for key, value in (values or {}).items()
    }
    loader = _Loader(cls, report, {cls.word: cls for cls in operators})
    return loader.program(tree, directory, variant, given, sets, name, ())


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


def load_tree(reference: str, directory: Path | None, report: Report) -> tuple[Mapping, Path, str]:
    """The tree of a file or a zoo name, its path, and the variant that the name implies.

    Raises:
        SpecError: there is no such file, or it is not YAML.
    """
    path, variant = zoo.find(reference, directory)
    source = read_source(path, shown=zoo.shown(path, reference))
    return parse(source, report), path, variant


@dataclass(slots=True)
class _Loader:
    """Loads programs; every file is parsed once."""

    cls: type[Document]
    report: Report
    operators: dict[str, type[Operator]] = field(default_factory=dict)
    trees: dict[Path, Mapping] = field(default_factory=dict)

    def used(
        self,
        reference: str,
        span: Span,
        directory: Path | None,
        variant: str,
        given: dict[str, Given],
        stack: tuple[Path, ...],
    ) -> Program | None:
        """The program of a file or zoo name that another program uses."""
        try:
            path, implied = zoo.find(reference, directory, untrusted=True)
        except zoo.NotFound as error:
            self.report.error("F0217", str(error), span, error.near, help=error.help)
            return None
        if path in stack or len(stack) >= MAX_USE_DEPTH:
            self.report.error(
                "F0217", f"`{reference}` uses itself, directly or through others", span
            )
            return None
        if path not in self.trees:
            self.trees[path] = parse(
                read_source(path, shown=zoo.shown(path, reference)), self.report
            )
        return self.program(
            self.trees[path],
            path.parent,
            variant or implied,
            given,
            [],
            path.stem,
            (*stack, path),
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
                given = {**given, item.path[1]: Given(item.value, Scope())}
            elif len(item.path) == 1 and item.path[0] in names and item.path[0] not in tree:
                given = {**given, item.path[0]: Given(item.value, Scope())}
            else:
                tree = self.patched(tree, item, names)
        document = check_document(tree, self.cls, report)
        name = document.name or name
        params = read_params(document.params, report, name)
        settings, name = self.settings(document, variant, name)
        values = {k: Given(n, Scope()) for k, n in settings.items()} | given
        help = ""
        if not variant and isinstance(document.variants, Mapping):
            help = f"choose a variant: {', '.join(document.variants)}"
        scope = bind(params, values, Scope(), report, what=f"`{name}`", use=use, help=help)
        check_formulas(document.let, report)
        program = Program(
            name,
            document,
            tree,
            with_let(document.let, scope, report),
            variant=variant,
            directory=directory,
            operators=self.operators,
        )
        program.inputs = self.inputs(document)
        program.defaults = self.defaults(document)
        self.facts(document)
        self.uses(program, stack)
        self.read_blocks(program)
        program.outputs = self.outputs(document.outputs)
        self.model(program, stack)
        return program

    def patched(self, tree: Mapping, item: Assignment, params: list[str]) -> Mapping:
        """The tree with the value at the assignment's path replaced or added."""
        if len(item.path) == 1 and item.path[0] not in self.cls.model_fields:
            words = [*params, *self.cls.model_fields]
            self.report.error(
                "F0219",
                f"there is no param `{item.path[0]}` to set",
                item.value.span,
                nearest(item.path[0], words),
                notes=(f"params: {', '.join(params) or 'none'}",),
                help="give the whole path for anything else: `--set train.epochs=5`",
            )
            return tree

        def replaced(node: Node | None, path: tuple[str, ...]) -> Node:
            if not path:
                return item.value
            key, rest = path[0], path[1:]
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

    def settings(self, document: Document, variant: str, name: str) -> tuple[dict[str, Node], str]:
        """The values of a variant, those it extends first, and the model's name."""
        variants = document.variants
        if variants is not None and not isinstance(variants, Mapping):
            self.report.error(
                "F0201", "`variants` is a map from names to values of params", variants.span
            )
            return {}, name
        for node in (variants or {}).values():
            check_formulas(node, self.report)
        if not variant:
            return {}, name
        chain: list[str] = []
        current = variant
        while current:
            if not variants or current not in variants:
                place = variants.span if variants else None
                if chain and variants:
                    parent = variants[chain[-1]]
                    assert isinstance(parent, Mapping)
                    place = parent["extends"].span
                self.report.error(
                    "F0212",
                    f"`{name}` has no variant `{current}`",
                    place,
                    nearest(current, variants or ()),
                    notes=(f"variants: {', '.join(variants or ()) or 'none'}",),
                )
                return {}, name
            if current in chain:
                self.report.error(
                    "F0216",
                    f"variant `{current}` extends itself",
                    variants.key_spans[current],
                    notes=(" extends ".join([*chain, current]),),
                )
                return {}, name
            chain.append(current)
            node = variants[current]
            parent = node.get("extends") if isinstance(node, Mapping) else None
            current = parent.value if isinstance(parent, Scalar) else ""
            if not isinstance(current, str):
                self.report.error("F0212", "`extends` names a variant", node.span)
                return {}, name
        values: dict[str, Node] = {}
        for link in reversed(chain):
            node = (variants or {})[link]
            if isinstance(node, Mapping):
                values.update({k: n for k, n in node.items() if k != "extends"})
            elif not (isinstance(node, Scalar) and node.value is None):
                self.report.error(
                    "F0201", f"variant `{link}` is a map of values for params", node.span
                )
        return values, variant

    def inputs(self, document: Document) -> dict[str, tuple[Input, Span]]:
        node = document.inputs
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`inputs` is a map from names to shapes", node.span)
            return {}
        found = {}
        for name, part in node.items():
            if not name.isidentifier():
                self.report.error(
                    "F0209", f"`{name}` cannot be the name of an input", node.key_spans[name]
                )
            check_formulas(part, self.report)
            if not isinstance(part, Mapping):
                self.report.error(
                    "F0201",
                    f"input `{name}` is a map with its shape",
                    part.span,
                    help=f"write `{name}: {{shape: [28, 28, 1]}}`",
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
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`defaults` is a map from operators to fields", node.span)
            return {}
        found = {}
        for word, fields in node.items():
            if word not in WORDS:
                self.report.error(
                    "F0202",
                    f"`{word}` is not an operator",
                    node.key_spans[word],
                    nearest(word, WORDS),
                )
            elif not isinstance(fields, Mapping):
                self.report.error(
                    "F0201", f"the defaults of `{word}` are a map of fields", fields.span
                )
            else:
                check_formulas(fields, self.report)
                own = Mapping(
                    {k: n for k, n in fields.items() if k != "init"}, fields.span, fields.key_spans
                )
                cls = operator(word)
                # Required fields may well be missing from defaults.
                found_here = Report()
                validate(cls, own, found_here, what=word, partial=True, evaluate=literal)
                for complaint in found_here.diagnostics:
                    if complaint.code != "F0204":
                        self.report.add(complaint)
                found[word] = fields
        return found

    def facts(self, document: Document) -> None:
        node = document.facts
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`facts` is a map from variants to figures", node.span)
            return
        known = [*(document.variants or ()), *([document.name] if document.name else [])]
        for name, part in node.items():
            if name not in known:
                self.report.error(
                    "F0212",
                    f"facts for `{name}`, which is not a variant",
                    node.key_spans[name],
                    nearest(name, known),
                )
            if isinstance(part, Mapping):
                validate(Fact, part, self.report, what="facts")
            else:
                self.report.error("F0201", f"the facts of `{name}` are a map of figures", part.span)

    def uses(self, program: Program, stack: tuple[Path, ...]) -> None:
        """Bring in the blocks of used files, under their prefixes."""
        node = program.document.use
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`use` is a map from prefixes to files", node.span)
            return
        for prefix, part in node.items():
            if not prefix.isidentifier():
                self.report.error("F0209", f"`{prefix}` cannot be a prefix", node.key_spans[prefix])
            weights, given, variant = "", {}, ""
            if isinstance(part, Mapping):
                section = validate(
                    Used, part, self.report, what="`use`", main_span=node.key_spans[prefix]
                )
                if section is None:
                    continue
                reference, weights, variant = section.spec, section.weights, section.variant
                given = self.given(section.with_, program.scope)
                place = part["spec"].span
            elif isinstance(part, Scalar) and isinstance(part.value, str):
                reference, place = part.value, part.span
            else:
                self.report.error(
                    "F0201", f"`{prefix}` in `use` names a file or a zoo model", part.span
                )
                continue
            other = self.used(reference, place, program.directory, variant, given, stack)
            if other is None:
                continue
            program.used[prefix] = other
            for name, block in other.blocks.items():
                program.blocks[f"{prefix}.{name}"] = block
            owner = other.architecture
            if owner.layers:
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

    def given(self, node: Node | None, scope: Scope) -> dict[str, Given]:
        """The values of a `with:`."""
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error("F0201", "`with` is a map of values for params", node.span)
            return {}
        check_formulas(node, self.report)
        return {k: Given(n, scope) for k, n in node.items()}

    def read_blocks(self, program: Program) -> None:
        node, report = program.document.blocks, self.report
        if node is None:
            return
        if not isinstance(node, Mapping):
            report.error("F0201", "`blocks` is a map from names to blocks", node.span)
            return
        sections: dict[str, tuple[Block, dict[str, ParamSpec]]] = {}
        for name, part in node.items():
            span = node.key_spans[name]
            if name in WORDS or name in STRUCTURE:
                report.error(
                    "F0211",
                    f"block `{name}` has the name of an operator",
                    span,
                    help="choose another name, so that a reader knows which one is meant",
                )
                continue
            if not name.isidentifier():
                report.error("F0209", f"`{name}` cannot be the name of a block", span)
                continue
            if not isinstance(part, Mapping):
                report.error(
                    "F0201",
                    f"block `{name}` is a map with `layers`",
                    part.span,
                    help=f"write `{name}: {{layers: [...]}}`",
                )
                continue
            section = validate(Block, part, report, what=f"block `{name}`", main_span=span)
            if section is not None:
                sections[name] = (section, read_params(section.params, report, f"block `{name}`"))
        own = {n: tuple(params) for n, (_, params) in sections.items()}
        words = replace(program.words, blocks={**program.words.blocks, **own})
        for name, (section, params) in sections.items():
            check_formulas(section.let, report)
            program.blocks[name] = BlockSpec(
                name,
                params,
                section.inputs,
                read_layers(section.layers, words, report),
                self.outputs(section.outputs),
                section.let,
                program,
                node.key_spans[name],
            )

    def outputs(self, node: Node | None) -> dict[str, tuple[str, Span]]:
        """An `outputs:` section: output name to the local name it stands for."""
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.report.error(
                "F0201", "`outputs` is a map from output names to layers' names", node.span
            )
            return {}
        found = {}
        for name, part in node.items():
            if isinstance(part, Scalar) and isinstance(part.value, str):
                found[name] = (part.value, part.span)
            else:
                self.report.error("F0201", f"output `{name}` is the name of a layer", part.span)
        return found

    def model(self, program: Program, stack: tuple[Path, ...]) -> None:
        node = program.document.model
        if node is None:
            return
        if isinstance(node, Mapping):
            section = validate(ModelUse, node, self.report, what="`model`", part="field")
            if section is not None:
                program.model = self.used(
                    section.use,
                    node["use"].span,
                    program.directory,
                    section.variant,
                    self.given(section.with_, program.scope),
                    stack,
                )
                program.weights = section.weights
            return
        program.layers = read_layers(node, program.words, self.report)
