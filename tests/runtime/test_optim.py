"""Optimisers and schedules by optax's names and arguments."""

import json
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter, ValidationError

from runtime.optax_signatures import GROUPS, TABLE, signatures, written
from runtime.optim import build, decays, first_memory
from runtime.optim import learning_rate as rate_of
from runtime.optim_document import Optimizer, Run, Steps, read_steps, table
from runtime.patterns import matches
from runtime.train_parts import Clip

RUN = Run(steps=200, steps_per_epoch=10)
PARAMS = {"conv_1.kernel": jnp.array([[1.0, -2.0], [3.0, 4.0]]),
          "conv_1.bias": jnp.array([0.5, -1.0]),
          "norm_1.scale": jnp.array([1.0, 2.0])}
GRADIENTS = {name: 0.1 * value + 0.3 for name, value in PARAMS.items()}


def read(value):
    return TypeAdapter(Optimizer).validate_python(value)


def complaints(value):
    with pytest.raises(ValidationError) as caught:
        read(value)
    return [(error["loc"], error["msg"], error.get("ctx", {})) for error in caught.value.errors()]


def learning_rate(calls, run):
    rate = rate_of(calls, run)
    assert rate is not None
    return rate


def stepped(transformation, steps=3) -> dict[str, Any]:
    """The parameters after a few updates with the same gradients."""
    params: Any = PARAMS
    state = transformation.init(PARAMS)
    transformation = optax.with_extra_args_support(transformation)
    for _ in range(steps):
        updates, state = transformation.update(GRADIENTS, state, params, value=jnp.float32(1.0))
        params = optax.apply_updates(params, updates)
    return params


def same(one, other):
    for name in PARAMS:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)


@pytest.mark.parametrize("optimizer", [
    optax.adamw(0.1), optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
    optax.adafactor(0.1), optax.contrib.schedule_free_adamw(0.1), optax.add_noise(0.1, 0.5, 0),
    optax.adamw(optax.cosine_decay_schedule(0.1, 100), mu_dtype=jnp.bfloat16),
    build(read({"lars": {"learning_rate": 0.1}}), RUN),
])
def test_what_an_optimiser_begins_with_is_what_its_init_gives(optimizer):
    ours, its = first_memory(optimizer, PARAMS), optimizer.init(PARAMS)
    assert jax.tree.structure(ours) == jax.tree.structure(its)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(its)):
        assert one.aval == other.aval  # shape, dtype, and whether the dtype is weak
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------- the table


def test_the_table_is_that_of_the_installed_optax():
    installed, committed = signatures(), table()
    if installed["optax"] == committed["optax"]:
        assert written(installed) == TABLE.read_text()
    # Another version may have more, but all that recipes may use must be there.
    for group in GROUPS:
        for name, entry in committed[group].items():
            there = installed[group][name]["arguments"]
            assert {a: there[a]["kind"] for a in entry["arguments"]} == {
                a: about["kind"] for a, about in entry["arguments"].items()}, name


def test_reading_an_optimiser_imports_neither_jax_nor_numpy():
    program = ("import sys; from runtime.optim_document import read_optimizer;"
               "read_optimizer({'adamw': {'learning_rate': {'cosine_decay_schedule': 1e-3}}});"
               "print([m for m in ('jax', 'flax', 'numpy', 'optax') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(table()["optimizers"]))
def test_every_optimiser_of_the_table_can_be_built_and_moves_the_weights(name):
    after = stepped(build(read({name: 1.0}), RUN), steps=2)
    assert all(np.isfinite(value).all() for value in after.values())
    assert any((after[key] != PARAMS[key]).any() for key in PARAMS)


SCHEDULES = {
    "constant_schedule": {"value": 0.1},
    "cosine_decay_schedule": {"init_value": 0.1},
    "cosine_onecycle_schedule": {"transition_steps": "100%", "peak_value": 0.1},
    "exponential_decay": {"init_value": 0.1, "transition_steps": "1 epoch", "decay_rate": 0.9},
    "join_schedules": {"schedules": [{"linear_schedule": {
        "init_value": 0.0, "end_value": 0.1, "transition_steps": "2 epochs"}}, 0.05],
        "boundaries": ["2 epochs"]},
    "linear_onecycle_schedule": {"transition_steps": "100%", "peak_value": 0.1},
    "linear_schedule": {"init_value": 0.1, "end_value": 0.0, "transition_steps": "100%"},
    "piecewise_constant_schedule": {"init_value": 0.1,
                                    "boundaries_and_scales": {"50%": 0.1, "150": 0.5}},
    "piecewise_interpolate_schedule": {"interpolate_type": "linear", "init_value": 0.1,
                                       "boundaries_and_scales": {"50%": 0.1}},
    "polynomial_schedule": {"init_value": 0.1, "end_value": 0.0, "power": 2,
                            "transition_steps": 200},
    "sgdr_schedule": {"cosine_kwargs": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": "1 epoch", "decay_steps": "50%"},
        {"init_value": 0.0, "peak_value": 0.05, "warmup_steps": "1 epoch", "decay_steps": "50%"}]},
    "warmup_constant_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": "10%"},
    "warmup_cosine_decay_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": "10%"},
    "warmup_exponential_decay_schedule": {
        "init_value": 0.0, "peak_value": 0.1, "warmup_steps": "10%", "transition_steps": 10,
        "decay_rate": 0.9},
}


