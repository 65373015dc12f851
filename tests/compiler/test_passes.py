"""Passes as documents before and after, and the promise that results stay the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from compiler.diagnostics import Report, SpecError
from compiler.graph import Graph, graphs, walk
from compiler.lower.build import build_model
from compiler.lower.fold import inference_model
from compiler.ops.base import Operator
from compiler.passes import (
    PIPELINE,
    Pass,
    common_subexpressions,
    constant_folding,
    dead_code,
    evaluation,
    fold_norm,
    identity_removal,
    optimise,
)
from compiler.pipeline import Request, make_graph
from compiler.printer import graph_text
from compiler.source import Source

LENGTH = 6


def graph_of(spec: str, length: int | None = None) -> Graph:
    text = "flaxspec: 1\nname: test\n" + spec
    return make_graph(Request(Source("test.yaml", text)), Report(), length=length)


@dataclass(frozen=True)
class Case:
    """A spec, a pass, and the layers that are left; `after` None means: all of them."""

    rule: str
    run: Pass
    spec: str
    after: str | None

    def __str__(self) -> str:
        return self.rule.replace(" ", "_")


VECTOR = "inputs: {x: {shape: [4]}}\n"
IMAGE = "inputs: {x: {shape: [5, 5, 3]}}\n"
SERIES = "inputs: {x: {axes: [time, channels], shape: [any, 4]}}\n"

CASES = [
    # --- identity removal
    Case("an identity is taken out", identity_removal.run, VECTOR + """
model: [relu, identity, tanh]
""", """
  relu_1 = relu (x) -> (4)
  tanh_1 = tanh (relu_1) -> (4)
  output output: tanh_1 (4)
"""),
    Case("an output keeps its name when its layer is taken out", identity_removal.run, VECTOR + """
model:
  - relu
  - output: {name: aux, layers: [identity]}
  - tanh
""", """
  relu_1 = relu (x) -> (4)
  tanh_1 = tanh (relu_1) -> (4)
  output output: tanh_1 (4)
  output aux: relu_1 (4)
"""),
    Case("a model of nothing gives its input", identity_removal.run, VECTOR + """
model: [identity, {dropout: 0.0}, flatten, {cast: float}]
""", """
  output output: x (4)
"""),
    Case("layers whose fields ask for nothing go", identity_removal.run, IMAGE + """
model:
  - relu
  - slice: {height: {start: 0}}
  - crop: {size: 5}
  - pad: {space: 0}
  - upsample: 1
  - pixel_shuffle: 1
  - shift: {width: 0}
  - transpose: [height, width, channels]
  - reshape: [5, 5, 3]
  - clip
  - normalise
  - gaussian_noise: 0.0
  - split: 1
  - concat: {only: []}
  - tanh
""", """
  relu_1 = relu (x) -> (5, 5, 3)
  tanh_1 = tanh (relu_1) -> (5, 5, 3)
  output output: tanh_1 (5, 5, 3)
"""),
    Case("what does something stays", identity_removal.run, IMAGE + """
model:
  - slice: {height: {start: 1}}
  - crop: {width: 1}
  - pad: {space: 1}
  - upsample: 2
  - shift: {width: 1}
  - transpose: [width, height, channels]
  - transpose: {axes: [height, width, channels], names: [width, height, channels]}
  - clip: {min: 0.0}
  - normalise: {mean: 1.0}
  - dropout: 0.1
  - scale
  - flatten
""", None),
    Case("a block is changed once for all its uses", identity_removal.run, VECTOR + """
blocks:
  part: {layers: [identity, relu, identity]}
model: [part, part]
""", """
  part_1 = call part (x) -> (4)
  part_2 = call part (part_1) -> (4)
  output output: part_2 (4)

graph part
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  output output: relu_1 (4)
"""),
    # --- dead code
    Case("what nothing reads is taken out", dead_code.run, VECTOR + """
model:
  - {relu: , name: a}
  - {tanh: , name: b}
  - {sigmoid: , name: c, from: a}
""", """
  a = relu (x) -> (4)
  c = sigmoid (a) -> (4)
  output output: c (4)
"""),
    Case("a layer with parameters stays and keeps what it reads", dead_code.run, VECTOR + """
