"""`flaxspec export`: what other programs get computes what the compiled model does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from compiler.diagnostics import Report, SpecError
from compiler.targets.onnx.model import onnx_model, save
from runtime.data.dataset import Scale
from runtime.export import onnx_file, stablehlo_file
from runtime.export.compare import compared, random_feed
from runtime.export.subject import Subject, Wish, read_subject

SMALL = "image=[32, 32, 3]", "classes=7"
ZOO = {
    "resnet18": (*SMALL, "width=8"),
    "resnet50": (*SMALL, "width=8", "depths=[1, 2, 1, 1]"),
    "resnet20": ("image=[16, 16, 3]",),
    "mobilenet_v2": (*SMALL,),
    "vgg11_bn": (*SMALL, "widths=[4, 8, 8, 8, 8]", "hidden=16", "grid=2"),
    "googlenet_aux": (*SMALL, "width=0.0625"),
    "googlenet_paper": (*SMALL, "width=0.0625"),
    "rnn_classifier": ("sequence=[any, 6]", "units=5"),
    "bilstm_classifier": ("sequence=[any, 6]", "units=5"),
    "bigru_classifier": ("sequence=[any, 6]", "units=5", "dropout=0.3"),
    "lstm_lm": ("units=8", "vocabulary=20"),
    "gru_lm": ("units=8", "vocabulary=20", "tied=true"),
    "zaremba_small": ("units=8", "vocabulary=20"),
}
SLOW = ("resnet18", "resnet50", "mobilenet_v2", "googlenet_aux", "googlenet_paper", "vgg11_bn")
zoo = pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ZOO])


def subject_of(name: str, tmp_path: Path, **wish: Any) -> Subject:
    """A small model with weights and statistics of which none is 0 or 1."""
    moved = tmp_path / "moved.safetensors"
    arrays = {path: array + 0.1 * np.abs(np.random.default_rng(i).standard_normal(array.shape))
              for i, (path, array) in enumerate(sorted(read(name).arrays.items()))}
    save_file({path: array.astype(np.float32) for path, array in arrays.items()}, moved)
    return read(name, moved, **wish)


def read(name: str, weights: Path | None = None, **wish: Any) -> Subject:
    return read_subject(name, Wish(**wish), Report(), assignments=ZOO.get(name, ()),
                        weights=weights)


def worst(subject: Subject, run: Any) -> float:
    return max(error.relative for error in compared(subject, run))


@zoo
def test_a_model_of_the_zoo_gives_the_same_numbers_in_onnxruntime(
    name: str, tmp_path: Path,
) -> None:
    subject, path = subject_of(name, tmp_path), tmp_path / "m.onnx"
    onnx_file.write_onnx(subject, path, channels_first=False)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 17
    assert worst(subject, onnx_file.runner(subject, path, channels_first=False)) < 1e-5


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("name, count", [("resnet20", 1), ("lstm_lm", 2)])
def test_layouts_are_turned_once_and_never_between_layers(
    name: str, count: int, tmp_path: Path,
) -> None:
    subject, path = read(name), tmp_path / "m.onnx"
    onnx_file.write_onnx(subject, path, channels_first=False)
    assert kinds(path).count("Transpose") == count


def test_folded_norms_are_gone_and_nothing_else_changes(tmp_path: Path) -> None:
    subject, path = subject_of("resnet20", tmp_path, fold=True), tmp_path / "m.onnx"
    onnx_file.write_onnx(subject, path, channels_first=True)
    assert "BatchNormalization" not in kinds(path) and "Transpose" not in kinds(path)
    (image,) = onnx.load(path).graph.input
    assert [d.dim_value for d in image.type.tensor_type.shape.dim][1:] == [3, 16, 16]
    assert worst(subject, onnx_file.runner(subject, path, channels_first=True)) < 1e-5
    # Folded or not, it is the network of the spec.
    plain = subject_of("resnet20", tmp_path)
    assert worst(plain, onnx_file.runner(plain, path, channels_first=True)) < 1e-4


def test_lengths_are_an_input_only_where_they_are_wanted(tmp_path: Path) -> None:
    for lengths, names in ((None, ["sequence", "sequence.lengths"]), (False, ["sequence"])):
        subject, path = read("bilstm_classifier", lengths=lengths), tmp_path / f"{lengths}.onnx"
        onnx_file.write_onnx(subject, path, channels_first=False)
        assert [i.name for i in onnx.load(path).graph.input] == names
    assert worst(subject, onnx_file.runner(subject, path, channels_first=False)) < 1e-5


def test_a_runs_normalisation_of_its_inputs_is_part_of_the_file(tmp_path: Path) -> None:
    scale = Scale(tuple("abcdef"), np.arange(6.0), np.arange(1.0, 7.0))
    subject, path = read("rnn_classifier"), tmp_path / "m.onnx"
    subject = replace(subject, normalise={"sequence": scale}, scales={"sequence": scale})
    onnx_file.write_onnx(subject, path, channels_first=False)
    assert kinds(path)[:2] == ["Sub", "Div"]
    assert worst(subject, onnx_file.runner(subject, path, channels_first=False)) < 1e-5
    told = json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["normalise"])
    assert told["sequence"]["inside"] and told["sequence"]["deviation"] == [1, 2, 3, 4, 5, 6]


def test_weights_are_called_by_their_paths(tmp_path: Path) -> None:
    subject, path = read("resnet20"), tmp_path / "m.onnx"
    onnx_file.write_onnx(subject, path, channels_first=False)
    assert set(subject.arrays) == {
        a.name for a in onnx.load(path).graph.initializer if not a.name.startswith("constant_")}


def test_a_model_too_large_for_one_file_keeps_its_arrays_beside_it(tmp_path: Path) -> None:
    subject = read("rnn_classifier")
    model = onnx_model(subject.graph, subject.arrays)
    written = save(model, str(tmp_path / "m.onnx"), largest=100)
    assert [Path(w).name for w in written] == ["m.onnx", "m.onnx.data"]
    again = onnx.load(written[0])
    assert {a.name for a in again.graph.initializer} >= {"dense_1.kernel", "rnn_1.kernel_0"}


MANY = """\
flaxspec: 1
name: many
inputs:
  words: {kind: tokens, vocabulary: 11, length: any}
  film: {axes: [time, height, width, channels], shape: [any, 6, 5, 2]}
