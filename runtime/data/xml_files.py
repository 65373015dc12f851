"""XML from strangers: what a small file of elements and texts needs, and nothing more.

Document types and entities, by which a small file becomes gigabytes or reads other files, are
refused; sizes and depths are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from compiler.diagnostics import SpecError
from runtime.data.files import failure, read_bytes, shown

# The most that a file may hold: bytes, elements, and elements within one another.
BYTES, ELEMENTS, DEPTH = 4 * 2**20, 100_000, 32


@dataclass
class Element:
    """An element.

    Attributes:
        tag: its name.
        line: where it begins, from 1.
        text: what stands in it outside its children.
        children: the elements in it, in order.
    """

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """The first child of a name; None where there is none."""
        return next(iter(self.children_called(tag)), None)

    def children_called(self, tag: str) -> list[Element]:
        """The children of a name."""
        return [child for child in self.children if child.tag == tag]


class _Unsafe(Exception):
    """What the file has that is refused."""


def read_xml(path: Path) -> Element:
    """The outermost element of a file.

    Raises:
        SpecError: F0630 and F0631 it cannot be read, F0682 it is not XML, F0683 it has what is
            refused.
    """
    data = read_bytes(path)
    if len(data) > BYTES:
        raise failure("F0683", f"`{shown(path)}` has {len(data):,} bytes",
                      notes=[f"a file of annotations has at most {BYTES:,}"])
    parser, root = expat.ParserCreate(), Element("", 0)
    stack, count = [root], 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > ELEMENTS or len(stack) > DEPTH:
            raise _Unsafe(f"more than {ELEMENTS:,} elements, or {DEPTH} within one another")
        element = Element(tag, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(tag: str) -> None:
        stack.pop()

    def text(words: str) -> None:
        stack[-1].text += words

    def refuse(*arguments: object) -> int:
        raise _Unsafe("a document type or an entity")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.buffer_text = text, True
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(data, True)
    except _Unsafe as error:
        raise failure("F0683", f"`{shown(path)}` has {error}, which annotations never need",
                      path, parser.CurrentLineNumber,
                      help="take it out; do not trust a file that has it") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        # ValueError, LookupError: an encoding that is none.
        raise failure("F0682", f"`{shown(path)}` is not XML: {error}", path,
                      getattr(error, "lineno", 0),
                      help="write it anew by the program that the boxes were drawn with") from None
    return root.children[0]


def wrong(path: Path, element: Element, what: str) -> SpecError:
    """The error that an element is not what annotations of Pascal VOC have there: F0682."""
    return failure("F0682", f"`{shown(path)}` {what}", path, element.line, f"<{element.tag}",
                   notes=["annotations of Pascal VOC have `size` with `width` and `height`, and "
                          "for each `object` a `name` and a `bndbox`"])
