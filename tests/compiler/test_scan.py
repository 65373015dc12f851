"""`scan`: a body stepped through time is the body written out, step by step."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics import Report, SpecError
from compiler.graph import Scan
from compiler.lower.build import build_model, build_spec
from compiler.lower.context import Context
from compiler.lower.tensor import Tensor
from compiler.passes import EVALUATION, optimise
from compiler.pipeline import Request, graph_of, make_graph, make_program
from compiler.plan import make_plan
from compiler.printer import graph_text
from compiler.source import Source
from compiler.targets.drawing.scene import make_scene
from compiler.targets.flax_source import About, eject
from compiler.targets.identity import network_hash
from tests.compiler.ejected import compared

TRANSLATOR = """
flaxspec: 1
name: translator
params: {vocabulary: 7, units: 4, sample: 0.0, rate: 0.0}
inputs:
  source: {kind: tokens, vocabulary: 6, length: any}
  target: {kind: tokens, vocabulary: =vocabulary, length: any}
model:
  - {embed: {units: =units}, from: source, name: outer}
  - {gru: {units: =units}, name: encoder}
  - {shift: {time: 1, fill: 1}, from: target, name: before}
  - scan:
      over: {token: before}
      carry: {h: encoder.state}
      layers:
        - embed: {units: =units}
        - dropout: =rate
        - {gru_cell: {units: =units, state: h}, name: h}
        - {attention: {memory: encoder.sequence, score: additive}, name: look}
        - concat: [h, look]
        - dense: =vocabulary
      outputs: {looked: look, weights: look.weights}
      sample: =sample
      decode: {beam: 3, start: 1, end: 2, length: 6}
    name: decoder
outputs: {logits: decoder, looked: decoder.looked, last: decoder.last, state: decoder.h,
          weights: decoder.weights}
"""

SOURCE = np.array([[1, 2, 3, 4, 5], [5, 4, 3, 0, 0], [2, 2, 0, 0, 0]])
TARGET = np.array([[3, 4, 5, 2], [6, 2, 0, 0], [3, 3, 2, 0]])
LENGTHS = {"source": np.array([5, 3, 2]), "target": np.array([4, 2, 3])}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "translator.yaml"
    path.write_text(TRANSLATOR)
    return path


@nnx.jit
def body_step(model: Any, token: Any, h: Any, memory: Tensor) -> Any:
    """One step of the translator's body, by hand."""
    decoder, context = model.decoder, Context(taps=("weights",))
    x = decoder.embed_1(Tensor(jnp.asarray(token), ()), context=context)
    h = decoder.h(x, h, context=context)[0]
    look, weights = decoder.look(h, memory, context=context)
    both = h.with_array(jnp.concatenate([h.array, look.array], -1))
    return decoder.dense_1(both, context=context), h, look, weights


def test_every_step_is_the_body_and_a_row_stands_still_behind_its_end(spec: Path) -> None:
    model = build_spec(spec)
    found = model(source=SOURCE, target=TARGET, lengths=LENGTHS)
    x = model.outer(Tensor(jnp.asarray(SOURCE), ("time",), jnp.asarray(LENGTHS["source"])))
    memory, _, state = model.encoder(x)
    before = np.concatenate([np.ones((3, 1), int), TARGET[:, :-1]], 1)
    h, end = state, np.array(state.array)
    for t in range(4):
        logits, h, look, weights = body_step(model, before[:, t], h, memory)
        real = t < LENGTHS["target"]
        for name, step in (
                ("logits", logits), ("looked", look), ("weights", weights)):
            expected = np.where(real[:, None], step.array, 0)
            np.testing.assert_allclose(found[name][:, t], expected, rtol=1e-5, atol=1e-6)
        end = np.where(real[:, None], h.array, end)
        last = logits.array[LENGTHS["target"] == t + 1]
        np.testing.assert_allclose(found["last"][LENGTHS["target"] == t + 1], last, rtol=1e-5)
    np.testing.assert_allclose(found["state"], end, rtol=1e-5, atol=1e-6)


