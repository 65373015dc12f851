"""A finished run is packed, given away and taken up again as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundles import files, manifest, unpacked, zipped

from compiler.diagnostics import Report, SpecError
from compiler.parse import parse, read_source
from runtime import saved
from runtime.run import prepare
from runtime.share.card import interval
from runtime.share.opening import opened
from runtime.share.pack import packed
from runtime.share.portable import portable
from runtime.share.reproduce import Claim, Finding, Verdict, claim_of, near, prepared_of

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAXSPEC_CACHE", str(tmp_path / "cache"))


def test_a_run_is_packed_pulled_and_says_what_it_said(flaxspec: Run, finished: Path) -> None:
    status, out, _ = flaxspec("pack", finished, "--licence", "apache-2.0")
    assert status == 0 and "small.flaxspec.zip" in out and "licence     apache-2.0" in out
    sha256 = re.search(r"sha256 +([0-9a-f]{64})", out)[1]
    assert flaxspec("pull", f"small.flaxspec.zip#sha256={sha256}", "-o", "mine")[0] == 0
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    said = saved.load(finished).predict(images)
    assert saved.load("small.flaxspec.zip").predict(images) == said
    assert saved.load("mine").predict(images) == said


def test_packing_twice_gives_the_same_bytes(flaxspec: Run, finished: Path) -> None:
    flaxspec("pack", finished, "-o", "a.zip")
    flaxspec("pack", finished, "-o", "b.zip")
    flaxspec("pull", "a.zip", "-o", "mine")
    flaxspec("pack", "mine", "-o", "c.zip")
    a, b, c = (Path(name).read_bytes() for name in ("a.zip", "b.zip", "c.zip"))
    assert a == b == c


def test_a_bundle_stands_for_its_spec(flaxspec: Run, finished: Path) -> None:
    flaxspec("pack", finished)
    assert flaxspec("check", "small.flaxspec.zip")[:2] == (0, "small.flaxspec.zip: no problems\n")
    network = json.loads(flaxspec("hash", "small.flaxspec.zip", "--json")[1])["network"]
    told = opened("small.flaxspec.zip").manifest.about
    assert told["network"] == network and told["figures"]["parameters"] == 1810
    assert "epochs: 3" in flaxspec("explain", "small.flaxspec.zip", "--stage", "resolved")[1]
    Path("mine.yaml").write_text(
        "flaxspec: 1\nname: mine\nextends: {bundle: small.flaxspec.zip}\ntrain: {epochs: 9}\n")
    assert "epochs: 9" in flaxspec("explain", "mine.yaml", "--stage", "resolved")[1]


def test_a_spec_elsewhere_names_no_bundle_above_it(flaxspec: Run, finished: Path) -> None:
    flaxspec("pack", finished)
    Path("sub").mkdir()
    Path("sub/mine.yaml").write_text(
        "flaxspec: 1\nname: mine\nextends: {bundle: ../small.flaxspec.zip}\n")
    status, _, err = flaxspec("check", "sub/mine.yaml")
    assert status == 2 and "error[F0234]" in err


def test_the_card_tells_what_was_measured(flaxspec: Run, finished: Path) -> None:
    flaxspec("pack", finished, "--data-licence", "mine")
    folder = opened("small.flaxspec.zip").folder
    card = (folder / "README.md").read_text(encoding="utf-8")
    score = json.loads((folder / "summary.json").read_text())["test"]["accuracy"]
    assert f"| **accuracy** | {100 * score:.2f} %" in card
    assert "test, 360 examples" in card and "95 % interval" in card
    assert "A small network on \\<digits\\>." in card
    assert "| licence of the data | mine |" in card
    assert opened("small.flaxspec.zip").manifest.about["network"] in card
    assert "![drawing of small](architecture.svg)" in card
    assert (folder / "architecture.svg").read_text().count("<svg ") == 1
    head = parse_yaml_head(card, folder)
    assert head["library_name"] == "flaxspec"
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert {"type": "accuracy", "value": score, "name": "accuracy on test"} in metrics


def parse_yaml_head(card: str, folder: Path) -> dict:
    from compiler.source import Source
    from compiler.tree import plain

    return plain(parse(Source("card", card.split("---\n")[1]), Report()))


def test_the_interval_is_wilsons() -> None:
    low, high = interval(0.9, 100)
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)
    assert interval(1.0, 10)[1] == 1.0 and interval(0.0, 10)[0] == 0.0


RECIPE = """\
flaxspec: 1
name: words
inputs: {text: {kind: tokens, vocabulary: 300, length: any}}
model: [{embed: 8}, {lstm: {units: 8, return: last}}, {dense: 2}]
data:
  documents: %s/private/reviews.csv
  input: text
  target: opinion
  classes: [bad, good]
  vocabulary: 300
  tokens: {byte_pairs: %s/private/tokenizer.json}
task: classification
train:
  epochs: 1
  batch_size: 4
  optimizer: {adam: 0.01}
  log: [{wandb: {entity: somebody, mode: offline}}]
