"""What numbers are held in, and what is said where they take too much room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.source import Source
from runtime.execution import execute
from runtime.loop import Job, train
from runtime.memory import SHARE, SURPLUS, available, fitting_batch, held, moments
from runtime.optim import build
from runtime.optim_document import Run
from runtime.policies import MOST
from runtime.run import plan_of, prepare
from runtime.step import PureModel

RECIPE = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
model:
  - conv: {filters: 4, kernel: 3}
  - batch_norm
  - relu
  - flatten
  - dense: 10
data: {dataset: digits, validation: 0}
task: classification
train: {steps: 12, batch_size: 256, optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}}
"""


def of(precision):
    recipe = prepare(Source("recipe.yaml", RECIPE), Report(),
                     assignments=(f"train.precision={precision}",))
    policy = recipe.training.train.precision
    return recipe, build_model(recipe.graph, **policy.of_build)


def test_bfloat16_alone_computes_in_it_and_keeps_the_rest_wide():
    recipe, model = of("bfloat16")
    _, params, rest = PureModel.split(model, recipe.inputs)
    assert {a.dtype for a in (*params.values(), *rest.values())} == {jnp.dtype("float32")}
    seen = []
    outputs = model.run({"image": np.ones((2, 8, 8, 1), np.float32)}, training=False,
                        watch=lambda path, arrays: seen.extend(a.dtype for a in arrays))
    assert outputs["output"].array.dtype == "float32"
    assert set(seen) == {jnp.dtype("bfloat16")}


def test_each_width_can_be_chosen_and_training_keeps_it():
    recipe, model = of("{parameters: bfloat16, compute: bfloat16, output: bfloat16}")
    result = train(Job("small", recipe.training, model, recipe.inputs), recipe.training.data.load())
    _, params, rest = PureModel.split(model, recipe.inputs)
    assert {a.dtype for a in (*params.values(), *rest.values())} == {jnp.dtype("bfloat16")}
    assert np.isfinite(result.test["loss"])


def test_half_the_width_learns_nearly_as_well():
    figures = []
    for precision in ("float32", "bfloat16"):
        recipe, model = of(precision)
        job = Job("small", recipe.training, model, recipe.inputs)
        figures.append(train(job, recipe.training.data.load()).test["loss"])
    assert figures[0] != figures[1]
    assert figures[1] == pytest.approx(figures[0], rel=0.1)


def test_a_run_in_bfloat16_is_saved_and_goes_on(tmp_path):
    from runtime import checkpoint
    from runtime.execution import Wish

    recipe = prepare(Source("recipe.yaml", RECIPE), Report(), assignments=(
        "train.precision={parameters: bfloat16, compute: bfloat16}",))
    execute(recipe, tmp_path, "test")
    saved = checkpoint.latest(tmp_path)
    assert saved is not None
    before = saved.arrays()
    assert before["state/params/conv_1.kernel"].dtype == jnp.bfloat16
    execute(recipe, tmp_path, "test", (), Wish(resume=True))


@pytest.mark.parametrize("value", ["float8", "{compute: int8}", "{width: float32}"])
def test_a_width_that_is_none_is_a_diagnostic(value):
    with pytest.raises(SpecError, match="F020"):
        of(value)


def test_short_memory_names_the_batch_the_largest_layers_and_a_remedy(tmp_path, monkeypatch):
    def exhausted(*arguments, **named):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 123456 bytes.\nmore")

    monkeypatch.setattr("runtime.loop.train", exhausted)
    recipe = prepare(Source("recipe.yaml", RECIPE), Report())
    with pytest.raises(SpecError) as refused:
        execute(recipe, tmp_path, "test")
    message = str(refused.value)
    assert "F0804" in message and "a batch of 256" in message
    assert "`conv_1` 256 KiB, `batch_norm_1` 256 KiB, `relu_1` 256 KiB" in message
    assert "JAX says: Out of memory allocating 123456 bytes." in message
    assert "try `batch_size: 128`" in message and "remat" in message


