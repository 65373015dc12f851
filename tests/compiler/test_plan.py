"""What a model costs: every count worked out by hand, or compared with published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.diagnostics import Report
from compiler.pipeline import Request, make_graph
from compiler.plan import Plan, Reach, as_json, make_plan
from compiler.source import Source

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tiny.yaml"


def plan(model: str, *, shape: str = "[8, 8, 1]", rest: str = "", training: bool = False,
         batch: int = 1, length: int | None = None) -> Plan:
    """The plan of a model of one input `x`."""
    indented = "\n".join(f"  {line}" for line in model.strip().splitlines())
    text = f"flaxspec: 1\nname: t\n{rest}inputs: {{x: {{shape: {shape}}}}}\nmodel:\n{indented}\n"
    graph = make_graph(Request(Source("t.yaml", text)), Report(), length=length)
    return make_plan(graph, training=training, batch=batch)


def row(found: Plan, path: str):
    return next(r for r in found.rows if r.path == path)


# ------------------------------------------------------------------- parameters, arithmetic


def test_the_parts_of_a_model_add_up() -> None:
    graph = make_graph(Request(Source("tiny.yaml", GOLDEN.read_text(encoding="utf-8"))), Report())
    totals = make_plan(graph).totals
    stem, units, head = 36 + 8, (144 + 8) + (288 + 16 + 32 + 16) + (576 + 16), 8 * 3 + 3
    lstm, twin, last = 4 * (5 * (32 + 5) + 5), 5 * 5 + 5, 5 * 3 + 3
    assert totals.params == stem + units + head + lstm + twin + last
    assert totals.trainable == totals.params - stem  # the stem is frozen
    assert totals.buffers == 2 * (4 + 4 + 8 + 8 + 8)
    assert totals.macs == (64 * 36 + 64 * 144 + 16 * 288 + 16 * 32 + 16 * 576
                           + 4 * 4 * 5 * 37 + 2 * 4 * 25 + 15)
    assert totals.flops == 2 * totals.macs
    assert totals.weight_bytes == 4 * (totals.params + totals.buffers)


@pytest.mark.parametrize("name, params, buffers, macs", [
    ("resnet50", 25557032, 53120, 4089184256),
    ("resnet152", 60192808, 151424, 11513626624),
    ("vgg16", 138357544, 0, 15470264320),
])
def test_published_figures_are_met(name: str, params: int, buffers: int, macs: int) -> None:
    totals = make_plan(make_graph(Request(name), Report())).totals
    assert (totals.params, totals.buffers, totals.macs) == (params, buffers, macs)


def test_shared_parameters_count_once() -> None:
    found = plan("- {dense: 3, weights: both}\n- {dense: 3, weights: both}", shape="[3]")
    assert found.totals.params == 3 * 3 + 3
    assert found.totals.macs == 2 * 9
    assert row(found, "dense_2").params == 0 and row(found, "dense_2").shared == "both"


def test_shared_blocks_count_once() -> None:
    blocks = "blocks: {b: {layers: [dense: 3, batch_norm]}}\n"
    found = plan("- {b: {}, weights: both}\n- {b: {}, weights: both}", shape="[3]", rest=blocks)
    assert (found.totals.params, found.totals.buffers) == (9 + 3 + 6, 6)
    assert row(found, "b_2.dense_1").shared == "both.dense_1"


def test_a_head_of_training_owns_its_parameters_always_but_works_in_training_only() -> None:
    model = "- output: {name: aux, layers: [dense: 5]}\n  during: training\n- dense: 2"
    evaluation, training = plan(model, shape="[3]"), plan(model, shape="[3]", training=True)
    assert evaluation.totals.params == training.totals.params == (15 + 5) + (6 + 2)
    assert (evaluation.totals.macs, training.totals.macs) == (6, 6 + 15)
    assert list(evaluation.totals.outputs) == ["output"]
    assert list(training.totals.outputs) == ["output", "aux"]
    assert not row(evaluation, "aux.dense_1").runs


def test_layers_for_each_step_own_parameters_once_and_work_for_each() -> None:
    found = plan("- layers: {each: time, layers: [dense: 3]}", shape="[5, 2]")
    assert found.totals.params == 2 * 3 + 3
    assert found.totals.macs == 5 * 6
    assert found.totals.steps == 1  # the steps of time do not wait for each other


def test_a_batch_costs_memory_but_is_no_part_of_macs() -> None:
    one, many = plan("- conv: {filters: 2, kernel: 3}"), plan(
        "- conv: {filters: 2, kernel: 3}", batch=10)
    assert many.totals.macs == one.totals.macs
    assert many.totals.weight_bytes == one.totals.weight_bytes
    assert many.totals.activation_bytes == {
        k: 10 * v for k, v in one.totals.activation_bytes.items()}


def test_an_open_length_must_be_given() -> None:
    with pytest.raises(ValueError, match="x"):
        plan("- dense: 3", shape="[any, 2]")
    assert plan("- dense: 3", shape="[any, 2]", length=7).totals.macs == 7 * 6


# --------------------------------------------------------------------------------- steps


def test_branches_run_side_by_side_and_a_join_waits_for_the_longest() -> None:
    assert plan("- add: {long: [relu, relu, relu], short: [relu]}\n- relu").totals.steps == 5


def test_a_recurrent_layer_waits_at_every_step_of_time() -> None:
    assert plan("- lstm: 3\n- dense: 2", shape="[9, 4]").totals.steps == 10
    assert plan("- lstm: {units: 3, layers: 2}", shape="[9, 4]").totals.steps >= 10


def test_renaming_axes_takes_no_step() -> None:
    assert plan("- flatten\n- dense: 2").totals.steps == 1


# ----------------------------------------------------------------------- receptive field


def reach(found: Plan, axis: str = "height") -> Reach:
    return found.totals.receptive_field["x"][axis]


def test_windows_add_up_by_their_strides() -> None:
    # 3, then 2 · 1 more at stride 2 (the 3 of a pool), then 2 · 2 more.
    found = plan("""
