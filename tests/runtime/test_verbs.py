"""`flaxspec evaluate`, `predict` and `runs`, as a user meets them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from compiler.diagnostics import SpecError
from compiler.types import TensorType
from runtime.cli import main as cli
from runtime.cli.drawings import file_stem
from runtime.data.dataset import Part, Scale
from runtime.inputs import Form, as_series, as_text, gather, kind_of
from runtime.tasks.classification import Classification
from runtime.tasks.drawing import Drawing
from runtime.tasks.task import Task


class Told(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Told]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Run:
    """Run `flaxspec` with arguments in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: str = "") -> Told:
        monkeypatch.setattr(sys, "argv", ["flaxspec", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Told(stop.value.code, captured.out, captured.err)

    return run


# ---------------------------------------------------------------------------- evaluate


def test_evaluating_tells_the_scores_of_the_summary(run: Run, finished: Path) -> None:
    status, out, err = run("evaluate", finished, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    expected = json.loads((finished / "summary.json").read_text())["test"]
    assert told["figures"] == pytest.approx(expected) and told["examples"] == 360
    assert len(told["classes"]) == 10


def test_another_part_can_be_evaluated(run: Run, finished: Path) -> None:
    status, out, _ = run("evaluate", finished, "--part", "validation")
    assert status == 0 and "180 examples of validation part" in out and "class" in out


def test_other_data_needs_targets(run: Run, finished: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 1)))
    status, _, err = run("evaluate", finished, "--data", tmp_path / "x.npy")
    assert status == 2 and "error[F0630]" in err and "has no array `image`" in err


def test_other_data_is_scored(run: Run, finished: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((3, 8, 8, 1))
    np.savez(tmp_path / "x.npz", image=image, label=[1, 2, 3])
    status, out, err = run("evaluate", finished, "--data", tmp_path / "x.npz", "--json")
    told = json.loads(out)
    assert (status, err, told["examples"]) == (0, "", 3)
    assert np.sum(told["confusion"]) == 3 and set(told["figures"]) >= {"loss", "accuracy"}


# ----------------------------------------------------------------------------- predict


def test_each_input_gets_a_line_of_json(run: Run, finished: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 8, 8, 1)))
    status, out, err = run("predict", finished, tmp_path / "x.npy", "--top", 2)
    assert (status, err) == (0, "")
    told = [json.loads(line) for line in out.splitlines()]
    assert [t["input"] for t in told] == [f"{tmp_path / 'x.npy'}:{i}" for i in range(3)]
    assert all(len(t["probabilities"]) == 2 and t["label"] in t["probabilities"] for t in told)


def test_standard_input_is_read(run: Run, finished: Path) -> None:
    line = json.dumps({"image": np.zeros((8, 8, 1)).tolist()})
    status, out, _ = run("predict", finished, "-", stdin=f"{line}\n{line}\n")
    assert status == 0 and len(out.splitlines()) == 2


@pytest.mark.parametrize("arguments, stdin, code", [
    (["nowhere.npy"], "", "F0630"),
    (["-"], "", "F0631"),
    (["-", "nowhere.npy"], "[[1]]", "F0630"),
])
def test_what_is_not_there_ends_predicting_before_it_begins(
    run: Run, finished: Path, arguments: list[str], stdin: str, code: str,
) -> None:
    status, out, err = run("predict", finished, *arguments, stdin=stdin)
    assert status == 2 and out == "" and f"error[{code}]" in err and "Traceback" not in err


@pytest.mark.parametrize("wrong, code", [
    ("[1,", "F0630"), ("[" * 50000, "F0630"), (f"[{'1' * 5000}]", "F0630"), ("[[1, 2]]", "F0811"),
    (json.dumps(np.full((8, 8, 1), np.nan).tolist()), "F0811"), ('{"picture": [1]}', "F0811"),
    ("seven", "F0630")])
def test_an_input_that_cannot_be_read_has_an_error_and_the_others_are_predicted(
    run: Run, finished: Path, wrong: str, code: str,
) -> None:
    line = json.dumps(np.zeros((8, 8, 1)).tolist())
    status, out, err = run("predict", finished, "-", stdin=f"{line}\n{wrong}\n{line}\n")
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 2 and f"error[{code}]" in err and "Traceback" not in err
    second = "seven" if wrong == "seven" else "standard input:2"  # a line is a path
    assert [t["input"] for t in told] == ["standard input:1", second, "standard input:3"]
    assert "label" in told[0] and "label" in told[2] and told[0]["label"] == told[2]["label"]
    assert set(told[1]) == {"input", "error"} and told[1]["error"].startswith(f"{code}: ")
    assert second in err and "1 of 3 inputs could not be read" in err


