"""Strangers' bundles and specs, good and hostile, go through every verb that takes one.

A good one does what the verb is for. A hostile one ends with a diagnostic and status 2: no
traceback, no internal error, nothing that a terminal would obey, no file but what was asked for,
and nothing of it is run.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import FIELDS, SPEC, everything_under, files, zipped
from safetensors.numpy import save
from test_strangers import HOSTILE

from runtime.cli import main as flaxspec
from runtime.cli import train

Call = Callable[..., tuple[int, str, str]]

# What stands for the bundle or spec is `{}`; what a verb writes goes below `out`.
READING = {
    "check": "check {}", "plan": "plan {}", "graph": "explain {}",
    "origins": "explain {} --stage resolved --origins", "module": "explain {} --stage module",
    "hash": "hash {}", "diff": "diff {} own.yaml", "draw": "draw {}",
    "draw svg": "draw {} -o out/x.svg", "draw html": "draw {} -o out/x.html",
    "eject": "eject {} -o out/x.py",
}
OF_RUNS = {
    "pack": "pack {} -o out/x.zip", "pull": "pull {} -o out/pulled", "push": "push {} out/shelf/",
    "weights": "weights {}", "weights out": "weights {} -o out/x.pth",
    "predict": "predict {} own.npy", "evaluate": "evaluate {}", "probe": "probe {} --examples 4",
    "export onnx": "export {} --to onnx -o out/x.onnx",
    "export stablehlo": "export {} --to stablehlo -o out/x.stablehlo",
    "export torch": "export {} --to torch -o out/y.pth",
    "export safetensors": "export {} --to safetensors -o out/x.safetensors",
}
TRAINING = {"reproduce": "reproduce {}", "train": "compile-and-train {} --quiet --out out/run"}
VERBS = READING | OF_RUNS | TRAINING


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Call:
    """Run a verb beside a spec and an input of one's own: (status, stdout, stderr)."""
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    (work / "out" / "shelf").mkdir(parents=True)
    (work / "own.yaml").write_text(SPEC)
    np.save(work / "own.npy", np.random.default_rng(0).random((2, 8, 8, 1), np.float32))
    monkeypatch.chdir(work)

    def call(verb: str, name: str) -> tuple[int, str, str]:
        words = [name if word == "{}" else word for word in verb.split()]
        main = train.main
        if words[0] != "compile-and-train":
            main, words = flaxspec.main, ["flaxspec", *words]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        told = f"{verb}, {name}: {out}{err}"
        assert "F0899" not in err and "Traceback" not in err, told
        assert "\x1b" not in out + err, told
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


# ---------------------------------------------------------------------- a good stranger's


@pytest.mark.parametrize("verb", [
    v if v not in TRAINING else pytest.param(v, marks=pytest.mark.slow) for v in VERBS])
def test_a_good_bundle_does_what_every_verb_is_for(verb: str, call: Call) -> None:
    if verb.startswith("export"):
        pytest.importorskip("onnx" if verb.endswith("onnx") else "flatbuffers")
    # Trained in one epoch it scores better than the zeros that it holds and claims.
    expected = 1 if verb == "reproduce" else 0
    zipped(Path("good.zip"), files())
    before = everything_under(Path())
    status, out, err = call(VERBS[verb], "good.zip")
    assert status == expected, err
    assert out or verb == "train"
    told = "runs" if verb == "reproduce" else "out"
    assert all(p.split("/")[0] == told for p in everything_under(Path()) - before)


def test_a_pinned_bundle_is_named_to_every_verb_by_its_hash(call: Call) -> None:
    zipped(Path("good.zip"), files())
    sha256 = json.loads(call("pack {} -o out/a.zip --json", "good.zip")[1])["sha256"]
    for verb in ("plan {}", "hash {}", "explain {}", "weights {}", "pull {} -o out/b"):
        assert call(verb, f"good.zip#sha256={sha256}")[0] == 0
        status, _, err = call(verb, f"good.zip#sha256={'0' * 64}")
        assert status == 2 and "error[F0857]" in err


@pytest.mark.parametrize("verb", ["fmt {}", "import {}"])
def test_a_verb_for_files_says_so_of_a_bundle(verb: str, call: Call) -> None:
    path = zipped(Path("good.zip"), files())
    before = path.read_bytes()
    status, _, err = call(verb, "good.zip")
    assert status == 2 and "error[F" in err and path.read_bytes() == before


# ------------------------------------------------------------------- hostile strangers'

REFUSED = ("a path upwards", "a link", "a pickle called safetensors", "files over one another",
           "a flipped bit", "data of this machine", "a page of a server")


