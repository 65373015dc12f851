"""The kernels of recurrent layers: their gradients, padded steps, and what a scan holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from compiler.lower.kernels import recurrent, recurrent_reference, squash
from compiler.lower.kernels.choice import states_by_columns
from compiler.lower.kernels.recurrent_conv import conv_lstm

BATCH, TIME, FEATURES, UNITS = 4, 5, 3, 4
# A full row, two shorter ones, an empty one.
LENGTHS = np.array([5, 1, 0, 3])
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
CASES: dict[str, dict[str, Any]] = {
    "rnn": {},
    "rnn relu": {"activation": "relu"},
    "lstm": {},
    "lstm projected": {"projection": 2},
    "gru": {},
    "gru before": {"reset": "before"},
}
# Half of XLA's time is optimisation, which arrays as tiny as these have no use for.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
every_case = pytest.mark.parametrize("case", CASES)


def arrays(case: str, dtype: Any = np.float64) -> dict[str, jax.Array]:
    """Every array that a case can take, the initial state and the mask included."""
    rng = np.random.default_rng(0)
    word, state = case.split()[0], CASES[case].get("projection", UNITS)
    columns = GATES[word] * UNITS
    shapes = {"x": (BATCH, TIME, FEATURES), "kernel": (FEATURES, columns),
              "recurrent_kernel": (state, columns), "bias": (columns,),
              "recurrent_bias": (columns,), "h0": (BATCH, state), "recurrent_mask": (BATCH, state)}
    if word == "lstm":
        shapes["c0"] = (BATCH, UNITS)
    if state != UNITS:
        shapes["projection"] = (UNITS, state)
    return {k: jnp.asarray(rng.standard_normal(s), dtype) for k, s in shapes.items()}


def layer(case: str, module: Any = recurrent, **more: Any) -> Callable[..., tuple]:
    """A kernel as a function of a dict of its arrays."""
    word, *_ = case.split()
    fields = {k: v for k, v in CASES[case].items() if k != "projection"}
    return lambda given: getattr(module, word)(**given, **fields, **more)


def total(outputs: tuple[jax.Array, ...]) -> jax.Array:
    """A number that depends on every element of every output, each in its own way."""
    numbers = [jnp.sum(jnp.sin(o + jnp.arange(o.size).reshape(o.shape))) for o in outputs]
    return jnp.stack(numbers).sum()


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Every array within `tolerance` of the largest number of the one it should be."""
    leaves, others = jax.tree.leaves(found), jax.tree.leaves(expected)
    assert len(leaves) == len(others)
    for a, b in zip(leaves, others):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-3)


@pytest.mark.parametrize("reverse", [False, True])
@every_case
def test_outputs_and_gradients_are_those_of_the_plain_scan(case, reverse):
    with jax.enable_x64(True):
        def measure(module, given):
            run = layer(case, module, lengths=jnp.asarray(LENGTHS), reverse=reverse)
            return run(given), jax.grad(lambda g: total(run(g)))(given)

        given = arrays(case)
        close(compiled(partial(measure, recurrent))(given),
              compiled(partial(measure, recurrent_reference))(given), 1e-12)


@every_case
def test_second_derivatives_are_those_of_the_plain_scan(case):
    """The gradient of (gradient · direction), in reverse over reverse."""
    with jax.enable_x64(True):
        given = arrays(case)
        direction = jax.tree.map(jnp.cos, given)

        def hessian_times_direction(module, given):
            run = layer(case, module, lengths=jnp.asarray(LENGTHS))

            def slope(given):
                gradient = jax.grad(lambda g: total(run(g)))(given)
                return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))

            return jax.grad(slope)(given)

        close(compiled(partial(hessian_times_direction, recurrent))(given),
              compiled(partial(hessian_times_direction, recurrent_reference))(given), 1e-11)


