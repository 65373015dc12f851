"""Spec to graph, one rule of the language after the other: the spec, and the graph it becomes."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from compiler.diagnostics import Report
from compiler.pipeline import Request, make_graph
from compiler.printer import graph_text
from compiler.source import Source


class Case(NamedTuple):
    """A rule, sections of a spec, and the text of its graph."""

    rule: str
    spec: str
    graph: str

    def __str__(self) -> str:
        return self.rule.replace(" ", "_")


CASES = [
    Case(
        "a layer is an operator alone, with its main field, with its fields, or with "
        "nothing after the colon", """
inputs: {x: {shape: [4]}}
model:
  - relu
  - dense: 8
  - dense: {units: 6, bias: false}
  - relu:
""", """
graph model
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  dense_1 = dense {units: 8} (relu_1) -> (8)
  dense_2 = dense {units: 6, bias: false} (dense_1) -> (6)
  relu_2 = relu (dense_2) -> (6)
  output output: relu_2 (6)
"""),
    Case("a block is used as an operator is, and its first param is its main field", """
inputs: {x: {shape: [4]}}
blocks:
  hidden: {params: {units: int, slope: 0.1}, layers: [{dense: =units}, {leaky_relu: =slope}]}
model:
  - hidden: 8
  - hidden: {units: 8, slope: 0.2}
""", """
graph model
  input x: (channels 4)
  hidden_1 = call hidden#1 (x) -> (8)
  hidden_2 = call hidden#2 (hidden_1) -> (8)
  output output: hidden_2 (8)

graph hidden#1
  params: units: 8, slope: 0.1
  input x: (channels 4)
  dense_1 = dense {units: 8} (x) -> (8)
  leaky_relu_1 = leaky_relu {slope: 0.1} (dense_1) -> (8)
  output output: leaky_relu_1 (8)

graph hidden#2
  params: units: 8, slope: 0.2
  input x: (channels 8)
  dense_1 = dense {units: 8} (x) -> (8)
  leaky_relu_1 = leaky_relu {slope: 0.2} (dense_1) -> (8)
  output output: leaky_relu_1 (8)
"""),
    Case("equal uses of a block are calls of one graph", """
inputs: {x: {shape: [4]}}
blocks: {hidden: {params: {units: 4}, layers: [{dense: =units}]}}
model: [hidden, hidden, {hidden: 4}]
""", """
graph model
  input x: (channels 4)
  hidden_1 = call hidden (x) -> (4)
  hidden_2 = call hidden (hidden_1) -> (4)
  hidden_3 = call hidden (hidden_2) -> (4)
  output output: hidden_3 (4)

graph hidden
  params: units: 4
  input x: (channels 4)
  dense_1 = dense {units: 4} (x) -> (4)
  output output: dense_1 (4)
"""),
    Case("a group without a name is transparent, one with a name is a scope", """
inputs: {x: {shape: [4]}}
model:
  - layers: [relu, tanh]
  - layers: [relu, tanh]
    name: pair
  - relu
""", """
graph model
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  tanh_1 = tanh (relu_1) -> (4)
  pair.relu_1 = relu (tanh_1) -> (4)
  pair.tanh_1 = tanh (pair.relu_1) -> (4)
  relu_2 = relu (pair.tanh_1) -> (4)
  output output: relu_2 (4)
"""),
    Case("choose takes the case that a value names, and what follows keeps its number", """
inputs: {x: {shape: [4]}}
params: {kind: wide}
model:
  - choose: {value: =kind, cases: {small: [relu], wide: [relu, tanh]}}
  - choose: {value: =1 == 2, cases: {true: [relu], false: []}}
  - relu
""", """
graph model
  input x: (channels 4)
  relu_2 = relu (x) -> (4)
  tanh_1 = tanh (relu_2) -> (4)
  relu_4 = relu (tanh_1) -> (4)
  output output: relu_4 (4)
"""),
    Case("a layer that is switched off passes the flow on, ignores from, and evaluates nothing", """
inputs: {x: {shape: [4]}}
model:
  - dense: =nowhere
    when: =1 == 2
    from: nowhere
    name: away
  - relu:
    from: away
  - dense: 5
