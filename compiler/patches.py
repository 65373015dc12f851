"""`patch`: what is to become of single layers, entries and lists of a spec, by their paths.

    patch:
      model.stem: {replace: [conv: {filters: 32, kernel: 3}]}
      blocks.unit.body: {after: [mobile.squeeze_excitation: 16]}
      model.stage3.unit0.unit_1: {set: {stride: 1}}
      model.dropout_1: remove

Here they are read; `patching` applies them.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.tree import Mapping, Node, Scalar, Sequence, present
from compiler.validate import map_of
from compiler.wording import near

OPERATIONS = ("before", "after", "set", "replace", "remove")
_FORM = "{replace: …}, {before: …}, {after: …}, {set: …} or remove"


@dataclass(frozen=True, eq=False, slots=True)
class Patch:
    """What is to become of the place that a path leads to.

    Attributes:
        path: the path.
        span: where it is written.
        before: layers to put before it.
        after: layers to put after it.
        set: new values of its fields and modifiers, or None.
        replace: what to put in its place, or None.
        remove: take it away.
    """

    path: str
    span: Span
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()
    set: Mapping | None = None
    replace: Node | None = None
    remove: bool = False

    @property
    def takes_away(self) -> bool:
        """Whether nothing of what was there stays."""
        return self.remove or self.replace is not None

    @property
    def changes(self) -> bool:
        """Whether what was there becomes something else."""
        return self.takes_away or self.set is not None


def read_patches(node: Node | None, report: Report) -> list[Patch]:
    """The patches of a `patch:` section; those that have not the form are reported."""
    section = map_of(node, report, "`patch` is a map from paths to changes",
                     "patch: {model.dropout_1: remove}")
    found = []
    for path, part in (section or {}).items():
        assert section is not None
        if (patch := _read(path, part, section.key_spans[path], report)) is not None:
            found.append(patch)
    return found


def _read(path: str, node: Node, span: Span, report: Report) -> Patch | None:
    if isinstance(node, Scalar) and node.value == "remove":
        return Patch(path, span, remove=True)
    if not isinstance(node, Mapping) or not node:
        report.error("F0232", f"the patch of `{path}` does not say what to do", node.span,
                     help=f"it is one of {_FORM}")
        return None
    for key in node:
        if key not in OPERATIONS:
            report.error("F0232", f"`{key}` is not something that a patch does",
                         node.key_spans[key], near(key, OPERATIONS, report),
                         help=f"a patch is one of {_FORM}; new values of fields stand behind "
                              f"`set`: `{{set: {{{key}: …}}}}`")
            return None
    remove, replace, set_ = (present(node.get(key)) for key in ("remove", "replace", "set"))
    for key in node:
        if present(node[key]) is None:
            report.error("F0232", f"`{key}` of a patch has nothing after it", node.key_spans[key],
                         help="to take a layer away, write `remove`")
            return None
    if remove is not None and not (isinstance(remove, Scalar) and remove.value is True):
        report.error("F0232", "`remove` takes `true` and nothing else", remove.span,
                     help=f"as in `{path}: remove`")
        return None
    if remove is not None and len(node) > 1 or replace is not None and set_ is not None:
        first, second = ("replace", "set") if remove is None else (
            "remove", next(k for k in node if k != "remove"))
        report.error("F0232", f"`{first}` and `{second}` do not go together",
                     node.key_spans[second],
                     help="layers in the place of another: `replace`" if remove else
                          "give the layer that replaces it the values it is to have")
        return None
    if set_ is not None and not isinstance(set_, Mapping):
        report.error("F0232", "`set` is a map of fields and modifiers", set_.span,
                     help="as in `{set: {filters: 32}}`")
        return None
    return Patch(path, span, layers_of(node.get("before")), layers_of(node.get("after")), set_,
                 replace, remove is not None)


def layers_of(node: Node | None) -> tuple[Node, ...]:
    """A list of layers; a single layer is a list of one."""
    if node is None:
        return ()
    return tuple(node) if isinstance(node, Sequence) else (node,)
