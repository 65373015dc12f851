"""Recurrent operators: what they own, what flows on, dropout, states within and across batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.lower import carry
from compiler.lower.build import build_spec
from compiler.lower.context import Context
from compiler.lower.initialise import initial
from compiler.lower.kernels import recurrent
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType

SEQUENCE = TensorType(("time", "channels"), (5, 3))
LENGTHS = jnp.array([5, 2])


def numbers(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def op_of(word: str, **fields: Any) -> Any:
    return operator(word)(**fields)


def make(word: str, *more: TensorType, x: TensorType = SEQUENCE, **fields: Any) -> Any:
    """A layer as it is initialised; `return_` is the field `return`."""
    op = op_of(word, **{k.rstrip("_"): v for k, v in fields.items()})
    types = (x, *more)
    op.outputs(*types)
    declared = op.parameters(*types)
    return Layer(op, tuple(t.axes for t in types), declared, {
        name: jnp.asarray(initial(p.init, p.shape, 0, name)) for name, p in declared.items()})


def outputs(layer: Any, *inputs: Any, training: bool = False) -> dict[str, jax.Array]:
    """The layer's outputs by name."""
    context = Context(training=training, key=jax.random.key(0))
    names = list(layer.op.outputs(*[TensorType(a, x.shape[1:]) for a, x in zip(
        layer.axes, (i.array if isinstance(i, Tensor) else i for i in inputs))]))
    results = layer(*inputs, context=context)
    return {n: getattr(r, "array", r) for n, r in zip(names, results)}


# ---- what they own


@pytest.mark.parametrize("word, counts", [
    ("rnn", (98_816, 230_400, 197_632, 591_872)),
    ("gru", (296_448, 691_200, 592_896, 1_775_616)),
    ("lstm", (395_264, 921_600, 790_528, 2_367_488)),
])
def test_two_biases_give_pytorch_s_number_of_parameters(word, counts):
    x = TensorType(("time", "channels"), ("text", 128))
    for count, (layers, both) in zip(counts, ((1, False), (2, False), (1, True), (2, True))):
        op = op_of(word, units=256, biases=2, layers=layers, bidirectional=both)
        assert sum(p.size for p in op.parameters(x).values()) == count
    assert sum(p.size for p in op_of("lstm", units=256, biases=2, projection=64).parameters(
        x).values()) == 215_040


def test_parameters_are_named_by_layer_and_direction_and_have_roles():
    op = op_of("lstm", units=4, layers=2, bidirectional=True, biases=2, projection=2)
    roles = {name: p.role for name, p in op.parameters(SEQUENCE).items()}
    kinds = ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "projection")
    assert list(roles) == [f"{kind}_{number}{suffix}" for number in (0, 1)
                           for suffix in ("", "_backward") for kind in kinds]
    assert [roles[f"{kind}_1_backward"] for kind in kinds] == list(kinds)


def test_forget_gates_begin_open_in_one_bias_and_the_rest_begins_at_zero():
    layer = make("lstm", units=3, biases=2, forget_bias=0.5)
    np.testing.assert_array_equal(layer.get("bias_0"), [0] * 3 + [0.5] * 3 + [0] * 6)
    assert not np.any(layer.get("recurrent_bias_0"))
    assert np.all(make("lstm", units=3).get("bias_0")[3:6] == 1)
    assert not np.any(make("gru", units=3).get("bias_0"))


def test_each_gate_s_recurrent_kernel_begins_orthogonal_and_kernels_keep_their_variance():
    layer = make("gru", x=TensorType(("time", "channels"), (5, 200)), units=50)
    for gate in np.split(np.asarray(layer.get("recurrent_kernel_0")), 3, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(50), atol=1e-5)
    for gate in np.split(np.asarray(layer.get("kernel_0")), 3, axis=1):
        assert abs(gate.std() * 200**0.5 - 1) < 0.03


def test_steps_that_wait_for_each_other_are_those_of_all_layers():
    assert op_of("gru", units=4, layers=3, bidirectional=True).steps(SEQUENCE) == 15


# ---- what flows on


