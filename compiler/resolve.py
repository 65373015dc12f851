"""A document with everything it refers to: other files, variants, values from `--set`.

The result, a `Program`, has a value for every param and layers ready to be elaborated;
every value still knows the text it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as PyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.assignments import Assignment, node_of, parse_assignment, patched
from compiler.check import check_document
from compiler.diagnostics import Report, SpecError
from compiler.extend import extended
from compiler.files import MAX_CHAIN, Files
from compiler.formulas import check_formulas
from compiler.home import Home
from compiler.iterations import values_of
from compiler.names import value_name_problem
from compiler.ops.base import Operator
from compiler.params import Given, bind, read_params
from compiler.parse import Mapping, Node, Scalar
from compiler.program import BlockSpec, Program
from compiler.reading import read_layers
from compiler.scope import Budget, Enough, Scope, with_let
from compiler.sections import (
    check_let,
    read_blocks,
    read_defaults,
    read_inputs,
    read_outputs,
)
from compiler.source import Source, Span
from compiler.spec import Document, ModelUse, Used
from compiler.validate import map_of, validate
from compiler.variants import check_form_of_facts, settings
from compiler.wording import some

MAX_USES = 100  # how many files may be used altogether


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
        tree: the parsed file, with what it extends.
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
        key: node_of(value, Source(f"{key}={value!r}", repr(value)))
        for key, value in (values or {}).items()
    }
    given = {key: Given(node, None, node.span) for key, node in nodes.items()}
    words = {operator.word: operator for operator in operators}
    loader = _Loader(cls, report, Files(cls, report), words, outermost=Scope(budget=budget))
    try:
        return loader.program(tree, directory, variant, given, sets, name, ())
    except Enough:
        raise SpecError(report.diagnostics) from None


@dataclass(slots=True)
class _Loader:
    """Loads programs; every file is parsed once.

    Attributes:
        cls: the document's class.
        report: where errors go.
        files: opens what specs refer to.
        operators: operators that the caller brought, by word.
        trees: the used files so far, with what they extend.
        uses: how many programs were loaded for others.
        outermost: the scope around every program's; all share the steps left to formulas.
    """

    cls: type[Document]
    report: Report
    files: Files
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
        home = None if directory is None else Home(directory, directory.resolve())
        opened = self.files.named(reference, span, home, "used")
        if opened is None:
            return None
        if opened.path in stack or len(stack) >= MAX_CHAIN:
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
        tree = self.trees.get(opened.path)
        if tree is None:
            try:
                tree = extended(opened.tree, self.files, path=opened.path)
            except SpecError as error:
                for complaint in error.diagnostics:
                    self.report.add(complaint)
                return None
            self.trees[opened.path] = tree
        home = opened.tree.span.source.home
        return self.program(
            tree,
            None if home is None else home.folder,
            variant or opened.variant,
            given,
            [],
            opened.stem,
            (*stack, opened.path),
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
        others: list[Assignment] = []
        for item in sets:
            if item.path[0] == "params" and len(item.path) == 2:
                given = {**given, item.path[1]: Given(item.value, None, item.value.span)}
            elif len(item.path) == 1 and item.path[0] in names and item.path[0] not in tree:
                given = {**given, item.path[0]: Given(item.value, None, item.value.span)}
            else:
                others.append(item)
        known = values_of(variant, tree) | {key: value.node for key, value in given.items()}
        for item in others:
            tree = patched(tree, item, names, self.cls.model_fields, report, known)
        document = check_document(tree, self.cls, report)
        name = document.name or name
        params = read_params(document.params, report, f"`{name}`")
        values = settings(document, variant, name, params, report) | given
        program = Program(
            variant or name,
            document,
            tree,
            self.outermost,
            variant=variant,
            directory=directory,
            operators=self.operators,
            given=values,
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
        check_let(document.let, params, report)
        program.scope = with_let(document.let, scope, report)
        program.inputs = read_inputs(document, report)
        program.defaults = read_defaults(document, self.operators, report)
        check_form_of_facts(document, report)
        self.uses_of(program, stack)
        read_blocks(program, report)
        program.outputs = read_outputs(document.outputs, report)
        self.model(program, stack)
        return program

    def remedy(self, document: Document, variant: str, use: Span | None) -> str:
        """What to do where a required param has no value; `{}` stands for its name."""
        if use is not None:
            return ""
        if not variant and isinstance(document.variants, Mapping) and document.variants:
            return f"choose a variant: {some(document.variants)}"
        return "give it on the command line: `--set {}=…`"

    def uses_of(self, program: Program, stack: tuple[Path, ...]) -> None:
        """Bring in the blocks of used files, under their prefixes."""
        node = map_of(program.document.use, self.report, "`use` is a map from prefixes to files",
                      "use: {mobile: mobile}")
        if node is None:
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
            file = self.path(part, weights, program) if weights else other.weights_file
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

    def path(self, section: Node, weights: str, program: Program) -> Path | None:
        """The file that `weights` of a section names; None, and a report, where it may not."""
        if not weights:
            return None
        assert isinstance(section, Mapping)
        span = section["weights"].span
        home = span.source.home
        file = (home.folder if home else program.directory or Path()) / weights
        absolute = Path(weights).is_absolute()
        if home is not None and not (absolute and not home.sealed or home.admits(file)):
            self.report.error(
                "F0234", f"`{weights}` is outside the folder that the spec was opened from", span,
                help="a spec names files below it by relative paths"
                + ("" if home.sealed else ", others by absolute ones"))
            return None
        return file

    def given(self, node: Node | None, program: Program) -> dict[str, Given]:
        """The values of a `with:`."""
        node = map_of(node, self.report, "`with` is a map of values for params",
                      "with: {classes: 10}")
        if node is None:
            return {}
        check_formulas(node, self.report)
        return {k: Given(n, program.scope, node.key_spans[k], program) for k, n in node.items()}

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
                program.weights = self.path(node, section.weights, program)
        else:
            self.report.error(
                "F0201",
                "`model` is a list of layers",
                node.span,
                "there are no dashes",
                help=f"begin each layer with a dash: `- {next(iter(node))}: …`",
            )