""", """
graph model
  input x: (channels 4)
  relu_1 = relu (x) -> (4)
  dense_2 = dense {units: 5} (relu_1) -> (5)
  output output: dense_2 (5)
"""),
    Case("from names one tensor or several in place of the layer before", """
inputs: {x: {shape: [4]}}
model:
  - {dense: 4, name: a}
  - {dense: 4, name: b, from: x}
  - add:
    from: [a, b]
  - relu:
    from: a
""", """
graph model
  input x: (channels 4)
  a = dense {units: 4} (x) -> (4)
  b = dense {units: 4} (x) -> (4)
  add_1 = add (a, b) -> (4)
  relu_1 = relu (a) -> (4)
  output output: relu_1 (4)
"""),
    Case("modifiers are kept on the layer", """
inputs: {x: {shape: [4]}}
model:
  - dense: 4
    name: first
    freeze: true
    was: old.dense_1
  - dense: 4
    init: {bias: 0.5}
    remat: true
  - dropout: 0.5
    during: training
""", """
graph model
  input x: (channels 4)
  first = dense {units: 4} (x) -> (4)  | freeze: true, was: old.dense_1
  dense_2 = dense {units: 4} (first) -> (4)  | remat: true, init: {bias: constant(value: 0.5)}
  dropout_1 = dropout (dense_2) -> (4)  | during: training
  output output: dropout_1 (4)
"""),
    Case("during and freeze hold for everything inside a group", """
inputs: {x: {shape: [4]}}
model:
  - layers: [{dropout: 0.5}, {dense: 4}]
    freeze: true
    during: training
""", """
graph model
  input x: (channels 4)
  dropout_1 = dropout (x) -> (4)  | during: training, freeze: true
  dense_1 = dense {units: 4} (dropout_1) -> (4)  | during: training, freeze: true
  output output: dense_1 (4)
"""),
    Case("branches begin with the tensor that arrives, and an empty one is the identity", """
inputs: {image: {shape: [8, 8, 3]}}
model:
  - multiply:
      body: []
      gate: [global_average_pool, {dense: 3}, sigmoid]
""", """
graph model
  input image: (height 8, width 8, channels 3)
  gate.global_average_pool_1 = global_average_pool (image) -> (3)
  gate.dense_1 = dense {units: 3} (gate.global_average_pool_1) -> (3)
  gate.sigmoid_1 = sigmoid (gate.dense_1) -> (3)
  multiply_1 = multiply (image, gate.sigmoid_1) -> (8, 8, 3)
  output output: multiply_1 (8, 8, 3)
"""),
    Case("a join of names takes earlier layers", """
inputs: {x: {shape: [4]}}
model:
  - {dense: 4, name: a}
  - {dense: 4, name: b}
  - concat: [a, b, a]
""", """
graph model
  input x: (channels 4)
  a = dense {units: 4} (x) -> (4)
  b = dense {units: 4} (a) -> (4)
  concat_1 = concat (a, b, a) -> (12)
  output output: concat_1 (12)
"""),
    Case("a static input joins a sequence", """
inputs: {past: {axes: [time, channels], shape: [any, 4]}, static: {shape: [4]}}
model: [add: [past, static]]
""", """
graph model
  input past: (time past, channels 4)
  input static: (channels 4)
  add_1 = add (past, static) -> (past, 4)
  output output: add_1 (past, 4)
"""),
    Case("the branches of a join with a name are under that name", """
inputs: {x: {shape: [4]}}
model:
  - add: {left: [dense: 4], right: []}
    name: first
  - add: {left: [dense: 4], right: []}
    name: second
  - relu:
    from: first.left
""", """
graph model
  input x: (channels 4)
  first.left.dense_1 = dense {units: 4} (x) -> (4)
  first = add (first.left.dense_1, x) -> (4)
  second.left.dense_1 = dense {units: 4} (first) -> (4)
  second = add (second.left.dense_1, first) -> (4)
  relu_1 = relu (first.left.dense_1) -> (4)
  output output: relu_1 (4)
"""),
    Case("residual is add with an identity shortcut", """
inputs: {x: {shape: [4]}}
model:
  - residual: [{dense: 4}, relu]