model:
  - {relu: , name: a}
  - {dense: 2, name: b}
  - {tanh: , name: c, from: x}
""", """
  a = relu (x) -> (4)
  b = dense {units: 2} (a) -> (2)
  c = tanh (x) -> (4)
  output output: c (4)
"""),
    Case("with parameters, what nothing reads goes but for what others borrow",
         partial(dead_code.run, parameters=True), """
inputs: {x: {kind: tokens, vocabulary: 9, length: 5}}
model:
  - {embed: 6, name: table}
  - {dense: 3, name: unused}
  - {embed: 6, name: own, from: x}
  - dense: {units: 9, tie: table.embedding}
""", """
  table = embed {units: 6} (x) -> (5, 6)
  own = embed {units: 6} (x) -> (5, 6)
  dense_2 = dense {units: 9, tie: table.embedding} (own) -> (5, 9)  | ties: {tie: table.embedding}
  output output: dense_2 (5, 9)
"""),
    # --- common subexpressions
    Case("what is computed twice is computed once", common_subexpressions.run, VECTOR + """
model:
  - concat: {a: [relu, tanh], b: [relu, sigmoid]}
""", """
  a.relu_1 = relu (x) -> (4)
  a.tanh_1 = tanh (a.relu_1) -> (4)
  b.sigmoid_1 = sigmoid (a.relu_1) -> (4)
  concat_1 = concat (a.tanh_1, b.sigmoid_1) -> (8)
  output output: concat_1 (8)
"""),
    Case("chains that are the same become one", common_subexpressions.run, VECTOR + """
model:
  - add: {a: [relu, tanh], b: [relu, tanh]}
""", """
  a.relu_1 = relu (x) -> (4)
  a.tanh_1 = tanh (a.relu_1) -> (4)
  add_1 = add (a.tanh_1, a.tanh_1) -> (4)
  output output: add_1 (4)
"""),
    Case("shared layers on the same input become one", common_subexpressions.run, VECTOR + """
model:
  - add:
      a: [{dense: 4, weights: w}]
      b: [{dense: 4, weights: w}]
""", """
  a.dense_1 = dense {units: 4} (x) -> (4)  | weights: w
  add_1 = add (a.dense_1, a.dense_1) -> (4)
  output output: add_1 (4)
"""),
    Case("blocks without parameters or noise become one", common_subexpressions.run, VECTOR + """
blocks:
  part: {layers: [relu, tanh]}
model:
  - add: {a: [part], b: [part]}
""", """
  a.part_1 = call part (x) -> (4)
  add_1 = add (a.part_1, a.part_1) -> (4)
  output output: add_1 (4)

graph part
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  tanh_1 = tanh (relu_1) -> (4)
  output output: tanh_1 (4)
"""),
    Case("other fields, noise, own weights, statistics and phases stay apart",
         common_subexpressions.run, VECTOR + """
blocks:
  noisy: {layers: [relu, {dropout: 0.5}]}
model:
  - add:
      a: [{leaky_relu: 0.1}]
      b: [{leaky_relu: 0.2}]
      c: [{dropout: 0.5}]
      d: [{dropout: 0.5}]
      e: [noisy]
      f: [noisy]
      g: [{dense: 4}]
      h: [{dense: 4}]
      i: [{batch_norm: , weights: norm}]
      j: [{batch_norm: , weights: norm}]
      k: [{tanh: , during: training}]
      l: [{tanh: , during: evaluation}]
""", None),
    # --- constant folding
    Case("clips join", constant_folding.run, VECTOR + """
model:
  - clip: {min: -1.0, max: 5.0}
  - clip: {max: 2.0}
""", """
  clip_1 = clip {min: -1.0, max: 5.0} (x) -> (4)
  clip_2 = clip {min: -1.0, max: 2.0} (x) -> (4)
  output output: clip_2 (4)
"""),
    Case("normalisations by constants join", constant_folding.run, IMAGE + """
model:
  - normalise: {mean: [1.0, 2.0, 3.0], deviation: 2.0}
  - normalise: {mean: 0.5, deviation: 4.0}