def test_arrays_and_pictures_are_predicted_together_each_as_it_is_read(
    run: Run, finished: Path, tmp_path: Path,
) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("L", (8, 8), 99).save(tmp_path / "b.png")
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 8, 1)))
    files = [tmp_path / "b.png", tmp_path / "a.npy", tmp_path / "b.png"]
    alone = [run("predict", finished, file).out for file in files]
    assert run("predict", finished, *files) == (0, "".join(alone), "")


def test_a_name_that_is_no_utf_8_is_written_with_an_escape(
    run: Run, finished: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.cli.predict.predicted", lambda trained, inputs, batch, draw: [
        ("pic\udcff.png", {"label": "é"}, None) for _ in inputs])
    status, out, err = run("predict", finished, "-", stdin="[1]\n")
    assert (status, err) == (0, "") and '"é"' in out
    assert json.loads(out)["input"] == "pic\udcff.png"


class Painted(Classification):
    """A classification that draws every input but the second."""

    def drawings(self, trained: Any, part: Part, said: Any) -> Iterator[Drawing | None]:
        for i, told in enumerate(said):
            yield None if i == 1 else Drawing(".txt", told["label"].encode())


def test_drawings_are_files_of_their_own_and_nothing_is_written_over(
    run: Run, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Classification, "drawings", Painted.drawings)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", np.zeros((2, 8, 8, 1)))
    call = ("predict", finished, "a/x.npy", "b", "--draw", "new/folder")
    status, out, err = run(*call)
    told = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [t["drawing"] and Path(t["drawing"]).name for t in told] == [
        "x-0.txt", None, "x-0-2.txt", "x-1.txt"]
    assert all(Path(t["drawing"]).read_text() == t["label"] for t in told if t["drawing"])
    status, out, err = run(*call)
    assert status == 2 and out == "" and "error[F0807]" in err and "--force" in err
    assert run(*call, "--force").status == 0
    assert run(*call[:-1], "a/x.npy/in").err.count("error[F0841]") == 1


def test_a_task_that_draws_nothing_says_so_before_anything_is_printed(
    run: Run, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Classification, "drawings", Task.drawings)
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 1)))
    status, out, err = run("predict", finished, "x.npy", "--draw", "d")
    assert status == 2 and out == "" and "error[F0690]: classification draws nothing" in err


@pytest.mark.parametrize("name, stem", [
    ("photos/cat.jpg", "cat"), ("digits.npy:3", "digits-3"), ("../../etc/passwd", "passwd"),
    ("..", "input"), ("C:\\x\\y z.png", "y-z"), ("a.csv:Zürich/1", "1"), ("-", "input"),
    ("standard input:7", "standard-input-7"), ("p\udcff\0.png", "p"), ("x" * 500, "x" * 80),
    ("model-1.25", "model-1.25"),
])
def test_names_of_drawings_are_safe_on_every_system(name: str, stem: str) -> None:
    assert file_stem(name) == stem


def test_files_that_are_no_arrays_are_told_and_passed_over(
    run: Run, finished: Path, tmp_path: Path,
) -> None:
    np.save(tmp_path / "good.npy", np.zeros((1, 8, 8, 1)))
    np.savez(tmp_path / "good.npz", image=np.zeros((2, 8, 8, 1)), other=np.zeros(5))
    (tmp_path / "bad.npy").write_bytes(b"")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    status, out, err = run("predict", finished, *sorted(tmp_path.glob("*.np?")))
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 2 and err.count("error[F06") == 2
    assert ["error" in t for t in told] == [True, True, False, False, False]


def test_a_run_with_a_figure_that_is_no_number_and_a_spoilt_history_is_listed(
    run: Run, copied: Callable[..., Path],
) -> None:
    folder = copied("odd", test={"accuracy": float("nan")})
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff")
    status, out, _ = run("runs", "--json", "--in", folder.parent)
    (told,) = json.loads(out, parse_constant=pytest.fail)
    assert status == 0 and told["test"] == {"accuracy": None}


