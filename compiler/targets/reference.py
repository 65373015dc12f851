"""docs/operators.md, from the operator classes: fields, shapes, parameters and cost.

    python -m compiler.targets.reference > docs/operators.md

The examples are worked out by the operators themselves, so the page cannot say another shape
or count than a spec gets.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from compiler.lower import initialise
from compiler.ops import FAMILIES, operator
from compiler.ops.base import Init, Operator, ShapeError
from compiler.ops.initialisers import INITIALISERS
from compiler.ops.noise import TrainingNoise
from compiler.printer import init_text, pairs
from compiler.types import TensorType
from compiler.wording import expected

INTRODUCTION = """\
# Operators

<!-- Made by `python -m compiler.targets.reference`; change the operators, not this page. -->

Every operator of the language, with its fields. A layer is an operator alone (`- relu`), with its
main field (`- dense: 10`), or with its fields (`- conv: {filters: 64, kernel: 3}`); how a join gets
its branches stands in [the language](language.md#branches-and-joins).

A size, such as a kernel, is one number for every time and space axis of the input, or a list with
one for each. The batch axis is never written. `flaxspec plan` shows the same figures for a model of
yours.

The examples tell, for each kind of input that an operator takes, what comes out, what a layer owns
and how that begins, the multiply-accumulates of one example (MACs), and the steps that have to wait
for each other, where they are more than one. A vector, a sequence and the others are floats with
the axes that the tables name; tokens and a category are indices into a vocabulary of 100.
"""

# What the examples are given, by what it is.
INPUTS: dict[str, TensorType] = {
    "vector": TensorType(("channels",), (8,)),
    "sequence": TensorType(("time", "channels"), (16, 8)),
    "image": TensorType(("height", "width", "channels"), (12, 12, 8)),
    "volume": TensorType(("depth", "height", "width", "channels"), (4, 6, 6, 8)),
    "video": TensorType(("time", "height", "width", "channels"), (5, 6, 6, 8)),
    "tokens": TensorType(("time",), (16,), "int", 100),
    "category": TensorType((), (), "int", 100),
}

# The fields of each example, where an operator has some that are required or tell more than
# none; several where one set does not suit every input.
EXAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "conv": ({"filters": 16, "kernel": 3, "stride": 2},),
    "conv_transpose": ({"filters": 4, "kernel": 4, "stride": 2},),
    "dense": ({"units": 10},),
    "embed": ({"units": 32},),
    "parameter": ({"shape": (12, 12, 3)},),
    "max_pool": ({"window": 2},),
    "average_pool": ({"window": 2},),
    "adaptive_average_pool": ({"size": 4},),
    "group_norm": ({"groups": 4},),
    "cast": ({"to": "bool"},),
    "rnn": ({"units": 32},),
    "lstm": ({"units": 32},),
    "gru": ({"units": 32},),
    "rnn_cell": ({"units": 32},),
    "lstm_cell": ({"units": 32},),
    "gru_cell": ({"units": 32},),
    "conv_lstm": ({"filters": 16},),
    "conv_lstm_cell": ({"filters": 16},),
    "attention": ({"memory": "encoder"},),
    "multi_head_attention": ({"heads": 4},),
    "reshape": ({"shape": (-1, 4)},),
    "transpose": (
        {"axes": ("channels", "time"), "names": ("time", "channels")},
        {"axes": ("width", "height", "channels")},
    ),
    "pad": ({"space": 4, "mode": "reflect"}, {"time": (2, 0)}, {"channels": (4, 4)}),
    "slice": ({"space": {"step": 2}}, {"time": {"start": -3}}, {"channels": {"stop": 4}}),
    "crop": ({"size": 6}, {"time": (1, 1)}),
    "shift": ({"time": 1}, {"height": -1, "width": 2}),
    "split": ({"parts": 2},),
    "select": ({"index": "last"}, {"index": 0, "axis": "channels"}),
    "gaussian_noise": ({"stddev": 0.1},),
    "matmul": ({"axis": "channels"},),
    "normalise": ({"mean": 0.5, "deviation": 0.25},),
    "log_mel": ({"rate": 1000, "bands": 4, "window": 8, "step": 4, "points": 32},),
}

# What an operator's reference names in the examples.
_REFERRED = {"attention": (INPUTS["sequence"],)}

SAME = "the same"


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_contents(), "", *_operators(), *_initialisers()])


def _contents() -> Iterator[str]:
    for family, words in FAMILIES.items():
        yield f"- {_title(family)}: {', '.join(f'[{w}](#{w})' for w in words)}"
    yield "- [Initialisers](#initialisers)"


def _title(family: str) -> str:
    return {"combine": "Joins", "noise": "Noise and dropout", "shape": "Shapes",
            "dense": "Dense layers and indices"}.get(family, family.capitalize())


def _operators() -> Iterator[str]:
    for family, words in FAMILIES.items():
        yield f"## {_title(family)}\n"
        for word in words:
            yield from _operator(operator(word))


def _operator(cls: type[Operator]) -> Iterator[str]:
    yield f"### {cls.word}\n"
    yield inspect.cleandoc(cls.__doc__ or "") + "\n"
    if issubclass(cls, TrainingNoise):
        yield "Acts in training only.\n"
    fields = list(_fields(cls))
    if fields:
        yield "| field | takes | default | |"
        yield "|---|---|---|---|"
        yield from fields
        yield ""
    for example in EXAMPLES.get(cls.word, ({},)):
        op = cls.model_validate({k: _nested(cls, k, v) for k, v in example.items()})
        yield from _example(op, f": {{{pairs(example)}}}" if example else "")


def _example(op: Operator, inside: str) -> Iterator[str]:
    """What an operator makes of each input that it takes, as a table, or in a sentence."""
    rows = list(_rows(op))
    if not rows:
        raise ValueError(f"`{op.word}{inside}` suits none of the inputs")
    kinds = [row[0].partition(" (")[0] for row in rows]
    if all(row[1] == SAME and not row[3] for row in rows) and len({row[2] for row in rows}) == 1:
        owns = f" A layer of 8 channels owns {rows[0][2]}." if rows[0][2] else ""
        yield f"Takes {_listed(kinds)}; the shape stays.{owns}\n"
        return
    yield f"`{op.word}{inside}`:\n"
    head = ("input", "output", "parameters", "MACs", "steps")
    shown = [i for i in range(len(head)) if any(row[i] for row in rows)]
    yield f"| {' | '.join(head[i] for i in shown)} |"
    yield f"|{'|'.join('---:' if i > 2 else '---' for i in shown)}|"
    yield from (f"| {' | '.join(row[i] for i in shown)} |" for row in rows)
    yield ""


def _listed(words: list[str]) -> str:
    """"a vector", "a vector or a sequence", "a vector, a sequence or an image"."""
    *some, last = [f"{'an' if w[0] in 'aeiou' else 'a'} {w}" if w != "tokens" else w for w in words]
    return f"{', '.join(some)} or {last}" if some else last


def _nested(cls: type[Operator], field: str, value: Any) -> Any:
    """A field's value; a map becomes the class that the field takes."""
    if not isinstance(value, Mapping):
        return value
    (kind,) = (a for a in cls.model_fields[field].annotation.__args__  # type: ignore[union-attr]
               if a is not type(None))
    return kind(**value)


def _fields(cls: type[Operator]) -> Iterator[str]:
    for name, info in cls.model_fields.items():
        word = f"`{info.alias or name}`" + (" (main)" if name == cls.main else "")
        takes = ("the name of a tensor" if name in cls.references else
                 "the path of a parameter" if name in cls.ties else expected(info))
        default = ("required" if info.is_required() else
                   "" if info.default is None else f"`{_yaml(info.default)}`")
        yield f"| {word} | {takes} | {default} | {info.description} |"


def _yaml(value: Any) -> str:
    return pairs({"": value}).removeprefix(": ")


def _rows(op: Operator) -> Iterator[tuple[str, str, str, str, str]]:
    """(input, output, parameters, MACs, steps) for each input that an operator takes."""
    for kind, x in INPUTS.items():
        more = _REFERRED.get(op.word, ()) if op.arity[1] == 1 else (x,)
        inputs = (x, *more)
        try:
            settled = op.settled(*inputs)
            outputs = settled.outputs(*inputs)
        except ShapeError:
            continue
        yield (
            _input(kind, inputs),
            SAME if [(t.axes, t.shape) for t in outputs.values()] == [(x.axes, x.shape)] else
            ", ".join(
                f"{name} {t.described()}" if len(outputs) > 1 else t.described()
                for name, t in outputs.items()),
            ", ".join(f"{name} {_yaml(p.shape)}" + ("" if p.statistic else f" {_init(p.init)}")
                      for name, p in settled.parameters(*inputs).items()),
            f"{macs:,}" if (macs := settled.macs(*inputs)) else "",
            str(steps) if (steps := settled.steps(*inputs)) > 1 else "",
        )


def _input(kind: str, inputs: tuple[TensorType, ...]) -> str:
    x = inputs[0]
    if x.dtype == "int":
        return f"{kind} (time {x.shape[0]})" if x.shape else kind
    return " and ".join(f"{kind if n == 0 else ''} {t.described()}".strip()
                        for n, t in enumerate(inputs))


def _init(init: Init) -> str:
    """How a parameter begins, its numbers short."""
    short = {name: float(f"{v:.4g}") if isinstance(v, float) else v
             for name, v in init.arguments.items()}
    return init_text(Init(init.name, short, init.blocks))


def _initialisers() -> Iterator[str]:
    yield """## Initialisers

How a parameter begins, for the modifier `init`: `init: {kernel: zeros}`, or with arguments
`init: {kernel: {normal: {stddev: 0.02}}}`. The names of a layer's parameters stand in the examples
above; `init` leaves their numbers and sides away: `kernel` is also `kernel_0` and `query_kernel`.
A kernel is (window…, in, out): fan in is window · in, fan out window · out.

| initialiser | arguments |
|---|---|"""
    for name, arguments in INITIALISERS.items():
        signature = inspect.signature(initialise.INITIALISERS[name]).parameters
        told = []
        for argument, choices in arguments.items():
            default = signature[argument].default
            text = f"`{argument}`" + (f" ({', '.join(choices)})" if choices else "")
            if default is not inspect.Parameter.empty:
                text += f" = {default:g}" if isinstance(default, float) else f" = {default}"
            told.append(text)
        yield f"| `{name}` | {', '.join(told)} |"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
