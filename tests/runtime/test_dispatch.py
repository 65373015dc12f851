"""Several steps in one call: the same bits as one by one, however they are grouped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics import Report, SpecError
from compiler.source import Source
from runtime import checkpoint
from runtime.batch import Ratio, Rows
from runtime.data.dataset import Part
from runtime.data.pipeline import DeviceArrays, can_stack, epoch_order, examples
from runtime.dispatch import STEPS, chosen, groups, several_steps
from runtime.execution import Wish, execute
from runtime.meter import Meter
from runtime.report.listener import Listener
from runtime.run import plan_of, prepare
from runtime.step import one_step, train_step
from runtime.stopping import Stop, Stopped
from tests.runtime.small import SMALL
from tests.runtime.test_step import KEY, copied, images, ready

RECIPE = SMALL + """\
train:
  epochs: 2
  batch_size: 128
  optimizer: {sgd: {learning_rate: {cosine_decay_schedule: {init_value: 0.1, decay_steps: 100%}},
                    momentum: 0.9}}
  ema: 0.9
  keep: best
"""
ALONE = Wish(report=False)
TOGETHER = "train.compile.steps_per_dispatch="


pytestmark = pytest.mark.usefixtures("compiled_once")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.integers(1, 9),
       st.none() | st.integers(1, 12))
def test_groups_make_every_step_that_is_left_and_stop_where_a_checkpoint_is_due(
        position, left, step, most, every):
    batches = position + left
    counts = list(groups(position=position, batches=batches, step=step, steps=50, most=most,
                         every=every))
    assert sum(counts) == min(left, 50 - step)
    assert all(1 <= count <= most for count in counts)
    ends = [step + sum(counts[:n]) for n in range(1, len(counts) + 1)]
    due = [n for n in range(step + 1, step + sum(counts) + 1) if every and n % every == 0]
    assert set(due) <= set(ends)


def test_a_call_of_several_steps_gives_the_bits_of_as_many_calls():
    _, state, optimizer, loss = ready()
    single, several = train_step(loss, optimizer), several_steps(one_step(loss, optimizer), 4)
    batches = [images(seed=seed, real=real) for seed, real in enumerate((16, 16, 11, 16, 16))]
    one, figures = copied(state), []
    for batch in batches:
        one, measured = single(one, batch, KEY)
        figures.append(measured["loss"])
    for counts in ([4, 1], [2, 3], [1, 4]):
        many, place, seen = copied(state), 0, []
        for count in counts:
            taken = batches[place:place + count]
            filled = [*taken, *[taken[-1]] * (4 - count)]
            stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled)
            many, measured = several(many, stack, count, KEY)
            seen += [Ratio(*(part[n] for part in measured["loss"])) for n in range(count)]
            place += count
        assert jax.tree.all(jax.tree.map(np.array_equal, (one, figures), (many, seen)))


def ended(folder, *assignments, wish=ALONE, listeners=()):
    """What a run leaves: its result, and its last checkpoint's arrays and facts."""
    folder.mkdir(exist_ok=True)
    recipe = prepare(Source("recipe.yaml", RECIPE), Report(), assignments=(
        "train.checkpoint.every=5", *assignments))
    result = execute(recipe, folder, "compile-and-train recipe.yaml", listeners, wish)
    saved = checkpoint.latest(folder)
    assert saved is not None
    return result, saved.arrays(), saved.facts


class StopAt(Listener):
    """Asks the run to stop when a step is made."""

    def __init__(self, step):
        self.stop, self._step, self.seen = Stop(), step, []

    def step(self, step, so_far):
        self.seen.append(step)
        if step == self._step:
            self.stop.signal = 15


@pytest.mark.slow
def test_a_run_s_bits_do_not_depend_on_how_many_steps_a_call_makes(tmp_path):
    one, arrays, facts = ended(tmp_path / "one", f"{TOGETHER}1")
    assert facts["bits"]["steps_per_dispatch"] == 1
    hears = StopAt(0)
    many, others, facts = ended(tmp_path / "many", f"{TOGETHER}8", listeners=[hears])
    assert facts["bits"]["steps_per_dispatch"] == 8
    assert hears.seen == list(range(1, many.steps + 1))
    assert one.test == many.test and one.best_epoch == many.best_epoch
    assert arrays.keys() == others.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], others[name], err_msg=name)

    # A run that is stopped in between, with as many as the rule says.
    at = StopAt(7)
    folder = tmp_path / "cut"
    with pytest.raises(Stopped) as stopped:
        ended(folder, wish=Wish(report=False, stop=at.stop), listeners=[at])
    assert stopped.value.step == 10  # where the call ended: a checkpoint is due
    whole, others, facts = ended(folder, wish=Wish(report=False, resume=True))
    assert facts["bits"]["steps_per_dispatch"] == STEPS
    assert whole.test == one.test
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], others[name], err_msg=name)