# ------------------------------------------------------------------------ batch_size: auto


def test_a_batch_is_as_large_as_the_memory_allows():
    recipe = prepare(Source("recipe.yaml", RECIPE), Report(),
                     assignments=("train.batch_size=8",))
    plan, train = plan_of(recipe), recipe.training.train
    each = SURPLUS * plan.totals.activation_bytes["training"] / 8
    fixed = held(plan, train)
    for size in (1, 2, 64, 512):
        enough = (size * each + fixed) / SHARE
        assert fitting_batch(plan, train, int(enough) + 1) == size
        assert fitting_batch(plan, train, int(enough) - 1) == max(1, size // 2)
        # In four pieces, which need their sum of gradients, four times as many fit.
        pieces = train.model_copy(update={"accumulate": 4})
        more = int((size * each + held(plan, pieces)) / SHARE) + 1
        assert fitting_batch(plan, pieces, more) == min(4 * size, MOST)
    assert fitting_batch(plan, train, 0) == 1
    assert fitting_batch(plan, train, 10**15) == MOST


@pytest.mark.parametrize("settings, copies", [
    (("optimizer={sgd: 0.1}",), 1),                       # the gradient
    (("optimizer={sgd: {learning_rate: 0.1, momentum: 0.9}}",), 2),
    (("optimizer={adam: 0.1}",), 3),
    (("optimizer={lion: 0.1}",), 2),
    (("optimizer=[{trace: 0.9}, {scale_by_adam: {}}, {scale: -0.1}]",), 4),
    (("optimizer={adam: 0.1}", "ema=0.99"), 4),
    (("optimizer={adam: 0.1}", "accumulate=2"), 4),
    (("optimizer={adam: 0.1}", "keep=best"), 4),
    (("optimizer={adam: 0.1}", "ema=0.99", "accumulate=2", "keep=best"), 6),
])
def test_what_training_holds_is_counted_by_parameter(settings, copies):
    recipe = prepare(Source("recipe.yaml", RECIPE), Report(),
                     assignments=("data.validation=0.1", *(f"train.{s}" for s in settings)))
    plan = plan_of(recipe)
    totals = plan.totals
    assert held(plan, recipe.training.train) == totals.weight_bytes + 4 * copies * totals.trainable


def test_the_counted_state_is_that_which_the_optimiser_and_the_average_have():
    recipe = prepare(Source("recipe.yaml", RECIPE), Report(),
                     assignments=("train.optimizer={adan: 0.1}",))
    large = {"kernel": jax.ShapeDtypeStruct((64, 64), "float32")}
    state = jax.eval_shape(build(recipe.training.train.optimizer, Run(1, 1)).init, large)
    count = sum(leaf.size for leaf in jax.tree.leaves(state))
    (call,) = recipe.training.train.optimizer
    assert round(count / 64**2, 2) == moments(call) == 4


def test_auto_becomes_a_number_that_stands_in_the_run():
    for memory, more in ((0, ()), (10**15, ("train.accumulate=4",))):
        recipe = prepare(Source("recipe.yaml", RECIPE), Report(),
                         assignments=("train.batch_size=auto", *more), memory=lambda m=memory: m)
        assert recipe.auto and recipe.training.train.batch_size == (MOST if memory else 1)
        from runtime.resume import spec_of

        assert f"batch_size: {MOST if memory else 1}" in spec_of(recipe.program)["spec.yaml"]
    assert not prepare(Source("recipe.yaml", RECIPE), Report()).auto


def test_a_run_that_goes_on_keeps_the_size_it_began_with(tmp_path):
    from runtime.resume import batch_size_of

    assert batch_size_of(tmp_path) is None
    (tmp_path / "spec.yaml").write_text("train: {batch_size: 48}\n")
    assert batch_size_of(tmp_path) == 48
    (tmp_path / "spec.yaml").write_text("train: {")
    assert batch_size_of(tmp_path) is None


def test_the_memory_of_this_machine_is_known():
    assert 2**20 < available() < 2**50
