"""Runs that start from the weights of others: what stays, what is drawn anew, what is learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from compiler.diagnostics import Report, SpecError
from compiler.source import Source
from runtime.data.digits import Digits
from runtime.execution import Wish, execute
from runtime.freezing import frozen
from runtime.run import plan_of, prepare
from runtime.saved import load
from runtime.share.archive import write_zip
from runtime.share.pack import packed
from runtime.stopping import Stop, Stopped
from tests.runtime.test_resume import At

pytestmark = pytest.mark.usefixtures("compiled_once")

MODEL = """\
flaxspec: 1
name: net
params: {classes: 10}
inputs: {image: {shape: [8, 8, 1]}}
model:
  - name: trunk
    layers: [conv: {filters: 16, kernel: 3}, batch_norm, relu, max_pool: 2, flatten, dense: 32,
             batch_norm, relu]
  - {dense: =classes, name: head}
"""
TRAIN = """\
task: classification
train:
  epochs: 6
  batch_size: 64
  optimizer: {adam: 0.01}
  checkpoint: {every: 5}
"""


@pytest.fixture(scope="module", autouse=True)
def without_report():
    """report.html is no business of these tests, and takes longer than their runs."""
    patched = pytest.MonkeyPatch()
    patched.setattr("runtime.report.html.write_report", lambda *arguments: None)
    yield
    patched.undo()


def go(folder: Path, data: str, *assignments: str, **wish):
    prepared = prepare(Source("net.yaml", f"{MODEL}data: {data}\n{TRAIN}"), Report(),
                       assignments=assignments)
    folder.mkdir(exist_ok=True)
    return execute(prepared, folder, "test", (), Wish(**wish))


@pytest.fixture(scope="module")
def half(tmp_path_factory, compiled_once) -> Path:
    """The folder of a run on the digits 0 to 4."""
    folder = tmp_path_factory.mktemp("half")
    part = Digits(dataset="digits").load().train.arrays
    few = part["label"] < 5
    np.savez(folder / "low.npz", image=part["image"][few], label=part["label"][few])
    data = (f"{{arrays: {folder / 'low.npz'}, contents: {{"
            "image: {array: image, shape: [8, 8, 1]}, label: {array: label, classes: 5}}}")
    go(folder / "run", data, "classes=5")
    return folder / "run"


def test_a_frozen_trunk_stays_to_the_bit_and_a_new_head_learns_ten_classes(half, tmp_path):
    result = go(tmp_path / "run", "{dataset: digits}", f"train.from={half}",
                "train.freeze=[trunk]", "train.replace=[head]")
    before = load_file(half / "weights.safetensors")
    after = load_file(tmp_path / "run" / "weights.safetensors")
    for name, array in after.items():
        if name.startswith("trunk."):
            np.testing.assert_array_equal(array, before[name])
    assert after["head.kernel"].shape == (32, 10)
    assert result.parameters == 330
    # Chance is 0.1; features of five classes carry the other five.
    assert result.test["accuracy"] > 0.8
    start = json.loads((tmp_path / "run" / "start.json").read_text())
    assert start["drawn_anew"] == ["head.bias", "head.kernel"] and start["freeze"] == ["trunk"]
    assert load(tmp_path / "run").predict(np.zeros((1, 8, 8, 1)))


def test_another_shape_names_the_remedy(half, tmp_path):
    with pytest.raises(SpecError, match=r"(?s)F0806.*head.*replace: \[head\]"):
        go(tmp_path / "run", "{dataset: digits}", f"train.from={half}")


def test_a_run_that_is_stopped_goes_on_without_its_file(half, tmp_path):
    source = tmp_path / "source.safetensors"
    arrays = load_file(half / "weights.safetensors")
    save_file(arrays, source)
    changes = (f"train.from={source}", "train.freeze=[trunk]", "train.replace=[head]",
               "train.epochs=1")
    go(tmp_path / "whole", "{dataset: digits}", *changes)
    stop = Stop()
    prepared = prepare(Source("net.yaml", f"{MODEL}data: {{dataset: digits}}\n{TRAIN}"), Report(),
                       assignments=changes)
    (tmp_path / "cut").mkdir()
    with pytest.raises(Stopped):
        execute(prepared, tmp_path / "cut", "test",
                [At(lambda: setattr(stop, "signal", 2), step=7)], Wish(stop=stop))
    source.unlink()
    go(tmp_path / "cut", "{dataset: digits}", *changes, resume=True)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_layers_of_the_file_that_the_model_does_without_are_told(half, tmp_path):
    arrays = load_file(half / "weights.safetensors")
    save_file({**arrays, "old_head.kernel": np.zeros((3, 3), "f")}, tmp_path / "w.safetensors")
    told = At(lambda: None)
    prepared = prepare(Source("net.yaml", f"{MODEL}data: {{dataset: digits}}\n{TRAIN}"), Report(),
                       assignments=[f"train.from={tmp_path / 'w.safetensors'}",
                                    "train.replace=[head]", "train.epochs=1"])
    (tmp_path / "run").mkdir()
    execute(prepared, tmp_path / "run", "test", [told])
    build = next(text for text in told.stages if text.startswith("build"))
    assert "drawn anew: head" in build and "not used: old_head" in build


@pytest.mark.parametrize("change, code", [
    ("train.freeze=[trunc]", "F0620.*"), ("train.freeze=['**.bias']", "F0620.*no whole layer"),
    ("train.freeze=['**']", "F0886"), ("train.replace=[head]", "F0611.*from"),
    ("train.learning_rate_factors={trunk: 0.1}", "F0620")])
def test_what_cannot_be_is_told_by_the_check(change, code):
    changes = [change] + (["train.freeze=[trunk]"] if "factors" in change else [])
    with pytest.raises(SpecError, match=code):
        prepare(Source("net.yaml", f"{MODEL}data: {{dataset: digits}}\n{TRAIN}"), Report(),
                assignments=changes)


def test_only_the_use_of_a_block_that_is_named_is_frozen():
    text = """\
flaxspec: 1
inputs: {image: {shape: [8, 8, 1]}}
blocks: {unit: {layers: [{conv: {filters: 1, kernel: 3}}, batch_norm]}}
model: [unit, unit, flatten, dense: 10]
data: {dataset: digits}
"""
    prepared = prepare(Source("net.yaml", text + TRAIN), Report(),
                       assignments=["train.freeze=[unit_1.conv_1]"])
    rows = {row.path: row.frozen for row in plan_of(prepared).rows if row.params}
    assert rows == {"unit_1.conv_1": True, "unit_1.batch_norm_1": False, "unit_2.conv_1": False,
                    "unit_2.batch_norm_1": False, "dense_1": False}
    assert frozen(prepared.graph, []) is prepared.graph


def test_a_run_starts_from_a_bundle_and_its_own_bundle_names_no_file_of_this_machine(
    half, tmp_path, monkeypatch,
):
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    with packed(half) as found:
        write_zip(tmp_path / "half.zip", found.manifest, found.files)
    go(tmp_path / "run", "{dataset: digits}", f"train.from={tmp_path / 'half.zip'}",
       "train.epochs=1", "train.replace=[head]")
    assert json.loads((tmp_path / "run" / "start.json").read_text())["drawn_anew"]
    with packed(tmp_path / "run") as found:
        assert found.wanted["train.from"] == "data/half.zip"
        assert str(tmp_path) not in found.files["spec.yaml"].read_text()