@pytest.mark.parametrize("verb", [["evaluate"], ["predict"]])
def test_what_is_no_run_is_a_diagnostic(run: Run, tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "x.npy").write_bytes(b"")
    rest = ["x.npy"] if verb == ["predict"] else []
    status, _, err = run(*verb, tmp_path / "nothing", *rest)
    assert status == 2 and "error[F0810]" in err


# -------------------------------------------------------------------------------- runs


def test_runs_are_listed_with_their_scores(run: Run, copied: Callable[..., Path]) -> None:
    copied("first", test={"loss": 0.5, "accuracy": 0.75})
    (copied("second") / "summary.json").unlink()
    copied("third", test={}, validation={"loss": 0.25, "accuracy": 0.875})
    status, out, _ = run("runs")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ["run", "score", "loss", "params", "epochs", "time"]
    assert any("first" in line and "accuracy 75.00 %" in line and "0.5" in line for line in lines)
    assert any("second" in line and "unfinished" in line for line in lines)
    assert any("third" in line and "accuracy 87.50 %, validation" in line for line in lines)
    assert "validation accuracy" in run("runs", "first", "third").out


def test_comparing_shows_what_differs_and_nothing_else(
    run: Run, copied: Callable[..., Path],
) -> None:
    copied("one")
    other = copied("two", test={"loss": 9.0})
    spec = (other / "spec.yaml").read_text().replace("epochs: 3", "epochs: 5")
    (other / "spec.yaml").write_text(spec)
    told = json.loads(run("runs", "one", "two", "--json").out)
    assert told["differences"] == {"train.epochs": [3, 5]}
    out = run("runs", "one", "two").out
    assert "train.epochs" in out and "batch_size" not in out and "test accuracy" in out


def test_other_models_and_data_are_told_in_short_on_a_screen_of_80_columns(
    run: Run, copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.cli.runs.width", lambda: 80)
    copied("one")
    other = copied("two", test={"loss": 9.0})
    spec = (other / "spec.yaml").read_text()
    assert "- relu" in spec and "adam: 0.01" in spec
    spec = spec.replace("- relu", "- tanh").replace("adam: 0.01", "adam: 0.5")
    (other / "spec.yaml").write_text(spec)
    lines = run("runs", "one", "two").out.splitlines()
    assert max(map(len, lines)) <= 80
    (model,) = [line for line in lines if line.startswith("model")]
    assert "flatten, dense, relu" in model and "flatten, dense, tanh" in model
    (rate,) = [line for line in lines if line.startswith("train.optimizer.adam")]
    assert rate.split()[-2:] == ["0.01", "0.5"]


def test_a_spec_of_a_run_that_is_no_text_any_more_is_a_diagnostic(
    run: Run, copied: Callable[..., Path],
) -> None:
    copied("one")
    spoilt = copied("two") / "spec.yaml"
    spoilt.write_bytes(spoilt.read_bytes() + b"# \xff\n")
    status, _, err = run("runs", "one", "two")
    assert status == 2 and "error[F0104]" in err and "two/spec.yaml" in err


def test_no_runs_and_no_run_of_that_name_are_diagnostics(run: Run) -> None:
    assert "error[F0810]" in run("runs").err
    status, _, err = run("runs", "one", "two")
    assert status == 2 and "error[F0810]" in err


# ------------------------------------------------------------------------ reading files

IMAGE = TensorType(("height", "width", "channels"), (8, 8, 1))
TEXT = TensorType(("time",), ("text",), "int", 50)
SERIES = TensorType(("time", "channels"), (3, 2))
ROW = TensorType(("channels",), (4,))


@pytest.mark.parametrize("kind, expected", [
    (IMAGE, "file"), (TEXT, "text"), (SERIES, "series"), (ROW, "row")])
def test_what_the_model_takes_says_how_files_are_read(kind: TensorType, expected: str) -> None:
    assert kind_of({"x": kind}) == expected


def test_files_are_read_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "b.txt").write_text("one\n\ntwo\n")
    (tmp_path / "c").mkdir()
    for name in ("2.png", "1.png", ".hidden.png", "notes.txt"):
        (tmp_path / "c" / name).write_bytes(b"")

    def values(name: str, kind: str) -> list:
        form = Form(kind, (".png",))  # type: ignore[arg-type]
        return [named.value for named in gather([str(tmp_path / name)], form, io.StringIO())]

    assert values("a.csv", "row") == [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]
    assert len(values("a.csv", "series")) == 1
    assert values("b.txt", "text") == ["one", "two"]
    assert values("c", "file") == [str(tmp_path / "c" / n) for n in ("1.png", "2.png")]
    with pytest.raises(SpecError, match="F0631"):
        (tmp_path / "empty").mkdir()
        values("empty", "file")