def test_an_older_run_goes_on_one_by_one(tmp_path, monkeypatch):
    at = StopAt(5)
    with pytest.raises(Stopped):
        ended(tmp_path, wish=Wish(report=False, stop=at.stop), listeners=[at])
    read = checkpoint.latest

    def older(run):
        saved = read(run)
        saved.facts["bits"].pop("steps_per_dispatch", None)
        return saved

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "latest", older)
        recipe = prepare(Source("recipe.yaml", RECIPE), Report(), assignments=(
            "train.checkpoint.every=5",))
        execute(recipe, tmp_path, "compile-and-train", (), Wish(report=False, resume=True))
    saved = read(tmp_path)
    assert saved is not None and saved.facts["bits"]["steps_per_dispatch"] == 1


def plan(model, batch_size=16):
    text = RECIPE.replace("  - flatten\n", f"{model}  - flatten\n").replace(
        "batch_size: 128", f"batch_size: {batch_size}")
    return plan_of(prepare(Source("recipe.yaml", text), Report()))


def test_small_models_make_several_steps_and_large_ones_and_convolutions_one():
    assert chosen(plan(""), on_processor=True) == STEPS
    assert chosen(plan("", batch_size=1_000_000), on_processor=True) == 1
    for layer in ("  - conv: {filters: 2, kernel: 3}\n", "  - max_pool: 2\n"):
        assert chosen(plan(layer), on_processor=True) == 1
        assert chosen(plan(layer), on_processor=False) == STEPS


@pytest.mark.parametrize("drop_last", [False, True])
def test_stacks_hold_the_batches_in_order(drop_last):
    draw = np.random.default_rng(0)
    data = DeviceArrays(Part({"x": draw.standard_normal((23, 2)), "y": np.arange(23)},
                             {"x": np.arange(23) % 3}))
    order = epoch_order(23, 0, 1)
    whole = list(data.batches(order, 4, drop_last=drop_last, start=1))
    stacks = list(data.stacks(order, 4, [2, 1, len(whole) - 3], 3, drop_last=drop_last, start=1))
    assert all(len(stack.rows) == 3 for stack, _ in stacks)
    found = [jax.tree.map(lambda all, n=n: all[n], stack)
             for stack, count in stacks for n in range(count)]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_of_different_lengths_are_not_stacked():
    rows, lengths = {"x": np.zeros((9, 8, 2))}, {"x": np.arange(9)}
    assert can_stack(examples(Part(rows, lengths)))
    assert not can_stack(examples(Part(rows, lengths, buckets=(4, 8))))
    assert not can_stack(examples(Part(rows, lengths), on_device=1))


def test_a_meter_takes_stacked_figures_as_it_takes_them_one_by_one():
    draw = np.random.default_rng(0)
    single, stacked = Meter(), Meter()
    losses = jnp.asarray(draw.standard_normal(40), jnp.float32)
    values = jnp.arange(40 * 3).reshape(40, 3)
    real = jnp.asarray(draw.integers(2, size=(40, 3)), bool)
    for n in range(40):
        single.add({"loss": Ratio(losses[n], jnp.float32(n)), "raw": Rows(values[n], real[n])})
    for start in range(0, 40, 8):
        at = slice(start, start + 8)
        stacked.add({"loss": Ratio(losses[at], jnp.arange(start, start + 8.0)),
                     "raw": Rows(values[at], real[at])}, 8)
    one, other = single.means(), stacked.means()
    assert single.batches == stacked.batches == 40
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_a_loss_that_is_no_number_is_found_in_the_step_of_its_stack():
    meter = Meter()
    for start in (0, 4):
        losses = jnp.arange(start, start + 4.0)
        meter.add({"loss": Ratio(jnp.where(losses == 6, jnp.nan, losses), jnp.ones(4))}, 4)
    meter.means()
    assert meter.bad == 7


def test_steps_per_dispatch_is_a_number_or_auto():
    with pytest.raises(SpecError) as error:
        prepare(Source("recipe.yaml", RECIPE), Report(), assignments=(f"{TOGETHER}0",))
    assert "steps_per_dispatch" in str(error.value) and "auto" in str(error.value)
