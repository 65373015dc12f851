"""Networks trained in turns: against loops written by hand, cut off, in one call, and refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.source import Source
from runtime import checkpoint, memory
from runtime.data.pipeline import epoch_order, examples
from runtime.keeper import Keeper
from runtime.loop import Job, train
from runtime.optim_document import Run
from runtime.phases import advance_of, turns
from runtime.policies import Checkpointing
from runtime.run import plan_of, prepare
from runtime.step import PureModel
from runtime.stopping import Stop, Stopped

GAN = """\
flaxspec: 1
name: gan
inputs: {image: {shape: [8, 8, 1]}}
blocks:
  forger:
    layers: [{random: {shape: [4]}}, {dense: {units: 8, bias: false}}, batch_norm, relu,
             {dense: 64}, sigmoid, {reshape: [8, 8, 1]}]
  critic:
    layers: [flatten, {dense: {units: 6, bias: false}}, batch_norm, {leaky_relu: 0.2},
             {dropout: 0.1}, {dense: 1}]
model:
  - {forger: , name: generator}
  - {critic: , weights: discriminator, name: fake}
  - {critic: , weights: discriminator, name: real, from: image}
outputs: {picture: generator, fake: fake, real: real}
data: {dataset: digits}
losses:
  d_real: {binary_cross_entropy: [real, 1]}
  d_fake: {binary_cross_entropy: [fake, 0], weight: 0.5}
  fool: {binary_cross_entropy: [fake, 1]}
train:
  epochs: 2
  batch_size: 200
  phases:
    - {minimise: [d_real, d_fake], update: discriminator, optimizer: {adam: 0.002}, steps: 2}
    - {minimise: fool, update: generator, optimizer: {sgd: 0.05}, clip: {norm: 0.5}}