@pytest.mark.parametrize("module", [recurrent, recurrent_reference])
@every_case
def test_garbage_in_padded_steps_reaches_no_result_and_no_gradient(case, module):
    given = arrays(case, np.float32)
    padded = np.arange(TIME)[:, None] >= LENGTHS[:, None, None]

    @partial(compiled, static_argnums=1)
    def measure(given, reverse):
        run = layer(case, module, lengths=jnp.asarray(LENGTHS), reverse=reverse)
        return run(given), jax.grad(lambda g: total(run(g)))(given)

    for reverse in (False, True):
        expected = measure(given | {"x": jnp.where(padded, 0, given["x"])}, reverse)
        for garbage in (jnp.nan, jnp.inf):
            spoiled = given | {"x": jnp.where(padded, garbage, given["x"])}
            outputs, gradients = measure(spoiled, reverse)
            for a, b in zip(jax.tree.leaves((outputs, gradients)), jax.tree.leaves(expected)):
                np.testing.assert_array_equal(a, b)
        sequence, *ended = outputs
        assert not np.asarray(sequence)[np.broadcast_to(padded, sequence.shape)].any()
        assert not np.asarray(gradients["x"])[np.broadcast_to(padded, given["x"].shape)].any()
        empty = list(LENGTHS).index(0)
        for state, name in zip(ended, ("h0", "c0")):
            np.testing.assert_array_equal(state[empty], given[name][empty])


