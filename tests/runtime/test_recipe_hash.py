"""Equal recipes have equal hashes, wherever they lie and however they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics import Report
from compiler.targets.identity import network_hash
from runtime.identity import recipe_hash
from runtime.run import prepare

RECIPE = """\
flaxspec: 1
inputs: {image: {shape: [8, 8, 1]}}
model: [flatten, dense: 10]
data: {dataset: digits, validation: 0.2}
task: classification
train: {epochs: 3, batch_size: 32, optimizer: {adam: 0.003}}
"""


def hashes(folder: Path, text: str, *assignments: str) -> tuple[str, str]:
    """(of the network, of the recipe)."""
    path = folder / "recipe.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    prepared = prepare(path, Report(), assignments=assignments)
    return (network_hash(prepared.graph),
            recipe_hash(prepared.program, prepared.graph, prepared.training))


@pytest.mark.parametrize("old, new", [
    ("{dataset: digits, validation: 0.2}", "{validation: 2.0e-1, dataset: digits}  # small"),
    ("digits, validation", "digits, test: 0.2, validation"),
    ("task: classification", "task: {classification: {label_smoothing: 0.0}}"),
    ("epochs: 3", "epochs: 3, seed: 0, log: [tensorboard], evaluation_batch_size: 512"),
    ("{adam: 0.003}", "{adam: {learning_rate: 0.003}}"),
    ("flaxspec: 1\n", "flaxspec: 1\nname: another\n")])
def test_a_recipe_may_be_written_otherwise(tmp_path: Path, old: str, new: str) -> None:
    assert old in RECIPE
    assert hashes(tmp_path, RECIPE.replace(old, new)) == hashes(tmp_path / "b", RECIPE)


@pytest.mark.parametrize("assignment", [
    "train.seed=1", "train.epochs=4", "data.validation=0.1", "train.optimizer.adam=0.001",
    "train.batch_size=64", "task={classification: {label_smoothing: 0.1}}"])
def test_a_value_makes_another_recipe_of_the_same_network(tmp_path: Path, assignment: str) -> None:
    network, recipe = hashes(tmp_path, RECIPE)
    assert hashes(tmp_path, RECIPE, assignment)[0] == network
    assert hashes(tmp_path, RECIPE, assignment)[1] != recipe


def test_another_network_is_another_recipe(tmp_path: Path) -> None:
    first = hashes(tmp_path, RECIPE)
    second = hashes(tmp_path, RECIPE.replace("[flatten,", "[flatten, relu,"))
    assert first[0] != second[0] and first[1] != second[1]


def test_paths_of_data_count_as_they_are_written(tmp_path: Path) -> None:
    def recipe(path: str) -> str:
        return RECIPE.replace("{dataset: digits, validation: 0.2}",
                              f"{{arrays: {path}, contents: {{"
                              "image: {array: x, shape: [8, 8, 1]}, "
                              "label: {array: y, classes: 10}}}")

    here = hashes(tmp_path, recipe("digits.npz"))
    assert hashes(tmp_path / "elsewhere", recipe("digits.npz")) == here
    assert hashes(tmp_path, recipe("others.npz"))[1] != here[1]


def test_weights_to_start_from_count_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "flaxspec: 1\ninputs: {image: {shape: [8, 8, 1]}}\nmodel: [flatten, dense: 10]\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/net.yaml").write_bytes((tmp_path / "net.yaml").read_bytes())
    fresh = RECIPE.replace("inputs: {image: {shape: [8, 8, 1]}}\n", "").replace(
        "model: [flatten, dense: 10]", "model: {use: ./net.yaml}")
    begun = fresh.replace("net.yaml}", "net.yaml, weights: begun.safetensors}")
    assert hashes(tmp_path, begun) == hashes(tmp_path / "b", begun)
    assert hashes(tmp_path, begun) != hashes(tmp_path, fresh)
