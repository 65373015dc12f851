"""The module of a spec: its paths, its phases, and that it is ordinary Flax."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from pydantic import Field

import flaxspec
from compiler.lower.layer import Frozen, Layer
from compiler.lower.tensor import Tensor
from compiler.lower.weights import load_weights, save_weights, variables
from compiler.weights.files import write_file
from compiler.weights.save import weights_to_torch
from flaxspec import Operator, TensorType

HEAD = "flaxspec: 1\nname: small\n"


@pytest.fixture
def build(tmp_path: Path):
    """Compile a spec's text; `flaxspec: 1` and a name are put before it."""

    def make(text: str, **options):
        path = tmp_path / "small.yaml"
        path.write_text(HEAD + text)
        return flaxspec.build(path, **options)

    return make


RESIDUAL = """
inputs: {image: {shape: [6, 6, 3]}}
blocks:
  unit:
    params: {filters: int}
    layers:
      - add:
          body: [conv: {filters: =filters, kernel: 3}, batch_norm, relu]
          shortcut:
            - conv: {filters: =filters, kernel: 1}
              when: =x.channels != filters
model:
  - repeat: {times: 2, index: step, layers: [unit: 4]}
  - global_average_pool
  - {dense: 5, name: classifier}
"""


def test_attribute_paths_are_the_authors_words(build):
    model = build(RESIDUAL)
    assert model.step0.unit_1.shortcut.conv_1.kernel.shape == (1, 1, 3, 4)
    assert model.step1.unit_1.body.conv_1.kernel.shape == (3, 3, 4, 4)
    assert "step1.unit_1.body.batch_norm_1.mean" in variables(model)
    assert model.classifier.bias.shape == (5,)


def test_a_layer_that_is_switched_off_leaves_no_parameters(build):
    assert not hasattr(build(RESIDUAL).step1.unit_1, "shortcut")