""", """
graph model
  input x: (channels 4)
  residual_1.dense_1 = dense {units: 4} (x) -> (4)
  residual_1.relu_1 = relu (residual_1.dense_1) -> (4)
  residual_1 = add (residual_1.relu_1, x) -> (4)
  output output: residual_1 (4)
"""),
    Case("a head hangs on the flow and leaves it unchanged", """
inputs: {x: {shape: [4]}}
model:
  - dense: 8
  - output: {name: aux, layers: [dense: 2]}
  - relu
""", """
graph model
  input x: (channels 4)
  dense_1 = dense {units: 8} (x) -> (8)
  aux.dense_1 = dense {units: 2} (dense_1) -> (2)
  relu_1 = relu (dense_1) -> (8)
  output output: relu_1 (8)
  output aux: aux.dense_1 (2)
"""),
    Case("a head inside a block is an output of the model", """
inputs: {x: {shape: [4]}}
blocks: {part: {layers: [{dense: 4}, {output: {name: aux, layers: [dense: 2]}}]}}
model: [part, relu]
""", """
graph model
  input x: (channels 4)
  part_1 = call part (x) -> output (4), aux (2)
  relu_1 = relu (part_1) -> (4)
  output output: relu_1 (4)
  output part_1.aux: part_1.aux (2)

graph part
  input x: (channels 4)
  dense_1 = dense {units: 4} (x) -> (4)
  aux.dense_1 = dense {units: 2} (dense_1) -> (2)
  output output: dense_1 (4)
  output aux: aux.dense_1 (2)
"""),
    Case("a block has several inputs and outputs, and passes its first output on", """
inputs: {x: {shape: [4]}}
blocks:
  pair:
    inputs: [a, b]
    layers:
      - concat: [a, b]
      - {dense: 4, name: hidden}
      - {dense: 2, name: small}
    outputs: {memory: hidden, state: small}
model:
  - {relu: , name: r}
  - pair:
    name: p
    from: [x, r]
  - dense: 4
  - add: [p.memory, dense_1]
  - relu:
    from: p.state
""", """
graph model
  input x: (channels 4)
  r = relu (x) -> (4)
  p = call pair (x, r) -> memory (4), state (2)
  dense_1 = dense {units: 4} (p) -> (4)
  add_1 = add (p, dense_1) -> (4)
  relu_2 = relu (p.state) -> (2)
  output output: relu_2 (2)

graph pair
  input a: (channels 4)
  input b: (channels 4)
  concat_1 = concat (a, b) -> (8)
  hidden = dense {units: 4} (concat_1) -> (4)
  small = dense {units: 2} (hidden) -> (2)
  output memory: hidden (4)
  output state: small (2)
"""),
    Case("the model's own outputs have names", """
inputs: {x: {shape: [4]}}
model: [{dense: 3, name: a}, {dense: 2, name: b}]
outputs: {second: b, first: a}
""", """
graph model
  input x: (channels 4)
  a = dense {units: 3} (x) -> (3)
  b = dense {units: 2} (a) -> (2)
  output second: b (2)
  output first: a (3)
"""),
    Case(
        "formulas read the shape, channels and length of what arrives, of the block's "
        "input, and of names", """
inputs: {past: {axes: [time, channels], shape: [6, 4]}}
blocks: {widen: {layers: [{dense: =x.channels + 1}, {dense: =input.channels * 2}]}}
model:
  - widen
  - {dense: 3, name: last}
  - dense: "=past.length + last.shape[1]"
""", """
graph model
  input past: (time 6, channels 4)
  widen_1 = call widen (past) -> (6, 10)
  last = dense {units: 3} (widen_1) -> (6, 3)
  dense_2 = dense {units: 9} (last) -> (6, 9)
  output output: dense_2 (6, 9)

graph widen
  input x: (time 6, channels 4)
  dense_1 = dense {units: 5} (x) -> (6, 5)
  dense_2 = dense {units: 10} (dense_1) -> (6, 10)
  output output: dense_2 (6, 10)
"""),
    Case("a residual may hang on what formulas see", """
inputs: {x: {shape: [4]}}
blocks:
  unit:
    params: {width: int}
    layers:
      - {dense: =width, name: body}
      - add: [body, x]
        when: =x.channels == width
model: [{unit: 4}, {unit: 6}]
""", """
graph model
  input x: (channels 4)
  unit_1 = call unit#1 (x) -> (4)
  unit_2 = call unit#2 (unit_1) -> (6)
  output output: unit_2 (6)

