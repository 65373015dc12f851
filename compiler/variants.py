"""Variants: the values that one of them gives to params, and the facts published for them."""

from __future__ import annotations

from collections.abc import Mapping as PyMapping

from compiler.diagnostics import Report
from compiler.formulas import check_formulas
from compiler.params import Given, ParamSpec, check_values
from compiler.parse import Mapping, Node, Scalar, present
from compiler.source import Source, Span
from compiler.spec import Document, Fact
from compiler.validate import map_of, validate
from compiler.wording import near, some


def settings(
    document: Document, variant: str, name: str, params: PyMapping[str, ParamSpec], report: Report,
) -> dict[str, Given]:
    """The values of a variant, those it extends first; every variant is checked."""
    variants = map_of(document.variants, report, "`variants` is a map from names to values of "
                      "params", "variants: {small: {width: 32}}")
    if variants is None:
        if present(document.variants) is not None:
            return {}
        variants = Mapping({}, Span(Source(name, ""), 1, 1, 1, 1))
    for key, node in variants.items():
        check_formulas(node, report)
        if isinstance(node, Mapping):
            own = {k: n for k, n in node.items() if k != "extends"}
            check_values(params, Mapping(own, node.span, node.key_spans), report, f"`{name}`")
        elif present(node) is not None:
            report.error(
                "F0201",
                f"variant `{key}` is a map of values for params",
                node.span,
                help=f"as in `{key}: {{width: 32}}`",
            )
    right = _check_extends(variants, report)
    if variant and variant not in variants:
        report.error(
            "F0212",
            f"`{name}` has no variant `{variant}`",
            variants.span if variants else None,
            near(variant, variants, report),
            notes=(f"variants: {some(variants)}",),
        )
    values: dict[str, Given] = {}
    while variant in right:
        node = variants[variant]
        if not isinstance(node, Mapping):
            break
        own = {k: Given(n, None, node.key_spans[k], variant=variant)
               for k, n in node.items() if k != "extends"}
        values = own | values  # what is nearer goes before what it extends
        parent = node.get("extends")
        variant = str(parent.value) if isinstance(parent, Scalar) else ""
    return {k: v for k, v in values.items() if k in params}


def _check_extends(variants: Mapping, report: Report) -> set[str]:
    """The variants whose chains of `extends` end; the others are reported."""
    right: set[str] = set()
    seen: set[str] = set()
    for key in variants:
        chain: list[str] = []
        current = key
        while current not in seen:
            seen.add(current)
            chain.append(current)
            node = variants[current]
            parent = node.get("extends") if isinstance(node, Mapping) else None
            if parent is None:
                right.add(current)
                break
            name = parent.value if isinstance(parent, Scalar) else None
            if name not in variants:
                report.error(
                    "F0212",
                    f"variant `{current}` extends {_shown(parent)}, which is not a variant",
                    parent.span,
                    near(str(name), variants, report),
                    notes=(f"variants: {some(variants)}",),
                )
                break
            current = str(name)
        else:
            if current in chain:
                loop = chain[chain.index(current) :]
                report.error(
                    "F0216",
                    f"variant `{current}` extends itself",
                    variants.key_spans[current],
                    notes=(" extends ".join([*loop, current]),),
                )
        if current in right:
            right |= set(chain)
    return right


def check_form_of_facts(document: Document, report: Report) -> None:
    """Check the form of the `facts` section."""
    node = map_of(document.facts, report, "`facts` is a map from variants to figures",
                  "facts: {small: {params: 1200}}")
    if node is None:
        return
    variants = document.variants if isinstance(document.variants, Mapping) else ()
    known = [*variants, *([document.name] if document.name else [])]
    for name, part in node.items():
        if name not in known:
            report.error(
                "F0212",
                f"facts for `{name}`, which is not a variant",
                node.key_spans[name],
                near(name, known, report),
            )
        if isinstance(part, Mapping):
            validate(Fact, part, report, what="facts")
        else:
            report.error("F0201", f"the facts of `{name}` are a map of figures", part.span)


def _shown(node: Node) -> str:
    return f"`{node.text}`" if isinstance(node, Scalar) else "something else"
