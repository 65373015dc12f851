"""A model as a list of operators in the order they run, with the types of their tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from compiler.imports.complaints import Unsupported
from compiler.names import layer_name_problem
from compiler.ops import FAMILIES
from compiler.ops import operator as load
from compiler.ops.base import Operator, ShapeError
from compiler.types import TensorType

MOST = 20_000  # layers of a file


@dataclass(frozen=True)
class Ref:
    """A tensor: an input, or an output of a part.

    Attributes:
        owner: the part's number, or the input's name.
        port: the output's name; "" is what flows on.
        type: axes and sizes.
    """

    owner: int | str
    type: TensorType
    port: str = ""


@dataclass(eq=False)
class Part:
    """A layer of the language.

    Attributes:
        number: its place in the model.
        word: the operator; "each" for a body that runs on every step.
        fields: its fields that are not the defaults.
        reads: what it is applied to.
        name: what the file calls it, if that is a name that an author would choose, or "".
        place: where it is in the file, for messages.
        type: of what flows on.
        shared: the key of parameters that several parts share, or "".
        memory: for a field that names a tensor, that tensor.
        arrays: its weights by our names, where the file has them.
        inside: the parts of an "each".
        origin: what the file calls the layer that its weights belong to, or "".
        first: the number of its first array among those of that layer.
    """

    number: int
    word: str
    fields: dict[str, Any]
    reads: list[Ref]
    name: str
    place: str
    type: TensorType
    shared: str = ""
    memory: dict[str, Ref] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    inside: list[Part] = field(default_factory=list)
    origin: str = ""
    first: int = 0


@dataclass
class Model:
    """What a file describes.

    Attributes:
        name: the model's name.
        source: a sentence on where it comes from.
        inputs: the sections of the inputs by name.
        parts: in the order they run.
        outputs: the results by name; the first is the main one.
    """

    name: str
    source: str
    inputs: dict[str, dict[str, Any]]
    parts: list[Part]
    outputs: dict[str, Ref]


class Builder:
    """Collects parts; every one is checked as it comes, so that an error has its place.

    Attributes:
        parts: those there are.
        inputs: the sections of the inputs.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.inputs: dict[str, dict[str, Any]] = {}
        self.types: dict[str, TensorType] = {}
        self.place, self.name, self.shared, self.origin = "", "", "", ""
        self.first = 0

    def input(self, name: str, type: TensorType, section: dict[str, Any]) -> Ref:
        """An input of the model."""
        name = _distinct(identifier(name) or "input_1", self.inputs)
        self.inputs[name] = section
        self.types[name] = type
        return Ref(name, type)

    def at(self, place: str, name: str = "", shared: str = "", origin: str = "") -> None:
        """Say where what follows stands in the file, and what the file calls it."""
        self.place, self.name, self.shared, self.origin = place, name, shared, origin
        self.first = 0

    def add(self, word: str, *reads: Ref, fields: Mapping[str, Any] | None = None,
            memory: Mapping[str, Ref] | None = None, arrays: Mapping[str, Any] | None = None,
            named: bool = False, port: str = "") -> Ref:
        """A layer; the tensor that it gives.

        Args:
            word: the operator.
            reads: what it is applied to.
            fields: its fields.
            memory: fields that name a tensor.
            arrays: its weights.
            named: it is the layer that the name of the place is for.
            port: the output that is wanted, where not the one that flows on.

        Raises:
            Unsupported: the operator does not take these fields or tensors.
        """
        if len(self.parts) >= MOST:
            raise Unsupported(f"there are more than {MOST:,} layers")
        given = {k: v for k, v in (fields or {}).items() if v is not None}
        op = operator(word, {**given, **{k: "memory" for k in memory or {}}})
        types = [r.type for r in (*reads, *(memory or {}).values())]
        try:
            op = op.settled(*types)
            outputs = op.outputs(*types)
        except ShapeError as error:
            raise Unsupported(f"as `{word}`: {error.message}", error.help) from None
        part = Part(len(self.parts), word, essential(op, given), list(reads),
                    self.name if named and not self.shared else "", self.place,
                    next(iter(outputs.values())), self.shared, dict(memory or {}),
                    dict(arrays or {}), [], self.origin, self.first)
        owned = len(op.parameters(*types))
        self.first += owned
        if not owned:
            part.shared = part.origin = ""
        self.parts.append(part)
        return Ref(part.number, outputs[port] if port else part.type, port)

    def each(self, axis: str, x: Ref, inside: Callable[[Ref], Ref]) -> Ref:
        """Layers on every step of an axis apart.

        Raises:
            Unsupported: the layers do not take a step.
        """
        outer, self.parts = self.parts, []
        try:
            end = inside(Ref("step", x.type.without(axis)))
            parts = self.parts
        finally:
            self.parts = outer
        size = x.type.size(axis)
        assert size is not None
        whole = TensorType((axis, *end.type.axes), (size, *end.type.shape), end.type.dtype)
        self.parts.append(Part(len(self.parts), "each", {"each": axis}, [x], "", self.place, whole,
                               inside=parts))
        return Ref(len(self.parts) - 1, whole)

    def model(self, name: str, source: str, outputs: Mapping[str, Ref]) -> Model:
        return Model(name, source, self.inputs, self.parts, dict(outputs))


def operator(word: str, fields: Mapping[str, Any]) -> Operator:
    """An operator of the language.

    Raises:
        Unsupported: it does not take these fields.
    """
    try:
        return load(word).model_validate({
            k: tuple(tuple(x) if isinstance(x, list) else x for x in v)
            if isinstance(v, list) else v for k, v in fields.items()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Unsupported(f"`{where}` of `{word}`: {first['msg']}", code="F0945") from None


def essential(op: Operator, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not the operator's defaults, in the operator's order."""
    found: dict[str, Any] = {}
    for name, info in type(op).model_fields.items():
        key = info.alias or name
        if key in given and (info.is_required() or getattr(op, name) != info.default):
            found[key] = given[key]
    return found


def identifier(text: str) -> str:
    """A text as a name of the language; "" where nothing of it can be one."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    if name[:1].isdigit():
        name = f"_{name}".lstrip("_") and f"x{name}"
    return name[:60].strip("_") if name and not layer_name_problem(name[:60].strip("_")) else ""


# What programs call layers where nobody else does.
_WORDS = {word for words in FAMILIES.values() for word in words}


def good_name(text: str, *automatic: str) -> str:
    """The name, where an author would choose it: not `conv2d_3`, nor a path of a program."""
    name = identifier(text)
    if not name or name != text or len(name) > 30 or name in _WORDS or name.startswith("node_"):
        return ""
    stem = re.sub(r"(_?\d+)+$", "", name).lower()
    known = {*_WORDS, *(a.lower() for a in automatic),
             *(re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", a).lower() for a in automatic)}
    return "" if stem in known or stem.replace("_", "") in {k.replace("_", "") for k in known} \
        else name


def _distinct(name: str, taken: Mapping[str, Any] | Sequence[str]) -> str:
    number, wish = 2, name
    while name in taken:
        name, number = f"{wish}_{number}", number + 1
    return name