def test_padded_steps_change_no_result_and_no_gradient(spec: Path) -> None:
    model = build_spec(spec)
    graphdef, state = nnx.split(model)

    def loss(state: Any, source: Any, target: Any) -> Any:
        outputs = nnx.merge(graphdef, state)(source=source, target=target, lengths=LENGTHS)
        return sum((x**2).sum() for x in outputs.values())

    other = np.where(np.arange(5) < LENGTHS["source"][:, None], SOURCE, 5)
    further = np.where(np.arange(4) < LENGTHS["target"][:, None], TARGET, 6)
    run = jax.jit(jax.value_and_grad(loss))
    found, again = (jax.tree.leaves(run(state, *texts))
                    for texts in ((SOURCE, TARGET), (other, further)))
    for a, b in zip(found, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


BODIES = {
    "rnn": ("- {rnn_cell: {units: 3, state: h}, name: h}", "{zeros: 3}", ""),
    "lstm": ("- {lstm_cell: {units: 3, state: h}, name: h}\n        - dense: 2", "{zeros: 6}", ""),
    "gru": ("- {gru_cell: {units: 3, state: h}, name: new}", "{zeros: 3}", "next: {h: new}"),
    "sum": ("- {add: [x, h], name: h}\n        - tanh", "{zeros: 2}", ""),
    "fed": ("- concat: [x, h]\n        - {dense: 4, name: h}\n        - gelu", "{zeros: 4}", ""),
}


def body_model(kind: str, modifier: str = "") -> Any:
    layers, begin, more = BODIES[kind]
    text = f"""
flaxspec: 1
inputs: {{x: {{axes: [time, channels], shape: [any, 2]}}}}
model:
  - scan:
      carry: {{h: {begin}}}
      layers:
        {layers}
      {more}
    name: steps
{modifier}outputs: {{all: steps, end: steps.h}}
"""
    report = Report()
    graph = optimise(graph_of(make_program(Request(Source("scan.yaml", text)), report), report))
    with jax.enable_x64(True):
        return build_model(graph, dtype=jnp.float64, param_dtype=jnp.float64)


QUICK = ("lstm", "fed")  # each is two programs to compile


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in BODIES])
def test_a_scan_is_the_unrolled_loop_in_results_and_gradients(kind: str) -> None:
    model = body_model(kind)
    scan = model.graph.nodes[0].operation
    assert isinstance(scan, Scan)

    graphdef, state = nnx.split(model)

    def scanned(state: Any, x: Any, lengths: Any) -> Any:
        outputs = nnx.merge(graphdef, state)(x, lengths=lengths)
        return jnp.concatenate([outputs["all"].reshape(2, -1), outputs["end"]], -1)

    def unrolled(state: Any, x: Any, lengths: Any) -> Any:
        body = nnx.merge(graphdef, state).steps
        h = jnp.zeros((2, *scan.graph.inputs[1].type.shape))
        steps = []
        for t in range(4):
            made = body.execute((Tensor(x[:, t], ("channels",)), Tensor(h, ("channels",))),
                                Context())
            real = (t < lengths)[:, None]
            h = jnp.where(real, made["next.h"].array, h)
            steps.append(jnp.where(real, made["output"].array, 0))
        return jnp.concatenate([*steps, h], -1)

    def weighed(run: Any) -> Any:
        """The gradient of a sum in which every result counts differently."""
        def total(state: Any, x: Any, lengths: Any) -> Any:
            results = run(state, x, lengths)
            return (results * jnp.cos(jnp.arange(results.size)).reshape(2, -1)).sum()
        return jax.jit(jax.value_and_grad(total, argnums=(0, 1)))

    runs = weighed(scanned), weighed(unrolled)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(0, 4), min_size=2, max_size=2), st.integers(0, 99))
    def check(lengths: list[int], seed: int) -> None:
        x = jnp.asarray(np.random.default_rng(seed).standard_normal((2, 4, 2)))
        found, expected = (jax.tree.leaves(run(state, x, jnp.asarray(lengths))) for run in runs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)

    with jax.enable_x64(True):
        check()


def test_the_backward_pass_may_compute_every_step_again() -> None:
    found = []
    with jax.enable_x64(True):
        for more in ("", "    remat: true\n"):
            model = body_model("fed", more)
            graphdef, state = nnx.split(model)
            x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 2)))

            def loss(state: Any, graphdef: Any = graphdef, x: Any = x) -> Any:
                return (nnx.merge(graphdef, state)(x)["all"] ** 2).sum()

            found.append(jax.tree.leaves(jax.jit(jax.grad(loss))(state)))
            assert ("remat" in str(jax.make_jaxpr(jax.grad(loss))(state))) == bool(more)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_every_step_drops_something_else() -> None:
    text = """
flaxspec: 1
inputs: {x: {axes: [time, channels], shape: [any, 32]}}
model: [{scan: {layers: [{dropout: 0.5}]}}]
"""
    report = Report()
    graph = graph_of(make_program(Request(Source("scan.yaml", text)), report), report)
    model = build_model(optimise(graph))
    model.train()
    first, again, other = (np.asarray(model(np.ones((1, 5, 32)), rngs=nnx.Rngs(seed)))
                           for seed in (0, 0, 1))
    assert len({step.tobytes() for step in first[0]}) == 5
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