graph unit#1
  params: width: 4
  input x: (channels 4)
  body = dense {units: 4} (x) -> (4)
  add_1 = add (body, x) -> (4)
  output output: add_1 (4)

graph unit#2
  params: width: 6
  input x: (channels 4)
  body = dense {units: 6} (x) -> (6)
  output output: body (6)
"""),
    Case("let names values of a file, a block and a loop", """
inputs: {x: {shape: [4]}}
params: {width: 2}
let: {wide: =width * 2, wider: =wide * 2}
blocks: {b: {params: {k: 1}, let: {sum: =wide + k}, layers: [dense: =sum]}}
model:
  - b: 3
  - repeat: {times: 2, index: i, let: {size: =wider + i}, layers: [dense: =size]}
""", """
graph model
  input x: (channels 4)
  b_1 = call b (x) -> (7)
  i0.dense_1 = dense {units: 8} (b_1) -> (8)
  i1.dense_1 = dense {units: 9} (i0.dense_1) -> (9)
  output output: i1.dense_1 (9)

graph b
  params: k: 3
  input x: (channels 4)
  dense_1 = dense {units: 7} (x) -> (7)
  output output: dense_1 (7)
"""),
    Case("for runs its lists side by side, an iteration being the index and its number", """
inputs: {x: {shape: [4]}}
model:
  - for:
      each: {units: [8, 6], slope: [0.1, 0.2]}
      index: stage
      layers: [{dense: =units}, {leaky_relu: =slope}]
  - relu:
    from: stage0
  - dense: =stage1.dense_1.channels
""", """
graph model
  input x: (channels 4)
  stage0.dense_1 = dense {units: 8} (x) -> (8)
  stage0.leaky_relu_1 = leaky_relu {slope: 0.1} (stage0.dense_1) -> (8)
  stage1.dense_1 = dense {units: 6} (stage0.leaky_relu_1) -> (6)
  stage1.leaky_relu_1 = leaky_relu {slope: 0.2} (stage1.dense_1) -> (6)
  relu_1 = relu (stage0.leaky_relu_1) -> (8)
  dense_1 = dense {units: 6} (relu_1) -> (6)
  output output: dense_1 (6)
"""),
    Case("for over maps gives fields", """
inputs: {x: {shape: [4]}}
params: {table: [{units: 8}, {units: 6}]}
model:
  - for: {each: {row: =table}, layers: [dense: =row.units]}
""", """
graph model
  input x: (channels 4)
  for_1_0.dense_1 = dense {units: 8} (x) -> (8)
  for_1_1.dense_1 = dense {units: 6} (for_1_0.dense_1) -> (6)
  output output: for_1_1.dense_1 (6)
"""),
    Case("loops within loops have paths of all their indices", """
inputs: {x: {shape: [4]}}
model:
  - for:
      each: {depth: [1, 2]}
      index: stage
      layers:
        - repeat: {times: =depth, index: unit, layers: [dense: =4 + stage + unit]}
  - relu:
    from: stage1.unit0
""", """
graph model
  input x: (channels 4)
  stage0.unit0.dense_1 = dense {units: 4} (x) -> (4)
  stage1.unit0.dense_1 = dense {units: 5} (stage0.unit0.dense_1) -> (5)
  stage1.unit1.dense_1 = dense {units: 6} (stage1.unit0.dense_1) -> (6)
  relu_1 = relu (stage1.unit0.dense_1) -> (5)
  output output: relu_1 (5)
"""),
    Case("a loop of no iterations passes the flow on", """
inputs: {x: {shape: [4]}}
model: [{repeat: {times: 0, layers: [relu]}}, tanh]
""", """
graph model
  input x: (channels 4)
  tanh_1 = tanh (x) -> (4)
  output output: tanh_1 (4)
"""),
    Case("a dot leads into blocks, branches and recurrent layers", """
inputs: {past: {axes: [time, channels], shape: [6, 4]}}
blocks: {part: {layers: [{add: {body: [{lstm: {units: 4}, name: l}], shortcut: []}}]}}
model:
  - {part: , name: p}
  - dense: 3
    from: p.body.l.last
  - relu:
    from: past
