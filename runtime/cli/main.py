"""`flaxspec`: the verbs, their arguments, and what becomes of every error.

Each verb imports what it needs when it runs, so that `flaxspec check` never waits for JAX.
Exit status 0: all is well; 2: something is wrong, and a diagnostic says what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli import ending

app = typer.Typer(
    help="Neural networks declared in YAML: check them, see what they cost, look inside.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})

Spec = Annotated[str, typer.Argument(
    metavar="SPEC", help="A YAML file, or a name from the zoo: resnet50.")]
Variant = Annotated[str, typer.Option(help="One of the spec's variants.", metavar="NAME")]
Set = Annotated[list[str], typer.Option(
    "--set", help="A value to set: classes=10, train.epochs=5. May be given several times.",
    metavar="PATH=VALUE")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Length = Annotated[int | None, typer.Option(
    min=1, help="Steps to assume for a length that the spec leaves open.", metavar="N")]
# What two networks are compared with.
First = Annotated[str, typer.Argument(
    metavar="A", help="A YAML file or a zoo name, `:VARIANT` behind it if you like; a run; "
                      "a bundle.")]
Second = Annotated[str, typer.Argument(metavar="B", help="Another one.")]
SetA = Annotated[list[str], typer.Option(
    "--set-a", help="A value to set in A alone.", metavar="PATH=VALUE")]
SetB = Annotated[list[str], typer.Option(
    "--set-b", help="A value to set in B alone.", metavar="PATH=VALUE")]
STAGES = ("tree", "resolved", "graph", "optimised", "inference", "module", "hlo")


def _stage(value: str) -> str:
    if value not in STAGES:
        raise typer.BadParameter(f"'{value}' is not a stage; there are {', '.join(STAGES)}.")
    return value


@app.command()
def check(
    spec: Spec, variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
    facts: Annotated[bool, typer.Option(
        "--facts", help="Prove the figures that the spec publishes, too.")] = False,
    hints: Annotated[bool, typer.Option("--hints", help="Show hints, too.")] = False,
) -> None:
    """Find every mistake of a spec.

    Each is told with its place and its remedy.
    """
    from runtime.cli.check import run

    raise typer.Exit(run(spec, variant, set_, facts=facts, json=json, hints=hints))


@app.command()
def plan(
    spec: Spec, variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
    batch: Annotated[int, typer.Option(
        min=1, help="Examples at once, for the memory.", metavar="N")] = 1,
    length: Length = None,
    training: Annotated[bool, typer.Option(
        "--training", help="Count the layers of training, not of evaluation.")] = False,
    depth: Annotated[int | None, typer.Option(
        min=1, help="How deep blocks and loops are unfolded; as fits a screen where not given.",
        metavar="N")] = None,
) -> None:
    """Show what a model costs, by layer.

    Shapes, parameters, arithmetic and memory; nothing is run.
    """
    from runtime.cli.plan import run

    raise typer.Exit(run(spec, variant, set_, json=json, batch=batch, length=length,
                         training=training, depth=depth))


@app.command()
def explain(
    spec: Spec, variant: Variant = "", set_: Set = [],  # noqa: B006
    stage: Annotated[str, typer.Option(
        help=f"What to print: {', '.join(STAGES)}.", metavar="STAGE", callback=_stage)] = "graph",
    length: Length = None,
    origins: Annotated[bool, typer.Option(
        "--origins", help="With --stage resolved: where each value comes from.")] = False,
) -> None:
    """Print a stage of the compiler."""
    if origins and stage != "resolved":
        raise typer.BadParameter("--origins goes with --stage resolved.")
    from runtime.cli.explain import run

    run(spec, variant, set_, stage=stage, length=length, origins=origins)


def _lengths(value: str) -> str:
    """Whole numbers above 0, apart by commas."""
    if not all(n.isdecimal() and 0 < int(n) < 10**6 for n in value.split(",")):
        raise typer.BadParameter("whole numbers from 1 to 999999, with commas between them.")
    return value


@app.command()
def diff(
    first: First, second: Second,
    set_: Set = [], set_a: SetA = [], set_b: SetB = [],  # noqa: B006
    length: Length = None, json: Json = False,
) -> None:
    """Compare two networks and recipes, layer by layer.

    Status 0: they are the same; 1: they are not.
    """
    from runtime.cli.diff import run

    raise typer.Exit(run(first, second, set_, set_a, set_b, length=length, json=json))


@app.command()
def compare(
    first: First, second: Second,
    set_: Set = [], set_a: SetA = [], set_b: SetB = [],  # noqa: B006
    length: Length = None,
    lengths: Annotated[str, typer.Option(
        help="Open lengths to tell figures for.", metavar="N,N,…",
        callback=_lengths)] = "32,64,128,256",
    measure: Annotated[bool, typer.Option(
        "--measure", help="Also how long a prediction and a step of training take here.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Examples at once.", metavar="N")] = 16,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", help="Write a page with charts.", metavar="FILE.html")] = None,
    json: Json = False,
) -> None:
    """Put two networks side by side: what they see, remember, share, and wait for."""
    if measure:
        from runtime import startup

        startup.prepare()
    from runtime.cli.compare import run

    run(first, second, set_, set_a, set_b, length=length,
        lengths=[int(n) for n in lengths.split(",")], measure=measure, batch=batch, out=out,
        json=json)


@app.command()
def fmt(
    files: Annotated[list[str] | None, typer.Argument(
        metavar="[FILE...]", help="Files, or folders whose specs are meant; this folder where "
                                  "none is named; - is standard input.")] = None,
    check: Annotated[bool, typer.Option(
        "--check", help="Write nothing; tell which would change, with status 1.")] = False,
    diff: Annotated[bool, typer.Option(
        "--diff", help="Write nothing; show what would change, with status 1.")] = False,
) -> None:
    """Put specs in canonical style.

    Comments stay, and what the spec means.
    """
    from runtime.cli.fmt import run

    raise typer.Exit(run(files or ["."], check=check, diff=diff))


@app.command()
def hash(
    spec: Spec, variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
) -> None:
    """Print the sha256 of the network, and of the recipe.

    However it is written: comments, formatting and names of files do not change it.
    """
    from runtime.cli.hash import run

    run(spec, variant, set_, json=json)


@app.command()
def draw(
    spec: Annotated[str, typer.Argument(
        metavar="SPEC", help="A YAML file, a name from the zoo: resnet50, or a run's folder.")],
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The file to draw: .svg, .html (folds and searches), .md (Mermaid), "
        ".dot (Graphviz); a tree of lines is printed where not given.", metavar="FILE")] = None,
    variant: Variant = "", set_: Set = [],  # noqa: B006
    depth: Annotated[int | None, typer.Option(
        min=1, help="How many levels of blocks stand open; as many as fit where not given.",
        metavar="N")] = None,
    fold: Annotated[list[str], typer.Option(
        "--fold", help="A block that stays closed. May be given several times.",
        metavar="PATH")] = [],  # noqa: B006
    open_: Annotated[list[str], typer.Option(
        "--open", help="A block that stands open. May be given several times.",
        metavar="PATH")] = [],  # noqa: B006
    length: Length = None,
) -> None:
    """Draw a model: its layers, shapes, and where its weight is."""
    from runtime.cli.draw import run

    run(spec, variant, set_, out=out, depth=depth, fold=fold, open_=open_, length=length)


@app.command("import")
def import_(
    model: Annotated[Path, typer.Argument(
        metavar="FILE", help="A Keras JSON (model.to_json()), or an ONNX graph.")],
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The spec to write; it is printed where not given.",
        metavar="FILE")] = None,
    weights: Annotated[Path | None, typer.Option(
        help="A Keras model's .weights.h5, to write beside the spec.", metavar="FILE")] = None,
) -> None:
    """Turn a Keras or ONNX model into a spec.

    It never overwrites a file.
    """
    from runtime.cli.importing import run

    run(model, out, weights)


@app.command()
def eject(
    spec: Annotated[str, typer.Argument(
        metavar="SPEC", help="A YAML file, a name from the zoo: resnet50, or a run.")],
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The file to write; printed where not given.",
        metavar="FILE")] = None,
    variant: Variant = "", set_: Set = [],  # noqa: B006
    length: Length = None,
) -> None:
    """Write a model as plain Flax source, which needs nothing of flaxspec.

    It computes the same, trains the same, and loads the weights of a run.
    """
    from runtime.cli.eject import run

    run(spec, variant, set_, out=out, length=length)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", help="Write it to a file.", metavar="FILE")] = None,
) -> None:
    """Print the JSON Schema of specs, for editors."""
    from runtime.cli.schema import run

    run(out)


@app.command("list")
def list_(
    word: Annotated[str, typer.Argument(
        metavar="WORD", help="Show only models whose name holds this.")] = "",
    json: Json = False,
) -> None:
    """List the models of the zoo."""
    from runtime.cli.zoo import run

    run(word, json=json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(
        metavar="NAME", help="What to call it; a path may lead there.")] = "my-model",
) -> None:
    """Write a recipe to start from.

    It never overwrites a file.
    """
    from runtime.cli.new import run

    run(Path(name))


Run = Annotated[str, typer.Argument(
    metavar="RUN", help="A run's folder, or its name in runs/.")]
Batch = Annotated[int, typer.Option(
    "--batch", min=1, help="Examples at once; no result depends on it.", metavar="N")]
Root = Annotated[Path, typer.Option("--in", help="Where the runs are.", metavar="DIR")]
PARTS = ("train", "validation", "test")


def _part(value: str) -> str:
    if value not in PARTS:
        raise typer.BadParameter(f"'{value}' is not a part; there are {', '.join(PARTS)}.")
    return value


@app.command()
def evaluate(
    run: Run,
    data: Annotated[str | None, typer.Option(
        help="Other data, with targets: a file or folder of the kind that was trained on.",
        metavar="PATH")] = None,
    part: Annotated[str, typer.Option(
        help=f"The part of the run's own data: {', '.join(PARTS)}.", metavar="PART",
        callback=_part)] = "test",
    batch: Batch = 256, json: Json = False,
) -> None:
    """Score a finished run.

    On its test part, or on other data.
    """
    from runtime import startup

    startup.prepare()
    from runtime.cli.predict import evaluate

    evaluate(run, data, part, batch_size=batch, json=json)


@app.command()
def predict(
    run: Run,
    inputs: Annotated[list[str], typer.Argument(
        metavar="INPUT...", help="Files, folders, tables; - is standard input.")],
    top: Annotated[int | None, typer.Option(
        min=1, help="Only the N largest probabilities.", metavar="N")] = None,
    draw: Annotated[Path | None, typer.Option(
        help="Draw what is said of each input into this folder, a file for each.",
        metavar="FOLDER")] = None,
    force: Annotated[bool, typer.Option(
        "--force", help="Write over drawings that are there already.")] = False,
    batch: Batch = 256,
) -> None:
    """Print what a finished run says of inputs.

    Each input gets a line of JSON.
    """
    from runtime import startup

    startup.prepare()
    from runtime.cli.predict import predict

    raise typer.Exit(predict(run, inputs, batch_size=batch, top=top, draw=draw, force=force))


def _steps(value: int | None) -> int | None:
    if value is not None and not 2 <= value <= 100:
        raise typer.BadParameter("from 2 to 100 pictures go from one latent to another.")
    return value


@app.command()
def sample(
    run: Run,
    count: Annotated[int | None, typer.Option(
        min=1, max=100_000, help="How many pictures; with --interpolate, how many rows.",
        metavar="N")] = None,
    classes: Annotated[str, typer.Option(
        help="Only these classes, by name or number, commas between them.",
        metavar="A,B")] = "",
    seed: Annotated[int, typer.Option(
        min=0, help="Chooses the random numbers: the same seed draws the same pictures.",
        metavar="N")] = 0,
    interpolate: Annotated[int | None, typer.Option(
        help="Go from one picture to another in each row, in so many.", metavar="N",
        callback=_steps)] = None,
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The sheet of all pictures; samples.png where nothing else is "
                            "written.", metavar="FILE")] = None,
    arrays: Annotated[Path | None, typer.Option(
        help="Write the pictures, their latents and classes as arrays.",
        metavar="FILE.npz")] = None,
    pictures: Annotated[Path | None, typer.Option(
        help="Write each picture into this folder.", metavar="FOLDER")] = None,
    force: Annotated[bool, typer.Option(
        "--force", help="Write over files that are there already.")] = False,
) -> None:
    """Let a finished run draw pictures.

    They stand on a sheet, a row for each class where the model takes any.
    """
    from runtime import startup

    startup.prepare()
    from runtime.cli.sample import Order, Targets
    from runtime.cli.sample import run as draw

    if out is None and arrays is None and pictures is None:
        out = Path("samples.png")
    asked = tuple(filter(None, (name.strip() for name in classes.split(","))))
    draw(run, Order(count, asked, seed, interpolate), Targets(out, arrays, pictures, force))


@app.command()
def probe(
    models: Annotated[list[str], typer.Argument(
        metavar="SPEC|RUN...", help="Files, zoo names, `:VARIANT` behind them if you like; "
                                    "finished runs.")],
    set_: Set = [],  # noqa: B006
    examples: Annotated[int, typer.Option(
        min=1, help="How many examples a model is asked about.", metavar="N")] = 64,
    length: Length = None,
    seed: Annotated[int, typer.Option(
        min=0, help="Of fresh weights and random inputs.", metavar="N")] = 0,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", help="Write a page with charts.", metavar="FILE.html")] = None,
    json: Json = False,
) -> None:
    """Measure how gradients reach back, what is seen, and which units are out of action."""
    from runtime import startup

    startup.prepare()
    from runtime.cli.probe import run

    run(models, set_, examples=examples, length=length, seed=seed, out=out, json=json)


@app.command()
def runs(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="[RUN...]", help="Runs to compare; all are listed where none is named.")] = None,
    root: Root = Path("runs"), json: Json = False,
) -> None:
    """List the runs there are, or compare some."""
    from runtime.cli.runs import compare, list_runs

    if names:
        compare(names, root, json=json)
    else:
        list_runs(root, json=json)


@app.command()
def sweep(
    spec: Spec, variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
    trials: Annotated[int | None, typer.Option(
        min=1, help="How many runs; as `search` says where not given.", metavar="N")] = None,
    out: Annotated[Path | None, typer.Option(
        help="The sweep's folder; the next free runs/NAME-sweep-NUMBER where not given.",
        metavar="DIR")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on with the sweep in DIR, or the latest one of this name.")] = False,
) -> None:
    """Train a recipe with the values that its `search` tries, and tell which were best."""
    from runtime import startup

    startup.prepare()
    from runtime.cli.sweep import run

    raise typer.Exit(run(spec, variant, set_, trials=trials, out=out, resume=resume, json=json))


@app.command()
def backtest(
    recipe: Annotated[str, typer.Argument(
        metavar="SPEC|RUN", help="A recipe that forecasts, or a finished run.")],
    variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
    folds: Annotated[int | None, typer.Option(
        min=1, help="How many days a recipe goes back to, and is trained at: 3 where not given.",
        metavar="N")] = None,
    out: Annotated[Path | None, typer.Option(
        help="The folder of its runs; the next free runs/NAME-backtest-NUMBER where not given.",
        metavar="DIR")] = None,
) -> None:
    """Forecast a series as of earlier days, and tell how far off that was.

    A recipe is trained for each; a run is judged as it is.
    """
    from runtime import startup

    startup.prepare()
    from runtime.cli.backtest import run

    raise typer.Exit(run(recipe, variant, set_, folds=folds, out=out, json=json))


@app.command()
def weights(
    spec: Annotated[str, typer.Argument(
        metavar="SPEC", help="A YAML file, a name from the zoo, or the folder of a run.")],
    file: Annotated[str | None, typer.Argument(
        metavar="[FILE]", help="Weights: .safetensors, .pth, .weights.h5; a run's own where not "
                               "given.")] = None,
    variant: Variant = "", set_: Set = [], json: Json = False,  # noqa: B006
    names: Annotated[str, typer.Option(
        help="Whose names the file has: auto, flaxspec, torchvision, timm, torch, keras, or a "
             "YAML file of names.", metavar="NAMES")] = "auto",
    to: Annotated[str, typer.Option(
        help="Whose names to write: flaxspec, torchvision, timm, torch, keras, or a YAML file of "
             "names; as FILE's ending says where not given.", metavar="NAMES")] = "",
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", help="Where to write; its ending chooses the format.",
        metavar="FILE")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every array.")] = False,
) -> None:
    """Bring weights in from PyTorch, torchvision, timm or Keras, or out to them.

    Tells which tensor became which array; every one is accounted for.
    """
    from runtime.cli.weights import run

    run(spec, file, variant, set_, names=names, to=to, out=out, every=every, json=json)


Licence = Annotated[str, typer.Option(
    help="The model's licence, such as apache-2.0, for its card.", metavar="NAME")]
DataLicence = Annotated[str, typer.Option(
    help="The data's licence, where the data set does not say.", metavar="NAME")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


@app.command()
def pack(
    run: Run,
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The file; NAME.flaxspec.zip where not given.",
        metavar="FILE")] = None,
    licence: Licence = "", data_licence: DataLicence = "", json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a finished run as one file to give away.

    With its spec, weights, labels, figures, and a page that says what it is; every file hashed.
    """
    from runtime.cli.share import pack, told_as

    pack(run, out, licence=licence, data_licence=data_licence, told=told_as(json, quiet))