@pytest.mark.parametrize("name", sorted(table()["schedules"]))
def test_every_schedule_of_the_table_can_be_built(name):
    calls = read({"sgd": {"learning_rate": {name: SCHEDULES[name]}}})
    build(calls, RUN).init(PARAMS)
    rate = learning_rate(calls, RUN)
    values = [rate(step) for step in range(0, 201, 20)]
    assert all(0 <= v <= 0.1 + 1e-6 for v in values) and max(values) > 0


# ------------------------------------------------------------------------------ meaning


def test_an_optimiser_means_what_it_means_in_optax():
    ours = build(read({"adam": {"learning_rate": 0.1, "b1": 0.8}}), RUN)
    same(stepped(ours), stepped(optax.adam(0.1, b1=0.8)))


def test_the_short_form_sets_the_first_argument():
    same(stepped(build(read({"sgd": 0.1}), RUN)), stepped(optax.sgd(0.1)))


def test_the_short_form_takes_a_schedule():
    schedule = {"cosine_decay_schedule": {"init_value": 0.1}}
    assert read({"adam": {"cosine_decay_schedule": 0.1}}) == read(
        {"adam": {"learning_rate": schedule}})


def test_a_chain_is_applied_in_its_order():
    ours = build(read([{"add_decayed_weights": {"weight_decay": 0.5, "mask": "all"}},
                       {"sgd": {"learning_rate": 0.1, "momentum": 0.9}}]), RUN)
    same(stepped(ours), stepped(optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1, 0.9))))


@pytest.mark.parametrize("name", ["adamw", "lion", "lamb", "adan", "adamaxw", "ademamix"])
def test_weight_decay_leaves_norms_and_biases_alone(name):
    plain, decayed = (stepped(build(read({name: {"learning_rate": 0.1, "weight_decay": d}}), RUN))
                      for d in (0.0, 0.5))
    assert (plain["conv_1.kernel"] != decayed["conv_1.kernel"]).all()
    for name in ("conv_1.bias", "norm_1.scale"):
        np.testing.assert_array_equal(plain[name], decayed[name])


def test_mask_all_decays_everything():
    ours = build(read({"adamw": {"learning_rate": 0.1, "weight_decay": 0.5, "mask": "all"}}), RUN)
    same(stepped(ours), stepped(optax.adamw(0.1, weight_decay=0.5)))


def test_a_bias_of_two_axes_is_still_a_bias():
    assert decays("lstm_1.kernel", jnp.ones((2, 3)))
    assert decays("table.embedding", jnp.ones((2, 3)))
    assert not decays("lstm_1.recurrent_bias", jnp.ones((2, 3)))
    assert not decays("prelu_1.slope", jnp.ones(3))


@pytest.mark.parametrize("text, count", [
    (7, 7), ("7 steps", 7), ("3 epochs", 30), ("1 epoch", 10), ("0.5 epochs", 5), ("10%", 20),
    ("2.5 %", 5), ("0%", 0),
])
def test_steps_are_counted_in_steps_epochs_or_parts_of_the_run(text, count):
    assert read_steps(text).count(RUN) == count


def test_decay_steps_default_to_the_run():
    rate = learning_rate(read({"adam": {"learning_rate": {"cosine_decay_schedule": 0.1}}}), RUN)
    assert rate(0) == pytest.approx(0.1)
    assert rate(100) == pytest.approx(0.05)
    assert rate(200) == pytest.approx(0.0)