blocks:
  gated:
    params: {filters: int}
    layers:
      - conv: {filters: =filters, kernel: 3}
      - group_norm: 2
      - multiply: {main: [silu], gate: [global_average_pool: space, dense: =filters, sigmoid]}
model:
  - {embed: 8, name: table, from: words}
  - conv: {filters: 8, kernel: 3, stride: 2}
  - batch_norm
  - {gru: {units: 4, bidirectional: true}, name: reader}
  - multi_head_attention: {heads: 2, causal: true}
  - positional_encoding
  - output: {name: steps, layers: [layer_norm, dense: 3]}
  - {pool: max, name: read}
  - layers:
      each: time
      layers: [gated: 4, {gated: 4, weights: again}, {gated: 4, weights: again}, flatten]
    from: film
    name: frames
  - {lstm: {units: 5, projection: 3, return: last, layers: 2}, name: watcher}
  - concat: [read, watcher]
  - dense: 6
"""


@pytest.mark.slow
def test_blocks_steps_shared_weights_and_several_inputs_and_outputs_go_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "many.yaml").write_text(MANY)
    subject, path = read(str(tmp_path / "many.yaml")), tmp_path / "m.onnx"
    onnx_file.write_onnx(subject, path, channels_first=False)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ["words", "words.lengths", "film", "film.lengths"]
    assert [o.name for o in graph.output] == ["output", "steps", "steps.lengths"]
    assert worst(subject, onnx_file.runner(subject, path, channels_first=False)) < 1e-5


# ---------------------------------------------------------------------------- stablehlo

ALONE = """
import sys, numpy, jax
from jax import export
sys.modules.update({"compiler": None, "runtime": None})  # even installed, not to be imported
given = dict(numpy.load(sys.argv[2]))
found = export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call(given)
numpy.savez(sys.argv[3], **found)
"""


def alone(path: Path, tmp_path: Path) -> Callable[[dict], dict]:
    """The file in a process that has JAX and nothing of ours."""
    def run(feed: dict) -> dict:
        given, found = tmp_path / "given.npz", tmp_path / "found.npz"
        np.savez(given, **{n: a.astype(np.int32) if a.dtype == np.int64 else a
                           for n, a in feed.items()})
        subprocess.run([sys.executable, "-I", "-c", ALONE, path, given, found], check=True,
                       cwd=tmp_path)
        return dict(np.load(found))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "bilstm_classifier", "gru_lm"])
def test_stablehlo_runs_in_a_process_without_flaxspec(name: str, tmp_path: Path) -> None:
    subject, path = subject_of(name, tmp_path, symbolic=True), tmp_path / "m.stablehlo"
    told = dict(stablehlo_file.write_stablehlo(subject, path, ("cpu", "cuda", "tpu")))
    assert told["for"].startswith("cpu, cuda, tpu;")
    assert worst(subject, alone(path, tmp_path)) < 1e-5


def test_stablehlo_leaves_batch_and_time_free(tmp_path: Path) -> None:
    subject, path = read("rnn_classifier", symbolic=True), tmp_path / "m.stablehlo"
    stablehlo_file.write_stablehlo(subject, path, ("cpu",))
    assert worst(subject, stablehlo_file.runner(path)) < 1e-5


WINDOWS = """\
flaxspec: 1
name: windows
inputs:
  sound: {axes: [time, channels], shape: [any, 3]}