@app.command()
def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a bundle.")],
    where: Annotated[str, typer.Argument(
        metavar="WHERE", help="A folder, https://…, git+https://…, or hf:owner/name.")],
    licence: Licence = "", data_licence: DataLicence = "",
    public: Annotated[bool, typer.Option(
        "--public", help="A model of the hub that is made for it is there for everybody.")] = False,
    json: Json = False, quiet: Quiet = False,
) -> None:
    """Bring a run's bundle to where others find it."""
    from runtime.cli.share import push, told_as

    push(run, where, licence=licence, data_licence=data_licence, public=public,
         told=told_as(json, quiet))


@app.command()
def pull(
    reference: Annotated[str, typer.Argument(
        metavar="REF", help="A bundle: a file, https://…, git+https://…, or hf:owner/name.")],
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="The folder; one called after the bundle where not given.",
        metavar="DIR")] = None,
    json: Json = False, quiet: Quiet = False,
) -> None:
    """Bring a bundle here, unpacked."""
    from runtime.cli.share import pull, told_as

    pull(reference, out, told=told_as(json, quiet))


EXPORTS = ("onnx", "stablehlo", "safetensors", "torch")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
DEFAULT_PLATFORMS = "cpu,cuda,tpu"


def _format(value: str) -> str:
    if value not in EXPORTS:
        raise typer.BadParameter(f"'{value}' is not a format; there are {', '.join(EXPORTS)}.")
    return value


