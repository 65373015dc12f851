"""`compile-and-train SPEC`: from a recipe to a trained model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from compiler.diagnostics import Report
from compiler.plan import Plan
from runtime import startup
from runtime.cli import ending, process
from runtime.cli.first_step import Sooner
from runtime.cli.terminal import short, show, size_of
from runtime.execution import Wish, execute
from runtime.folder import make_folder
from runtime.memory import available, held
from runtime.report.listener import stage
from runtime.run import plan_of, prepare

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
Verbose = Annotated[bool, typer.Option(
    "--verbose", "-v", help="Say first how the process was set up.")]
FORMS = ("auto", "live", "plain", "json")


def _form(value: str) -> str:
    if value not in FORMS:
        raise typer.BadParameter(f"'{value}' is not a form; there are {', '.join(FORMS)}.")
    return value


Log = Annotated[str, typer.Option(
    "--log", metavar="FORM", callback=_form,
    help=f"How to tell what happens: {', '.join(FORMS)}. `auto` is `live` on a terminal, "
         "`plain` elsewhere.")]
Resume = Annotated[bool, typer.Option(
    "--resume", help="Go on with the run in DIR, or the latest one of this name, from its last "
                     "checkpoint; begin it where there is none.")]
Reschedule = Annotated[bool, typer.Option(
    "--reschedule", help="With --resume: go on though the schedule or optimiser was another.")]
Device = Annotated[str, typer.Option(
    help="What to compute on: cpu, cuda or tpu for all of a kind, cuda:1 for one; the fastest kind "
         "there is where not given.", metavar="DEVICE")]


@app.command()
def compile_and_train(
    spec: Spec, set_: Set = [], variant: Variant = "", out: Out = None,  # noqa: B006
    quiet: Quiet = False, log: Log = "auto", resume: Resume = False,
    reschedule: Reschedule = False, device: Device = "", verbose: Verbose = False,
) -> None:
    """Compile a recipe's model and train it.

    The run's folder holds the spec as it was run, its history, checkpoints, the weights and a
    summary. A run that is asked to stop (Ctrl-C, SIGTERM) saves first.
    """
    from runtime.report.console import Form, console
    from runtime.stopping import Stopped, on_signals

    if verbose:
        print(f"process {process.described()}", file=sys.stderr)
    terminal = console("quiet" if quiet else cast(Form, log))
    report = Report()
    folder = sooner = None
    try:
        with stage("check", [terminal]) as note:
            prepared = prepare(spec, report, variant=variant, assignments=set_,
                               memory=lambda: _memory(device))
            note.text = prepared.program.name
        if not quiet:
            show(report.diagnostics)
        if prepared.auto and resume and (size := _size_begun_with(out, prepared.program.name)):
            prepared = prepare(spec, Report(), variant=variant,
                               assignments=[*set_, f"train.batch_size={size}"])
        with stage("plan", [terminal]) as note:
            plan = plan_of(prepared)
            note.text = _in_short(plan)
        startup.prepare(device)
        folder = _folder(out, prepared.program.name, resume)
        command = shlex.join(["compile-and-train", *sys.argv[1:]])
        recipe = prepared.training.train
        sooner = Sooner(plan.totals.activation_bytes["training"] // recipe.accumulate,
                        held(plan, recipe))
        with on_signals() as stop:
            execute(prepared, folder, command, [terminal, sooner],
                    Wish(resume, reschedule, device, stop))
    except Stopped as stopped:
        terminal.close()
        after = f"go on with --resume --out {folder}" if stopped.saved else "nothing was saved"
        print(f"stopped by {stopped.name} after step {stopped.step:,}; {after}", file=sys.stderr)
        raise typer.Exit(stopped.status) from None
    except KeyboardInterrupt:
        terminal.close()
        kept = f"; {folder} has what happened until then" if folder else ""
        print(f"interrupted{kept}", file=sys.stderr)
        raise typer.Exit(130) from None
    except BaseException:
        terminal.close()
        if folder is not None and not any(folder.iterdir()):
            folder.rmdir()  # the run has not even begun
        raise
    finally:
        if sooner is not None:
            sooner.close()
    terminal.close(str(folder))


def _memory(device: str) -> int:
    """Bytes that training on a device may take."""
    startup.prepare(device)
    import jax  # noqa: F401 - so that an accelerator tells of its memory

    return available()


def _size_begun_with(out: Path | None, name: str) -> int | None:
    """The batch size of the run to go on with, which `auto` must not change."""
    from runtime.resume import batch_size_of, folder_to_resume

    found = folder_to_resume(out, name)
    return None if found is None else batch_size_of(found)


def _folder(out: Path | None, name: str, resume: bool) -> Path:
    """The folder of the run: a new one, or the one to go on with."""
    from runtime.resume import folder_to_resume

    found = folder_to_resume(out, name) if resume else None
    return found or make_folder(out, name)


def _in_short(plan: Plan) -> str:
    """What a model costs, in half a line."""
    totals = plan.totals
    return (f"{short(totals.params)} parameters, {short(totals.macs)} MACs an example, "
            f"{size_of(totals.activation_bytes['training'])} kept for a batch of {plan.batch}")


def main() -> None:
    """Run the command line; every error becomes a diagnostic on standard error."""
    ending.run(app, "compile-and-train")


if __name__ == "__main__":
    process.restart()
    main()