@pytest.mark.parametrize("word", ["rnn", "lstm", "gru"])
def test_return_chooses_what_flows_on_and_all_three_can_be_named(word):
    x = numbers(2, 5, 3)
    expected = outputs(make(word, units=4), x)
    assert list(expected) == ["sequence", "last", "state"]
    for choice in expected:
        layer = make(word, units=4, return_=choice)
        first = layer(x)[0]
        np.testing.assert_array_equal(first, expected[choice])
        assert next(iter(layer.op.outputs(SEQUENCE))) == choice
        assert layer.op.infer(SEQUENCE).shape == first.shape[1:]


def test_last_is_each_row_s_last_real_step_or_the_first_for_the_reading_backwards():
    x = Tensor(numbers(2, 5, 3), ("time", "channels"), LENGTHS)
    found = outputs(make("gru", units=4, layers=2, bidirectional=True), x)
    for row, length in enumerate(LENGTHS):
        forwards = found["sequence"][row, length - 1, :4]
        backwards = found["sequence"][row, 0, 4:]
        np.testing.assert_array_equal(
            found["last"][row], jnp.concatenate([forwards, backwards]))
        np.testing.assert_array_equal(found["last"][row], found["state"][row, 8:])


def test_summed_directions_are_the_sum_of_what_concat_puts_side_by_side():
    x = numbers(2, 5, 3)
    side = outputs(make("lstm", units=4, bidirectional=True), x)
    summed = outputs(make("lstm", units=4, bidirectional=True, merge="sum"), x)
    for name in ("sequence", "last"):
        np.testing.assert_allclose(
            summed[name], side[name][..., :4] + side[name][..., 4:], rtol=1e-6)


# ---- states


@pytest.mark.parametrize("word", ["rnn", "lstm", "gru"])
def test_a_state_handed_on_continues_the_sequence(word):
    x = numbers(2, 5, 3)
    plain = make(word, units=4, layers=2)
    state = TensorType(("channels",), plain.op.outputs(SEQUENCE)["state"].shape)
    going_on = make(word, state, units=4, layers=2, initial="before")
    first = outputs(plain, x[:, :2])
    second = outputs(going_on, x[:, 2:], first["state"])
    whole = outputs(plain, x)
    np.testing.assert_allclose(second["sequence"], whole["sequence"][:, 2:], atol=1e-6)
    np.testing.assert_allclose(second["state"], whole["state"], atol=1e-6)


def test_an_initial_state_of_outputs_alone_leaves_the_cells_at_zero():
    x, h = numbers(2, 5, 3), numbers(2, 8)
    layer = make("lstm", TensorType(("channels",), (8,)), units=4, layers=2, initial="image")
    zeros = jnp.zeros((2, 4))
    whole = jnp.concatenate([h[:, :4], zeros, h[:, 4:], zeros], axis=1)
    np.testing.assert_array_equal(layer(x, h)[0], layer(x, whole)[0])


@pytest.mark.parametrize("word, fields", [
    ("rnn", {"activation": "relu"}), ("lstm", {"projection": 2}), ("gru", {"biases": 2}),
    ("gru", {"reset": "before"})])
def test_a_cell_stepped_through_time_is_the_layer(word, fields):
    x = numbers(2, 5, 3)
    whole = make(word, units=4, **fields)
    state = TensorType(("channels",), whole.op.outputs(SEQUENCE)["state"].shape)
    cell = make(f"{word}_cell", state, x=TensorType(("channels",), (3,)), units=4,
                state="before", **fields)
    for name in cell.op.parameters(TensorType(("channels",), (3,)), state):
        getattr(cell, name)[...] = whole.get(f"{name}_0")
    expected, carried = outputs(whole, x), jnp.zeros((2, *state.shape))
    for t in range(5):
        output, carried = cell(x[:, t], carried)
        np.testing.assert_allclose(output, expected["sequence"][:, t], atol=1e-6)
    np.testing.assert_allclose(carried, expected["state"], atol=1e-6)


