"""`extends` and `patch`: a spec that is another one with changes.

The result is an ordinary tree, as if one file held all of it: the base's sections with those of
the file laid over them (`merge`), then the file's patches (`patching`). Every node keeps the
place where it was written, in whichever file that is.

`name` and `facts` are a file's own: they do not come along. `extends: resnet50` names a variant:
its values become the defaults of the params, and the base's variants stay behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compiler.check import check_version
from compiler.diagnostics import Label, Report, SpecError
from compiler.files import MAX_CHAIN, Files, Opened
from compiler.home import Home
from compiler.merge import merged, with_default
from compiler.patches import read_patches
from compiler.patching import check_size, patched
from compiler.source import Span
from compiler.spec import Extended
from compiler.tree import Mapping, Node, Scalar, Sequence, present
from compiler.validate import validate
from compiler.wording import near, some

OWN = ("name", "facts")  # sections of a base that say something of that very spec
STEPS = ("extends", "patch")  # sections that are gone when a spec is put together


@dataclass(frozen=True, slots=True)
class _Link:
    """One file of a chain of `extends`.

    Attributes:
        path: the file.
        shown: what it is called in messages.
    """

    path: Path
    shown: str


def extended(
    tree: Mapping, files: Files, home: Home | None = None, path: Path | None = None,
) -> Mapping:
    """The tree of a spec with all that it extends in it; the tree itself where that is nothing.

    Args:
        tree: the spec as it is written.
        files: opens what the spec refers to.
        home: where it lies, for text without a file.
        path: its file, links followed.

    Raises:
        SpecError: a base cannot be opened or put together; with every error so far.
    """
    chain = (_Link(path, tree.span.source.name),) if path is not None else ()
    return _extended(tree, files, home, chain)


def _extended(
    tree: Mapping, files: Files, home: Home | None, chain: tuple[_Link, ...],
) -> Mapping:
    report, node = files.report, present(tree.get("extends"))
    if node is None:
        if present(tree.get("patch")) is not None:
            report.error("F0232", "there is nothing to patch", tree.key_spans["patch"],
                         "the file extends no other one",
                         help="name the spec that it changes: `extends: base.yaml`")
        return _without(tree, STEPS) if "patch" in tree or "extends" in tree else tree
    check_version(tree, report)
    opened, variant = _opened(node, files, home)
    if opened is None:
        raise SpecError(report.diagnostics)
    _refuse_cycle(opened, node.span, chain, report)
    check_version(opened.tree, report, Label(node.span, "extended here"))
    link = _Link(opened.path, opened.tree.span.source.name)
    base = _extended(opened.tree, files, opened.tree.span.source.home, (*chain, link))
    if variant:
        place = node.get("variant", node) if isinstance(node, Mapping) else node
        base = _chosen(base, variant, place.span, opened.stem, report)
    base = _without(base, (*OWN, "flaxspec"))
    whole = merged(base, _without(tree, STEPS), files.cls.one_of)
    if (section := present(tree.get("patch"))) is not None:
        errors = len(report.errors)
        whole = patched(whole, read_patches(section, report), report)
        if len(report.errors) > errors:  # what follows from a patch that is missing is not told
            raise SpecError(report.diagnostics)
    else:
        check_size(whole, report)
    return whole


def _opened(node: Node, files: Files, home: Home | None) -> tuple[Opened | None, str]:
    """The base that an `extends:` names, and the variant of it."""
    report = files.report
    if isinstance(node, Scalar) and isinstance(node.value, str):
        opened = files.named(node.value, node.span, home, "extended")
        return opened, opened.variant if opened else ""
    if isinstance(node, Mapping):
        section = validate(Extended, node, report, what="`extends`")
        if section is None:
            return None, ""
        if bool(section.spec) == bool(section.bundle):
            report.error("F0201", "`extends` names either a spec or a bundle", node.span,
                         help="as in `extends: {spec: resnet, variant: resnet18}`")
            return None, ""
        opened = (files.named(section.spec, node["spec"].span, home, "extended") if section.spec
                  else files.bundled(section.bundle, node["bundle"].span, home))
        return opened, section.variant or (opened.variant if opened else "")
    one = isinstance(node, Sequence)
    report.error("F0201", "`extends` names one spec", node.span,
                 help="let the first extend the second: each file has one base" if one else
                      "as in `extends: resnet50`, or `extends: base.yaml`")
    return None, ""


def _refuse_cycle(
    opened: Opened, span: Span, chain: tuple[_Link, ...], report: Report,
) -> None:
    """Raise SpecError where a file would extend itself.

    Raises:
        SpecError: F0230.
    """
    links = [link.path for link in chain]
    if opened.path in links:
        names = [link.shown for link in chain[links.index(opened.path) :]]
        report.error("F0230", f"`{names[0]}` extends itself", span,
                     notes=(" extends ".join([*names, names[0]]),) if len(names) > 1 else (),
                     help="let one of them stand alone")
        raise SpecError(report.diagnostics)
    if len(chain) > MAX_CHAIN:
        report.error("F0230", f"more than {MAX_CHAIN} specs extend one another", span,
                     help="put some of them together: `flaxspec explain FILE --stage resolved`")
        raise SpecError(report.diagnostics)


def _without(tree: Mapping, keys: tuple[str, ...]) -> Mapping:
    return Mapping({k: node for k, node in tree.items() if k not in keys}, tree.span,
                   tree.key_spans)


# -------------------------------------------------------------------------- a variant as the base


def _chosen(base: Mapping, variant: str, span: Span, stem: str, report: Report) -> Mapping:
    """The base with a variant's values as the defaults of its params, and without variants."""
    variants = base.get("variants")
    names = variants if isinstance(variants, Mapping) else {}
    if variant not in names:
        report.error("F0212", f"`{stem}` has no variant `{variant}`", span,
                     near(variant, names, report), notes=(f"variants: {some(names)}",))
        raise SpecError(report.diagnostics)
    values: dict[str, Node] = {}
    places: dict[str, Span] = {}
    seen: set[str] = set()
    name: object = variant
    while isinstance(name, str) and name not in seen and isinstance(
            node := names.get(name), Mapping):
        seen.add(name)
        for key, value in node.items():
            if key != "extends" and key not in values:
                values[key], places[key] = value, node.key_spans[key]
        parent = node.get("extends")
        name = parent.value if isinstance(parent, Scalar) else None
    params = base.get("params")
    params = params if isinstance(params, Mapping) else Mapping({}, base.span)
    for key in values:
        if key not in params:
            report.error("F0203", f"`{key}` is not a param of `{stem}`", places[key],
                         near(key, params, report), notes=(f"params of `{stem}`: {some(params)}",))
    changed = Mapping({**params, **{k: with_default(params[k], v) for k, v in values.items()
                                    if k in params}}, params.span, params.key_spans)
    return _without(Mapping({**base, "params": changed}, base.span, base.key_spans), ("variants",))
