"""Where a classifier looks, and which words weigh: the formulas of their papers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.types import TensorType
from runtime.attribution import class_maps, map_layer, word_layer, word_weights
from runtime.data.dataset import Meaning, Part, Scale
from runtime.preprocessing import Preprocessing
from runtime.recipe import Recipe
from runtime.report.weighed import coloured_words, drawings
from runtime.run import prepare
from runtime.saved import Trained, batches

IMAGE = """\
flaxspec: 1
name: small
inputs: {image: {shape: [8, 8, 1]}}
model:
  - conv: {filters: 6, kernel: 3}
  - tanh
  - max_pool: 2
LAYERS
data: {dataset: digits}
task: classification
train: {epochs: 1, batch_size: 8, optimizer: {adam: 1e-3}}
"""
TEXT = """\
flaxspec: 1
name: words
inputs: {text: {kind: tokens, vocabulary: 9, length: any}}
model:
  - embed: 5
LAYERS
  - dense: 3
data: {documents: none.tsv, classes: 3, vocabulary: 9}
task: classification
train: {epochs: 1, batch_size: 8, optimizer: {adam: 1e-3}}
"""


def fresh(text: str, layers: list[str], known: Preprocessing) -> Trained:
    """A model with the weights that it begins with."""
    text = text.replace("LAYERS", "\n".join(f"  - {layer}" for layer in layers))
    prepared = prepare(Source("small.yaml", text), Report())
    model = build_model(prepared.graph, seed=1)
    return Trained(model, prepared.training, prepared.inputs, known)


@pytest.fixture(scope="module")
def pictures() -> Part:
    return Part({"image": np.random.default_rng(0).random((5, 8, 8, 1), np.float32)})


KNOWN = Preprocessing(
    Meaning({"image": TensorType(("height", "width", "channels"), (8, 8, 1)),
             "label": TensorType((), (), "int", 10)}),
    {"image": Scale(("x",), np.array([0.3]), np.array([0.5]))})
WORDS = Preprocessing(Meaning(
    {"text": TensorType(("time",), ("length",), "int", 9), "label": TensorType((), (), "int", 3)},
    {"text": ("?", *"abcdefgh"), "label": ("x", "y", "z")}))


def test_before_a_global_average_pool_the_map_is_the_class_activation_map(pictures: Part) -> None:
    trained = fresh(IMAGE, ["global_average_pool", "dense: 10"], KNOWN)
    path = map_layer(trained.model.graph, "output")
    assert path == "max_pool_1"
    (batch,) = batches(pictures, 8)
    classes = np.array([3, 1, 4, 1, 5])
    found = np.asarray(class_maps(trained, path)(batch, classes))
    # Zhou et al.: the channels weighed by the dense layer's kernel, written out by hand.
    scaled = (pictures.arrays["image"] - 0.3) / 0.5
    model: Any = trained.model
    features = np.asarray(jax.nn.tanh(model.conv_1(scaled))).reshape(5, 4, 2, 4, 2, 6).max((2, 4))
    kernel = np.asarray(model.dense_1.kernel[...])
    expected = np.stack([features[i] @ kernel[:, c] for i, c in enumerate(classes)])
    assert (expected < 0).any()
    np.testing.assert_allclose(found, np.maximum(expected, 0) / 16, rtol=1e-4, atol=1e-6)


def test_a_map_is_that_of_the_class_and_of_the_example_alone(pictures: Part) -> None:
    trained = fresh(IMAGE, ["flatten", "dense: 10"], KNOWN)
    asked = class_maps(trained, "max_pool_1")
    (whole,), (first, *_) = batches(pictures, 8), batches(pictures, 1)
    together = np.asarray(asked(whole, np.array([3, 1, 4, 1, 5])))
    np.testing.assert_allclose(np.asarray(asked(first, np.array([3])))[0], together[0], atol=1e-6)
    assert not np.allclose(asked(first, np.array([4])), together[0], atol=1e-4)


@pytest.mark.parametrize("spec, path", [
    ("resnet18", "stage3.unit1.unit_1"),
    ("vgg11", "adaptive_average_pool_1"),
    ("googlenet", "inception_9"),
    ("mobilenet_v2", "mobile_conv_norm_2"),
])
def test_the_map_of_a_zoo_model_is_its_last_layer_with_places(spec: str, path: str) -> None:
    graph = make_graph(Request(spec, document=Recipe), Report())
    assert map_layer(graph, next(iter(graph.outputs))) == path


@pytest.mark.parametrize("layers", [
    ["lstm: {units: 4, bidirectional: true, return: last}"],
    ["conv: {filters: 4, kernel: 3}", "tanh", "pool: max"],
])
def test_the_weights_of_words_add_up_to_what_they_change_in_the_logit(layers: list[str]) -> None:
    trained = fresh(TEXT, layers, WORDS)
    path = word_layer(trained.model.graph)
    assert path == "embed_1"
    part = Part({"text": np.array([[1, 2, 3, 4], [5, 6, 0, 0]], np.int32)},
                {"text": np.array([4, 2])})
    (batch,) = batches(part, 2)
    classes = np.array([2, 0])
    weights = np.asarray(word_weights(trained, path)(batch, classes))
    assert weights.shape == (2, 4) and not weights[1, 2:].any()

    def logits(trained: Trained) -> np.ndarray:
        found = np.asarray(trained.forward(batch)["output"].array)
        return found[[0, 1], classes] - found.mean(axis=-1)

    said = logits(trained)
    trained.params = trained.params | {
        "embed_1.embedding": np.zeros_like(trained.params["embed_1.embedding"])}
    np.testing.assert_allclose(weights.sum(axis=1), said - logits(trained), rtol=0.02, atol=1e-4)


def test_pictures_become_png_and_texts_become_pages(pictures: Part) -> None:
    trained = fresh(IMAGE, ["global_average_pool", "dense: 10"], KNOWN)
    found = list(trained.task.drawings(trained, pictures, trained.predictions(pictures)))
    assert len(found) == 5 and all(
        d and d.suffix == ".png" and d.content.startswith(b"\x89PNG") for d in found)
    trained = fresh(TEXT, ["pool: mean"], WORDS)
    part = Part({"text": np.array([[1, 2]], np.int32)}, {"text": np.array([2])},
                np.array(["a <b>"], object))
    (page,) = drawings(trained, part, trained.predictions(part))
    assert page is not None and page.suffix == ".html"
    text = page.content.decode()
    assert ">a</span>" in text and "a &lt;b&gt;" in text and "<script" not in text


def test_words_that_speak_for_the_class_are_red_and_escaped() -> None:
    text = coloured_words(["good", "<i>", "not"], np.array([2.0, 0.0, -2.0, 9.0]))
    red, white, blue = text.split("</span> ")
    assert "rgb(190,45,20)" in red and ">&lt;i&gt;" in white and "rgb(33,82,190)" in blue


def test_a_model_without_a_map_says_that_it_draws_nothing(pictures: Part) -> None:
    text = IMAGE.replace("  - conv: {filters: 6, kernel: 3}\n  - tanh\n  - max_pool: 2\n", "")
    trained = fresh(text, ["flatten", "dense: 10"], KNOWN)
    with pytest.raises(SpecError, match="classification draws nothing"):
        list(trained.task.drawings(trained, pictures, trained.predictions(pictures)))
