"""Every task from arrays to predictions, in words and units."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

import flaxspec
from compiler.diagnostics import Report, SpecError
from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.data.dataset import Dataset, Meaning, Part, Scale
from runtime.tasks import AnyTask
from runtime.tasks.spans import spans

DRAW = np.random.default_rng(0)


def meaning(field, kind, names=(), scale=None):
    return Meaning({field: kind}, {field: tuple(names)} if names else {},
                   {field: scale} if scale is not None else {})


def task(given):
    return TypeAdapter(AnyTask).validate_python(given)


def told(chosen, array, axes, known, rows=None, lengths=None, **targets):
    """The predictions and truths of a batch, as they go through JSON."""
    array = jnp.asarray(array, jnp.float32)
    rows = jnp.ones(len(array), bool) if rows is None else jnp.asarray(rows)
    steps = None if lengths is None else jnp.asarray(lengths)
    batch = Batch({n: jnp.asarray(a) for n, a in targets.items()},
                  {} if steps is None else dict.fromkeys(targets, steps), rows)
    outputs = {"output": Tensor(array, axes, steps)}
    found = chosen.predictions(outputs, batch, known), chosen.truths(batch, known)
    return tuple(json.loads(json.dumps(part)) for part in found)


def test_a_class_is_told_by_its_name_with_probabilities_from_the_largest_down():
    known = meaning("label", TensorType((), (), "int", 3), ["cat", "dog", "cow"])
    found, true = told(task("classification"), [[0, np.log(2), np.log(5)], [9, 9, 9]],
                       ("channels",), known, rows=[True, False], label=[1, 0])
    assert found == [{"label": "cow", "probability": 0.625,
                      "probabilities": {"cow": 0.625, "dog": 0.25, "cat": 0.125}}]
    assert true == [{"label": "dog"}]


def test_of_many_classes_the_best_ten_are_told_and_numbers_are_names_enough():
    known = meaning("label", TensorType((), (), "int", 500))
    found, _ = told(task("classification"), [np.arange(500)], ("channels",), known, label=[3])
    assert list(found[0]["probabilities"]) == [str(n) for n in range(499, 489, -1)]


def test_labels_are_those_above_the_threshold():
    known = meaning("labels", THREE, ["sea", "sky", "city"])
    found, true = told(task({"multi_label": {"threshold": 0.7}}), [[0, np.log(4), np.log(2)]],
                       ("channels",), known, labels=[[1, 1, 0]])
    assert found[0]["labels"] == ["sky"]
    assert found[0]["probabilities"] == {"sky": 0.8, "city": 0.666667, "sea": 0.5}
    assert true == [{"labels": ["sea", "sky"]}]


def test_numbers_are_in_the_units_of_the_data():
    scale = Scale(("price", "size"), np.array([100.0, 3.0]), np.array([50.0, 2.0]), ("€", ""))
    known = meaning("target", TensorType(("channels",), (2,)), scale=scale)
    found, true = told(task("regression"), [[2.0, -1.0]], ("channels",), known,
                       target=[[0.0, 0.5]])
    assert found == [{"values": {"price": 200.0, "size": 1.0}, "units": {"price": "€"}}]
    assert true == [{"values": {"price": 100.0, "size": 4.0}}]


def test_a_single_number_is_called_as_its_field():
    known = meaning("target", TensorType((), ()))
    found, true = told(task("regression"), [[1.5]], ("channels",), known, target=[2.5])
    assert (found, true) == ([{"values": {"target": 1.5}}], [{"values": {"target": 2.5}}])


def test_a_forecast_is_a_list_for_each_column():
    scale = Scale(("t", "w"), np.zeros(2), np.array([1.0, 10.0]), ("°C", "m/s"))
    known = meaning("future", TensorType(("time", "channels"), (2, 2)), scale=scale)
    found, _ = told(task("forecasting"), [[1, 2, 3, 4]], ("channels",), known,
                    future=np.zeros((1, 2, 2)))
    assert found == [{"forecast": {"t": [1.0, 3.0], "w": [20.0, 40.0]},
                      "units": {"t": "°C", "w": "m/s"}}]


def test_tags_end_with_their_sequence():
    known = meaning("tags", TensorType(("time",), (3,), "int", 2), ["O", "B-X"])
    found, true = told(task({"tagging": {"ignore": -100}}),
                       np.log([[[3, 1], [1, 3], [1, 1]], [[1, 9], [1, 1], [1, 1]]]),
                       ("time", "channels"), known, lengths=[2, 1],
                       tags=[[0, -100, 0], [1, 0, 0]])
    assert found == [{"tags": ["O", "B-X"], "probabilities": [0.75, 0.75]},
                     {"tags": ["B-X"], "probabilities": [0.9]}]
    assert true == [{"tags": ["O", None]}, {"tags": ["B-X"]}]


def test_a_mask_is_told_with_the_share_of_each_class():
    known = meaning("mask", TensorType(("height", "width"), (2, 2), "int", 3), ["a", "b", "c"])
    found, true = told(task("segmentation"), np.eye(3)[[[[2, 2], [0, 2]]]],
                       ("height", "width", "channels"), known, mask=[[[0, 0], [1, 2]]])
    assert found == [{"shares": {"c": 0.75, "a": 0.25}, "probability": 0.576117,
                      "mask": [[2, 2], [0, 2]]}]
    assert true == [{"mask": [[0, 0], [1, 2]]}]


def test_a_text_goes_on_behind_its_last_real_token():
    known = meaning("next", TensorType(("time",), (2,), "int", 2), ["a", "b"])
    found, true = told(task("language_modelling"), np.log([[[3, 1], [1, 4]], [[1, 4], [3, 1]]]),
                       ("time", "channels"), known, lengths=[1, 2], next=[[1, 0], [1, 0]])
    assert [f["next"] for f in found] == [{"a": 0.75, "b": 0.25}, {"a": 0.75, "b": 0.25}]
    assert true == [{"next": {"b": 1.0}}, {"next": {"a": 1.0}}]


@pytest.mark.parametrize("tags, found", [
    ("B-X I-X O", {("X", 0, 2)}), ("I-X I-X", {("X", 0, 2)}),
    ("B-X B-X", {("X", 0, 1), ("X", 1, 2)}),
    ("B-X I-Y", {("X", 0, 1), ("Y", 1, 2)}), ("O O", set()), ("", set()),
])
def test_spans_begin_with_b_and_end_with_another_kind(tags, found):
    assert spans(tags.split()) == found


# ---------------------------------------------------------------- what the data decides


def dataset(labels, names=(), vocabulary=None):
    part = Part({"label": np.asarray(labels)})
    return Dataset({"label": TensorType((), (), "int", vocabulary)}, part, part, part,
                   labels={"label": tuple(names)} if names else {})


def test_balanced_weights_make_every_class_cost_the_same():
    fitted = task({"classification": {"class_weights": "balanced"}}).fitted(
        dataset([0, 0, 0, 1, 2, 2], vocabulary=4))
    np.testing.assert_allclose(fitted.class_weights, [6 / 9, 2.0, 1.0, 0.0])


def test_weights_by_name_leave_the_other_classes_at_one():
    fitted = task({"classification": {"class_weights": {"dog": 3.0}}}).fitted(
        dataset([0, 1], ["cat", "dog"]))
    assert fitted.class_weights == [1.0, 3.0]


def test_a_weight_of_no_class_is_refused_with_the_nearest_name():
    with pytest.raises(SpecError) as caught:
        task({"classification": {"class_weights": {"dgo": 3.0}}}).fitted(
            dataset([0, 1], ["cat", "dog"]))
    diagnostic, = caught.value.diagnostics
    assert diagnostic.code == "F0619" and "did you mean `dog`?" in diagnostic.notes


def test_balanced_positive_weights_are_noes_for_each_yes():
    part = Part({"labels": np.array([[1, 0], [0, 0], [0, 0], [1, 0]])})
    data = Dataset({"labels": TensorType(("channels",), (2,))}, part, part, part)
    fitted = task({"multi_label": {"positive_weights": "balanced"}}).fitted(data)
    assert fitted.positive_weights == [1.0, 1.0]


def checked(given, output, field, kind):
    report = Report()
    task(given).check({"output": output}, {field: kind}, report, None)
    return [d.code for d in report.diagnostics]


THREE = TensorType(("channels",), (3,))
PIXELS = TensorType(("height", "width", "channels"), (4, 4, 3))
STEPS = TensorType(("time", "channels"), ("text", 3))


@pytest.mark.parametrize("name, field, value", [
    ("classification", "class_weights", "balance"), ("classification", "class_weights", [1, -1]),
    ("classification", "class_weights", []), ("classification", "class_weights", {"cat": "x"}),
    ("classification", "class_weights", 2.0), ("multi_label", "positive_weights", {"a": 1.0}),
    ("multi_label", "positive_weights", True), ("multi_label", "positive_weights", "equal"),
])
def test_wrong_weights_are_one_complaint(name, field, value):
    with pytest.raises(ValidationError) as caught:
        task({name: {field: value}})
    error, = caught.value.errors()
    assert error["type"] == "problem" and error["loc"][-1] == field


@pytest.mark.parametrize("given, output, field, kind, right", [
    ("multi_label", THREE, "labels", THREE, True),
    ("multi_label", TensorType(("channels",), (4,)), "labels", THREE, False),
    ("multi_label", THREE, "labels", TensorType((), (), "int", 3), False),
    ({"multi_label": {"positive_weights": [1.0]}}, THREE, "labels",
     THREE, False),
    ("regression", TensorType(("channels",), (1,)), "target", TensorType((), ()), True),
    ("regression", TensorType(("channels",), (2,)), "target", TensorType((), ()), False),
    ("regression", TensorType(("channels",), (1,)), "target", TensorType((), (), "int", 5), False),
    ("segmentation", PIXELS, "mask", TensorType(("height", "width"), (4, 4), "int", 3), True),
    ("segmentation", PIXELS, "mask", TensorType(("height", "width"), (8, 8), "int", 3), False),
    ("segmentation", PIXELS, "mask", TensorType((), (), "int", 3), False),
    ("tagging", STEPS, "tags", TensorType(("time",), ("text",), "int", 3), True),
    ("tagging", STEPS, "tags", TensorType(("time",), (9,), "int", 3), True),
    ("tagging", THREE, "tags", TensorType(("time",), (9,), "int", 3), False),
    ({"classification": {"class_weights": [1.0, 2.0]}}, THREE, "label",
     TensorType((), (), "int", 3), False),
])
def test_a_model_has_to_suit_its_task(given, output, field, kind, right):
    assert checked(given, output, field, kind) == ([] if right else ["F0617"])


# ------------------------------------------------------------------------ from end to end


SPEC = """\
flaxspec: 1
name: small
inputs:
  x: {INPUT}
