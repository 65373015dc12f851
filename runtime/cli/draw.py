"""`flaxspec draw`: a model as a picture, or as a tree of lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import unknown_inputs
from compiler.targets.drawing import dot, html, mermaid, svg, text
from compiler.targets.drawing.boxes import Scene
from compiler.targets.drawing.opening import FITTING, opened
from compiler.targets.drawing.scene import make_scene
from runtime.asking import request
from runtime.cli.terminal import DEFAULT_LENGTH, bold, columns, say, show
from runtime.finding import run_folder
from runtime.folder import SPEC

Writer = Callable[[Scene, frozenset[int], str], str]
# What a file's ending asks for: how it is written, and the boxes that fit where no depth is given.
FORMATS: dict[str, tuple[Writer, int]] = {
    ".svg": (svg.standalone, FITTING),
    ".html": (html.page, html.FITTING),
    ".md": (mermaid.page, mermaid.FITTING),
    ".dot": (dot.text, FITTING),
}
# Every drawing says what made it; only such a file is written over.
MARK = "drawn by flaxspec draw"


def run(spec: str, variant: str, assignments: Sequence[str], *, out: Path | None,
        depth: int | None, fold: Sequence[str], open_: Sequence[str], length: int | None) -> None:
    """Draw a spec into a file, or print it as lines.

    Raises:
        SpecError: the spec has errors, a path leads to no box, or the file cannot be written.
    """
    writer, fitting = FORMATS[_ending(out)] if out else (None, text.FITTING)
    if out is not None:
        _refuse_others(out)
    report = Report()
    scene = _scene(request(_of_run(spec), variant, assignments), length,
                   report)
    show(report.diagnostics)
    found = opened(scene, depth=depth, fold=fold, open_=open_, fitting=fitting)
    if out is None or writer is None:
        _print(spec, scene, found)
        return
    try:
        out.write_text(writer(scene, found, MARK), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SpecError([diagnostic(
            "F0942", f"`{out}` cannot be written: {error.strerror or error}",
            help="choose a folder that is there and writable with `-o`")]) from None
    say(f"{out}: {svg.summary(scene)}")


def _ending(out: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        SpecError: F0942 there is none of that name.
    """
    ending = out.suffix.lower()
    if ending not in FORMATS:
        raise SpecError([diagnostic(
            "F0942", f"nothing is drawn as `{ending or out.name}`",
            help=f"end the file's name with {', '.join(FORMATS)}")])
    return ending


def _refuse_others(out: Path) -> None:
    """Only a drawing may be written over.

    Raises:
        SpecError: F0807 the file is another one.
    """
    try:
        with out.open(encoding="utf-8", errors="replace") as file:
            begins = file.read(400)
    except OSError:
        return
    if begins and MARK not in begins:
        raise SpecError([diagnostic(
            "F0807", f"`{out}` is there already and is no drawing of flaxspec",
            help="choose another name with `-o`, or remove it")])


def _of_run(spec: str) -> str:
    """The spec of a run, where one is named."""
    folder = run_folder(spec)
    return spec if folder is None else str(folder / SPEC)


def _scene(request: Request, length: int | None, report: Report) -> Scene:
    program = make_program(request, report)
    graph = graph_of(program, report)
    if not unknown_inputs(graph):
        return make_scene(graph)
    steps = length or DEFAULT_LENGTH
    return make_scene(graph, graph_of(program, Report(), length=steps), steps)


def _print(spec: str, scene: Scene, found: frozenset[int]) -> None:
    """The tree, and what else there is."""
    lines = list(text.lines(scene, found))
    rows = [("", "output", "params", "MACs"),
            *((line.what, line.shape, line.params, line.macs) for line in lines)]
    first, *others = columns(rows, "<<>>", squeeze=0)
    say("\n".join([bold(svg.summary(scene)), "", bold(first), *others, "",
                   f"flaxspec draw {spec} -o FILE.html (.svg, .md, .dot) draws it; "
                   "--depth N and --open PATH show more"]))