""", """
  normalise_1 = normalise {mean: [1.0, 2.0, 3.0], deviation: 2.0} (x) -> (5, 5, 3)
  normalise_2 = normalise {mean: [2.0, 3.0, 4.0], deviation: [8.0, 8.0, 8.0]} (x) -> (5, 5, 3)
  output output: normalise_2 (5, 5, 3)
"""),
    Case("reshapes and flattens join", constant_folding.run, IMAGE + """
model:
  - reshape: [25, 3]
  - reshape: [5, 15]
  - flatten
  - reshape: [3, 25]
""", """
  reshape_1 = reshape {shape: [25, 3]} (x) -> (25, 3)
  reshape_2 = reshape {shape: [5, 15], axes: [time, channels]} (x) -> (5, 15)
  flatten_1 = flatten (x) -> (75)
  reshape_3 = reshape {shape: [3, 25], axes: [time, channels]} (x) -> (3, 25)
  output output: reshape_3 (3, 25)
"""),
    Case("a reshape does not bring lengths back that a flatten ended", constant_folding.run, """
inputs: {x: {axes: [time, channels], shape: [4, 2]}}
model:
  - flatten
  - reshape: [4, 2]
""", None),
    Case("transposes join", constant_folding.run, IMAGE + """
model:
  - transpose: {axes: [channels, height, width], names: [height, width, channels]}
  - transpose: [width, height, channels]
""", """
  transpose_1 = transpose {axes: [channels, height, width], names: [height, width, channels]} \
(x) -> (3, 5, 5)
  transpose_2 = transpose {axes: [height, channels, width], names: [width, height, channels]} \
(x) -> (5, 3, 5)
  output output: transpose_2 (5, 3, 5)
"""),
    Case("casts join only where nothing is lost between them", constant_folding.run, """
inputs: {x: {shape: [4]}, n: {kind: tokens, vocabulary: 9, length: 4}}
model:
  - cast: int
  - cast: float
  - output: {name: some, layers: [{cast: float, from: n}, {cast: bool}]}
""", """
  cast_1 = cast {to: int} (x) -> int (4)
  cast_2 = cast {to: float} (cast_1) -> (4)
  some.cast_1 = cast {to: float} (n) -> (4)
  some.cast_2 = cast {to: bool} (n) -> bool (4)
  output output: cast_2 (4)
  output some: some.cast_2 bool (4)
"""),
    Case("zeros around space become the convolution's own", constant_folding.run, IMAGE + """
model:
  - pad: {height: [1, 2], width: 1}
  - conv: {filters: 2, kernel: 3}
""", """
  pad_1 = pad {height: [1, 2], width: 1} (x) -> (8, 7, 3)
  conv_1 = conv {filters: 2, kernel: 3, padding: [[2, 3], [2, 2]]} (x) -> (8, 7, 2)
  output output: conv_1 (8, 7, 2)
"""),
    Case("other padding stays", constant_folding.run, IMAGE + """
model:
  - pad: {space: 1, mode: reflect}
  - conv: {filters: 2, kernel: 3}
  - pad: {channels: 1}
  - conv: {filters: 2, kernel: 3}
  - pad: {space: 1}
  - max_pool: 2
""", None),
    Case("padding of time stays, for the lengths", constant_folding.run, SERIES + """
model:
  - pad: {time: [2, 0]}
  - conv: {filters: 2, kernel: 3, padding: valid}
""", None),
    Case("layers of one phase do not join", constant_folding.run, VECTOR + """
model:
  - clip: {min: -1.0}
    during: training
  - clip: {max: 1.0}
""", None),
    # --- evaluation
    Case("of training nothing is left in evaluation", evaluation.run, VECTOR + """
model:
  - dropout: 0.5
  - {relu: , during: training}
  - {output: {name: aux, layers: [{dense: 2}]}, during: training}
  - stop_gradient
  - {tanh: , during: evaluation}
""", """
  tanh_1 = tanh (x) -> (4)
  output output: tanh_1 (4)
"""),
    Case("a block loses its outputs of training", evaluation.run, VECTOR + """
blocks:
  part:
    layers:
      - relu
      - {output: {name: aux, layers: [{dense: 2}]}, during: training}
      - tanh
model: [part, {dropout: 0.5}]
""", """
  part_1 = call part (x) -> (4)
  output output: part_1 (4)

