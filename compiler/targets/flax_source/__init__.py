"""A graph as Flax source that needs nothing of flaxspec: `flaxspec eject`.

The way of a graph: its blocks become bodies (`body`), with iterations as loops (`loops`) and
every operator as a piece of code (`operators`, and a file for each family); bodies of one block
share a class where they can (`template`), with arguments for what differs (`arguments`);
`emit` writes the classes, `helpers` adds what Flax has no layer for.

No JAX is needed to write the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from compiler.graph import Graph
from compiler.targets.flax_source.arguments import Arguments
from compiler.targets.flax_source.body import Converter
from compiler.targets.flax_source.code import laid_out, literal
from compiler.targets.flax_source.emit import ClassText, Names, docstring
from compiler.targets.flax_source.helpers import INITIALISERS, TEXTS, helper_texts
from compiler.targets.flax_source.items import Body
from compiler.targets.flax_source.site import File
from compiler.targets.flax_source.template import Template, grouped


@dataclass(frozen=True)
class About:
    """What the head of a file tells.

    Attributes:
        source: what it was made of, such as "resnet50" or a path.
        version: of flaxspec.
        module: how the file is called when it is imported.
        weights: a file of weights to load in the example.
        figures: lines about shapes and sizes.
    """

    source: str
    version: str = ""
    module: str = "model"
    weights: str = "weights.safetensors"
    figures: Sequence[str] = field(default_factory=tuple)


def eject(graph: Graph, about: About) -> str:
    """The source of a Python file with the model of a graph.

    Args:
        graph: a typed graph; the caller runs the passes.
        about: what its head tells.

    Raises:
        SpecError: F0910 an operator has no source.
    """
    file = File()
    timed = tuple("time" in v.type.axes for v in graph.inputs)
    model = Converter(file).body(graph, timed, {}, is_model=True)
    classes: dict[int, Template] = {}
    taken = set(TEXTS) | {camel(graph.name)}
    templates: list[tuple[Template, Arguments]] = []
    for bodies in _groups(model):
        is_model = bodies == [model]
        wish = camel(bodies[0].name)
        made = [Template(wish, bodies, classes)] if is_model else grouped(
            bodies, wish, taken, classes)
        for template in made:
            arguments = Arguments(template)
            arguments.settle()
            classes |= {id(body): template for body in template.rows}
            templates.append((template, arguments))
    names = Names()
    texts = [_class_text(t, a, names, model) for t, a in reversed(templates)]
    return _file(file, about, list(reversed(texts)), names, templates[-1][0], graph)


def camel(name: str) -> str:
    """"conv_relu" is ConvRelu."""
    made = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_", name) if part)
    return made if made[:1].isalpha() else f"Model{made}"


def _groups(model: Body) -> list[list[Body]]:
    """The bodies of each block, callees first, the model last."""
    height: dict[int, int] = {}
    order: list[Body] = []

    def visit(body: Body) -> int:
        if id(body) not in height:
            height[id(body)] = 1 + max((visit(b) for b in body.calls()), default=-1)
            order.append(body)
        return height[id(body)]

    visit(model)
    groups: dict[tuple, list[Body]] = {}
    for body in order:
        # A block that uses itself has bodies of several heights, which cannot be one class.
        recursive = any(b.name == body.name for b in _reached(body))
        key = (body.name, body.timed, len(body.inputs), height[id(body)] if recursive else -1)
        if body is model:
            key = ("", (), 0, 0)
        groups.setdefault(key, []).append(body)
    return sorted(groups.values(), key=lambda bodies: max(height[id(b)] for b in bodies))


def _reached(body: Body) -> list[Body]:
    found = list(body.calls())
    return [*found, *(b for inner in found for b in _reached(inner))]


def _class_text(template: Template, arguments: Arguments, names: Names, model: Body) -> str:
    body = template.rows[0]
    reads = body.reads
    called = [body.inputs[i][0] for i in reads]
    timed = ["lengths"] if len(reads) == 1 else [f"{name}_lengths" for name in called]
    is_model = body is model
    writer = ClassText(template, arguments, names, title=_title(template, is_model),
                       is_model=is_model, timed=timed)
    return "\n".join(writer.lines())


def _title(template: Template, is_model: bool) -> str:
    body = template.rows[0]
    inputs = ", ".join(f"{n} {t}" if len(body.inputs) > 1 else str(t) for n, t in body.inputs)
    outputs = ", ".join(f"{n} {t}" if len(body.types) > 1 else str(t)
                        for n, t in body.types.items())
    shapes = f"{inputs} -> {outputs}"
    if is_model:
        line = f"The model: {shapes}, all behind the batch."
    else:
        example = "" if len(template.rows) == 1 else "for example "
        line = f"`{body.name}` of the spec, {example}{shapes}."
    return line if len(line) < 88 else (
        "The model." if is_model else f"`{body.name}` of the spec.")


_LOAD = '''
def load(path):
    """The model with the arrays of a safetensors file, such as those of a run of flaxspec."""
    model, arrays = MODEL(rngs=nnx.Rngs(0)), load_file(path)
    state = nnx.state(model, nnx.Any(KINDS))
    for steps, variable in nnx.to_flat_state(state):
        variable[...] = arrays.pop(words(steps))
    if arrays:
        raise ValueError(f"the model has no {', '.join(arrays)}")
    nnx.update(model, state)
    return model


def words(steps):
    """The name in a file of the array that some attributes of the model lead to."""
    *layers, parameter = steps
    numbers = iter([step for step in layers if isinstance(step, int)])
    name = ".".join(PATHS.get(step, step) for step in layers if isinstance(step, str))
    return re.sub(r"\\*", lambda _: str(next(numbers)), f"{name}.{parameter}")
'''


def _file(file: File, about: About, classes: Sequence[str], names: Names, model: Template,
          graph: Graph) -> str:
    helpers = helper_texts(file.helpers | {h: file.helpers.get(h, set())
                                           for h in file.initialisers.helpers})
    constants = [line for name, value in file.initialisers.constants.items()
                 for line in laid_out(f"{name} = {value}", 0)]
    kinds = "nnx.Param, nnx.BatchStat" + (", Frozen" if "Frozen" in helpers else "")
    load = _LOAD.strip("\n").replace("MODEL", model.name).replace("KINDS", kinds)
    paths = [
        "# What the steps of a path are called in the spec, where this file has other names.",
        *_mapping("PATHS", names.paths())]
    early = [text for name, text in helpers.items() if name in INITIALISERS]
    late = [text for name, text in helpers.items() if name not in INITIALISERS]
    used = "\n".join([*early, *constants, *late, *classes])
    head = _head(about, model, graph)
    body = ["\n\n\n".join(early)] if early else []
    body += ["\n".join(constants)] if constants else []
    body += ["\n\n\n".join([*late, *classes]), "\n".join(paths), load]
    gap = "\n" if constants and not early else "\n\n"
    imports = "\n".join([*head, "", *_imports(used + load), ""])
    return imports + gap + "\n\n\n".join(body) + "\n"


def _mapping(name: str, values: dict[str, str]) -> list[str]:
    if not values:
        return [f"{name} = {{}}"]
    return [f"{name} = {{", *(f"    {literal(k)}: {literal(v)}," for k, v in values.items()), "}"]


def _imports(text: str) -> list[str]:
    """The imports that a text needs, as isort has them."""
    plain = [f"import {name}" for name in ("functools", "itertools", "math", "re")
             if re.search(rf"\b{name}\.", text)]
    if "NamedTuple" in text:
        plain.append("from typing import NamedTuple")
    others = ["import jax"] if re.search(r"\bjax\.", text) else []
    if "jnp." in text:
        others.append("import jax.numpy as jnp")
    if re.search(r"\bnp\.", text):
        others.append("import numpy as np")
    others += ["from flax import nnx", "from safetensors.numpy import load_file"]
    return [*plain, "", *others]


def _head(about: About, model: Template, graph: Graph) -> list[str]:
    version = f" by flaxspec {about.version}" if about.version else ""
    inputs = ", ".join(v.name for v in graph.inputs)
    lines = [f"{graph.name}, ejected from {about.source}{version}.", "",
             "Plain Flax NNX: flaxspec is not needed to run or to train it.", ""]
    lines += [*about.figures, ""] if about.figures else []
    lines += [
        "Example:",
        f"    from {about.module} import load", "",
        f'    model = load("{about.weights}")', "    model.eval()",
        *laid_out(f"output = model({inputs})", 4), "",
        "`model.train()` goes back to training; without weights a new model is",
        f"`{model.name}(rngs=nnx.Rngs(0))`."]
    return docstring("\n".join(lines), 0)