def test_boundaries_may_be_parts_of_the_run():
    rate = learning_rate(read({"sgd": {"learning_rate": {"piecewise_constant_schedule": {
        "init_value": 0.1, "boundaries_and_scales": {"50%": 0.1, "15 epochs": 0.1}}}}}), RUN)
    assert [rate(s) for s in (99, 101, 151)] == pytest.approx([0.1, 0.01, 0.001])


def test_clipping_stands_before_the_optimiser():
    clip = read([{"clip_by_global_norm": 0.5}, {"sgd": 1.0}])
    ours = build(read({"sgd": 1.0}), RUN, clip=clip[:1])
    same(stepped(ours, 1), stepped(optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(1.0)), 1))


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("value, place, message, label", [
    ("adamm", ("adamm",), "`adamm` is not an optimiser of optax", "did you mean `adam`?"),
    ({"adamw": {"learning_rate": 1e-3, "weight_decy": 0.1}}, ("adamw", "weight_decy"),
     "`weight_decy` is not an argument of adamw", "did you mean `weight_decay`?"),
    ({"adam": {}}, ("adam",), "adam needs `learning_rate`", "`learning_rate` is missing"),
    ("sgd", ("sgd",), "sgd needs `learning_rate`", "`learning_rate` is missing"),
    ({"adam": {"learning_rate": "fast"}}, ("adam", "learning_rate", "fast"),
     "`fast` is not a schedule of optax", ""),
    ({"adam": {"learning_rate": {"cosine_decay": 1e-3}}}, ("adam", "learning_rate", "cosine_decay"),
     "`cosine_decay` is not a schedule of optax", "did you mean `cosine_decay_schedule`?"),
    ({"adam": {"learning_rate": {"warmup_cosine_decay_schedule": {
        "init_value": 0, "peak_value": 1, "warmup_steps": "ten"}}}},
     ("adam", "learning_rate", "warmup_cosine_decay_schedule", "warmup_steps"),
     'expected a number of steps, found "ten"', ""),
    ({"adam": {"learning_rate": 1e-3, "b1": True}}, ("adam", "b1"),
     "expected a number, found true", ""),
    ({"adam": {"learning_rate": 1e-3, "nesterov": 1}}, ("adam", "nesterov"),
     "expected true or false, found 1", ""),
    ({"adam": {"learning_rate": 1e-3, "mu_dtype": "bfloat"}}, ("adam", "mu_dtype"),
     "expected one of float32, bfloat16, float16", "did you mean `bfloat16`?"),
    ({"adam": 1e-3, "sgd": 1e-3}, (), "an optimiser is one name with its arguments", ""),
    ([{"add_decayed_weights": 1e-4}], (), "this chain has no learning rate", ""),
    ([{"sgd": 0.1}, {"clip_by_norm": 1.0}], (1, "clip_by_norm"),
     "`clip_by_norm` is not an optimiser of optax", "did you mean `clip_by_global_norm`?"),
    ([{"centralize": 2}, {"sgd": 0.1}], (0, "centralize"), "centralize takes no arguments", ""),
    (3, (), "an optimiser is one name with its arguments", ""),
])
def test_a_wrong_optimiser_is_refused_at_its_place(value, place, message, label):
    found = [(where, text, context["label"]) for where, text, context in complaints(value)]
    assert found == [(place, message, label)]


def test_all_mistakes_of_an_optimiser_are_told_at_once():
    found = complaints({"adamw": {"learning_rat": 1e-3, "b1": "x", "b2": None}})
    assert {where for where, _, _ in found} == {
        ("adamw", "learning_rat"), ("adamw", "b1"), ("adamw", "b2"), ("adamw",)}


@pytest.mark.parametrize("value", [
    "", "epochs", "3 epoch s", "-1 epochs", -1, True, 1.5, None, "1e3", []])
def test_what_is_no_number_of_steps_is_refused(value):
    with pytest.raises(ValidationError):
        read_steps(value)


def test_the_committed_table_is_json_with_a_line_for_each_function():
    lines = TABLE.read_text().splitlines()
    functions = sum(len(json.loads(TABLE.read_text())[group]) for group in GROUPS)
    assert len(lines) == functions + 2 * len(GROUPS) + 3


def test_steps_are_steps_when_nothing_is_said():
    assert Steps(5).count(RUN) == 5


# ------------------------------------------------------------------ decay, clipping, factors


@pytest.mark.parametrize("name", ["novograd", "madgrad", "prodigy", "dadapt_adamw", "momo",
                                  "momo_adam"])
