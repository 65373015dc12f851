"""Attention: its formulas in NumPy, PyTorch's layer, and what padding may not do."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.lower.attention import sinusoids
from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType
from tests.compiler.layers import numbers, run
from tests.compiler.operator_table import floats

REFERENCE = Path(__file__).parent.parent / "conformance" / "attention_reference.npz"
QUERY, MEMORY = numbers(2, 4, 6, seed=1), numbers(2, 5, 6, seed=2)
OF = {"memory": "encoder"}


def softmax(x):
    exp = np.exp(x - x.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


# ---- attention


def test_dot_attention_is_the_weighted_mean_of_the_memory():
    weights = softmax(QUERY @ MEMORY.transpose(0, 2, 1))
    np.testing.assert_allclose(run("attention", OF, QUERY, MEMORY).array, weights @ MEMORY,
                               rtol=1e-4, atol=1e-5)


def test_scaled_attention_divides_by_the_root_of_the_channels():
    weights = softmax(QUERY @ MEMORY.transpose(0, 2, 1) / np.sqrt(6))
    np.testing.assert_allclose(run("attention", OF | {"scaled": True}, QUERY, MEMORY).array,
                               weights @ MEMORY, rtol=1e-4, atol=1e-5)


def test_general_attention_has_a_matrix_between():
    kernel = numbers(6, 6, seed=3)
    weights = softmax(QUERY @ kernel @ MEMORY.transpose(0, 2, 1))
    found = run("attention", OF | {"score": "general"}, QUERY, MEMORY,
                parameters={"kernel": kernel})
    np.testing.assert_allclose(found.array, weights @ MEMORY, rtol=1e-4, atol=1e-5)


def test_additive_attention_is_bahdanaus():
    q, m, v = numbers(6, 7, seed=3), numbers(6, 7, seed=4), numbers(7, 1, seed=5)
    hidden = np.tanh((QUERY @ q)[:, :, None] + (MEMORY @ m)[:, None])
    found = run("attention", OF | {"score": "additive", "units": 7}, QUERY, MEMORY,
                parameters={"query_kernel": q, "memory_kernel": m, "score_kernel": v})
    np.testing.assert_allclose(found.array, softmax((hidden @ v)[..., 0]) @ MEMORY,
                               rtol=1e-4, atol=1e-5)


def test_a_single_state_may_ask():
    found = run("attention", OF, QUERY[:, 0], MEMORY)
    assert found.axes == ("channels",)
    whole = run("attention", OF, QUERY, MEMORY).array
    np.testing.assert_allclose(found.array, whole[:, 0], rtol=1e-5)


def test_padded_steps_of_the_memory_get_no_weight():
    spoiled = MEMORY.copy()
    spoiled[1, 2:] = np.nan
    found = run("attention", OF, QUERY, spoiled, lengths=[None, [5, 2]]).array
    alone = run("attention", OF, QUERY[1:], MEMORY[1:, :2]).array
    np.testing.assert_allclose(found[1], alone[0], rtol=1e-5)


def test_an_empty_memory_gives_zero_not_nan():
    assert (run("attention", OF, QUERY, MEMORY, lengths=[None, [5, 0]]).array[1] == 0).all()
    found = run("multi_head_attention", OF | {"heads": 2}, QUERY, MEMORY, lengths=[None, [5, 0]],
                parameters={"output_bias": np.arange(6)}).array
    np.testing.assert_allclose(found[1], np.broadcast_to(np.arange(6), (4, 6)), atol=1e-6)


def test_products_of_float64_are_exact_to_float64():
    query, memory = QUERY.astype(np.float64), MEMORY.astype(np.float64)
    kernels = {f"{name}_kernel": numbers(6, 6, seed=i) for i, name in enumerate(
        ("query", "key", "value", "output"))}
    q, k, v, o = kernels.values()
    with jax.enable_x64(True):
        dot = run("attention", OF | {"scaled": True}, query, memory).array
        heads = run("multi_head_attention", OF | {"heads": 1, "bias": False}, query, memory,
                    parameters=kernels).array
    weights = softmax(query @ memory.transpose(0, 2, 1) / np.sqrt(6))
    np.testing.assert_allclose(dot, weights @ memory, rtol=1e-12, atol=1e-13)
    weights = softmax(query @ q @ (memory @ k).transpose(0, 2, 1) / np.sqrt(6))
    np.testing.assert_allclose(heads, weights @ (memory @ v) @ o, rtol=1e-11, atol=1e-11)


# ---- multi_head_attention


@pytest.mark.parametrize("name", ["self", "lengths", "causal", "memory", "unbiased"])
def test_multi_head_attention_is_pytorchs_with_its_gradients(name):
    with np.load(REFERENCE) as file:
        case = {k.split("/", 1)[1]: file[k] for k in file.files if k.startswith(f"{name}/")}
    arrays = {k[2:]: jnp.asarray(a) for k, a in case.items() if k.startswith("p.")}
    memory = case.get("memory")
    fields = {"heads": 2, "memory": None if memory is None else "encoder",
              "causal": bool(case["causal"]), "bias": "query_bias" in arrays}
    op = operator("multi_head_attention")(**fields)
    inputs = [jnp.asarray(case[k]) for k in ("query", "memory") if k in case]
    axes = ("time", "channels")
    types = [TensorType(axes, x.shape[1:]) for x in inputs]
    layer = Layer(op, (axes,) * len(inputs), op.parameters(*types), arrays)
    graphdef, params = nnx.split(layer, nnx.Param)
    lengths = jnp.asarray(case["lengths"]) if "lengths" in case else None

    def loss(params, inputs):
        tensors = [Tensor(x, axes, lengths if i == len(inputs) - 1 else None)
                   for i, x in enumerate(inputs)]
        found = nnx.merge(graphdef, params)(*tensors, context=Context())
        return (found.array * case["weight"]).sum(), found.array

    (_, found), (by_params, by_inputs) = jax.value_and_grad(loss, (0, 1), has_aux=True)(
        params, inputs)
    real = case["weight"] != 0
    np.testing.assert_allclose(found[real], case["output"][real], rtol=1e-4, atol=1e-5)
    for path, gradient in nnx.to_flat_state(by_params):
        np.testing.assert_allclose(gradient[...], case[f"d.{path[0]}"], rtol=1e-3, atol=1e-4,
                                   err_msg=str(path))
    for gradient, key in zip(by_inputs, ("d_query", "d_memory")):
        np.testing.assert_allclose(gradient, case[key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_no_later_step_reaches_an_earlier_one_in_causal_attention():
    fields = {"heads": 2, "causal": True}
    changed = QUERY.copy()
    changed[:, 2:] += 1
    before = run("multi_head_attention", fields, QUERY).array
    after = run("multi_head_attention", fields, changed).array
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).any()


def test_dropout_of_attention_weights_needs_a_key_in_training_only():
    fields = {"heads": 2, "dropout": 0.5}
    run("multi_head_attention", fields, QUERY, key=None)
    run("multi_head_attention", {"heads": 2}, QUERY, key=None, training=True)
    with pytest.raises(ValueError, match="rngs="):
        run("multi_head_attention", fields, QUERY, key=None, training=True)


# ---- positional_encoding


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(50, 8)
    for t, i in [(0, 0), (3, 1), (49, 3)]:
        angle = t / 10000 ** (2 * i / 8)
        np.testing.assert_allclose(table[t, 2 * i:2 * i + 2], [np.sin(angle), np.cos(angle)])
    found = run("positional_encoding", {}, QUERY).array
    np.testing.assert_allclose(found, QUERY + sinusoids(4, 6), rtol=1e-5, atol=1e-6)


def test_a_learned_encoding_is_a_table_of_steps():
    table = numbers(9, 6)
    found = run("positional_encoding", {"kind": "learned", "length": 9}, QUERY,
                parameters={"embedding": table}).array
    np.testing.assert_allclose(found, QUERY + table[:4], rtol=1e-6)


def test_a_sequence_longer_than_its_table_is_told_when_it_comes():
    op = operator("positional_encoding")(**{"kind": "learned", "length": 3})
    open_type = TensorType(("time", "channels"), ("text", 6))
    arrays = {"embedding": jnp.zeros((3, 6))}
    layer = Layer(op, (("time", "channels"),), op.parameters(open_type), arrays)
    with pytest.raises(ValueError, match="4 steps"):
        layer(QUERY)


# ---- refusals


@pytest.mark.parametrize("word, fields, shapes, code", [
    ("attention", OF, [(4, 6), (5, 3)], "F0457"),
    ("attention", OF, [(4, 6), (6,)], "F0456"),
    ("attention", OF | {"units": 3}, [(4, 6), (5, 6)], "F0452"),
    ("multi_head_attention", {"heads": 4}, [(4, 6)], "F0442"),
    ("multi_head_attention", {"heads": 2}, [(6,)], "F0456"),
    ("multi_head_attention", {"heads": 2, "causal": True}, [(4, 4, 6)], "F0458"),
    ("positional_encoding", {}, [(4, 4, 6)], "F0403"),
    ("positional_encoding", {"length": 5}, [(4, 6)], "F0452"),
    ("positional_encoding", {"kind": "learned", "length": 3}, [(4, 6)], "F0455"),
])
def test_inputs_that_do_not_fit_are_refused_with_a_remedy(word, fields, shapes, code):
    with pytest.raises(ShapeError) as caught:
        operator(word)(**fields).infer(*(floats(*s) for s in shapes))
    assert caught.value.code == code and caught.value.help


def test_a_learned_encoding_of_an_unknown_length_asks_for_the_longest():
    with pytest.raises(ShapeError, match="longest length") as caught:
        operator("positional_encoding")(**{"kind": "learned"}).infer(
            TensorType(("time", "channels"), ("text", 6)))
    assert "length: 512" in caught.value.help
