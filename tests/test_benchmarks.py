"""The benchmarks compare like with like, and say no more than they measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import variants
from benchmarks.peers.plan import INCEPTION
from benchmarks.rounds import Pace, Turns, interval, ratios
from benchmarks.rows import ROWS, TINY, Row, row_named
from compiler import zoo
from compiler.diagnostics import Report
from compiler.pipeline import Request, make_graph
from compiler.plan import Totals, make_plan

# One of each kind of layer; the others differ in sizes only.
DISTINCT = ["resnet18-32-b64", "resnet50-224-b16", "googlenet-224-b16", "vgg11-32-b64",
            "digits-resnet-b128", "gru-1-128", "bilstm-lengths", "zaremba-medium", "dense50-b32"]


def _totals(row: Row) -> Totals:
    graph = make_graph(Request(row.spec, values=row.params), Report())
    return make_plan(graph, training=True).totals


@pytest.mark.parametrize("name", DISTINCT)
def test_the_hand_written_model_has_the_zoos_parameters_and_arithmetic(name: str) -> None:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from benchmarks.peers import flax_models
    from benchmarks.peers.macs import multiplications

    row = ROWS[name]
    structure, params, rest = nnx.split(
        nnx.eval_shape(lambda: flax_models.build(row)), nnx.Param, ...)
    counted = sum(leaf.size for leaf in jax.tree.leaves(params))
    inputs = [jax.ShapeDtypeStruct((1, *row.input), jnp.int32 if row.tokens else jnp.float32)]
    inputs += [jax.ShapeDtypeStruct((1,), jnp.int32)] if row.lengths else []

    def forward(params, rest, inputs):
        return nnx.merge(structure, params, rest)(*inputs)

    totals = _totals(row)
    assert counted == totals.trainable
    assert multiplications(forward, params, rest, inputs) == totals.macs


@pytest.mark.parametrize("name", ROWS)
def test_a_tiny_row_has_as_many_layers_as_its_row(name: str) -> None:
    assert _totals(row_named(name + TINY)).layers == _totals(ROWS[name]).layers


def test_every_model_of_a_row_is_the_zoos_or_lies_beside_it() -> None:
    known = set(zoo.index())
    assert all(row.spec in known or Path(row.spec).exists() for row in ROWS.values())
    assert sum(isinstance(n, list) for n in INCEPTION) == 9


def test_an_interval_is_the_narrowest_that_is_sure_enough() -> None:
    values = [float(n) for n in range(9, 0, -1)]
    assert interval(values) == (2.0, 8.0, pytest.approx(1 - 2 * (1 + 9) / 2**9))
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0, pytest.approx(0.75))
    assert interval([1.0]) == (1.0, 1.0, 0.0)


def test_a_ratio_is_of_one_round() -> None:
    ours = Turns(seconds=[1.0, 2.0, 4.0], rounds=[0, 1, 2])
    theirs = Turns(seconds=[2.0, 2.0], rounds=[0, 2])
    assert ratios(theirs, ours) == [2.0, 0.5]


def test_rounds_with_flax_go_before_rounds_with_pytorch() -> None:
    pace = Pace(pairs=9, fewer=6, turn=0.4, seconds=50, cores=2)
    assert pace.fitted(always=2, others=5) == pace
    assert pace.fitted(always=3, others=6).fewer == 4
    assert pace.fitted(always=3, others=6).pairs == 9
    assert pace.fitted(always=20, others=6).pairs == 3


def test_the_best_of_pytorch_is_one_that_spins_and_one_that_sleeps() -> None:
    trials = {"torch": {"train": 3.0}, "torch+memory": {"train": 2.0, "infer": 1.0},
              "torch+passive": {"train": 5.0}, "flax": {"train": 1.0}, "torch-compile": {}}
    assert variants.best(trials, "torch", "train") == ["torch+memory", "torch+passive"]
    assert variants.best(trials, "torch", "infer") == ["torch+memory"]
    assert variants.best(trials, "keras", "train") == []


def test_pytorch_is_tried_with_every_setting_layout_and_compiled() -> None:
    took = {"torch-last": 4.0, "torch-last+memory": 3.0, "torch-last+passive": 2.0,
            "torch-last+memory+passive": 5.0}
    tried: list[str] = []

    def trial(wanted: list[str]) -> dict[str, float]:
        tried.extend(wanted)
        return {variant: took.get(variant, 9.0) for variant in wanted}

    variants.search(ROWS["resnet18-32-b64"], "torch", trial, compiled=True)
    assert tried == [*took, "torch+passive", "torch-compile-last+passive", "torch-compile+passive"]


def test_a_peer_has_the_process_settings_that_its_name_says() -> None:
    from runtime.cli.process import SETTINGS

    assert variants.environment("flaxspec") == variants.environment("flax+memory") == SETTINGS
    assert variants.environment("torch") == {}
    assert variants.environment("torch+passive") == {"OMP_WAIT_POLICY": "passive"}