def test_decay_spares_norms_and_biases_where_optax_has_no_mask_for_it(name):
    plain, decayed, alone = (
        stepped(build(read({name: {"learning_rate": 0.1, "weight_decay": d, "mask": mask}}), RUN),
                steps=2) for d, mask in ((0.0, None), (0.5, "weights"), (0.5, "all")))
    assert (plain["conv_1.kernel"] != decayed["conv_1.kernel"]).any()
    assert any((plain[n] != alone[n]).any() for n in ("conv_1.bias", "norm_1.scale"))
    if name in ("novograd", "madgrad"):  # the others fit one step size to all their parameters
        for path in ("conv_1.bias", "norm_1.scale"):
            np.testing.assert_array_equal(plain[path], decayed[path])
        np.testing.assert_array_equal(decayed["conv_1.kernel"], alone["conv_1.kernel"])


def test_muon_decays_what_it_leaves_to_adam_only_where_asked():
    setting = {"learning_rate": 0.1, "adam_weight_decay": 0.5}
    plain, spared, all_ = (stepped(build(read({"muon": more}), RUN), 1) for more in (
        {"learning_rate": 0.1}, setting, setting | {"weight_decay_mask": "all"}))
    np.testing.assert_array_equal(plain["conv_1.bias"], spared["conv_1.bias"])
    assert (plain["conv_1.bias"] != all_["conv_1.bias"]).all()


def test_a_factor_multiplies_the_learning_rate_of_what_matches():
    factors = (("conv_1", 0.1), ("**.bias", 0.0))
    given = read({"adamw": {"learning_rate": 0.1, "weight_decay": 0.3}})
    after = stepped(build(given, RUN, factors=factors))
    slow = stepped(build(read({"adamw": {"learning_rate": 0.01, "weight_decay": 0.3}}), RUN))
    usual = stepped(build(given, RUN))
    np.testing.assert_allclose(after["conv_1.kernel"], slow["conv_1.kernel"], rtol=1e-6)
    np.testing.assert_array_equal(after["conv_1.bias"], PARAMS["conv_1.bias"])
    np.testing.assert_array_equal(after["norm_1.scale"], usual["norm_1.scale"])


@pytest.mark.parametrize("pattern, path, right", [
    ("stem", "stem.conv_1.kernel", True), ("stem", "stem2.conv_1.kernel", False),
    ("stage*.unit0", "stage3.unit0.basic_1.body.conv_1.kernel", True),
    ("stage*.unit0", "stage3.unit1.conv_1.kernel", False),
    ("*", "dense_1.kernel", True), ("conv_1", "stem.conv_1.kernel", False),
    ("**.conv_1", "stem.conv_1.kernel", True), ("**.bias", "bias", True),
    ("**.bias", "a.b.c.bias", True), ("**.bias", "a.b.recurrent_bias", False),
    ("a.**.kernel", "a.kernel", True), ("a+b", "aab.kernel", False),
])
def test_a_pattern_speaks_of_steps_of_a_path(pattern, path, right):
    assert matches(pattern, path) is right


def test_adaptive_clipping_is_by_unit_for_every_rank_of_kernel():
    draw = np.random.default_rng(0)
    params = {f"k{len(shape)}.kernel": jnp.asarray(draw.normal(size=shape), jnp.float32)
              for shape in ((4,), (4, 3), (2, 4, 3), (2, 2, 4, 3))}
    gradients = {name: 3 * value[::-1] for name, value in params.items()}
    clip, = Clip(adaptive=0.01).calls
    ours = build([], RUN, clip=[clip])
    updates: Any = ours.update(gradients, ours.init(params), params)[0]
    for name, param in params.items():
        unit = tuple(range(param.ndim - 1)) or 0
        norms = [np.sqrt((np.asarray(a) ** 2).sum(unit)) for a in (param, gradients[name])]
        expected = gradients[name] * np.minimum(1, 0.01 * norms[0] / norms[1])
        np.testing.assert_allclose(updates[name], expected, rtol=1e-5)


def test_a_run_of_epochs_that_differ_in_length_counts_epochs_from_the_beginning():
    run = Run(steps=45, steps_per_epoch=20, epoch_ends=(20, 30, 35, 40, 45))
    assert [read_steps(text).count(run) for text in (
        "1 epoch", "1.5 epochs", "3 epochs", "5 epochs", "20%", 7)] == [20, 25, 35, 45, 9, 7]