def test_a_convolutional_cell_stepped_through_time_is_the_layer():
    x, frame = numbers(2, 5, 4, 6, 3), TensorType(("height", "width", "channels"), (4, 6, 3))
    whole = make("conv_lstm", x=TensorType(("time", *frame.axes), (5, *frame.shape)), filters=2)
    state = frame.as_float(4)
    cell = make("conv_lstm_cell", state, x=frame, filters=2, state="before")
    for name in cell.op.parameters(frame, state):
        getattr(cell, name)[...] = whole.get(name)
    expected, carried = outputs(whole, x), jnp.zeros((2, *state.shape))
    for t in range(5):
        output, carried = cell(x[:, t], carried)
        np.testing.assert_allclose(output, expected["sequence"][:, t], atol=1e-6)
    np.testing.assert_allclose(carried, expected["state"], atol=1e-6)


# ---- dropout


def test_recurrent_dropout_has_one_mask_for_all_steps_of_a_row():
    layer = make("rnn", TensorType(("channels",), (50,)), units=50, activation="relu",
                 recurrent_dropout=0.2, initial="ones")
    layer.kernel_0[...] = jnp.zeros((3, 50))
    layer.recurrent_kernel_0[...] = jnp.eye(50)
    found = outputs(layer, numbers(2, 5, 3), jnp.ones((2, 50)), training=True)["sequence"]
    kept = found[:, 0] > 0
    assert 0.6 < kept.mean() < 0.95 and not (kept[0] == kept[1]).all()
    for t in range(5):
        # A unit that is kept grows by 1 / 0.8 at each step, one that is dropped stays 0.
        np.testing.assert_allclose(found[:, t], jnp.where(kept, 1.25 ** (t + 1), 0), rtol=1e-5)


def test_dropout_stands_between_layers_and_in_training_only():
    x = numbers(2, 5, 3)
    layer = make("lstm", units=20, layers=2, dropout=0.5)
    still, drops = outputs(layer, x), outputs(layer, x, training=True)
    below, above = slice(0, 40), slice(40, 80)
    np.testing.assert_array_equal(drops["state"][:, below], still["state"][:, below])
    assert (drops["state"][:, above] != still["state"][:, above]).all()
    # The outputs of the last layer are left as they are: none is 0.
    assert (drops["sequence"] != 0).all()


def test_a_single_layer_with_dropout_draws_nothing():
    layer = make("gru", units=4, dropout=0.5)
    assert layer.op.random == "never"
    np.testing.assert_array_equal(
        layer(numbers(2, 5, 3), context=Context(training=True))[0], layer(numbers(2, 5, 3))[0])
    assert make("gru", units=4, recurrent_dropout=0.5).op.random == "training"


# ---- across batches


def test_a_carried_state_makes_two_batches_one_text_until_it_is_reset():
    text = numbers(2, 10, 3)
    layer = make("lstm", units=4, layers=2, carry="across")
    whole = make("lstm", units=4, layers=2)(text)[0]
    np.testing.assert_array_equal(layer(text[:, 5:])[0], layer(text[:, 5:])[0])

    carry.begin(layer, rows=2)
    assert carry.carries(layer)
    np.testing.assert_allclose(layer(text[:, :5])[0], whole[:, :5], atol=1e-6)
    np.testing.assert_allclose(layer(text[:, 5:])[0], whole[:, 5:], atol=1e-6)
    before = layer.carried[...]
    layer(text[:1, :5])  # Another number of rows: no continuation, and nothing is kept.
    np.testing.assert_array_equal(layer.carried[...], before)
    carry.reset(layer)
    np.testing.assert_allclose(layer(text[:, :5])[0], whole[:, :5], atol=1e-6)
    carry.end(layer)
    assert not nnx.to_flat_state(nnx.state(layer, carry.Carried))