model:
  - conv: {filters: 4, kernel: 3, stride: 2}
  - max_pool: 2
  - conv: {filters: 4, kernel: 3}
  - rnn: 4
  - pool: mean
"""


def test_stablehlo_tells_how_many_steps_windows_need(tmp_path: Path) -> None:
    (tmp_path / "windows.yaml").write_text(WINDOWS)
    subject = read(str(tmp_path / "windows.yaml"), symbolic=True)
    told = dict(stablehlo_file.write_stablehlo(subject, tmp_path / "m.stablehlo", ("cpu",)))
    assert told["lengths"].startswith("4 steps at least")


def test_a_length_that_stablehlo_cannot_leave_open_is_refused_with_its_place(
    tmp_path: Path,
) -> None:
    spec = tmp_path / "windows.yaml"
    spec.write_text(WINDOWS.replace("pool: mean", "positional_encoding"))
    with pytest.raises(SpecError) as error:
        stablehlo_file.write_stablehlo(
            read(str(spec), symbolic=True), tmp_path / "m.stablehlo", ("cpu",))
    (found,) = error.value.diagnostics
    assert found.code == "F0922" and "--length" in found.help
    assert found.labels[0].span.line == 10
    fixed = read(str(spec), symbolic=True, steps=32)
    stablehlo_file.write_stablehlo(fixed, tmp_path / "m.stablehlo", ("cpu",))


# -------------------------------------------------------------------------- the command


@pytest.fixture
def run(flaxspec: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Run `flaxspec export` with arguments in an empty folder."""
    return partial(flaxspec, "export")