def _layout(value: str) -> str:
    if value not in ("last", "first"):
        raise typer.BadParameter(f"'{value}' is not where channels stand; say last or first.")
    return value


def _platforms(value: str) -> str:
    for name in value.split(","):
        if name not in PLATFORMS:
            raise typer.BadParameter(
                f"'{name}' is not a platform; there are {', '.join(PLATFORMS)}.")
    return value


@app.command()
def export(
    model: Annotated[str, typer.Argument(
        metavar="RUN|SPEC", help="A finished run, or a spec with its own weights.")],
    to: Annotated[str, typer.Option(
        help=f"The format: {', '.join(EXPORTS)}.", metavar="FORMAT", callback=_format)],
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", help="The file; NAME.FORMAT here where not given.", metavar="FILE")] = None,
    variant: Variant = "", set_: Set = [],  # noqa: B006
    weights: Annotated[Path | None, typer.Option(
        help="Weights in place of the model's own.", metavar="FILE")] = None,
    layout: Annotated[str, typer.Option(
        help="ONNX: where images have their channels: last, as here, or first.",
        metavar="last|first", callback=_layout)] = "last",
    fold: Annotated[bool, typer.Option(
        "--fold", help="Multiply batch norms into the layers before them.")] = False,
    normalise: Annotated[bool, typer.Option(
        "--normalise/--no-normalise",
        help="Begin with the run's own normalisation of its inputs.")] = True,
    lengths: Annotated[bool | None, typer.Option(
        "--lengths/--no-lengths", show_default=False,
        help="Take the lengths of rows; where a length is open, if not said.")] = None,
    length: Annotated[int | None, typer.Option(
        min=1, help="Fix a length that the spec leaves open.", metavar="N")] = None,
    platforms: Annotated[str, typer.Option(
        help="StableHLO: where it is to run.", metavar="NAMES",
        callback=_platforms)] = DEFAULT_PLATFORMS,
    tolerance: Annotated[float, typer.Option(
        min=0, help="The largest error, as a share of the largest number.", metavar="X")] = 1e-4,
    check: Annotated[bool, typer.Option(
        "--check/--no-check", help="Run the file again and compare it.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    json: Json = False,
) -> None:
    """Write a model as a file for other programs.

    The file is run again beside the compiled model, and the largest difference is told.
    """
    from runtime import startup

    startup.prepare()
    from runtime.cli.export import Wanted, run

    arrays = to in ("safetensors", "torch")
    for given, option, here in (
            (layout != "last", "--layout", to == "onnx"), (fold, "--fold", not arrays),
            (platforms != DEFAULT_PLATFORMS, "--platforms", to == "stablehlo"),
            (not normalise, "--no-normalise", not arrays), (length, "--length", not arrays),
            (lengths is not None, "--lengths", not arrays)):
        if given and not here:
            raise typer.BadParameter(f"'{option}' means nothing for '--to {to}'.")
    raise typer.Exit(run(model, variant, set_, Wanted(
        to, out, weights, layout, fold, normalise, lengths, length, tuple(platforms.split(",")),
        tolerance, check, force, json)))


def _tolerance(value: float) -> float:
    if not 0 <= value < 1:
        raise typer.BadParameter("it is a part of the claim, from 0 to 1: 0.02 for two per cent.")
    return value


@app.command()
def reproduce(
    bundle: Annotated[str, typer.Argument(
        metavar="BUNDLE", help="A bundle: a file, https://…, git+https://…, or hf:owner/name.")],
    set_: Annotated[list[str], typer.Option(
        "--set", help="Where a file is that the bundle does not hold: data.images=PATH.",
        metavar="PATH=VALUE")] = [],  # noqa: B006
    tolerance: Annotated[float, typer.Option(
        help="How far the score may be from the claim, as a part of it.", metavar="X",
        callback=_tolerance)] = 0.02,
    out: Annotated[Path | None, typer.Option(
        help="The new run's folder; the next free runs/NAME-again-NUMBER where not given.",
        metavar="DIR")] = None,
    device: Annotated[str, typer.Option(
        help="What to compute on, as compile-and-train takes it.", metavar="DEVICE")] = "",
    json: Json = False, quiet: Quiet = False,
) -> None:
    """Train a bundle's recipe again and compare the score to its claim.

    Its weights are measured, too. Exit status 0: both score as claimed; 1: they do not.
    """
    from runtime import startup

    startup.prepare(device)
    from runtime.cli.reproduce import run

    raise typer.Exit(run(bundle, set_, tolerance=tolerance, out=out, device=device, json=json,
                         quiet=quiet))


def _version(wanted: bool) -> None:
    if wanted:
        from compiler.version import VERSION

        typer.echo(f"flaxspec {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option(
        "--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every error becomes a diagnostic on standard error."""
    ending.run(app, "flaxspec")


if __name__ == "__main__":
    main()