""", """
graph model
  input past: (time 6, channels 4)
  p = call part (past) -> output (6, 4), body.l.last (4)
  dense_1 = dense {units: 3} (p.body.l.last) -> (3)
  relu_1 = relu (past) -> (6, 4)
  output output: relu_1 (6, 4)

graph part
  input x: (time 6, channels 4)
  body.l = lstm {units: 4} (x) -> sequence (6, 4), last (4), state (8)
  add_1 = add (body.l, x) -> (6, 4)
  output output: add_1 (6, 4)
  output body.l.last: body.l.last (4)
"""),
    Case("return chooses what of a recurrent layer flows on", """
inputs: {past: {axes: [time, channels], shape: [6, 4]}}
model:
  - lstm: {units: 5, return: last}
    name: l
  - gru: {units: 5, initial: l.last}
    from: l.sequence
""", """
graph model
  input past: (time 6, channels 4)
  l = lstm {units: 5, return: last} (past) -> last (5), sequence (6, 5), state (10)
  gru_1 = gru {units: 5, initial: l.last} (l.sequence, l) -> sequence (6, 5), last (5), state (5)
  output output: gru_1 (6, 5)
"""),
    Case("inner scopes read outer ones, blocks read the file's params only", """
inputs: {x: {shape: [4]}}
params: {units: 5}
blocks: {b: {layers: [dense: =units]}}
model:
  - {dense: 3, name: outer}
  - add: {left: [{dense: =outer.channels}], right: [{relu: , from: outer}]}
  - b
""", """
graph model
  input x: (channels 4)
  outer = dense {units: 3} (x) -> (3)
  left.dense_1 = dense {units: 3} (outer) -> (3)
  right.relu_1 = relu (outer) -> (3)
  add_1 = add (left.dense_1, right.relu_1) -> (3)
  b_1 = call b (add_1) -> (5)
  output output: b_1 (5)

graph b
  input x: (channels 3)
  dense_1 = dense {units: 5} (x) -> (5)
  output output: dense_1 (5)
"""),
    Case("tie borrows the table of an embedding", """
inputs: {text: {kind: tokens, vocabulary: 9, length: any}}
model:
  - {embed: 6, name: t}
  - lstm: 6
  - dense: {units: 9, tie: t.embedding}
""", """
graph model
  input text: (time text) int below 9
  t = embed {units: 6} (text) -> (text, 6)
  lstm_1 = lstm {units: 6} (t) -> sequence (text, 6), last (6), state (12)
  dense_1 = dense {units: 9, tie: t.embedding} (lstm_1) -> (text, 9)  | ties: {tie: t.embedding}
  output output: dense_1 (text, 9)
"""),
    Case("layers of one key share their parameters", """
inputs: {x: {shape: [4]}}
model:
  - {dense: 4, weights: twin}
  - {dense: 4, weights: twin}
""", """
graph model
  input x: (channels 4)
  dense_1 = dense {units: 4} (x) -> (4)  | weights: twin
  dense_2 = dense {units: 4} (dense_1) -> (4)  | weights: twin
  output output: dense_2 (4)
"""),
    Case("a param of type layers reads names where it is written", """
inputs: {x: {shape: [4]}}
params: {width: 5}
blocks:
  b:
    params: {act: {type: layers, default: relu}, width: 7}
    layers: [{dense: =width}, {layers: =act}]
model:
  - b
  - b: {act: []}
  - b: {act: [{dense: =width}, tanh]}
""", """
graph model
  input x: (channels 4)
  b_1 = call b#1 (x) -> (7)
  b_2 = call b#2 (b_1) -> (7)
  b_3 = call b#3 (b_2) -> (5)
  output output: b_3 (5)

graph b#1
  params: act: layers, width: 7
  input x: (channels 4)
  dense_1 = dense {units: 7} (x) -> (7)
  act_1.relu_1 = relu (dense_1) -> (7)
  output output: act_1.relu_1 (7)

graph b#2
  params: act: layers, width: 7
  input x: (channels 7)
  dense_1 = dense {units: 7} (x) -> (7)
  output output: dense_1 (7)

