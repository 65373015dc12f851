"""`compile-and-train SPEC`: from a recipe to a trained model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from compiler.diagnostics import Report
from runtime.cli.terminal import show
from runtime.folder import make_folder
from runtime.run import execute, prepare

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]})

Spec = Annotated[str, typer.Argument(
    metavar="SPEC", help="A recipe: a YAML file, or a name from the zoo.")]
Set = Annotated[list[str], typer.Option(
    "--set", help="A value to set: train.epochs=5. May be given several times.",
    metavar="PATH=VALUE")]
Variant = Annotated[str, typer.Option(help="One of the spec's variants.", metavar="NAME")]
Out = Annotated[Path | None, typer.Option(
    help="The run's folder; the next free runs/NAME-NUMBER where not given.", metavar="DIR")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


@app.command()
def compile_and_train(
    spec: Spec, set_: Set = [], variant: Variant = "", out: Out = None,  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Compile a recipe's model and train it.

    The run's folder holds the spec as it was run, its history, the weights and a summary.
    """
    report = Report()
    prepared = prepare(spec, report, variant=variant, assignments=set_)
    if not quiet:
        show(report.diagnostics)
    folder = make_folder(out, prepared.program.name)

    from runtime.report.console import console

    terminal = console(quiet)
    command = shlex.join(["compile-and-train", *sys.argv[1:]])
    try:
        execute(prepared, folder, command, [terminal])
    except KeyboardInterrupt:
        terminal.close()
        print(f"interrupted; {folder} has what happened until then", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        terminal.close()
    if not quiet:
        print(folder)


def main() -> None:
    """Run the command line; every error becomes a diagnostic on standard error."""
    from runtime.cli.main import _complain, _nobody_reads

    try:
        app(prog_name="compile-and-train")
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:
        status = _nobody_reads()
    except Exception as error:
        status = _complain(error)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