def test_a_carried_state_goes_through_a_compiled_step_and_lets_no_gradient_pass():
    text = numbers(2, 10, 3)
    layer = make("gru", units=4, carry="across")
    carry.begin(layer, rows=2)
    structure, params, carried = nnx.split(layer, nnx.Param, carry.Carried)

    @jax.jit
    def loss(params, carried, x):
        model = nnx.merge(structure, params, carried, copy=True)
        first = model(x)[0]
        return jnp.sum(first**2), nnx.state(model, carry.Carried)

    _, after = loss(params, carried, text[:, :5])
    gradient = jax.grad(lambda p, x: loss(p, loss(p, carried, x[:, :5])[1], x[:, 5:])[0], (0, 1))
    of_params, of_text = gradient(params, text)
    assert not np.any(of_text[:, :5]) and np.any(of_text[:, 5:])
    alone = jax.grad(lambda p: loss(p, after, text[:, 5:])[0])(params)
    for a, b in zip(jax.tree.leaves(of_params), jax.tree.leaves(alone)):
        np.testing.assert_allclose(a, b, atol=1e-5)


# ---- from a spec


def test_a_decoder_begins_with_its_encoder_s_state_by_name(tmp_path):
    spec = tmp_path / "translator.yaml"
    spec.write_text("""
flaxspec: 1
name: translator
inputs:
  source: {axes: [time, channels], shape: [any, 3]}
  target: {axes: [time, channels], shape: [any, 3]}
model:
  - {gru: {units: 4, layers: 2}, from: source, name: encoder}
  - {gru: {units: 4, layers: 2, initial: encoder.state, return: last}, from: target, name: decoder}
""")
    model: Any = build_spec(spec)
    model.eval()
    source, target = numbers(2, 5, 3), numbers(2, 4, 3)
    found = model(source, target, lengths={"source": LENGTHS})
    for row, length in enumerate(LENGTHS):
        state: list[Any] = [None, None]
        for x, names in ((source[row:row + 1, :length], "encoder"),
                         (target[row:row + 1], "decoder")):
            layer = getattr(model, names)
            for n in (0, 1):
                x, state[n] = recurrent.gru(
                    x, layer.get(f"kernel_{n}"), layer.get(f"recurrent_kernel_{n}"),
                    layer.get(f"bias_{n}"), h0=state[n])
        np.testing.assert_allclose(found[row], state[1][0], atol=1e-6)


# ---- what they refuse


IMAGE = TensorType(("height", "width", "channels"), (8, 8, 3))
VIDEO = TensorType(("time", "height", "width", "channels"), (5, 8, 8, 3))


@pytest.mark.parametrize("word, fields, inputs, code, says", [
    ("lstm", {}, [IMAGE], "F0403", "height 8"),
    ("lstm", {}, [VIDEO], "F0403", "flatten"),
    ("gru", {}, [TensorType(("time",), (5,), "int", 9)], "F0440", "embed"),
    ("lstm", {"initial": "s"}, [SEQUENCE, TensorType(("channels",), (7,))], "F0401", "8"),
    ("gru", {"initial": "s"}, [SEQUENCE, SEQUENCE], "F0401", "channels 3"),
    ("gru", {"bidirectional": True, "reverse": True}, [SEQUENCE], "F0452", "reverse"),
    ("gru", {"bidirectional": True, "carry": "across"}, [SEQUENCE], "F0452", "carry"),
    ("gru", {"initial": "s", "carry": "across"}, [SEQUENCE, TensorType(("channels",), (4,))],
     "F0452", "initial"),
    ("lstm_cell", {}, [SEQUENCE], "F0403", "lstm"),
    ("conv_lstm", {}, [SEQUENCE], "F0403", "lstm"),
    ("conv_lstm", {"kernel": 4}, [VIDEO], "F0205", "odd"),
    ("conv_lstm", {"initial": "s"}, [VIDEO, IMAGE], "F0401", "channels 3"),
    ("conv_lstm_cell", {}, [VIDEO], "F0403", "use `conv_lstm`"),
    ("conv_lstm_cell", {"kernel": 2}, [IMAGE], "F0205", "odd"),
    ("conv_lstm_cell", {"state": "s"}, [IMAGE, IMAGE], "F0401", "`state` is"),
])
def test_what_cannot_be_read_is_refused_with_what_was_found_and_a_remedy(
    word, fields, inputs, code, says,
):
    size = {"filters": 4} if word.startswith("conv_lstm") else {"units": 4}
    with pytest.raises(ShapeError) as error:
        op_of(word, **size, **fields).infer(*inputs)
    assert error.value.code == code and error.value.help
    assert says in f"{error.value.message} {error.value.help}"