- conv: {filters: 1, kernel: 3}
- max_pool: {window: 3, stride: 2, padding: 1}
- conv: {filters: 1, kernel: [3, 1], padding: [1, 0]}
""")
    assert (reach(found, "height").size, reach(found, "width").size) == (3 + 2 + 4, 3 + 2)


def test_dilation_widens_the_field() -> None:
    assert reach(plan("- conv: {filters: 1, kernel: 3, dilation: 3}")).size == 7


def test_a_join_sees_what_its_widest_branch_sees() -> None:
    found = plan("- add: {a: [conv: {filters: 1, kernel: 5}], b: [conv: {filters: 1, kernel: 3}]}")
    assert reach(found).size == 5


@pytest.mark.parametrize("layer", ["global_average_pool", "flatten"])
def test_what_looks_at_everything_sees_everything(layer: str) -> None:
    found = reach(plan(f"- conv: {{filters: 2, kernel: 3}}\n- {layer}\n- dense: 2"))
    assert found.size is None and found.local == 3


def test_a_recurrent_layer_sees_all_of_time() -> None:
    assert reach(plan("- gru: 3", shape="[9, 4]"), "time").size is None


def test_finer_axes_bring_places_closer_together() -> None:
    # At half the resolution a 3×3 spans 6 places; back at the full one only 3.
    small = "- max_pool: 2\n- upsample: 2\n- conv: {filters: 1, kernel: 3}"
    assert reach(plan(small)).size == 2 + 2
    assert reach(plan("- max_pool: 2\n- conv: {filters: 1, kernel: 3}")).size == 2 + 4


def test_a_published_receptive_field_is_met() -> None:
    # Araujo et al., Computing receptive fields of convolutional networks (Distill, 2019).
    totals = make_plan(make_graph(Request("vgg16"), Report())).totals
    assert totals.receptive_field["image"]["height"].local == 212


# -------------------------------------------------------------------------------- memory


def inference(model: str, **options) -> int:
    return plan(model, **options).totals.activation_bytes["inference"]


def training(model: str, **options) -> int:
    return plan(model, **options).totals.activation_bytes["training"]


def test_inference_keeps_a_tensor_until_its_last_reader_has_run() -> None:
    # x goes when the first dense has run; 100 and 10 are alive together, then 10 and 1.
    assert inference("- dense: 100\n- dense: 10\n- dense: 1", shape="[3]") == 4 * (100 + 10)
    # The shortcut keeps x alive through the branch: 50 + 50 + x of 50.
    assert inference("- residual: [dense: 50, dense: 50]", shape="[50]") == 4 * 150


def test_renaming_takes_no_memory() -> None:
    assert inference("- flatten\n- dense: 2", shape="[2, 2, 4]") == 4 * (16 + 2)


def test_a_renamed_tensor_stays_alive_for_its_readers() -> None:
    model = "- {flatten: {}, name: flat}\n- dense: 30\n- dense: 16\n- add: [flat, dense_2]"
    assert inference(model, shape="[2, 2, 4]") == 4 * (16 + 30 + 16)


def test_dropout_costs_nothing_in_inference() -> None:
    assert inference("- dense: 9\n- dropout: 0.5\n- dense: 1", shape="[3]") == 4 * (3 + 9)


def test_training_keeps_inputs_and_what_each_operator_saves() -> None:
    assert training("- dense: 9\n- relu\n- dense: 2", shape="[3]") == 4 * (3 + 9 + 9 + 2)


def test_remat_keeps_a_block_s_output_and_computes_the_rest_again() -> None:
    blocks = "blocks: {b: {layers: [dense: 8, relu, dense: 4]}}\n"
    inside = 8 + 8 + 4
    assert training("- b\n" * 3, shape="[4]", rest=blocks) == 4 * (4 + 3 * inside)
    again = training("- {b: {}, remat: true}\n" * 3, shape="[4]", rest=blocks)
    assert again == 4 * (4 + 3 * 4 + inside)


# ---------------------------------------------------------------------------------- JSON


def test_json_of_every_kind_of_field_is_plain() -> None:
    data = as_json(plan("- slice: {space: {step: 2}}\n- pad: {channels: [1, 2]}"))
    assert json.loads(json.dumps(data)) == data
    assert data["layers"][0]["fields"] == {"space": {"start": None, "stop": None, "step": 2}}
    assert data["layers"][1]["fields"] == {"channels": [1, 2]}


def test_json_holds_totals_and_a_row_for_each_layer() -> None:
    data = as_json(plan("- conv: {filters: 2, kernel: 3}\n- {relu: {}, name: act}"))
    assert data["totals"]["params"] == 20
    assert data["totals"]["inputs"] == {
        "x": {"axes": ["height", "width", "channels"], "shape": [8, 8, 1], "dtype": "float"}}
    assert data["totals"]["receptive_field"]["x"]["height"] == {"output": 3, "local": 3}
    assert [(layer["path"], layer["operator"]) for layer in data["layers"]] == [
        ("conv_1", "conv"), ("act", "relu")]
    assert data["layers"][0]["fields"] == {"filters": 2, "kernel": 3}