@pytest.mark.parametrize("verb", VERBS)
def test_a_hostile_bundle_is_refused_by_every_verb_alike(verb: str, call: Call) -> None:
    for what in REFUSED:
        build, code = HOSTILE[what]
        path = build(Path())
        before = everything_under(Path("..")) - {"cache"}
        status, out, err = call(VERBS[verb], str(path))
        assert status == 2 and f"error[{code}]" in err, what
        assert verb == "check" or not out, what
        assert all(p.startswith("cache") and not (Path("..") / p).is_file()
                   for p in everything_under(Path("..")) - before), what
        path.unlink()


def preprocessing(**changes: Any) -> dict[str, str]:
    """A change of preprocessing.json."""
    told = {"fields": FIELDS, "labels": {}, "scales": {}, "normalise": {}, "fitted": {}}
    return {"preprocessing__json": json.dumps(told | changes)}


def of_image(**changes: Any) -> dict[str, str]:
    return preprocessing(fields=FIELDS | {"image": FIELDS["image"] | changes})


def scale(*mean: Any) -> dict[str, Any]:
    return {"image": {"names": ["a"], "mean": mean, "deviation": mean, "units": [""]}}


def arrays(**shapes: tuple[int, ...]) -> dict[str, bytes]:
    return {"weights__safetensors": save({
        name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()})}


EIGHT_BITS = (b'{"dense_1.bias":{"dtype":"F8_E4M3","shape":[10],"data_offsets":[0,10]}}')

# Their hashes are right; what the files say is not.
DECEITFUL: dict[str, tuple[dict[str, Any], str]] = {
    "a list for a map": ({"preprocessing__json": "[]"}, "F0810"),
    "brackets by thousands": ({"preprocessing__json": "[" * 100_000}, "F0810"),
    "lists for names of classes": (preprocessing(labels={"label": [[1]] * 10}), "F0810"),
    "numbers for names of classes": (preprocessing(labels={"label": [1] * 10}), "F0810"),
    "no field that the model takes": (preprocessing(fields={}), "F0810"),
    "axes that are none": (of_image(axes=["a", "b", "c"]), "F0810"),
    "sizes that are none": (of_image(shape=["8", -8, 1]), "F0810"),
    "more sizes than axes": (of_image(shape=[8, 8, 1, 1]), "F0810"),
    "numbers of another kind": (of_image(dtype="object"), "F0810"),
    "a vocabulary of terabytes": (of_image(vocabulary=10**12), "F0810"),
    "means of other channels": (preprocessing(normalise=scale(1, 2, 3)), "F0810"),
    "a mean that is a list": (preprocessing(normalise=scale([1])), "F0810"),
    "a mean that is endless": (preprocessing(normalise=scale(float("inf"))), "F0810"),
    "a list for what was fitted": (preprocessing(fitted=[1]), "F0810"),
    "weights of another model": (arrays(dense_1__bias=(10,), x=(3,)), "F0806"),
    "weights of another shape": (arrays(dense_1__bias=(3,), dense_1__kernel=(64, 10)), "F0806"),
    "numbers of eight bits": ({"weights__safetensors": len(EIGHT_BITS).to_bytes(8, "little")
                               + EIGHT_BITS + bytes(10)}, "F0805"),
}


@pytest.mark.parametrize("what", DECEITFUL)
def test_a_bundle_whose_files_lie_is_told_from_one_of_whom_nobody_knows(
    what: str, call: Call,
) -> None:
    changes, code = DECEITFUL[what]
    zipped(Path("x.zip"), files(**changes))
    verbs = ["predict {} own.npy", "evaluate {}"]
    if code != "F0810":
        verbs += ["weights {}", "export {} --to torch -o out/y.pth"]
    for verb in verbs:
        status, out, err = call(verb, "x.zip")
        assert (status, out) == (2, "") and f"error[{code}]" in err
    assert call("plan {}", "x.zip")[0] == 0  # what it is can be seen all the same


