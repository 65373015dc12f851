"""Sections of a spec that are read in one go: inputs, outputs, `let`, defaults, blocks."""

from __future__ import annotations

from collections.abc import Mapping as PyMapping
from dataclasses import replace

from compiler.diagnostics import Report
from compiler.forms import literal
from compiler.formulas import check_formulas
from compiler.layers import STRUCTURE, Words
from compiler.modifiers import MODIFIERS
from compiler.names import form_problem, value_name_problem
from compiler.ops import WORDS
from compiler.ops.base import Operator
from compiler.params import ParamSpec, read_params
from compiler.parse import Mapping, Node, Scalar, plain
from compiler.parse import Sequence as SequenceNode
from compiler.program import BlockSpec, Program
from compiler.reading import read_layers
from compiler.scope import check_names
from compiler.source import Span
from compiler.spec import Block, Document, Input
from compiler.validate import map_of, validate
from compiler.wording import field_names, near


def read_inputs(document: Document, report: Report) -> dict[str, tuple[Input, Span]]:
    """The declared inputs, with the places of their names."""
    node = document.inputs
    check_names(node, "an input", "`inputs` is a map from names to shapes", report)
    found = {}
    for name, part in node.items() if isinstance(node, Mapping) else ():
        check_formulas(part, report)
        if not isinstance(part, Mapping):
            shape = part.text if isinstance(part, Scalar) else plain(part)
            report.error(
                "F0201",
                f"input `{name}` is a map with its shape",
                part.span,
                help=f"write `{name}: {{shape: {shape}}}`",
            )
            continue
        section = validate(
            Input, part, report, what=f"input `{name}`", main_span=node.key_spans[name]
        )
        if section is not None:
            found[name] = (section, node.key_spans[name])
    return found


def read_outputs(node: Node | None, report: Report) -> dict[str, tuple[str, Span]]:
    """An `outputs:` section: output name to the local name it stands for."""
    given = map_of(node, report, "`outputs` is a map from output names to layers' names",
                   "outputs: {memory: encoder}")
    if given is None:
        return {}
    found = {}
    for name, part in given.items():
        if problem := value_name_problem(name):
            report.error(
                "F0209",
                f"`{name}` cannot be the name of an output",
                given.key_spans[name],
                help=problem,
            )
        elif isinstance(part, Scalar) and isinstance(part.value, str):
            found[name] = (part.value, part.span)
        else:
            report.error("F0201", f"output `{name}` is the name of a layer", part.span)
    return found


def check_let(
    node: Node | None, params: PyMapping[str, ParamSpec], report: Report,
) -> None:
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


def read_defaults(
    document: Document, operators: PyMapping[str, type[Operator]], report: Report,
) -> dict[str, Mapping]:
    """The fields that a file sets for all layers of an operator."""
    node = map_of(document.defaults, report, "`defaults` is a map from operators to fields",
                  "defaults: {conv: {bias: false}}")
    if node is None:
        return {}
    words, found = Words({}, operators), {}
    for word, fields in node.items():
        cls = words.operator(word)
        if cls is None:
            report.error(
                "F0202",
                f"`{word}` is not an operator",
                node.key_spans[word],
                near(word, [*WORDS, *operators], report),
            )
        elif not isinstance(fields, Mapping):
            report.error(
                "F0201",
                f"the defaults of `{word}` are a map of fields",
                fields.span,
                help=f"as in `{word}: {{init: {{kernel: zeros}}}}`",
            )
        else:
            check_formulas(fields, report)
            own = Mapping(
                {k: n for k, n in fields.items() if k != "init"}, fields.span, fields.key_spans
            )
            # Required fields may well be missing from defaults.
            validate(
                cls,
                own,
                report,
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


def read_blocks(program: Program, report: Report) -> None:
    """Read a file's blocks into its program; those that cannot be read are noted as lost."""
    node = map_of(program.document.blocks, report, "`blocks` is a map from names to blocks",
                  "blocks: {conv_bn: {layers: [conv: {filters: 8, kernel: 3}, batch_norm]}}")
    if node is None:
        return
    sections: dict[str, tuple[Block, dict[str, ParamSpec]]] = {}
    for name, part in node.items():
        section = _block_section(
            name, part, node.key_spans[name], program.operators, report)
        if section is None:
            program.lost.add(name)
        else:
            sections[name] = (section, read_params(section.params, report, f"`{name}`"))
    own = {n: tuple(params) for n, (_, params) in sections.items()}
    words = program.words
    words = replace(words, blocks={**words.blocks, **own})
    for name, (section, params) in sections.items():
        check_let(section.let, params, report)
        part = node[name]
        assert isinstance(part, Mapping)
        program.blocks[name] = BlockSpec(
            name,
            params,
            _block_inputs(section, part, params, report),
            read_layers(section.layers, words, report),
            read_outputs(section.outputs, report),
            section.let,
            program,
            node.key_spans[name],
        )


def _block_section(
    name: str, part: Node, span: Span, operators: PyMapping[str, type[Operator]], report: Report,
) -> Block | None:
    """A block's fields; None after errors."""
    if name in WORDS or name in STRUCTURE or name in MODIFIERS or name in operators:
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


def _block_inputs(
    section: Block,
    part: Mapping,
    params: PyMapping[str, ParamSpec],
    report: Report,
) -> tuple[str, ...]:
    """The names of a block's inputs, checked."""
    names = section.inputs
    node = part.get("inputs")
    if not names and node is not None:
        report.error(
            "F0205",
            "a block takes at least one tensor",
            node.span,
            help="leave `inputs` away for one that is called `x`",
        )
        return ("x",)
    for i, name in enumerate(names):
        at = node[i].span if isinstance(node, SequenceNode) else part.span
        if problem := value_name_problem(name):
            report.error(
                "F0209", f"`{name}` cannot be the name of an input", at, help=problem
            )
        elif name in params or name in names[:i]:
            report.error(
                "F0210",
                f"`{name}` is already the name of "
                f"{'a param' if name in params else 'an input'}",
                at,
                help="give the input another name",
            )
    return names
