"""`flaxspec new`: a recipe to start from."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic

TEMPLATE = """\
# {name}: what it is, in a line.
#
#     flaxspec check {path}            # every mistake, with its place and its remedy
#     flaxspec plan {path}             # shapes, parameters, arithmetic, memory
#     compile-and-train {path}         # about a minute on a CPU
flaxspec: 1
name: {name}
summary: A small convolutional network on 8×8 handwritten digits

# The knobs. `--set width=32` changes one for a run.
params:
  classes: 10
  width: 16                  # filters of the first stage; each later one has twice as many
  depths: [1, 1]             # units of each stage
  dropout: 0.1

# What the model takes; the batch is never written.
inputs:
  image: {{shape: [8, 8, 1]}}  # height, width, channels

# Groups of layers with params of their own, used like operators.
blocks:
  conv_bn:
    params: {{filters: int, kernel: 3, stride: 1}}
    layers:
      - conv: {{filters: =filters, kernel: =kernel, stride: =stride, bias: false}}
      - batch_norm

  unit:                      # a residual unit
    params: {{filters: int, stride: 1}}
    layers:
      - add:                 # branches side by side, joined by the operator's name
          body:
            - conv_bn: {{filters: =filters, stride: =stride}}
            - relu
            - conv_bn: =filters
          shortcut:          # the tensor itself, or a 1×1 convolution where the shape changes
            - conv_bn: {{filters: =filters, kernel: 1, stride: =stride}}
              when: =stride > 1 or x.channels != filters
      - relu

# The layers, top to bottom. What begins with = is a formula.
model:
  - conv_bn: =width
  - relu
  - for:
      each: {{depth: =depths}}
      index: stage           # 0, 1, … in formulas and in the layers' names: stage0.unit0
      layers:
        - repeat:
            times: =depth
            index: unit
            layers:
              - unit: {{filters: =width * 2**stage, stride: =2 if stage > 0 and unit == 0 else 1}}
  - global_average_pool
  - dropout: =dropout
  - dense: =classes

# 1,797 digits that come with the package; a tenth of them decides nothing but is looked at.
data: {{dataset: digits, validation: 0.1, augment: [{{shift: 1}}]}}

task: classification

# Optimisers and schedules carry optax's names and arguments.
train:
  epochs: 15
  batch_size: 64
  optimizer:
    adamw:
      learning_rate:
        warmup_cosine_decay_schedule: {{init_value: 0, peak_value: 0.003, warmup_steps: 10%}}
      weight_decay: 0.01
  seed: 0
"""


def run(wanted: Path) -> None:
    """Write a recipe and say what to do with it.

    Raises:
        SpecError: F0807 the file is there already, F0802 it cannot be written.
    """
    has_suffix = wanted.suffix in (".yaml", ".yml")
    path = wanted if has_suffix else wanted.parent / f"{wanted.name}.yaml"
    name = re.sub(r"[^\w-]+", "-", path.stem).strip("-") or "my-model"
    typed = shlex.quote(str(path))
    try:
        if not path.stem or path.name == ".yaml":
            raise ValueError("it has no name")
        # "x" refuses a file that is there, also one that appears in this very moment.
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name, path=typed))
    except FileExistsError:
        raise SpecError([diagnostic("F0807", f"`{path}` is there already, and stays as it is",
                                    help="choose another name: `flaxspec new NAME`")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([diagnostic("F0802", f"`{path}` cannot be written: {reason}",
                                    help="choose a folder that is there and yours")]) from None
    print(f"{path} is a recipe to start from. Try:\n\n    flaxspec plan {typed}\n"
          f"    compile-and-train {typed}")