CHOOSER = """
flaxspec: 1
inputs: {token: {kind: tokens, vocabulary: 7, length: any}}
model: [{scan: {sample: 0.5, layers: [{embed: 4}, {dense: 7}]}}]
"""


def test_a_sampled_step_sees_its_own_last_choice_in_training_only() -> None:
    report = Report()
    graph = graph_of(make_program(Request(Source("scan.yaml", CHOOSER)), report), report)
    graphdef, state = nnx.split(build_model(optimise(graph)))

    @partial(jax.jit, static_argnames="training")
    def run(token: Any, sampling: Any, seed: Any, *, training: bool) -> Any:
        return nnx.merge(graphdef, state).run(
            {"token": token}, training=training, key=jax.random.key(seed),
            sampling=sampling)["output"].array

    token = np.random.default_rng(0).integers(0, 7, (3, 7))
    plain = np.asarray(run(token, 2.0, 0, training=False))
    scores = {int(t): row for t, row in zip(token.ravel(), plain.reshape(-1, 7))}
    # The model keeps no state: what it says of a symbol is the same at every step.
    np.testing.assert_allclose(run(token, 0.0, 0, training=True), plain, rtol=1e-6)
    now = token[:, 0]
    for step in np.moveaxis(np.asarray(run(token, 2.0, 0, training=True)), 1, 0):
        for symbol, row in zip(now, step):
            np.testing.assert_allclose(row, scores.setdefault(int(symbol), row), rtol=1e-6)
        now = step.argmax(-1)
    drawn = [np.asarray(run(token, 1.0, seed, training=True)) for seed in range(4)]
    assert len({one.tobytes() for one in drawn}) > 1


def test_a_scan_is_compiled_once_however_long(spec: Path) -> None:
    model = build_spec(spec)
    graphdef, state = nnx.split(model)
    texts = [str(jax.make_jaxpr(lambda s, t: nnx.merge(graphdef, s)(
        source=SOURCE, target=t)["logits"])(state, np.ones((3, n), int))) for n in (4, 40)]
    assert texts[0].count("dot_general") == texts[1].count("dot_general")


def test_the_plan_counts_the_body_once_for_every_step(spec: Path) -> None:
    plans = [make_plan(make_graph(Request(str(spec)), Report(), length=n)) for n in (5, 10)]
    rows = [{r.path: r for r in plan.rows} for plan in plans]
    dense = [r["decoder.dense_1"] for r in rows]
    assert [r.macs for r in dense] == [5 * 8 * 7, 10 * 8 * 7]
    assert dense[0].params == 8 * 7 + 7
    assert [r["decoder.h"].steps for r in rows] == [5, 10]
    # The encoder's steps, then the decoder's: one token after the other through four layers.
    assert plans[1].totals.steps - plans[0].totals.steps >= 5 + 5 * 4
    assert plans[0].totals.receptive_field["target"]["time"].size is None


def test_a_state_may_have_space_axes_and_a_body_a_scan_of_its_own() -> None:
    text = """
flaxspec: 1
inputs: {clip: {axes: [time, height, width, channels], shape: [3, 4, 4, 1]}}
model:
  - scan:
      over: {frame: input}
      carry: {h: {zeros: [4, 4, 4]}}
      layers:
        - {conv_lstm_cell: {filters: 2, kernel: 3, state: h}, name: h}
  - layers: {each: time, layers: [flatten]}
  - {scan: {carry: {sum: {zeros: 32}}, layers: [{add: [x, sum], name: sum}]}, name: total}
  - {select: last, from: total}
"""
    report = Report()
    graph = graph_of(make_program(Request(Source("scan.yaml", text)), report), report)
    model = build_model(optimise(graph))
    clip = np.random.default_rng(0).standard_normal((2, 3, 4, 4, 1)).astype(np.float32)
    last = np.asarray(model(clip))
    assert last.shape == (2, 32)
    np.testing.assert_allclose(last, np.asarray(build_model(optimise(graph, EVALUATION))(clip)),
                               rtol=1e-5)
    assert "scan scan_1" in graph_text(graph)