@pytest.mark.parametrize("reverse", [False, True])
@every_case
def test_a_padded_row_gives_what_it_gives_alone_and_cut(case, reverse):
    given = arrays(case, np.float32)
    run = compiled(layer(case, lengths=jnp.asarray(LENGTHS), reverse=reverse))
    sequence, *ended = run(given)
    row = 3
    length = int(LENGTHS[row])
    alone = {k: v[row:row + 1] if k in ("h0", "c0", "recurrent_mask") else v
             for k, v in given.items()} | {"x": given["x"][row:row + 1, :length]}
    cut, *ends = compiled(layer(case, reverse=reverse))(alone)
    close(sequence[row:row + 1, :length], cut, 1e-6)
    close([s[row:row + 1] for s in ended], ends, 1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@every_case
def test_a_sequence_in_two_parts_that_hand_on_the_state_is_the_whole_one(case, dtype):
    given = arrays(case, np.float32) | {"x": arrays(case, np.float32)["x"].astype(dtype)}
    run = compiled(layer(case))
    whole = run(given)
    first, *state = run(given | {"x": given["x"][:, :2]})
    second, *state = run(given | {"x": given["x"][:, 2:]} | dict(zip(("h0", "c0"), state)))
    close((jnp.concatenate([first, second], 1), *state), whole, 1e-6)


@every_case
def test_vmap_and_checkpoint_change_nothing(case):
    given = arrays(case, np.float32)
    run = layer(case)
    by_row = {"x": 0, "h0": 0, "c0": 0, "recurrent_mask": 0}
    axes = {k: by_row.get(k) for k in given}
    single = {k: v[:, None] if axes[k] == 0 else v for k, v in given.items()}
    mapped = compiled(jax.vmap(run, in_axes=(axes,)))(single)
    # In float32 sums in another order differ by some steps of rounding.
    close([m[:, 0] for m in mapped], compiled(run)(given), 1e-5)

    @compiled
    def gradients(given):
        again = jax.checkpoint(run)
        return (jax.grad(lambda g: total(run(g)))(given),
                jax.grad(lambda g: total(again(g)))(given))

    plain, recomputed = gradients(given)
    close(recomputed, plain, 1e-5)


@every_case
def test_bfloat16_keeps_states_wide_and_gradients_near(case):
    given = {k: v.astype(jnp.bfloat16) for k, v in arrays(case, np.float32).items()}
    run = layer(case, lengths=jnp.asarray(LENGTHS))

    @compiled
    def measure(given):
        return run(given), jax.grad(lambda g: sum(
            jnp.sum(o * jnp.cos(jnp.arange(o.size)).reshape(o.shape)) for o in run(g)))(given)

    outputs, gradients = measure(given)
    sequence, *ended = outputs
    assert sequence.dtype == jnp.bfloat16 and all(s.dtype == jnp.float32 for s in ended)
    assert all(gradients[k].dtype == jnp.bfloat16 for k in given)
    # bfloat16 keeps 8 bits: 1/256 for each rounding, several on the way.
    close((outputs, gradients), measure({k: v.astype(jnp.float32) for k, v in given.items()}), 0.05)


@pytest.mark.parametrize("reverse", [False, True])
def test_transposed_states_of_many_rows_are_those_of_the_plain_scan(reverse):
    """Without a gradient, as a model predicts; and in vmap, which a platform's choice survives."""
    rng, rows = np.random.default_rng(0), 64
    assert states_by_columns(rows, exact=False) and not states_by_columns(rows, exact=True)
    given = {k: jnp.asarray(rng.standard_normal((rows, *v.shape[1:])), jnp.float32)
             if k in ("x", "h0", "c0", "recurrent_mask") else v
             for k, v in arrays("lstm", np.float32).items()}
    lengths = jnp.asarray(rng.integers(0, TIME + 1, rows))
    run = layer("lstm", reverse=reverse, lengths=lengths)
    mapped = compiled(jax.vmap(run))(jax.tree.map(lambda a: a[None], given))
    plain = layer("lstm", recurrent_reference, reverse=reverse, lengths=lengths)
    close([m[0] for m in mapped], compiled(plain)(given), 1e-6)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_squashing_functions_of_many_elements_are_exact_to_rounding(name):
    function, plain = getattr(squash, name), getattr(jax.nn, name)
    x = np.linspace(-20, 20, squash.FEWEST).astype(np.float32)
    x[:3] = np.inf, -np.inf, np.nan
    exact = np.tanh(x.astype(np.float64)) if name == "tanh" else 1 / (1 + np.exp(-x.astype(float)))
    np.testing.assert_allclose(function(x), exact, rtol=0, atol=3e-7)
    np.testing.assert_allclose(jax.grad(lambda x: function(x).sum())(x)[3:],
                               jax.grad(lambda x: plain(x).sum())(x)[3:], rtol=0, atol=1e-6)


def scans(jaxpr: Any) -> Iterator[Any]:
    """The bodies of all scans in a program."""
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            if equation.primitive.name == "scan":
                yield inner
            yield from scans(inner)


def products(jaxpr: Any) -> int:
    """How many matrix products a program has, those of the functions it calls included."""
    return sum((e.primitive.name == "dot_general") + sum(
        products(i) for i in jaxprs_in_params(e.params)) for e in jaxpr.eqns)


@every_case
def test_scans_hold_the_products_of_a_step_and_no_gradient_of_a_kernel(case):
    """Of the input and the state forwards, of the state backwards; one more where a projection or
    an early reset needs it."""
    given = arrays(case, np.float32)
    program = jax.make_jaxpr(jax.grad(lambda g: total(layer(case)(g))))(given)
    forward, backward = scans(program.jaxpr)
    more = 1 if case in ("lstm projected", "gru before") else 0
    assert (products(forward), products(backward)) == (2 + more, 1 + more)


@pytest.mark.parametrize("word, most", [("lstm", 13), ("gru", 11.5)])
def test_the_backward_pass_takes_room_for_its_results_when_the_forward_pass_is_over(word, most):
    """In sequences of states; room that stands from the beginning takes one or two more."""
    batch, time, units = 8, 64, 32
    shapes = {"x": (batch, time, 2), "kernel": (2, GATES[word] * units),
              "recurrent_kernel": (units, GATES[word] * units)}
    given = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    gradient = jax.jit(jax.grad(lambda g: jnp.sum(jnp.sin(layer(word)(g)[0]))))
    memory = gradient.lower(given).compile().memory_analysis()
    assert memory.temp_size_in_bytes / (4 * batch * time * units) < most


def test_a_convolutional_lstm_has_the_gradients_of_the_plain_scan():
    rng = np.random.default_rng(0)
    given = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in {
        "x": (4, 5, 3, 4, 2), "kernel": (3, 5, 2, 12), "recurrent_kernel": (3, 5, 3, 12),
        "bias": (12,), "h0": (4, 3, 4, 3), "c0": (4, 3, 4, 3)}.items()}
    padded = (np.arange(5)[:, None] >= LENGTHS[:, None, None])[..., None, None]
    spoiled = given | {"x": jnp.where(padded, jnp.nan, given["x"])}

    def measure(kernels, given):
        def run(given):
            return conv_lstm(**given, lengths=jnp.asarray(LENGTHS), kernels=kernels)
        return run(given), jax.grad(lambda g: total(run(g)))(given)

    close(compiled(partial(measure, "auto"))(spoiled),
          compiled(partial(measure, "reference"))(given), 2e-5)


def test_a_convolution_with_a_window_of_one_is_the_dense_lstm_at_every_place():
    given = arrays("lstm", np.float32)
    images = jnp.stack([given["x"], 2 * given["x"]], axis=2)
    sequence, h, c = conv_lstm(
        images, given["kernel"][None], given["recurrent_kernel"][None], given["bias"])
    for place, x in enumerate((given["x"], 2 * given["x"])):
        dense = recurrent.lstm(x, given["kernel"], given["recurrent_kernel"], given["bias"])
        close((sequence[:, :, place], h[:, place], c[:, place]), dense, 1e-6)
