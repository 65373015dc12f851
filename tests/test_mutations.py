"""No text that is nearly a spec gets anything but diagnostics: never a traceback.

The shipped specs are changed a little at random, the same way in every run, and then checked
and planned. `python tests/test_mutations.py 5000` looks further than the tests do.
"""

import random
import re
import sys
import traceback
from pathlib import Path

import pytest

from compiler.diagnostics import Report, SpecError, as_json, render
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import make_plan
from compiler.printer import graph_text
from compiler.source import Source
from runtime.recipe import Recipe, check_training, is_recipe, read_training

SPECS = sorted((Path(__file__).parent.parent / "specs").rglob("*.yaml"))
TOKENS = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?|[^\w\s]|\n|[ \t]+")
ODD = [
    "0", "-1", "1.5", "true", "null", "~", "[]", "{}", "''", "=x", "=input", "=1/0", "=-depths",
    "9" * 20, "1e999", ".nan", ".inf", "-.inf", "relu", "add", "[1, [2]]", "{a: 1}", "=[1]*3",
    "any", "time", "channels", "name", "from", "when", "use", "é", "\t", "&a", "*a", "!!int", "<<",
    "|", ">", "%", "@", "`", "#", "---", "...", ": ", "- ", "\n", "\n  ", "=x.shape",
    "=input.shape",
    "output", "layers", "lstm", "repeat", "each", "stack", "split", "concat", "reshape", "1000000",
    "embed", "attention", "slice", "pad", "[any, 3]", "weights: k", "{kind: tokens}", "init: 3",
]


def mutated(text: str, chance: random.Random) -> str:
    """The text with one to four small changes."""
    for _ in range(chance.randint(1, 4)):
        pieces = TOKENS.findall(text) if chance.random() < 0.8 else text.splitlines(keepends=True)
        if not pieces:
            return text
        first, second = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(6):
            case 0:
                del pieces[first]
            case 1:
                pieces.insert(second, pieces[first])
            case 2:
                pieces[first], pieces[second] = pieces[second], pieces[first]
            case 3:
                pieces[first] = pieces[second]
            case _:
                pieces[first] = chance.choice(ODD)
        text = "".join(pieces)
    return text


def compiled(text: str) -> None:
    """Take a text through all of `check` and `plan`.

    Raises:
        SpecError: it is no spec, which is as good an end.
    """
    report = Report()
    try:
        program = make_program(Request(Source("spec.yaml", text), document=Recipe), report)
        training = read_training(program.document, program.tree, report) if is_recipe(
            program.document) else None
        graph = graph_of(program, report)
        graph_text(graph)
        make_plan(graph_of(program, report, length=7), training=True)
        if training is not None:
            check_training(training, {v.name: v.type for v in graph.inputs},
                           {n: v.type for n, v in graph.outputs.items()}, report)
    finally:
        for found in report.diagnostics:
            assert render(found) and as_json(found)


def run(path: Path, seed: int) -> str:
    """One mutation; the text."""
    text = mutated(path.read_text(encoding="utf-8"), random.Random(f"{path.stem} {seed}"))
    try:
        compiled(text)
    except SpecError as error:
        assert error.diagnostics
    return text


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_with_random_changes_is_clean_or_gets_diagnostics(path: Path):
    for seed in range(6):
        run(path, seed)


if __name__ == "__main__":
    first, last = [0, *map(int, sys.argv[1:])][-2:]
    for number in range(first, last):
        chosen = SPECS[number % len(SPECS)]
        try:
            run(chosen, number)
        except Exception:
            print(f"== {chosen} {number}")
            traceback.print_exc(limit=-4)
