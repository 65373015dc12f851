"""Style transfer: pixels that are learned, a network that paints, and pictures that come out."""

import json
from pathlib import Path

import numpy as np
import pytest

from compiler.diagnostics import Report
from runtime.data.landscapes import Landscapes
from runtime.data.textures import KINDS, Textures, texture
from runtime.execution import execute
from runtime.report.png import png
from runtime.run import prepare
from runtime.saved import load

RECIPES = Path(__file__).resolve().parents[2] / "specs" / "recipes"
SMALL = ("data.size=16", "params.image=[16, 16, 3]", "data.repeat=1",
         "use.features.with.widths=[4, 4, 8]")


def losses(folder):
    """The loss of each epoch."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [event["train"]["loss"] for event in map(json.loads, lines) if "train" in event]


def run(folder, recipe, *assignments):
    folder.mkdir()
    execute(prepare(RECIPES / recipe, Report(), assignments=assignments), folder, "test")
    return folder


def test_pixels_learn_the_style_and_come_out_as_a_picture(tmp_path, monkeypatch, capsys):
    from runtime.cli.predict import predict

    folder = run(tmp_path / "gatys", "style-gatys.yaml", *SMALL, "train.epochs=60")
    told = losses(folder)
    assert told[-1] < 0.3 * told[0]
    trained = load(folder)
    assert list(trained.wanted) == ["content"]  # the style was for the losses
    content = trained.training.data.load().train.arrays["content"]
    learned = np.array(trained.predict(content)[0]["picture"])
    assert learned.shape == (16, 16, 3) and np.abs(learned - content[0]).max() > 0.05
    monkeypatch.chdir(tmp_path)
    Path("content.png").write_bytes(png(np.round(content[0] * 255).astype(np.uint8)))
    assert predict(str(folder), ["content.png"], batch_size=8, top=None, draw=Path("drawn"),
                   force=False) == 0
    assert Path("drawn/content.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()


@pytest.mark.slow
def test_a_network_learns_to_paint_any_picture(tmp_path):
    folder = run(tmp_path / "johnson", "style-johnson.yaml", *SMALL, "data.count=8",
                 "params.width=4", "params.blocks=1", "train.epochs=20")
    told = losses(folder)
    assert told[-1] < 0.5 * told[0]
    new = Landscapes(dataset="landscapes", size=16, count=2, seed=9).load().train
    painted = load(folder).predict(new.arrays["content"])
    assert np.array(painted[1]["picture"]).shape == (16, 16, 3)


@pytest.mark.scores
def test_with_a_trained_classifier_the_loss_falls_to_a_twentieth_in_300_steps(tmp_path):
    features = run(tmp_path / "textures", "textures-vgg.yaml")
    folder = run(tmp_path / "gatys", "style-gatys.yaml", "data.repeat=1", "train.epochs=300",
                 f"use.features.weights={features / 'weights.safetensors'}")
    told = losses(folder)
    assert len(told) == 300 and told[-1] < 0.05 * told[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_texture_is_a_picture_with_two_colours_in_it(kind):
    found = texture(kind, 24, np.random.default_rng(0))
    assert found.shape == (24, 24, 3) and found.min() >= 0 and found.max() <= 1
    assert np.ptp(found, axis=(0, 1)).max() > 0.3


def test_data_from_a_seed_is_the_same_every_time_and_no_picture_twice():
    first, again = (Textures(dataset="textures", size=8, count=32, seed=3).load().train
                    for _ in range(2))
    assert np.array_equal(first.arrays["image"], again.arrays["image"])
    places = Landscapes(dataset="landscapes", size=16, count=5, repeat=2).load().train
    content = places.arrays["content"]
    assert len(content) == 10 and len(np.unique(content.reshape(10, -1), axis=0)) == 5
    assert (places.arrays["style"] == places.arrays["style"][0]).all()


def test_pictures_and_a_style_are_read_from_files(tmp_path):
    from runtime.data.style_files import StyleFiles

    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in ("photos/a", "photos/b", "style"):
        (tmp_path / f"{name}.png").write_bytes(png(draw.integers(0, 255, (9, 12, 3), np.uint8)))
    source = StyleFiles(content=str(tmp_path / "photos"), style=str(tmp_path / "style.png"),
                        size=8, repeat=2)
    part = source.load().train
    assert part.arrays["content"].shape == part.arrays["style"].shape == (4, 8, 8, 3)
    assert (part.arrays["style"] == part.arrays["style"][:1]).all()
    one = source.model_copy(update={"content": str(tmp_path / "photos" / "a.png")}).load().train
    assert one.size == 2
