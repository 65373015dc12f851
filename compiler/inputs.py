"""The tensors that a spec declares under `inputs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from compiler.builder import MAX_ELEMENTS, Place
from compiler.entities import Seen
from compiler.graph import Value
from compiler.parse import Node
from compiler.parse import Sequence as SequenceNode
from compiler.scope import Scope
from compiler.source import Span
from compiler.spec import Input
from compiler.types import DEFAULT_AXES, Size, TensorType
from compiler.validate import UNKNOWN
from compiler.wording import shown

if TYPE_CHECKING:
    from compiler.elaborate import Elaborator


def input_value(
    e: Elaborator, name: str, section: Input, span: Span, place: Place,
) -> Value | None:
    """The value of a declared input; None after errors.

    Args:
        e: the elaborator.
        name: the input's name.
        section: what the spec says of it.
        span: the place of its name.
        place: the top of the model.
    """
    reading = _Reading(e, name, section, span, place)
    shape = reading.shape()
    if shape is None:
        return None
    axes = reading.axes(shape)
    sizes = reading.sizes(shape, axes) if axes is not None else None
    vocabulary = reading.vocabulary()
    if axes is None or sizes is None or vocabulary is UNKNOWN:
        return None
    dtype: Literal["float", "int"] = "float" if section.kind == "tensor" else "int"
    type_ = TensorType(axes, sizes, dtype, vocabulary)
    if type_.elements > MAX_ELEMENTS:
        e.at(place).error("F0506", f"input `{name}` has {type_.elements:,} numbers", span,
                          f"at most {MAX_ELEMENTS:,} are allowed")
        return None
    return Value(name, type_)


class _Reading:
    """An input that is being read; every part is None or UNKNOWN after an error in it."""

    def __init__(self, e: Elaborator, name: str, section: Input, span: Span, place: Place):
        self.e, self.name, self.section, self.span, self.place = e, name, section, span, place
        self.report = e.at(place)
        self.scope = Seen(place.values, Scope(), None, set())
        self.node = place.program.document.inputs[name]

    def value(self, node: Node) -> Any:
        return self.e.value(node, self.scope, self.place)

    def shape(self) -> Sequence[Any] | None:
        """The sizes, which may be of any kind yet."""
        section = self.section
        for key, kinds in (("shape", ("tensor",)), ("axes", ("tensor",)), ("length", ("tokens",)),
                           ("vocabulary", ("tokens", "category"))):
            if key in self.node and section.kind not in kinds:
                self.report.error("F0205", f"`{key}` is not for an input of kind `{section.kind}`",
                                  self.node.key_spans[key],
                                  help=_KINDS[section.kind].format(self.name))
        if section.kind == "category":
            return []
        if section.kind == "tokens":
            length = "any" if section.length is None else self.value(section.length)
            return None if length is UNKNOWN else [length]
        if section.shape is None:
            self.report.error("F0204", f"input `{self.name}` needs `shape`", self.span,
                              help="as in `shape: [224, 224, 3]`: height, width, channels")
            return None
        shape = self.value(section.shape)
        if shape is UNKNOWN:
            return None
        if not isinstance(shape, list):
            self.report.error("F0205", f"`shape` of input `{self.name}` is a list of sizes, not "
                              f"{shown(shape)}", section.shape.span,
                              help="as in `shape: [224, 224, 3]`")
            return None
        return shape

    def axes(self, shape: Sequence[Any]) -> tuple[str, ...] | None:
        """The axes' names: those given, or the usual ones of a shape of this rank."""
        if self.section.kind == "tokens":
            return ("time",)
        given = self.section.axes
        axes = DEFAULT_AXES.get(len(shape)) if given is None else given
        if axes is None:
            self.report.error("F0222", f"input `{self.name}` has {len(shape)} sizes, and no names "
                              "for their axes", self.node.key_spans["shape"],
                              help="name them: `axes: [time, height, width, channels]`")
            return None
        where = self.node.key_spans.get("axes", self.span)
        if len(axes) != len(shape):
            self.report.error("F0222", f"input `{self.name}` names {len(axes)} of its "
                              f"{len(shape)} axes" if len(axes) < len(shape) else
                              f"input `{self.name}` names {len(axes)} axes for {len(shape)} "
                              f"size{'s' if len(shape) > 1 else ''}", where,
                              help="give each size one axis")
            return None
        if len(set(axes)) < len(axes) or "channels" in axes[:-1]:
            twice = len(set(axes)) < len(axes)
            self.report.error("F0222", f"input `{self.name}` has "
                              f"{'an axis twice' if twice else 'channels before other axes'}: "
                              f"{', '.join(axes)}", where,
                              help="name each axis once, `channels` last")
            return None
        return axes

    def sizes(self, shape: Sequence[Any], axes: Sequence[str]) -> tuple[Size, ...] | None:
        """The sizes; a text stands for an unknown one."""
        key = "shape" if self.section.kind == "tensor" else "length"
        place_of = self.node.get(key)
        sizes: list[Size] = []
        for i, (axis, size) in enumerate(zip(axes, shape)):
            if size == "any":
                unknown = self.name if axis == "time" else f"{self.name}.{axis}"
                sizes.append(unknown if self.e.length is None else self.e.length)
            elif isinstance(size, int) and not isinstance(size, bool) and size > 0:
                sizes.append(size)
            else:
                where = place_of[i] if isinstance(place_of, SequenceNode) else place_of
                self.report.error(
                    "F0205", f"a size of input `{self.name}` is a whole number above 0 or `any`, "
                    f"not {shown(size)}", (where or self.node).span)
                return None
        return tuple(sizes)

    def vocabulary(self) -> Any:
        """How many different indices there are, None for numbers."""
        node = self.section.vocabulary
        if self.section.kind == "tensor":
            return None
        if node is None:
            self.report.error("F0204", f"input `{self.name}` needs `vocabulary`", self.span,
                              help="how many different indices there are: `vocabulary: 20000`")
            return UNKNOWN
        value = self.value(node)
        if value is UNKNOWN or isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        self.report.error("F0205", f"`vocabulary` is a whole number above 0, not {shown(value)}",
                          node.span)
        return UNKNOWN


_KINDS = {
    "tensor": "indices are declared with `{}: {{kind: tokens, vocabulary: 20000}}`",
    "tokens": "tokens have a length: `{}: {{kind: tokens, vocabulary: 20000, length: any}}`",
    "category": "a category is one index: `{}: {{kind: category, vocabulary: 10}}`",
}