graph part
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  tanh_1 = tanh (relu_1) -> (4)
  output output: tanh_1 (4)
"""),
    # --- folding norms
    Case("a norm is folded into the layer before it", fold_norm.run, IMAGE + """
model:
  - conv: {filters: 2, kernel: 3, bias: false}
  - batch_norm
  - relu
  - conv_transpose: {filters: 2, kernel: 3}
  - batch_norm
  - dense: 3
  - batch_norm
""", """
  conv_1 = conv {filters: 2, kernel: 3} (x) -> (5, 5, 2)  | made of: conv_1 and batch_norm_1
  relu_1 = relu (conv_1) -> (5, 5, 2)
  conv_transpose_1 = conv_transpose {filters: 2, kernel: 3} (relu_1) -> (5, 5, 2)  \
| made of: conv_transpose_1 and batch_norm_2
  dense_1 = dense {units: 3} (conv_transpose_1) -> (5, 5, 3)  | made of: dense_1 and batch_norm_3
  output output: dense_1 (5, 5, 3)
"""),
    Case("a norm stays where the layer's own output is read", fold_norm.run, IMAGE + """
model:
  - conv: {filters: 2, kernel: 3}
    name: c
  - batch_norm
  - add: [batch_norm_1, c]
""", None),
    Case("a norm stays where weights are shared", fold_norm.run, IMAGE + """
model:
  - conv: {filters: 3, kernel: 3}
    weights: w
  - batch_norm
  - conv: {filters: 3, kernel: 3}
    weights: w
""", None),
    Case("a norm stays behind a convolution of training or standardised", fold_norm.run, IMAGE + """
model:
  - conv: {filters: 3, kernel: 3, standardise: true}
  - batch_norm
  - conv: {filters: 3, kernel: 3}
    during: training
  - batch_norm
""", None),
]



def told(text: str) -> list[str]:
    """The lines of a graph's text without the head, the inputs and empty lines."""
    return [line for line in text.splitlines()
            if line and not line.startswith(("graph test", "  input"))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case):
    before = graph_of(case.spec)
    text = graph_text(before)
    after = case.run(before)
    assert graph_text(before) == text, "a pass changed its graph in place"
    if case.after is None:
        assert after is before
    else:
        assert told(graph_text(after)) == told(case.after)
    assert case.run(after) is after, "a second time there was something left to do"


# ---- the results stay the same

MODELS = {
    "images": """
inputs: {x: {shape: [6, 6, 3]}}
blocks:
  part:
    params: {filters: int}
    layers:
      - pad: {space: 1}
      - conv: {filters: =filters, kernel: 3, padding: valid, bias: false}
      - batch_norm
      - identity
      - relu
model:
  - normalise: {mean: 0.5}
  - normalise: {deviation: [2.0, 3.0, 4.0]}
  - part: 4
  - add:
      body: [{part: 4}, {drop_path: 0.5}, {dropout: 0.0}]
      shortcut: [{conv: {filters: 4, kernel: 1}}, batch_norm, {upsample: 1}]
  - {output: {name: aux, layers: [flatten, {dense: 3}, {dropout: 0.3}]}, during: training}
  - concat:
      a: [relu]
      b: [relu]
      c: [{dense: 2}, {batch_norm: {scale: false, epsilon: 0.5}}, stop_gradient]
  - {dense: 3, name: narrow}
  - {dense: 5, name: unused}
  - {part: 3, weights: twice, from: narrow}
  - {part: 3, weights: twice}
  - clip: {min: -2.0}
  - clip: {max: 2.0}
  - reshape: [36, 3]
  - flatten
  - dense: 4
  - {batch_norm: {bias: false}, freeze: true}
""",
    "sequences": """
inputs: {x: {kind: tokens, vocabulary: 9, length: any}}
model:
  - {embed: 6, name: table}
  - slice: {time: {start: 0}}
  - pad: {time: [2, 0]}
  - conv: {filters: 6, kernel: 3, padding: valid}
  - batch_norm
  - reshape: {shape: [-1, 2, 3], axes: [time, width, channels]}
  - transpose: [time, width, channels]
  - reshape: {shape: [-1, 6]}
  - {tanh: , during: training}
  - {dropout: 0.4, name: states}
  - attention: {memory: states, scaled: true}
  - add: {a: [{dense: 6, weights: both}], b: [{dense: 6, weights: both}]}
  - {output: {name: words, layers: [{dense: {units: 9, tie: table.embedding}}]}}
  - select: last
""",
}