graph b#3
  params: act: layers, width: 7
  input x: (channels 7)
  dense_1 = dense {units: 7} (x) -> (7)
  act_1.dense_1 = dense {units: 5} (dense_1) -> (5)
  act_1.tanh_1 = tanh (act_1.dense_1) -> (5)
  output output: act_1.tanh_1 (5)
"""),
    Case("defaults set fields for the whole file, blocks included", """
inputs: {image: {shape: [8, 8, 3]}}
defaults: {conv: {bias: false, kernel: 3, init: {kernel: zeros}}}
blocks: {b: {layers: [conv: 4]}}
model: [{conv: 4}, {conv: {filters: 4, bias: true}}, b]
""", """
graph model
  input image: (height 8, width 8, channels 3)
  conv_1 = conv {filters: 4, kernel: 3, bias: false} (image) -> (8, 8, 4)  | init: {kernel: zeros}
  conv_2 = conv {filters: 4, kernel: 3} (conv_1) -> (8, 8, 4)  | init: {kernel: zeros}
  b_1 = call b (conv_2) -> (8, 8, 4)
  output output: b_1 (8, 8, 4)

graph b
  input x: (height 8, width 8, channels 4)
  conv_1 = conv {filters: 4, kernel: 3, bias: false} (x) -> (8, 8, 4)  | init: {kernel: zeros}
  output output: conv_1 (8, 8, 4)
"""),
    Case("layers with each are applied to every step apart", """
inputs: {film: {axes: [time, height, width, channels], shape: [any, 8, 8, 3]}}
model:
  - layers: {each: time, layers: [{conv: {filters: 4, kernel: 3}}, global_average_pool]}
  - pool: last
""", """
graph model
  input film: (time film, height 8, width 8, channels 3)
  layers_1 = each time layers_1 (film) -> (film, 4)
  pool_1 = pool {how: last} (layers_1) -> (4)
  output output: pool_1 (4)

graph layers_1
  input x: (height 8, width 8, channels 3)
  conv_1 = conv {filters: 4, kernel: 3} (x) -> (8, 8, 4)
  global_average_pool_1 = global_average_pool (conv_1) -> (4)
  output output: global_average_pool_1 (4)
"""),
    Case("inputs have typed axes and lengths, those by rank where none are named", """
params: {steps: 4}
inputs:
  image: {shape: [8, 8, 3]}
  text: {kind: tokens, vocabulary: 100, length: any}
  word: {kind: tokens, vocabulary: 100, length: =steps * 2}
  sound: {axes: [time, frequency, channels], shape: [any, 80, 1]}
  past: {axes: [time, channels], shape: [=steps, 4]}
  shop: {kind: category, vocabulary: 4}
  volume: {shape: [4, 5, 6, 2]}
  row: {shape: [3]}
model: [relu]
""", """
graph model
  input image: (height 8, width 8, channels 3)
  input text: (time text) int below 100
  input word: (time 8) int below 100
  input sound: (time sound, frequency 80, channels 1)
  input past: (time 4, channels 4)
  input shop: () int below 4
  input volume: (depth 4, height 5, width 6, channels 2)
  input row: (channels 3)
  relu_1 = relu (image) -> (8, 8, 3)
  output output: relu_1 (8, 8, 3)
"""),
    Case("a conditional layer of a block keeps the numbers of the others", """
inputs: {x: {shape: [4]}}
blocks:
  b: {params: {extra: bool}, layers: [{dense: 4, when: =extra}, {dense: 5}]}
model: [{b: true}, {b: false}]
""", """
graph model
  input x: (channels 4)
  b_1 = call b#1 (x) -> (5)
  b_2 = call b#2 (b_1) -> (5)
  output output: b_2 (5)

graph b#1
  params: extra: true
  input x: (channels 4)
  dense_1 = dense {units: 4} (x) -> (4)
  dense_2 = dense {units: 5} (dense_1) -> (5)
  output output: dense_2 (5)

graph b#2
  params: extra: false
  input x: (channels 5)
  dense_2 = dense {units: 5} (x) -> (5)
  output output: dense_2 (5)
"""),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case):
    report = Report()
    source = Source("spec.yaml", f"flaxspec: 1\nname: model\n{case.spec}")
    graph = make_graph(Request(source), report)
    assert not report.diagnostics
    assert graph_text(graph) == case.graph.lstrip("\n")