def test_a_run_goes_out_with_its_labels_and_is_compared_on_its_own_examples(
    run: Callable, finished: Path, tmp_path: Path,
) -> None:
    status, out, err = run(finished, "--to", "onnx")
    assert (status, err) == (0, "")
    assert "2 random examples, 3 random examples, 16 validation examples" in " ".join(out.split())
    props = {p.key: p.value for p in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert json.loads(props["labels"])["label"] == [str(i) for i in range(10)]
    assert props["name"] == "small" and len(props["network"]) == 64

    status, out, _ = run(finished, "--to", "onnx", "--json")
    assert status == 2, "a file that is there is not written over"
    status, out, _ = run(finished, "--to", "onnx", "--json", "--force")
    told = json.loads(out)
    assert status == 0 and [c["on"] for c in told["checked"]][-1] == "16 validation examples"
    assert all(c["error"] <= 1e-4 * c["of"] for c in told["checked"])


def test_safetensors_hold_the_arrays_under_their_paths(
    run: Callable, finished: Path, tmp_path: Path,
) -> None:
    status, out, _ = run(finished, "--to", "safetensors", "-o", "w.safetensors")
    expected = load_file(finished / "weights.safetensors")
    found = load_file(tmp_path / "w.safetensors")
    assert status == 0 and found.keys() == expected.keys()
    assert all((found[n] == expected[n]).all() for n in expected)


SPEC = """\
flaxspec: 1
name: noisy
inputs: {x: {shape: [4]}}
blocks:
  head:
    layers:
      - add: {body: [dense: 3], noise: [random: [3]]}
model:
  - dense: 4
  - head
"""


def test_what_onnx_cannot_express_is_refused_with_its_place(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "noisy.yaml").write_text(SPEC)
    status, out, err = run("noisy.yaml", "--to", "onnx")
    assert (status, out) == (2, "") and not (tmp_path / "noisy.onnx").exists()
    assert "error[F0920]" in err and "noisy.yaml:7:41" in err and "used here" in err


def test_a_choice_that_means_nothing_for_the_format_is_not_passed_over(run: Callable) -> None:
    status, _, err = run("rnn_classifier", "--to", "torch", "--fold")
    assert status == 2 and "'--fold' means nothing for '--to torch'" in err


@pytest.mark.parametrize("arguments, code", [
    (("rnn_classifier", "--to", "onnx", "-o", "there.yaml"), "F0924"),
    (("rnn_classifier", "--to", "onnx", "-o", "there.onnx"), "F0807"),
    (("nowhere", "--to", "onnx"), "F0217"),
    (("rnn_classifier", "--to", "onnx", "-o", "no/such/folder/m.onnx"), "F0802"),
    (("rnn_classifier", "--to", "onnx", "--weights", "there.onnx"), "F0805"),
])
def test_what_is_wrong_ends_with_a_diagnostic(
    arguments: tuple[str, ...], code: str, run: Callable, tmp_path: Path,
) -> None:
    for name in ("there.yaml", "there.onnx"):
        (tmp_path / name).write_text("mine")
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and f"error[{code}]" in err
    assert (tmp_path / "there.yaml").read_text() == (tmp_path / "there.onnx").read_text() == "mine"


def test_a_file_that_computes_something_else_is_told(
    run: Callable, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(subject: Subject, path: Path, **more: Any) -> Any:
        return lambda feed: {"output": np.zeros((len(feed["sequence"]), 10), np.float32)}

    monkeypatch.setattr(onnx_file, "runner", wrong)
    status, _, err = run("rnn_classifier", "--to", "onnx")
    assert status == 2 and "error[F0923]" in err and "`output` is off by" in err


def test_random_inputs_stay_within_vocabulary_and_length() -> None:
    feed = random_feed(read("gru_lm"), 3, 8, 0)
    assert feed["text"].shape == (3, 8) and 0 <= feed["text"].min() <= feed["text"].max() < 20
    assert feed["text.lengths"].max() == 8 and feed["text.lengths"].min() > 0


def test_a_missing_package_is_named_with_its_remedy() -> None:
    with pytest.raises(SpecError) as error:
        onnx_file.package("no_such_package", "onnx", "`--to onnx`")
    (found,) = error.value.diagnostics
    assert found.code == "F0636" and "flaxspec[onnx]" in found.help