def test_a_scan_in_a_scan_reads_names_around_both() -> None:
    text = """
flaxspec: 1
inputs:
  a: {axes: [time, channels], shape: [3, 2]}
  b: {axes: [time, channels], shape: [4, 2]}
model:
  - {dense: 2, from: b, name: seen}
  - scan:
      over: {x: a}
      carry: {h: {zeros: 2}}
      layers:
        - scan:
            over: {y: seen}
            carry: {g: h}
            layers: [{add: [y, g, x], name: g}]
          name: inner
        - {identity: , from: inner.g, name: h}
"""
    report = Report()
    program = make_program(Request(Source("scan.yaml", text)), report)
    model = build_model(optimise(graph_of(program, report)))
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1, n, 2)).astype(np.float32) for n in (3, 4))
    seen = np.asarray(model.seen(b))
    found = np.asarray(model(a=a, b=b))
    np.testing.assert_allclose(
        found, np.cumsum(4 * a + seen.sum(1, keepdims=True), axis=1), rtol=1e-4)


def test_layers_behind_a_scan_read_its_results_and_outside_names_are_one_input(spec: Path) -> None:
    report = Report()
    graph = graph_of(make_program(Request(str(spec)), report), report)
    (node,) = (n for n in graph.nodes if isinstance(n.operation, Scan))
    assert [v.name for v in node.inputs] == ["before", "encoder.state", "encoder"]
    assert list(node.outputs) == ["output", "looked", "weights", "last", "h"]


def hash_of(path: Path, **changes: str) -> str:
    text = TRANSLATOR
    for a, b in changes.values():
        assert a in text
        text = text.replace(a, b)
    path.write_text(text)
    report = Report()
    return network_hash(graph_of(make_program(Request(str(path)), report), report))


def test_the_hash_is_of_what_a_scan_computes(spec: Path) -> None:
    first = hash_of(spec)
    assert hash_of(spec, step=("over: {token: before}", "over: {symbol: before}")) == first
    for change in (("beam: 3", "beam: 4"), ("sample: 0.0", "sample: 0.5"),
                   ("carry: {h: encoder.state}", "carry: {h: {zeros: 4}}"),
                   ("concat: [h, look]", "concat: [look, h]")):
        assert hash_of(spec, change=change) != first


def test_a_drawing_shows_the_body_in_the_scan(spec: Path) -> None:
    report = Report()
    graph = graph_of(make_program(Request(str(spec)), report), report)
    (box,) = (b for b in make_scene(graph).scope.boxes if b.path == "decoder")
    assert box.title == "scan token, carry h"
    assert box.inside is not None
    assert "decoder.look" in [b.path for b in box.inside.boxes]


@pytest.mark.slow
def test_ejected_source_computes_and_learns_the_same(spec: Path, tmp_path: Path) -> None:
    arrays = {"source": SOURCE, "target": TARGET}
    lengths = {name: [int(n) for n in rows] for name, rows in LENGTHS.items()}
    with jax.enable_x64(True):
        found = compared(optimise(make_graph(Request(str(spec)), Report())), tmp_path, arrays,
                         training=False, lengths=lengths)
    assert {"output logits", "output weights", "gradient decoder.h.kernel"} <= set(found)
    assert max(found.values()) < 1e-10


def test_scheduled_sampling_cannot_be_ejected(spec: Path) -> None:
    graph = make_graph(Request(str(spec), values={"sample": 0.5}), Report())
    with pytest.raises(SpecError) as error:
        eject(graph, About("translator.yaml"))
    assert [d.code for d in error.value.diagnostics] == ["F0910"]


@pytest.mark.parametrize("change, code", [
    (("carry: {h: encoder.state}", "carry: {g: encoder.state, h: encoder.state}"), "F0415"),
    (("name: h}", "name: g}\n        - {dense: 5, name: h}"), "F0416"),
    (("carry: {h: encoder.state}", "carry: {h: encoder.sequence}"), "F0417"),
    (("looked: look,", "looked: encoder.sequence,"), "F0417"),
    (("        - dropout: =rate\n", "        - batch_norm\n"), "F0418"),
    (("        - dense: =vocabulary\n", "        - dense: 5\n"), "F0419"),
    (("start: 1", "start: 7"), "F0419"),
    (("over: {token: before}", "over: {token: before, other: encoder.sequence}"), "F0420"),
    (("over: {token: before}", "over: {token: encoder.state}"), "F0403"),
    (("        - dense: =vocabulary\n",
      "        - dense: {units: 6, tie: embed_1.embedding}\n        - dense: =vocabulary\n"),
     "F0413"),
    (("        - {attention", "        - {dense: {units: 6, tie: outer.embedding}}\n"
      "        - {attention"), "F0421"),
])
def test_what_a_scan_cannot_do_is_told(spec: Path, change: tuple[str, str], code: str) -> None:
    assert change[0] in TRANSLATOR
    spec.write_text(TRANSLATOR.replace(*change))
    with pytest.raises(SpecError) as error:
        build_spec(spec, abstract=True)
    assert code in [d.code for d in error.value.diagnostics]