"""


def test_a_packed_spec_names_nothing_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    path.write_text(RECIPE.replace("%s", str(tmp_path)))
    given = portable(prepare(path, Report()).program)
    from compiler.targets.canonical import canonical_text

    text = canonical_text(given.program)
    assert str(tmp_path) not in text and "wandb" not in text
    assert "documents: data/reviews.csv" in text
    assert given.carried == {"data/tokenizer.json": tmp_path / "private/tokenizer.json"}
    assert given.wanted == {"data.documents": "data/reviews.csv"}


def test_the_authors_own_text_goes_along_where_it_names_no_place(
    flaxspec: Run, copied: Callable[..., Path],
) -> None:
    folder = copied()
    flaxspec("pack", folder, "-o", "a.zip")
    assert "written.yaml" in opened("a.zip").manifest.files
    written = folder / "written.yaml"
    written.write_text(written.read_text() + "# at /home/somebody\nfacts: {x: ~/secret}\n")
    flaxspec("pack", folder, "-o", "b.zip")
    assert "written.yaml" not in opened("b.zip").manifest.files


def test_a_run_without_scores_is_not_packed(flaxspec: Run, copied: Callable[..., Path]) -> None:
    folder = copied()
    (folder / "summary.json").unlink()
    status, _, err = flaxspec("pack", folder)
    assert status == 2 and "error[F0861]" in err


def test_pack_and_pull_write_over_nothing(flaxspec: Run, finished: Path) -> None:
    Path("x.zip").write_text("precious")
    assert "error[F0807]" in flaxspec("pack", finished, "-o", "x.zip")[2]
    flaxspec("pack", finished)
    Path("small").mkdir()
    Path("small/file").write_text("precious")
    assert "error[F0801]" in flaxspec("pull", "small.flaxspec.zip")[2]
    assert Path("x.zip").read_text() == Path("small/file").read_text() == "precious"


# ------------------------------------------------------------------------- reproduce


@pytest.mark.slow
def test_a_recipe_is_reproduced_and_a_false_claim_is_told(flaxspec: Run, finished: Path) -> None:
    flaxspec("pack", finished)
    status, out, _ = flaxspec("reproduce", "small.flaxspec.zip", "--json")
    told = json.loads(out)
    assert status == 0 and told["weights_hold"] and told["recipe_holds"]
    folder = opened("small.flaxspec.zip").folder
    content = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
               if p.is_file() and p.name != "manifest.json"}
    about = opened("small.flaxspec.zip").manifest.about
    claim = about["score"] | {"figures": {"accuracy": 0.999}}
    boast = zipped(Path("boast.zip"), content, manifest(content, **{**about, "score": claim}))
    status, out, _ = flaxspec("reproduce", boast)
    assert status == 1
    assert "they do not score as claimed" in out and "it does not lead there" in out


def test_a_score_holds_within_a_part_of_the_claim() -> None:
    assert near(0.9, 0.9, 0) and near(0.9, 0.89, 0.02) and not near(0.9, 0.88, 0.02)
    assert not near(0.9, None, 0.02) and not near(0.9, float("nan"), 0.5)
    assert near(0.0, 0.0, 0.02) and not near(0.0, 0.01, 0.02)


def test_weights_and_recipe_are_judged_apart() -> None:
    claim = Claim("accuracy", "test", {"accuracy": 0.9}, 360)
    verdict = Verdict(claim, [Finding("accuracy", 0.9, 0.9, 0.5, True)], 0.02, Path("runs/x"))
    assert verdict.weights_hold and not verdict.recipe_holds


@pytest.mark.parametrize("score", [
    None, {}, {"metric": "accuracy", "part": "test", "figures": {}},
    {"metric": "accuracy", "part": "train", "figures": {"accuracy": 0.9}},
    {"metric": "accuracy", "part": "test", "figures": {"accuracy": "0.9"}},
    {"metric": ["accuracy"], "part": "test", "figures": {"accuracy": 0.9}}])
def test_a_bundle_that_claims_nothing_is_told(score: object, tmp_path: Path) -> None:
    content = files()
    folder = unpacked(tmp_path / "x", content, manifest(content, score=score))
    with pytest.raises(SpecError) as stop:
        claim_of(opened(str(folder)))
    assert stop.value.diagnostics[0].code == "F0862"


def test_only_the_places_of_files_may_be_set(tmp_path: Path) -> None:
    content = files()
    told = manifest(content, wanted={"data.images": "data/pets"})
    bundle = opened(str(unpacked(tmp_path / "x", content, told)))
    for assignments, code in ((["train.epochs=9"], "F0219"), ([], "F0862")):
        with pytest.raises(SpecError) as stop:
            prepared_of(bundle, assignments)
        assert stop.value.diagnostics[0].code == code


def test_packing_an_unpacked_bundle_checks_it(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "x", files())
    (folder / "README.md").write_text("# other\n")
    with pytest.raises(SpecError) as stop:
        with packed(folder):
            pass
    assert stop.value.diagnostics[0].code == "F0855"
    assert read_source(folder / "spec.yaml").home.sealed