"""


def prepared(*assignments, text=GAN):
    return prepare(Source("recipe.yaml", text), Report(), assignments=assignments)


def refused(*assignments, text=GAN):
    with pytest.raises(SpecError) as caught:
        prepared(*assignments, text=text)
    return [d.code for d in caught.value.diagnostics]


def run(*assignments, steps_per_dispatch=1, text=GAN, **more):
    recipe = prepared(*assignments, text=text)
    model = build_model(recipe.graph, seed=0)
    job = Job("gan", recipe.training, model, recipe.inputs, steps_per_dispatch)
    result = train(job, recipe.training.data.load(), **more)
    return result, numbers(PureModel.split(model, recipe.inputs)[1:])


def numbers(arrays):
    """The arrays by path that hold numbers, not random keys."""
    return tuple({name: array for name, array in some.items()
                  if not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)} for some in arrays)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def close(first, second):
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(
        jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


@pytest.mark.slow
def test_phases_are_two_optax_loops_written_by_hand():
    recipe = prepared()
    model, dataset = build_model(recipe.graph, seed=0), recipe.training.data.load()
    pure, params, rest = PureModel.split(model, recipe.inputs, dataset.normalise)
    part, key = examples(dataset.train), jax.random.key(0)
    mine = {side: {n: a for n, a in params.items() if n.startswith(side)}
            for side in ("discriminator", "generator")}
    optimizers = {"discriminator": optax.adam(0.002),
                  "generator": optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.05))}
    memories = {side: optimizers[side].init(mine[side]) for side in mine}

    def cross_entropy(logits, yes):
        return -(yes * jax.nn.log_sigmoid(logits) + (1 - yes) * jax.nn.log_sigmoid(-logits)).mean()

    losses = {"discriminator": lambda o: cross_entropy(o["real"], 1)
              + 0.5 * cross_entropy(o["fake"], 0),
              "generator": lambda o: cross_entropy(o["fake"], 1)}

    @partial(jax.jit, static_argnums=0)
    def slope(side, own, others, rest, batch, noise):
        def of(own):
            outputs, after = pure.run(others | own, rest, batch, training=True, key=noise)
            return losses[side]({n: t.array for n, t in outputs.items()}), after

        return jax.value_and_grad(of, has_aux=True)(own)

    def update(side, rest, batch, noise):
        assert batch.rows.all()  # so that means are over all of them
        others = mine["discriminator"] | mine["generator"]
        (_, after), gradients = slope(side, mine[side], others, rest, batch, noise)
        updates, memories[side] = optimizers[side].update(gradients, memories[side], mine[side])
        mine[side] = optax.apply_updates(mine[side], updates)
        return {**rest, **{n: after[n] for n in rest if n.startswith(side)
                           and n in pure.statistics}}

    for number, batch in enumerate(part.batches(epoch_order(part.size, 0, 1), 200)):
        if number == 2:
            break
        noise = jax.random.split(jax.random.fold_in(key, number))[1]
        for passes in (0, 256):
            rest = update("discriminator", rest, batch,
                          jax.random.fold_in(noise, passes) if passes else noise)
        rest = update("generator", rest, batch, jax.random.fold_in(noise, 1))

    _, (params, other) = run("train.epochs=null", "train.steps=2")
    for name, array in {**mine["discriminator"], **mine["generator"]}.items():
        np.testing.assert_allclose(params[name], array, rtol=2e-5, atol=2e-7, err_msg=name)
    for name in pure.statistics:
        np.testing.assert_allclose(other[name], rest[name], rtol=2e-5, atol=2e-7, err_msg=name)


def test_one_phase_for_everything_is_ordinary_training():
    plain = GAN[:GAN.index("train:")].replace("weight: 0.5", "weight: 1.0")
    whole = "train: {epochs: 1, batch_size: 200, "
    phase = "phases: [{minimise: [d_real, d_fake, fool], update: '**', optimizer: {adam: 0.002}}]}"
    first = run(text=plain + whole + phase + "\n")
    second = run(text=plain + whole + "optimizer: {adam: 0.002}}\n")
    assert same(first[1], second[1]) and first[0].test == second[0].test


def test_a_phase_leaves_other_parameters_and_their_statistics_as_they_are():
    before = numbers(PureModel.split(build_model(prepared().graph, seed=0), {})[1:])
    _, after = run("train.steps=3", "train.epochs=null", "train.phases.1.every=4")
    for old, new in zip(before, after):
        moved = {name for name in old if not jnp.array_equal(old[name], new[name])}
        assert moved and all(name.startswith("discriminator") for name in moved)


@pytest.mark.slow
def test_several_steps_in_a_call_are_the_same_steps():
    settings = ("train.phases.1.ema=0.9", "train.epochs=1")
    _, one = run(*settings)
    _, several = run(*settings, steps_per_dispatch=4)
    assert close(one, several)


def test_a_run_with_phases_that_is_cut_off_goes_on_to_the_bit(tmp_path):
    settings = ("train.phases.1.every=2", "train.phases.1.ema=0.9")
    whole, arrays = run(*settings)
    stop = Stop()

    class Cut:
        def __getattr__(self, name):
            return lambda *given: setattr(stop, "signal", 2) if (
                name == "step" and given[0] == 9) else None

    facts = {"bits": {}}
    with pytest.raises(Stopped):
        run(*settings, listeners=[Cut()], stop=stop,
            keeper=Keeper(Checkpointing(), tmp_path, facts=facts))
    saved = checkpoint.latest(tmp_path)
    assert saved is not None and saved.step == 9
    resumed, again = run(*settings, keeper=Keeper(Checkpointing(), tmp_path, saved=saved))
    assert same(arrays, again) and resumed.test == whole.test


def test_only_the_phase_that_asks_for_it_is_averaged():
    recipe = prepared("train.phases.1.ema=0.5")
    made = turns(recipe.training.train.phases, Run(10, 5))
    before = {"generator.dense_1.bias": jnp.zeros(2), "discriminator.dense_1.bias": jnp.zeros(2)}
    after = {name: jnp.ones(2) for name in before}
    moved = advance_of(made, Run(10, 5))(before, after, jnp.int32(50))
    assert moved["generator.dense_1.bias"].tolist() == [0.5, 0.5]
    assert moved["discriminator.dense_1.bias"].tolist() == [1, 1]


def test_a_loss_that_is_no_number_ends_the_run_and_tells_the_step():
    with pytest.raises(SpecError) as caught:
        run("train.phases.0.optimizer={sgd: 1e38}")
    assert caught.value.diagnostics[0].code == "F0803"


def test_memory_counts_the_moments_of_each_phase_for_what_it_trains():
    recipe = prepared()
    plan, params = plan_of(recipe), {n: a for n, a in PureModel.split(
        build_model(recipe.graph, seed=0), recipe.inputs)[1].items()}
    critic = sum(a.size for n, a in params.items() if n.startswith("discriminator"))
    total = sum(a.size for a in params.values())
    assert memory.held(plan, recipe.training.train) == (
        plan.totals.weight_bytes + 4 * (total + 2 * critic))


def test_updates_of_a_phase_are_what_its_schedules_count():
    phase = prepared("train.phases.0.every=3").training.train.phases[0]
    assert phase.run(Run(30, 9, (9, 30))) == Run(20, 6, (6, 20))


@pytest.mark.parametrize("assignment, code", [
    ("train.phases.1.minimise=fol", "F0646"),
    ("train.phases.1.update=genrator", "F0620"),
    ("train.phases.1.update=discriminator", "F0647"),
    ("train.accumulate=2", "F0648"),
    ("train.optimizer={adam: 1}", "F0648"),
    ("train.ema=0.9", None),
    ("train.mix={mixup: 0.2}", "F0648"),
    ("losses.fool.during=evaluation", "F0646"),
    ("train.freeze=[generator]", "F0620"),
])
def test_phases_that_do_not_suit_are_refused(assignment, code):
    if code is None:
        assert prepared(assignment).training.train.average
    else:
        assert code in refused(assignment)


def test_a_phase_may_make_the_loss_of_a_task_small():
    text = ("flaxspec: 1\ninputs: {image: {shape: [8, 8, 1]}}\nmodel: [flatten, {dense: 10}]\n"
            "data: {dataset: digits}\n"
            "task: classification\ntrain: {epochs: 1, batch_size: 512, phases: "
             "[{minimise: classification, update: '**', optimizer: {adam: 0.01}}]}\n")
    result, _ = run(text=text)
    assert result.test["loss"] == result.test["classification"] and "accuracy" in result.test