def run(model, graph: Graph, training: bool) -> dict[str, np.ndarray]:
    """The real steps of each output, for two rows of which one is shorter."""
    rng = np.random.default_rng(0)
    (value,) = graph.inputs
    shape = (2, *(s if isinstance(s, int) else LENGTH for s in value.type.shape))
    open_length = isinstance(value.type.length, str)
    x = rng.integers(0, 9, shape) if value.type.dtype == "int" else rng.standard_normal(shape)
    lengths = {value.name: np.array([LENGTH, 3])} if open_length else None
    found = model.run({value.name: x}, lengths, training=training, key=jax.random.key(1))
    return {name: np.asarray(t.filled(0)) for name, t in found.items()}


def arrays(model) -> dict[str, np.ndarray]:
    """The parameters and statistics by path."""
    return {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in variables(model)}


def variables(model) -> list:
    """(path, variable) of everything but the random state."""
    return list(nnx.to_flat_state(nnx.state(model, nnx.Not(nnx.RngState))))


def check_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def check_pipeline(graph: Graph) -> None:
    """The pipeline changes neither results nor parameters, in both phases."""
    before, after = build_model(graph), build_model(optimise(graph, PIPELINE))
    for training in (False, True):
        check_equal(run(after, graph, training), run(before, graph, training))
        check_equal(arrays(after), arrays(before))


@pytest.mark.parametrize("name", MODELS)
def test_the_pipeline_keeps_results_and_parameters(name):
    graph = graph_of(MODELS[name])
    check_pipeline(graph)
    left, right = (sum(1 for _ in walk(g)) for g in (optimise(graph, PIPELINE), graph))
    assert left < right, "there was something to optimise"


@pytest.mark.parametrize("name", MODELS)
def test_inference_gives_what_evaluation_gave(name):
    graph = graph_of(MODELS[name])
    model = build_model(graph)
    for path, leaf in variables(model):
        moved = leaf[...] + np.random.default_rng(2).normal(0, 0.2, leaf.shape)
        leaf[...] = np.abs(moved) + 0.05 if path[-1] == "var" else moved
    light = inference_model(model)
    check_equal(run(light, graph, False), run(model, graph, False))
    words = [n.operation.word for g in graphs(light._graph) for n in g.nodes
             if isinstance(n.operation, Operator)]
    assert "batch_norm" not in words or name == "sequences"
    assert not {"dropout", "drop_path", "identity", "stop_gradient"} & set(words)
    assert not any("unused" in path for path in arrays(light))


LAYERS = [
    "relu", "identity", "{dropout: 0.0}", "{dropout: 0.4}", "{clip: {min: -0.5}}",
    "{clip: {max: 0.5}}", "{normalise: {mean: 0.3, deviation: 2.0}}", "{pad: {space: 1}}",
    "{conv: {filters: 3, kernel: 3}}", "batch_norm", "{transpose: [width, height, channels]}",
    "{transpose: [height, width, channels]}", "{add: {a: [tanh], b: [tanh, {slice: {space: {}}}]}}",
    "{reshape: {shape: [-1, 3], axes: [width, channels]}}", "flatten", "{dense: 3}",
    "{shift: {channels: 1}}", "{relu: , during: training}", "{conv: {filters: 3, kernel: 1}}",
]


@pytest.mark.parametrize("seed", range(8))
def test_any_chain_of_layers_keeps_its_results(seed):
    chosen = random.Random(seed)
    layers = ["{pad: {space: 1}}", *chosen.choices(LAYERS, k=12)]
    spec = []
    for layer in layers:  # keep the chain legal: what does not fit is left out
        try:
            graph_of(IMAGE + f"model: [{', '.join([*spec, layer])}]\n")
            spec.append(layer)
        except SpecError:
            continue
    graph = graph_of(IMAGE + f"model: [{', '.join(spec)}]\n")
    check_pipeline(graph)
    model = build_model(graph)
    check_equal(run(inference_model(model), graph, False), run(model, graph, False))