def test_what_was_fitted_to_other_data_is_told(call: Call) -> None:
    spec = """\
flaxspec: 1
name: words
inputs: {text: {kind: tokens, vocabulary: 30, length: any}}
model: [{embed: 2}, {rnn: {units: 2, return: last}}, {dense: 2}]
data: {documents: data/x.csv, input: text, target: opinion, classes: [bad, good], vocabulary: 30}
task: classification
train: {epochs: 1, batch_size: 4, optimizer: {adam: 0.01}}
"""
    field = {"axes": ["time"], "shape": ["text"], "dtype": "int", "vocabulary": 30}
    zipped(Path("x.zip"), files(
        spec__yaml=spec, **preprocessing(fields={"text": field, "label": FIELDS["label"]}),
        **arrays(embed_1__embedding=(30, 2), rnn_1__kernel_0=(2, 2),
                 rnn_1__recurrent_kernel_0=(2, 2), rnn_1__bias_0=(2,), dense_1__kernel=(2, 2),
                 dense_1__bias=(2,))))
    Path("own.txt").write_text("hello\n")
    status, out, err = call("predict {} own.txt", "x.zip")
    assert status == 2 and "error[F0810]" in err and "F0810" in json.loads(out)["error"]


def test_names_of_classes_command_no_terminal(call: Call) -> None:
    zipped(Path("x.zip"), files(**preprocessing(labels={"label": ["\x1b[2J\u202ex"] * 10})))
    assert "\ufffd[2J\ufffdx" in call("evaluate {}", "x.zip")[1]


# --------------------------------------------------------------------- strangers' specs

HEAD = "flaxspec: 1\nname: x\ninputs: {image: {shape: [8, 8, 1]}}\n"
ALIASES = "\n".join(f"  {name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
                    for before, name in zip("abcdef", "bcdefg"))
SPECS: dict[str, tuple[str, str]] = {
    "a bomb of aliases": (f"{HEAD}let:\n  a: &a [1, 1]\n{ALIASES}\nmodel: [relu]\n", "F0114"),
    "brackets by thousands": (f"{HEAD}model: {'[' * 5000}\n", "F01"),
    "an endless loop": (
        f"{HEAD}model: [{{repeat: {{times: 1000000000, index: i, layers: [relu]}}}}]\n", "F0"),
    "a formula without end": (f"{HEAD}model: [flatten, {{dense: =9**9**9**9}}]\n", "F03"),
    "a path upwards": ("flaxspec: 1\nname: x\nextends: ../../x.yaml\n", "F0234"),
    "a link": ("flaxspec: 1\nname: x\nextends: link.yaml\n", "F0234"),
    "itself": ("flaxspec: 1\nname: x\nextends: x.yaml\n", "F0230"),
    "another version": ("flaxspec: 7\nname: x\nmodel: [relu]\n", "F0218"),
    "a command of a terminal": (f'{HEAD}summary: "\\e[2J"\nmodel: [relu]\n', "F0105"),
    "a tag of Python": (f"{HEAD}model: !!python/object/apply:os.system ['touch ran']\n", "F01"),
}


@pytest.mark.parametrize("what", SPECS)
def test_a_hostile_spec_is_refused_by_every_verb_that_reads_specs(what: str, call: Call) -> None:
    text, code = SPECS[what]
    Path("x.yaml").write_text(text)
    Path("link.yaml").symlink_to("/etc/passwd")
    before = everything_under(Path())
    # What is resolved is not yet compiled: that verb shows what is well written, however endless.
    reading = [verb for name, verb in READING.items() if name != "origins"]
    for verb in (*reading, "weights {} own.npy", "export {} --to onnx -o out/x.onnx",
                 "compile-and-train {} --out out/run", "sweep {}"):
        status, out, err = call(verb, "x.yaml")
        assert status == 2 and f"error[{code}" in err, f"{verb}: {err}"
        assert verb == "check {}" or not out, verb
    assert call("fmt {}", "x.yaml")[0] in (0, 2)
    assert everything_under(Path()) == before


class Runs:
    """What a pickle of it does when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('ran', 'w').close()",)


def test_a_pickle_that_runs_something_runs_nothing_in_any_verb(call: Call) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"dense_1.bias": Runs()}, 2))
        archive.writestr("x/version", "3\n")
    Path("x.pth").write_bytes(data.getvalue())
    Path("x.yaml").write_text(SPEC.replace("train: {", "train: {from: x.pth, "))
    Path("y.yaml").write_text(
        f"{HEAD}use: {{own: {{spec: own.yaml, weights: x.pth}}}}\nmodel: [own.model]\n")
    for verb, name in (("weights {} x.pth", "own.yaml"), ("weights own.yaml {}", "x.pth"),
                       ("export own.yaml --to torch -o out/y.pth --weights {}", "x.pth"),
                       ("export {} --to safetensors -o out/y.safetensors", "y.yaml"),
                       ("compile-and-train {} --out out/run --quiet", "x.yaml")):
        status, _, err = call(verb, name)
        assert status == 2 and "error[F0880]" in err, f"{verb}: {err}"
    assert not Path("ran").exists()
