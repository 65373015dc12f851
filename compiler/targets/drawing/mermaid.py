"""The drawing as a Mermaid flowchart in Markdown, which many forges and editors show."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.flat import Flat, flattened
from compiler.targets.drawing.svg import summary
from compiler.targets.drawing.words import caption, figures, heading, printable, shape, wrapped

# Mermaid's own limits are 500 edges and 50,000 characters.
FITTING = 60
# What means something to Mermaid, to HTML or to a Markdown fence, by its number instead.
_PLAIN = set(" ×·….,:_-+=/()[]@!?*'$^~")


def page(scene: Scene, opened: frozenset[int], mark: str) -> str:
    """A Markdown text with the drawing in a fence.

    Args:
        scene: what to draw.
        opened: the boxes that stand open.
        mark: a comment that says what made the file.
    """
    return (f"<!-- {mark} -->\n# {_markdown(summary(scene))}\n\n"
            f"```mermaid\n{chart(scene, opened)}```\n")


def chart(scene: Scene, opened: frozenset[int]) -> str:
    """The flowchart without its fence."""
    flat = flattened(scene, opened)
    lines = ["flowchart TB", *_scope(scene.scope, flat, opened, "  ")]
    lines += [f'  {flat.names[id(source)]} -->|"{_text(shape(kind))}"| {flat.names[id(target)]}'
              for source, target, kind in flat.edges]
    return "\n".join(lines) + "\n"


def _scope(scope: Scope, flat: Flat, opened: frozenset[int], pad: str) -> Iterator[str]:
    for box in scope.boxes:
        if (name := flat.names.get(id(box))) is None:
            continue
        if box.is_end:
            yield f'{pad}{name}(["{_text(box.title)}"])'
        elif box.inside is not None and id(box) in opened:
            yield f'{pad}subgraph {name}["{_told(box, " · ")}"]'
            yield f"{pad}  direction TB"
            yield from _scope(box.inside, flat, opened, f"{pad}  ")
            yield f"{pad}end"
        else:
            left, right = ("[[", "]]") if box.kind in ("block", "group") else ("[", "]")
            yield f'{pad}{name}{left}"{_told(box, "<br>", box.detail)}"{right}'


def _told(box: Box, separator: str, detail: str = "") -> str:
    texts = [caption(box), heading(box), detail, figures(box)]
    return separator.join("<br>".join(map(_text, wrapped(t))) for t in texts if t)


def _text(text: str) -> str:
    """A text that Mermaid takes as it is."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in printable(text))


def _markdown(text: str) -> str:
    """A text that Markdown and HTML take as it is."""
    return "".join(f"&#{ord(c)};" if c in "&<>`*_[]\\#|!~$" else c for c in printable(text))
