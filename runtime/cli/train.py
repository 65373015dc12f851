"""`compile-and-train SPEC`: from a recipe to a trained model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from compiler.diagnostics import Diagnostic, Report, SpecError, render, summary
from runtime.folder import make_folder
from runtime.run import execute, prepare

Spec = Annotated[str, typer.Argument(help="A recipe: a YAML file, or a name from the zoo.")]
Set = Annotated[list[str], typer.Option(
    "--set", metavar="PATH=VALUE", help="Set a value of the spec: `--set train.epochs=5`.")]
Variant = Annotated[str, typer.Option(help="One of the spec's variants.")]
Out = Annotated[Path | None, typer.Option(
    help="The run's folder; the next free `runs/NAME-NUMBER` where not given.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def compile_and_train(
    spec: Spec, assignments: Set = [], variant: Variant = "", out: Out = None,  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Compile a recipe's model and train it.

    The run's folder holds the spec as it was run, the history, the weights and a summary.
    """
    report = Report()
    try:
        prepared = prepare(spec, report, variant=variant, assignments=assignments)
        if not quiet:
            tell(d for d in report.diagnostics if d.severity == "warning")
        folder = make_folder(out, prepared.program.name)
    except SpecError as error:
        raise refuse(error) from None

    from runtime.report.console import console

    terminal = console(quiet)
    command = shlex.join(["compile-and-train", *sys.argv[1:]])
    try:
        execute(prepared, folder, command, [terminal])
    except SpecError as error:
        terminal.close()
        raise refuse(error) from None
    except KeyboardInterrupt:
        terminal.close()
        print(f"interrupted; {folder} has what happened until then", file=sys.stderr)
        raise typer.Exit(130) from None
    if not quiet:
        print(folder)


def tell(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics to standard error."""
    for diagnostic in diagnostics:
        print(render(diagnostic, colour=sys.stderr.isatty()), end="\n\n", file=sys.stderr)


def refuse(error: SpecError) -> typer.Exit:
    """Print an error's diagnostics, and give the exit with status 2."""
    tell(d for d in error.diagnostics if d.severity != "hint")
    print(summary(d for d in error.diagnostics if d.severity != "hint"), file=sys.stderr)
    return typer.Exit(2)


def main() -> None:
    """The entry point of `compile-and-train`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(compile_and_train)
    app()


if __name__ == "__main__":
    main()
