"""The stages in order: text, tree, program, graph, optimised graph.

Nothing here imports JAX; `compiler.lower` turns the last graph into a module.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler import zoo
from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.elaborate import elaborate
from compiler.extend import extended
from compiler.files import Files
from compiler.graph import Graph
from compiler.ops.base import Operator
from compiler.parse import Mapping as MapNode
from compiler.parse import parse, read_source
from compiler.program import Program
from compiler.resolve import resolve
from compiler.scope import Budget
from compiler.source import Source
from compiler.spec import Document


@dataclass(frozen=True)
class Request:
    """What a user asks to have compiled.

    Attributes:
        spec: a path, a zoo name, or a `Source` with the text itself.
        variant: one of the spec's variants, or "".
        assignments: the texts of `--set`.
        values: values for params, from Python.
        operators: operators besides the built-in ones.
        document: the class of the document; a recipe's has more sections.
    """

    spec: str | Path | Source
    variant: str = ""
    assignments: tuple[str, ...] = ()
    values: Mapping[str, Any] | None = None
    operators: tuple[type[Operator], ...] = ()
    document: type[Document] = Document

# The work that all variants of a spec may take together, in layers.
MAX_WORK = 50_000
LETTERS_OF_A_LAYER = 20  # that take as long to read as a layer to look at


def work_of(budget: Budget, tree: MapNode) -> int:
    """The work that one variant took, in layers."""
    return budget.work + len(tree.span.source.text) // LETTERS_OF_A_LAYER


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the collector of reference cycles.

    What the compiler makes stays until it is done; looking through all of it again and again
    takes longer than making it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_tree(request: Request, report: Report) -> tuple[MapNode, Path | None, str, str]:
    """Stage `tree`: (tree, the folder of its file, the variant its name implies, its stem).

    Raises:
        SpecError: there is no such spec, or it is not YAML.
    """
    if isinstance(request.spec, Source):
        home = request.spec.home
        return parse(request.spec, report), home.folder if home else None, "", "model"
    try:
        path, variant = zoo.find(str(request.spec))
    except zoo.NotFound as error:
        near = f"{error.near}; " if error.near else ""
        raise SpecError([diagnostic("F0217", str(error), help=near + error.help)]) from None
    source = read_source(path, zoo.shown(path, str(request.spec)), zoo.home_in(path, None))
    return parse(source, report), path.parent, variant, path.stem


def read_spec(request: Request, report: Report) -> tuple[MapNode, Path | None, str, str]:
    """What `read_tree` gives, the tree with all in it that the spec extends.

    Raises:
        SpecError: there is no such spec, it is not YAML, or a base cannot be put together.
    """
    tree, directory, variant, stem = read_tree(request, report)
    is_file = not isinstance(request.spec, Source)
    path = zoo.find(str(request.spec))[0].resolve() if is_file else None
    whole = extended(tree, Files(request.document, report), path=path)
    return whole, directory, variant, stem


@uncollected()
def make_program(request: Request, report: Report) -> Program:
    """Stage `resolved`: the program, with every value and used file in place.

    Raises:
        SpecError: nothing could be made of it.
    """
    tree, directory, variant, stem = read_spec(request, report)
    return resolve(tree, request.document, report, directory=directory,
                   variant=request.variant or variant, assignments=request.assignments, name=stem,
                   values=request.values, operators=request.operators)


def make_graph(request: Request, report: Report, *, length: int | None = None) -> Graph:
    """Stage `graph`: the typed graph of the spec's model.

    Args:
        request: what to compile.
        report: where warnings, and the errors that are raised, go.
        length: the number to put for every unknown length; symbolic where None.

    Raises:
        SpecError: with every error of the spec.
    """
    return graph_of(make_program(request, report), report, length=length)


@uncollected()
def graph_of(program: Program, report: Report, *, length: int | None = None) -> Graph:
    """The typed graph of a program.

    Raises:
        SpecError: with every error of the spec.
    """
    graph = elaborate(program, report, length=length)
    report.check()
    assert graph is not None, "no graph and no error"
    return graph


def requests_of_facts(request: Request, program: Program) -> Iterable[Request]:
    """A request for each variant whose facts the program's document publishes."""
    for name in program.document.facts or ():
        variants = program.document.variants or {}
        yield Request(request.spec, name if name in variants else "", (), None, request.operators,
                      request.document)