def test_within_a_text_only_a_line_feed_ends_a_line() -> None:
    found = gather(["-"], Form("text"), io.StringIO('one\u2028two\n\n{"text": "a\x85b\x0c"}'))
    assert [named.value for named in found[:1]] == ["one\u2028two"]
    assert [named.name for named in found] == ["standard input:1", "standard input:3"]


@pytest.mark.parametrize("path, stdin, said", [
    ("what a text " * 99, b"", "there is no file or folder `what a text what"),
    ("a\0b", b"", "there is no file or folder"),
    ("-", b"caf\xe9", "standard input is not UTF-8"),
])
def test_a_text_in_the_place_of_a_file_and_what_is_no_text_are_diagnostics(
    path: str, stdin: bytes, said: str,
) -> None:
    with pytest.raises(SpecError, match="F0630") as caught:
        gather([path], Form("text"), io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
    assert said in caught.value.diagnostics[0].headline
    assert len(caught.value.diagnostics[0].headline) < 120


def test_a_table_with_a_row_of_another_length_is_a_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n")
    (found,) = gather([str(tmp_path / "a.csv")], Form("row"), io.StringIO())
    assert found.value is None and "a row has 1 cells, not 2" in str(found.error)
    assert "a.csv:3" in str(found.error)


def test_the_series_of_a_table_are_inputs_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("town,load\nA,1\nB,2\nA,3\n")
    found = gather([str(tmp_path / "a.csv")], Form("series", key="town"), io.StringIO())
    assert [(named.name.rpartition(":")[2], len(named.value)) for named in found] == [
        ("A", 2), ("B", 1)]


def test_the_text_of_a_row_is_its_column() -> None:
    assert as_text({"text": "a", "label": "b"}, "words") == "a"
    assert as_text({"words": "a", "label": "b"}, "words") == "a"
    assert as_text("plain", "words") == "plain"
    with pytest.raises(SpecError, match="F0632"):
        as_text({"a": "1", "b": "2"}, "words")


def test_a_series_is_its_last_rows_in_the_models_units() -> None:
    scale = Scale(("a", "b"), np.array([1.0, 0.0]), np.array([2.0, 1.0]))
    rows = [{"a": str(i), "b": "5", "c": "x"} for i in range(6)]
    assert as_series(rows, scale, 3, "t").tolist() == [[1.0, 5.0], [1.5, 5.0], [2.0, 5.0]]
    for spoilt, code in ((rows[:2], "F0811"), ([{"a": "1"}] * 3, "F0632"),
                         ([{"a": "1", "b": "?"}] * 3, "F0633"),
                         ([{"a": "1", "b": "nan"}] * 3, "F0633"),
                         ([{"a": "1", "b": 10**400}] * 3, "F0633"),
                         ([[1, 2], [1, 2], {"a": "1", "b": "2"}], "F0633")):
        with pytest.raises(SpecError, match=code):
            as_series(spoilt, scale, 3, "t")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_arrays_with_channels_in_front_are_read_as_those_that_were_trained_on(
    tmp_path: Path, name: str,
) -> None:
    front = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.save(tmp_path / "a.npy", front)
    np.savez(tmp_path / "a.npz", image=front)
    form = Form("file", arrays={"image": ("image",)}, first=frozenset({"image"}))
    found = gather([str(tmp_path / name)], form, io.StringIO())
    values = [one.value["image"] if name == "a.npz" else one.value for one in found]
    np.testing.assert_array_equal(np.stack(values), front.transpose(0, 2, 3, 1))


def test_a_score_that_is_no_number_is_null_in_json_and_a_dash_to_people(
    run: Run, copied: Callable[..., Path],
) -> None:
    from runtime.folder import write_summary
    from runtime.report.listener import Result

    folder = copied("one")
    summary = json.loads((folder / "summary.json").read_text())
    summary["test"]["accuracy"] = float("nan")
    write_summary(folder, summary)
    told = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    assert told["test"]["accuracy"] is None
    assert np.isnan(Result.of_json(told).test["accuracy"])
    assert "accuracy –" in run("runs").out