def test_it_trains_as_any_flax_module(build):
    model = build(RESIDUAL)
    optimizer = nnx.Optimizer(model, optax.adam(3e-2), wrt=nnx.Param)
    x = np.random.default_rng(0).standard_normal((8, 6, 6, 3)).astype(np.float32)
    labels = np.arange(8) % 5

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    before = model.step0.unit_1.body.batch_norm_1.mean[...].copy()
    losses = [float(step(model, optimizer)) for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    assert not np.allclose(before, model.step0.unit_1.body.batch_norm_1.mean[...])


def test_eval_uses_running_statistics_and_leaves_them_alone(build):
    model = build(RESIDUAL)
    model.eval()
    before = model.step0.unit_1.body.batch_norm_1.mean[...].copy()
    one = model(jnp.ones((1, 6, 6, 3)))
    two = model(jnp.concatenate([jnp.ones((1, 6, 6, 3)), jnp.full((1, 6, 6, 3), 9.0)]))[:1]
    np.testing.assert_allclose(one, two, rtol=1e-5)
    np.testing.assert_array_equal(before, model.step0.unit_1.body.batch_norm_1.mean[...])


def test_a_parameter_depends_on_its_seed_and_path_alone(build):
    first, second = build(RESIDUAL, seed=3), build(RESIDUAL.replace("times: 2", "times: 1"), seed=3)
    np.testing.assert_array_equal(first.classifier.kernel[...], second.classifier.kernel[...])
    assert not np.allclose(
        first.classifier.kernel[...], build(RESIDUAL, seed=4).classifier.kernel[...]
    )


def test_abstract_describes_and_draws_nothing(build):
    kernel = variables(build(RESIDUAL, abstract=True))["classifier.kernel"]
    assert isinstance(kernel.get_value(), jax.ShapeDtypeStruct)


def test_dtype_is_what_floats_are_computed_in(build):
    model = build(RESIDUAL, dtype=jnp.bfloat16)
    assert model(jnp.ones((2, 6, 6, 3))).dtype == jnp.bfloat16
    assert model.classifier.kernel[...].dtype == jnp.float32


def test_weights_go_to_a_file_and_back(build, tmp_path):
    model, other = build(RESIDUAL), build(RESIDUAL, seed=1)
    save_weights(model, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    x = np.ones((2, 6, 6, 3), np.float32)
    np.testing.assert_array_equal(model(x), other(x))


def test_weights_of_another_shape_are_refused_by_name(build, tmp_path):
    save_weights(build(RESIDUAL), tmp_path / "w.safetensors")
    with pytest.raises(flaxspec.SpecError, match="`classifier.bias` has the shape"):
        load_weights(build(RESIDUAL.replace("dense: 5", "dense: 6")), tmp_path / "w.safetensors")


def test_something_that_is_no_safetensors_file_is_refused(build, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(flaxspec.SpecError, match="F0805"):
        load_weights(build(RESIDUAL), tmp_path / "w.safetensors")


def test_was_takes_weights_from_the_path_of_before(build, tmp_path):
    old = build("inputs: {x: {shape: [4]}}\nmodel: [{dense: 3, name: old}]\n")
    save_weights(old, tmp_path / "w.safetensors")
    new = build("inputs: {x: {shape: [4]}}\nmodel: [{dense: 3, name: new, was: old}]\n")
    load_weights(new, tmp_path / "w.safetensors", new._graph)
    np.testing.assert_array_equal(new.new.kernel[...], old.old.kernel[...])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_used_model_brings_its_weights(build, tmp_path, suffix):
    base = build("inputs: {x: {shape: [4]}}\nmodel: [{dense: 3, name: layer}]\n", seed=7)
    arrays = {name: np.asarray(v[...]) for name, v in variables(base).items()}
    if suffix == ".pth":
        arrays = weights_to_torch(base.graph, arrays)
    write_file(tmp_path / f"base{suffix}", arrays, {})
    (tmp_path / "base.yaml").write_text((tmp_path / "small.yaml").read_text())
    user = build(
        f"use: {{base: {{spec: base.yaml, weights: base{suffix}}}}}\n"
        "inputs: {x: {shape: [4]}}\nmodel: [{base.model: , name: body}, dense: 2]\n"
    )
    np.testing.assert_array_equal(user.body.layer.kernel[...], base.layer.kernel[...])


def test_heads_of_training_are_absent_in_evaluation(build):
    model = build("""
inputs: {x: {shape: [4]}}
model:
  - {dense: 8, name: body}
  - {output: {name: aux, layers: [dense: 3]}, during: training}
  - dense: 2
""")
    x = jnp.ones((2, 4))
    assert set(model(x)) == {"output", "aux"}
    model.eval()
    assert set(model(x)) == {"output"}


def test_dropout_draws_anew_in_training_and_nothing_in_evaluation(build):
    model = build("inputs: {x: {shape: [64]}}\nmodel: [dropout: 0.5]\n")
    x = jnp.ones((1, 64))
    assert not np.array_equal(model(x), model(x))
    key = nnx.Rngs(dropout=1)
    np.testing.assert_array_equal(model(x, rngs=key), model(x, rngs=nnx.Rngs(dropout=1)))
    model.eval()
    np.testing.assert_array_equal(model(x), x)


def test_two_dropouts_in_equal_blocks_draw_different_masks(build):
    model = build("""
inputs: {x: {shape: [64]}}
blocks: {noisy: {layers: [dropout: 0.5]}}
model:
  - concat: {a: [noisy], b: [noisy]}
""")
    first, second = jnp.split(model(jnp.ones((1, 64))), 2, axis=-1)
    assert not np.array_equal(first, second)


def test_layers_with_one_weights_key_are_one_set_of_parameters(build):
    model = build("""
inputs: {x: {shape: [4]}}
model:
  - concat:
      a: [{dense: 4, weights: twin}]
      b: [{dense: 4, weights: twin}]
""")
    assert set(variables(model)) == {"twin.kernel", "twin.bias"}
    first, second = jnp.split(model(jnp.ones((1, 4))), 2, axis=-1)
    np.testing.assert_array_equal(first, second)


def test_statistics_of_shared_norms_are_updated_in_order(build):
    model = build("""
inputs: {x: {shape: [4]}}
model:
  - {batch_norm: {momentum: 0.5}, weights: one}
  - {batch_norm: {momentum: 0.5}, weights: one}
""")
    x = jnp.asarray(np.random.default_rng(0).standard_normal((16, 4)) + 3)
    model(x)
    # The first use moves half way to the mean of about 3, the second half way back to 0.
    np.testing.assert_allclose(model.one.mean[...], x.mean(0) * 0.25, rtol=1e-5, atol=1e-6)


def test_a_tied_layer_borrows_the_table(build):
    model = build("""
inputs: {text: {kind: tokens, vocabulary: 7}}
model:
  - {embed: 4, name: table}
  - dense: {units: 7, tie: table.embedding, bias: false}
""")
    assert set(variables(model)) == {"table.embedding"}
    table = model.table.embedding[...]
    np.testing.assert_allclose(model(jnp.asarray([[2]]))[0, 0], table @ table[2], rtol=1e-5)


def test_frozen_layers_have_no_trainable_parameters_and_keep_their_statistics(build):
    model = build(RESIDUAL.replace("[unit: 4]", "[{unit: 4, freeze: true}]"))
    assert isinstance(model.step0.unit_1.body.conv_1.kernel, Frozen)
    assert isinstance(model.classifier.kernel, nnx.Param)
    before = model.step0.unit_1.body.batch_norm_1.mean[...].copy()
    model(jnp.ones((4, 6, 6, 3)))
    np.testing.assert_array_equal(before, model.step0.unit_1.body.batch_norm_1.mean[...])


def test_remat_changes_no_number(build):
    plain, again = build(RESIDUAL), build(RESIDUAL.replace("[unit: 4]", "[{unit: 4, remat: true}]"))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 6, 6, 3)), jnp.float32)

    def gradients(model):
        return nnx.grad(lambda m: (m(x) ** 2).sum())(model)

    for a, b in zip(
        jax.tree.leaves(gradients(plain)), jax.tree.leaves(gradients(again)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        plain.step0.unit_1.body.batch_norm_1.mean[...],
        again.step0.unit_1.body.batch_norm_1.mean[...],
        rtol=1e-6,
    )


EACH = """
inputs: {frames: {axes: [time, channels], shape: [any, 3]}}
model:
  - layers: {each: time, layers: [dense: 4, batch_norm]}
"""


def test_each_applies_layers_to_every_step_apart_and_ignores_padded_steps(build):
    model = build(EACH)
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    padded = x.copy()
    padded[1, 3:] = np.nan
    out = model(padded, lengths=np.asarray([5, 3]))
    assert out.shape == (2, 5, 4)
    steps = np.concatenate([x[0], x[1, :3]])
    y = steps @ np.asarray(model.layers_1.dense_1.kernel[...])
    expected = (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5)
    np.testing.assert_allclose(np.concatenate([out[0], out[1, :3]]), expected, rtol=1e-3, atol=1e-4)


def test_an_input_that_is_missing_or_of_another_rank_is_named(build):
    model = build(RESIDUAL)
    with pytest.raises(TypeError, match=r"the model takes image; given: picture"):
        model(picture=jnp.ones((1, 6, 6, 3)))
    with pytest.raises(TypeError, match=r"input image is \(batch, height, width, channels\)"):
        model(jnp.ones((6, 6, 3)))


class Gate(Operator):
    """Multiplies each channel by a learned gate between 0 and 1."""

    word: ClassVar[str] = "gate"
    sharpness: float = Field(1.0, gt=0, description="how steep the gate is")

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def parameters(self, *inputs: TensorType):
        channels = inputs[0].channels
        assert isinstance(channels, int)
        return {"level": flaxspec.Parameter((channels,), flaxspec.Init("zeros"), "scale")}

    def apply(self, layer: Layer, inputs: tuple[Tensor, ...], context) -> Tensor:
        (x,) = inputs
        level = layer.get("level", x.array.dtype)
        assert level is not None
        return x.with_array(x.array * jax.nn.sigmoid(self.sharpness * level))


def test_a_user_brings_an_operator_from_python(build):
    model = build("inputs: {x: {shape: [4]}}\nmodel: [gate: {sharpness: 2.0}]\n", operators=[Gate])
    np.testing.assert_allclose(model(jnp.ones((1, 4))), 0.5 * np.ones((1, 4)))
    assert model.gate_1.level.shape == (4,)


def test_an_operator_that_nobody_brought_is_unknown(build):
    with pytest.raises(flaxspec.SpecError, match="`gate` is neither an operator nor a block"):
        build("inputs: {x: {shape: [4]}}\nmodel: [gate: {sharpness: 2.0}]\n")


# ---------------------------------------------------------------------------- inference

FOLDED = """
inputs: {image: {shape: [6, 6, 3]}}
model:
  - {conv: {filters: 4, kernel: 3}, name: stem}
  - batch_norm
  - {dropout: 0.5}
  - {output: {name: aux, layers: [flatten, dense: 2]}, during: training}
  - flatten
  - {dense: 5, name: classifier}
"""


def test_a_model_for_inference_gives_what_evaluation_gives_with_fewer_layers(build):
    model = build(FOLDED, seed=3)
    x = np.random.default_rng(0).standard_normal((4, 6, 6, 3)).astype(np.float32)
    model(x)  # moves the statistics
    model.eval()
    light = flaxspec.for_inference(model)
    np.testing.assert_allclose(light(x), model(x)["output"], rtol=1e-5, atol=1e-5)
    assert set(variables(light)) == {"stem.kernel", "stem.bias", "classifier.kernel",
                                     "classifier.bias"}


def test_a_model_for_inference_can_be_built_of_a_file_of_weights(build, tmp_path):
    model = build(FOLDED, seed=3)
    model.eval()
    save_weights(model, tmp_path / "w.safetensors")
    light = build(FOLDED, weights=tmp_path / "w.safetensors", inference=True)
    x = np.ones((1, 6, 6, 3), np.float32)
    np.testing.assert_allclose(light(x), model(x)["output"], rtol=1e-5, atol=1e-5)
    shapes = variables(build(FOLDED, inference=True, abstract=True))
    assert {k: v.shape for k, v in shapes.items()} == {
        k: v.shape for k, v in variables(light).items()}


def test_a_model_to_train_keeps_every_path_of_the_spec(build):
    """Passes change what runs, never what is trained and saved."""
    model = build(FOLDED)
    assert {"stem.kernel", "batch_norm_1.mean", "aux.dense_1.kernel"} <= set(variables(model))


def test_weights_of_a_shared_block_are_loaded_once_under_its_key(tmp_path):
    (tmp_path / "part.yaml").write_text(
        "flaxspec: 1\nname: part\ninputs: {x: {shape: [3]}}\nmodel: [dense: 3]\n")
    save_weights(flaxspec.build(tmp_path / "part.yaml", seed=9), tmp_path / "part.safetensors")
    (tmp_path / "whole.yaml").write_text("""\
flaxspec: 1
name: whole
inputs: {x: {shape: [3]}}
use: {part: {spec: part.yaml, weights: part.safetensors}}
model:
  - {part.model: , weights: twins}
  - {part.model: , weights: twins}
""")
    whole = variables(flaxspec.build(tmp_path / "whole.yaml"))
    part = variables(flaxspec.build(tmp_path / "part.yaml", seed=9))
    np.testing.assert_array_equal(whole["twins.dense_1.kernel"][...], part["dense_1.kernel"][...])