model: [LAYERS]
train: {epochs: 3, batch_size: 16, optimizer: {adam: 0.05}}
"""
TOKENS = DRAW.integers(4, size=(64, 5))
IMAGES = DRAW.normal(size=(64, 4, 4, 1))
NUMBERS = DRAW.normal(size=(64, 3))


@pytest.mark.parametrize("chosen, given, layers, inputs, target", [
    ("multi_label", "shape: [3]", "dense: 2", NUMBERS, (NUMBERS[:, :2] > 0).astype(int)),
    ("regression", "shape: [3]", "dense: 1", NUMBERS, NUMBERS.sum(axis=1)),
    ("tagging", "kind: tokens, vocabulary: 4, length: any", "{embed: 4}, {dense: 4}", TOKENS,
     TOKENS),
    ("segmentation", "shape: [4, 4, 1]", "conv: {filters: 2, kernel: 1}", IMAGES,
     (IMAGES[..., 0] > 0).astype(int)),
])
def test_every_task_trains_evaluates_and_predicts(
    tmp_path, monkeypatch, chosen, given, layers, inputs, target,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("runtime.report.html.write_report", lambda *arguments: None)
    text = SPEC.replace("INPUT", given).replace("LAYERS", layers)
    trained = flaxspec.train(text, data=(inputs, target), task=chosen, log="quiet")
    figures, _ = trained.evaluate(Part({"x": inputs.astype(np.float32 if inputs.dtype.kind == "f"
                                                           else np.int32),
                                        trained.task.target: target}))
    assert trained.task.monitor in figures and all(np.isfinite(list(figures.values())))
    assert len(json.loads(json.dumps(trained.predict(inputs[:3])))) == 3
