"""Recipes: what they may say, and that every mistake is told with its place."""

import subprocess
import sys
import textwrap

import pytest
from pydantic import TypeAdapter

from compiler.diagnostics import Report, SpecError
from compiler.pipeline import Request
from compiler.source import Source
from runtime.recipe import SECTIONS, Recipe, Train
from runtime.run import prepare

RECIPE = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 10
data: {dataset: digits, validation: 0.1, augment: [{shift: 1}]}
task: classification
train:
  epochs: 2
  batch_size: 128
  optimizer: {adam: 0.001}
"""


def changed(**replacements):
    """The recipe with the lines of some sections replaced."""
    text = RECIPE
    for key, value in replacements.items():
        lines = text.splitlines(keepends=True)
        first = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
        last = first + 1
        while last < len(lines) and lines[last].startswith(" "):
            last += 1
        text = "".join(lines[:first]) + textwrap.dedent(value) + "".join(lines[last:])
    return text


def complaints(text):
    """(code, line, column, headline) of each error."""
    report = Report()
    with pytest.raises(SpecError) as caught:
        prepare(Source("recipe.yaml", text), report)
    return [(d.code, d.labels[0].span.line if d.labels else 0,
             d.labels[0].span.column if d.labels else 0, d.headline)
            for d in caught.value.diagnostics if d.severity == "error"]


def prepared(text):
    return prepare(Source("recipe.yaml", text), Report())


def test_a_recipe_binds_the_inputs_of_its_model_to_the_fields_of_its_data():
    assert prepared(RECIPE).inputs == {"image": "image"}


def test_one_input_and_one_field_need_no_common_name():
    recipe = prepared(changed(inputs="inputs:\n  pixels: {shape: [8, 8, 1]}\n"))
    assert recipe.inputs == {"pixels": "image"}


@pytest.mark.parametrize("section", ["data", "task", "train"])
def test_a_missing_section_is_named(section):
    (code, _, _, headline), = complaints(changed(**{section: ""}))
    assert (code, headline) == ("F0610", f"a recipe needs `{section}`")


@pytest.mark.parametrize("section, text, expected", [
    ("data", "data: {dataset: digitz}\n",
     ("F0612", 8, 17, "`digitz` is not one of the choices")),
    ("data", "data: {validation: 0.1}\n", ("F0612", 8, 1, "`data` does not say which one")),
    ("data", "data: {dataset: digits, validatoin: 0.1}\n",
     ("F0203", 8, 25, "`validatoin` is not a field of `data`")),
    ("data", "data: {dataset: digits, test: 1.5}\n",
     ("F0205", 8, 31, "`test` takes a number from 0 below 1, not `1.5`")),
    ("data", "data: {dataset: digits, validation: 0.5, test: 0.5}\n",
     ("F0611", 8, 1, "`validation` and `test` together leave nothing to train on")),
    ("data", "data: {dataset: digits, augment: [{shift: 1}, {flip: 2}]}\n",
     ("F0205", 8, 54, "`flip` takes a number from 0 to 1, not `2`")),
    ("data", "data: {dataset: digits, augment: [{shfit: 1}]}\n",
     ("F0612", 8, 35, "`shfit` is not one of the choices")),
    ("data", "data: {dataset: help_texts, augment: [flip]}\n",
     ("F0611", 8, 1, "`flip` changes images, and help_texts has none")),
    ("task", "task: clasification\n",
     ("F0612", 9, 7, "`clasification` is not one of the choices")),
    ("task", "task: {classification: {smoothing: 0.1}}\n",
     ("F0203", 9, 25, "`smoothing` is not a field of `classification`")),
    ("task", "task: {classification: {auxiliary: {aux: 0.3}}}\n",
     ("F0616", 9, 1, "classification names an output `aux`, which the model does not have")),
    ("task", "task: forecasting\n",
     ("F0615", 9, 1, "forecasting needs a field `future`, which this data set does not have")),
    ("train", "train: {epochs: 2, steps: 3, batch_size: 8, optimizer: {sgd: 0.1}}\n",
     ("F0611", 10, 1, "a run is given either by `epochs` or by `steps`")),
    ("train", "train: {epochs: 2, optimizer: {sgd: 0.1}}\n",
     ("F0204", 10, 1, "`train` needs `batch_size`")),
    ("train", "train: {epochs: 2, batch_size: 8.5, optimizer: {sgd: 0.1}}\n",
     ("F0205", 10, 32, "`batch_size` takes a whole number above 0, not `8.5`")),
    ("train", "train: {epochs: 2, batch_size: 8, optimizer: {sgd: 0.1}, clip: {}}\n",
     ("F0611", 10, 58, "`clip` cuts nothing")),
    ("train", "train: {epochs: 2, batch_size: 8, optimizer: {adamw: {learning_rat: 0.1}}}\n",
     ("F0613", 10, 55, "`learning_rat` is not an argument of adamw")),
    ("train", "train:\n  epochs: 2\n  batch_size: 8\n  optimizer:\n    sgd:\n"
     "      learning_rate:\n"
     "        linear_schedule: {init_value: 1, end_value: 0, transition_steps: all}\n",
     ("F0613", 16, 74, 'expected a number of steps, found "all"')),
    ("inputs", "inputs:\n  image: {shape: [9, 8, 1]}\n",
     ("F0614", 8, 1, "`image` of digits does not fit the model's input `image`: "
                     "height is 8, not 9")),
    ("inputs", "inputs:\n  image: {shape: [8, 8, 1]}\n  mask: {shape: [8, 8, 1]}\n",
     ("F0614", 9, 1, "the data has no field for the model's input `mask`")),
])
def test_a_mistake_is_told_at_its_place(section, text, expected):
    assert expected in complaints(changed(**{section: text}))


def test_mistakes_of_all_sections_are_told_at_once():
    found = complaints(changed(data="data: {dataset: digits, test: 2}\n", task="task: x\n",
                               train="train: {epochs: 0}\n"))
    assert {code for code, *_ in found} == {"F0205", "F0612", "F0204"}


def test_keeping_the_best_needs_a_validation_part():
    found = complaints(changed(
        data="data: {dataset: digits, validation: 0}\n",
        train="train: {epochs: 1, batch_size: 8, optimizer: {sgd: 0.1}, keep: best}\n"))
    assert [code for code, *_ in found] == ["F0611"]


def test_a_model_with_other_classes_than_the_data_is_refused():
    (code, line, _, _), = complaints(changed(model="model:\n  - flatten\n  - dense: 11\n"))
    assert (code, line) == ("F0617", 9)


def test_a_recipe_is_checked_without_jax_and_numpy():
    program = ("import sys; from runtime.run import prepare;"
               "from compiler.diagnostics import Report;"
               "prepare('specs/recipes/digits-resnet.yaml', Report());"
               "print([m for m in ('jax', 'flax', 'numpy', 'optax') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("keep, column, told", [
    ("keep: {metric: acuracy}", 18, "`acuracy` is not a figure of classification"),
    ("early_stop: {patience: 2, metric: top5}", 37, "`top5` is not a figure of classification"),
    ("keep: {metric: f1}", 18, "`keep` does not say which way f1 is better"),
])
def test_a_figure_to_judge_by_is_checked_where_it_is_named(keep, column, told):
    text = changed(train="train:\n  epochs: 2\n  batch_size: 128\n  optimizer: {adam: 0.001}\n"
                         f"  {keep}\n")
    assert complaints(text) == [("F0611", 14, column, told)]


def test_the_figures_of_the_task_and_the_nearest_are_told():
    text = changed(train="train:\n  epochs: 2\n  batch_size: 128\n  optimizer: {adam: 0.001}\n"
                         "  keep: {metric: acuracy}\n")
    with pytest.raises(SpecError) as refused:
        prepared(text)
    message = str(refused.value)
    assert "did you mean `accuracy`?" in message
    assert "its figures: loss, accuracy, f1" in message
    # Those of losses from Python are known only there.
    assert prepared(text.replace("metric: acuracy", "metric: loss/mine, mode: lower"))


@pytest.mark.filterwarnings("error")
def test_the_schema_of_every_section_is_made_without_a_warning_and_its_defaults_can_be_written():
    for kind, _ in SECTIONS.values():
        TypeAdapter(kind).json_schema()
    schema = TypeAdapter(Train).json_schema()
    fields = {"epochs": 1, "batch_size": 1, "optimizer": {"adam": 0.1}}
    given = {name: field["default"] for name, field in schema["properties"].items()
             if field.get("default") is not None}
    assert Train.model_validate(fields | given) == Train.model_validate(fields)


def test_check_tells_of_figures_and_of_the_search_too():
    from runtime.cli.check import check_spec

    text = changed(train="train:\n  epochs: 2\n  batch_size: 128\n  optimizer: {adam: 0.001}\n"
                         "  keep: {metric: acuracy}\n") + (
        "search: {space: {train.epochs: [1, 2]}, metric: los}\n")
    report = Report()
    check_spec(Request(Source("recipe.yaml", text), document=Recipe), report)
    assert [(d.code, d.labels[0].span.line, d.headline) for d in report.errors] == [
        ("F0611", 14, "`acuracy` is not a figure of classification"),
        ("F0611", 15, "`los` is not a figure of classification")]


@pytest.mark.parametrize("task, wrong", [
    ("segmentation", True), ("{segmentation: {ignore: 254}}", True),
    ("{segmentation: {ignore: 255}}", False)])
def test_a_mark_of_places_without_a_class_is_told_to_the_task_too(task, wrong):
    text = textwrap.dedent(f"""\
        flaxspec: 1
        inputs: {{image: {{shape: [4, 4, 3]}}}}
        model: [{{conv: {{filters: 2, kernel: 1}}}}]
        data: {{masks: a, pictures: b, size: 4, classes: 2, ignore: 255}}
        task: {task}
        train: {{epochs: 1, batch_size: 8, optimizer: {{adam: 0.001}}}}
        """)
    if not wrong:
        prepare(Source("recipe.yaml", text), Report())
        return
    ((code, line, _, headline),) = complaints(text)
    assert (code, line) == ("F0611", 5) and "255 marks places without a class" in headline
