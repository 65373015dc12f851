"""`flaxspec probe`: what textbooks say of networks, found where it was planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report
from compiler.lower.build import build_model
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import make_plan
from runtime.probing import Subject, activity, backward, effective_field
from runtime.random_inputs import random_input
from runtime.step import PureModel

HEAD = "flaxspec: 1\ninputs: {x: {axes: [time, channels], shape: [12, 4]}}\nmodel:\n"
WORDS = "flaxspec: 1\ninputs: {x: {kind: tokens, vocabulary: 9, length: 12}}\nmodel:\n"
IMAGE = "flaxspec: 1\ninputs: {x: {shape: [15, 15, 2]}}\nmodel:\n"


def subject(folder: Path, text: str, lengths: list[int] | None = None, **planted) -> Subject:
    """A model with fresh weights, some of them changed: by path a function of the array."""
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    graph = graph_of(make_program(Request(str(folder / "spec.yaml")), Report()), Report())
    model = build_model(graph, seed=0)
    model.eval()
    pure, params, rest = PureModel.split(model, {})
    for path, change in planted.items():
        name = path.replace("__", ".")
        params[name] = jnp.asarray(change(np.asarray(params[name])), jnp.float32)
    rng = np.random.default_rng(0)
    arrays = {v.name: random_input(v.type, 12, 6, rng) for v in graph.inputs}
    given = {} if lengths is None else {"x": np.array(lengths)}
    key = jax.random.key(0)
    return Subject("planted", graph, make_plan(graph), lambda arrays, watch: pure.merge(
        params, rest).run(arrays, given, training=False, key=key, watch=watch), arrays, given)


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
def test_a_linear_recurrence_multiplies_the_gradient_with_its_radius(
        tmp_path: Path, radius: float) -> None:
    text = HEAD + "  - rnn: {units: 6, activation: relu, return: last}\n"
    # A large bias keeps the rectifiers open, so that the layer is linear.
    found = backward(subject(
        tmp_path, text, rnn_1__recurrent_kernel_0=lambda a: radius * np.eye(len(a)),
        rnn_1__bias_0=lambda a: np.full_like(a, 1e6)))
    assert found is not None and found.factor == pytest.approx(radius, rel=1e-4)
    assert len(found.norms) == 12


def test_a_step_is_counted_from_the_end_of_its_row(tmp_path: Path) -> None:
    text = HEAD + "  - rnn: {units: 6, return: last}\n"
    found = backward(subject(tmp_path, text, lengths=[3, 3, 3, 3, 3, 3]))
    assert found is not None and len(found.norms) == 3 and (found.norms > 0).all()


def test_a_convolution_over_time_sees_no_further_than_its_window(tmp_path: Path) -> None:
    text = HEAD + "  - conv: {filters: 5, kernel: 5}\n  - select: {axis: time, index: 11}\n"
    found = backward(subject(tmp_path, text))
    assert found is not None
    assert (found.norms[:3] > 0).all() and (found.norms[3:] == 0).all()


def test_words_are_taken_as_their_vectors(tmp_path: Path) -> None:
    found = backward(subject(tmp_path, WORDS + "  - embed: 3\n  - gru: {units: 4, return: last}\n"))
    assert found is not None and found.norms[0] > found.norms[-1] > 0


def test_what_a_place_can_see_is_where_its_gradient_is(tmp_path: Path) -> None:
    text = IMAGE + ("  - conv: {filters: 8, kernel: 3}\n  - conv: {filters: 8, kernel: [5, 3]}\n"
                    "  - global_average_pool\n")
    found = effective_field(subject(tmp_path, text))
    assert found is not None and found.layer == "conv_2" and found.reach == (7, 5)
    rows, columns = np.nonzero(found.map)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (7, 5)
    assert 1 < found.effective <= 35 ** 0.5


def test_a_model_without_windows_or_sequences_has_neither(tmp_path: Path) -> None:
    text = "flaxspec: 1\ninputs: {x: {shape: [4]}}\nmodel: [dense: 3]\n"
    found = subject(tmp_path, text)
    assert backward(found) is None and effective_field(found) is None
    assert activity(found) == ([], [])


def test_dead_units_and_saturated_states_are_found(tmp_path: Path) -> None:
    text = IMAGE + ("  - conv: {filters: 8, kernel: 3}\n  - relu\n"
                    "  - conv: {filters: 4, kernel: 1}\n  - tanh\n")
    dead, saturated = activity(subject(
        tmp_path, text, conv_1__bias=lambda a: np.where(np.arange(8) < 3, -1e3, 0.0),
        conv_2__bias=lambda a: np.array([1e3, 0, 0, 0])))
    assert [(s.layer, s.share, s.count) for s in dead] == [("relu_1", pytest.approx(3 / 8), 8)]
    assert saturated[0].layer == "tanh_1" and 0.25 <= saturated[0].share < 0.6


@pytest.mark.parametrize("json_wanted", [True, False])
def test_several_models_stand_side_by_side(
        flaxspec: Callable[..., tuple[int, str, str]], json_wanted: bool) -> None:
    for cell in ("rnn", "lstm"):
        Path(f"{cell}.yaml").write_text(HEAD + f"  - {cell}: {{units: 4, return: last}}\n",
                                        encoding="utf-8")
    arguments = ["probe", "rnn.yaml", "lstm.yaml", "--examples", "3", "-o", "page.html"]
    status, out, _ = flaxspec(*arguments, *(["--json"] * json_wanted))
    assert not status and "<svg" in Path("page.html").read_text(encoding="utf-8")
    if json_wanted:
        models = json.loads(out)["models"]
        assert [len(m["gradient"]["norms"]) for m in models] == [12, 12]
    else:
        assert "each step times" in out and "fresh weights; 3 examples at most" in out
