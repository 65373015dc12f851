"""A resolved spec as YAML files that need nothing else: no variant, no `--set`, no zoo.

The first file is the spec with the values of its params in place; where it takes its model
from another spec (`model: {use: …}`), that spec's sections stand in it. A file for each prefix
of `use` goes with it, resolved in the same way. Compiled, they give the graph of the original,
which is why a run's folder keeps them. Weights to start from are not part of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.expressions import Expression, FormulaError, is_formula, parse_formula
from compiler.expressions.tree import Name, children
from compiler.params import TYPES, LayersValue
from compiler.program import Program
from compiler.scalars import other_reading, resolve
from compiler.scope import Scope
from compiler.tree import Mapping as MapNode
from compiler.tree import Node, Scalar
from compiler.tree import Sequence as SequenceNode

WIDTH = 100  # columns; a map or list that is longer is written over several lines
FOLDER = "used"  # where the files stand that the first one uses

# The sections of an architecture, in the order of a file. What a recipe has besides comes last.
_ARCHITECTURE = ("params", "let", "inputs", "use", "defaults", "blocks", "model", "outputs")
_KNOWN = {"flaxspec", "name", "summary", "source", "variants", "facts", *_ARCHITECTURE}


def canonical_text(program: Program) -> str:
    """The files of a resolved spec as one text; each but the first under a line with its name."""
    (_, first), *others = canonical_files(program).items()
    return first + "".join(f"\n# {name}\n{text}" for name, text in others)


def write_canonical(program: Program, folder: Path, name: str = "resolved.yaml") -> Path:
    """Write the files of a resolved spec; the path of the first.

    Raises:
        OSError: a file cannot be written.
    """
    for path, text in canonical_files(program, name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder / name


def canonical_files(program: Program, name: str = "resolved.yaml") -> dict[str, str]:
    """The files of a resolved spec: text by path, the spec itself first.

    Args:
        program: the resolved spec.
        name: what the first file is called.
    """
    return {path: yaml_text(d.sections) for path, d in canonical_documents(program, name).items()}


@dataclass(frozen=True)
class Written:
    """One file of a resolved spec, before it is text.

    Attributes:
        program: the program that it is.
        sections: its sections: nodes of the tree, and plain values that nobody wrote.
    """

    program: Program
    sections: dict[str, Any]


def canonical_documents(program: Program, name: str) -> dict[str, Written]:
    """The files of a resolved spec by path, the spec itself, called `name`, first."""
    names = _Files()
    sections = _sections(program.architecture, names, f"{FOLDER}/")
    own = {k: node for k, node in program.tree.items() if k not in _KNOWN}
    files = {name: Written(program, _head(program) | sections | own)}
    done = 0
    while done < len(names.programs):  # a used file may use others
        used = names.programs[done]
        files[f"{FOLDER}/{names.of(used, '')}"] = Written(
            used, _head(used) | _sections(used, names, ""))
        done += 1
    return files


class _Files:
    """A file name for each program that is used."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self._names: list[str] = []

    def of(self, program: Program, wish: str) -> str:
        """The file of a program: a new one, called after `wish`, where it has none."""
        for known, name in zip(self.programs, self._names):
            if known is program:
                return name
        number, name = 2, f"{wish}.yaml"
        while name in self._names:
            number, name = number + 1, f"{wish}_{number}.yaml"
        self.programs.append(program)
        self._names.append(name)
        return name


def _head(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = {"flaxspec": 1, "name": program.name}
    for key in ("summary", "source"):
        node = program.tree.get(key) or program.architecture.tree.get(key)
        if node is not None:
            found[key] = node
    return found


def _sections(program: Program, names: _Files, folder: str) -> dict[str, Any]:
    """A program's own sections, params with their values, references to the files here."""
    sections: dict[str, Any] = {k: program.tree[k] for k in _ARCHITECTURE if k in program.tree}
    if "params" in sections:
        sections["params"] = _params(program)
    if "use" in sections:
        sections["use"] = {prefix: folder + names.of(used, prefix)
                           for prefix, used in program.used.items()}
    if program.model is not None:
        sections["model"] = {"use": folder + names.of(program.model, program.model.name)}
    return sections


# ------------------------------------------------------------------------------- params


def _params(program: Program) -> dict[str, Any]:
    """The params section with the value that each param has as its default."""
    declared = program.tree["params"]
    assert isinstance(declared, MapNode)
    has_let = isinstance(program.tree.get("let"), MapNode)
    scope = program.scope.parent if has_let and program.scope.parent else program.scope
    result: dict[str, Any] = {}
    for name, node in declared.items():
        value = scope.values_[name]
        if isinstance(value, LayersValue):
            value = value.node if value.scope is scope else _substituted(value.node, value.scope)
        elif value is None:
            value = "=null"
        if isinstance(node, MapNode):
            result[name] = {**node, "default": value}
        else:
            # A map would be read as a param in full: it stays the formula that it came from.
            result[name] = node if isinstance(value, dict) else value
    return result


def _substituted(node: Node, scope: Scope) -> Any:
    """Layers given from another file, the values of that file's names in their formulas."""
    if isinstance(node, MapNode):
        return {key: _substituted(part, scope) for key, part in node.items()}
    if isinstance(node, SequenceNode):
        return [_substituted(part, scope) for part in node]
    if not isinstance(node.value, str) or not is_formula(node.value):
        return node
    try:
        formula = parse_formula(node.value[1:])
    except FormulaError:
        return node
    text = formula.text
    # From the end, so that the places before stay right.
    for found in sorted(_names(formula.root), key=lambda n: n.start, reverse=True):
        if found.name in scope and (literal := _literal(scope[found.name])) is not None:
            text = text[: found.start] + literal + text[found.end :]
    return f"={text}"


def _names(expression: Expression) -> list[Name]:
    if isinstance(expression, Name):
        return [expression]
    return [name for child in children(expression) for name in _names(child)]


def _literal(value: Any) -> str | None:
    """A value as a formula writes it; None for maps and layers, which no formula can write."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float() if math.isfinite(value):
            return f"({value!r})" if value < 0 else repr(value)
        case list() | tuple():
            items = [_literal(item) for item in value]
            return None if None in items else f"[{', '.join(i for i in items if i)}]"
        case _:
            return None


# --------------------------------------------------------------------------------- YAML


def yaml_text(document: Mapping[str, Any]) -> str:
    """A document as YAML, its sections apart where they take more than a line."""
    blocks = ["\n".join(_entry(key, value, 0, top=True)) for key, value in document.items()]
    text = ""
    for i, block in enumerate(blocks):
        apart = i and ("\n" in block or "\n" in blocks[i - 1])
        text += ("\n" if apart else "") + block + "\n"
    return text


def _entry(key: str, value: Any, indent: int, *, top: bool = False) -> list[str]:
    """The lines of `key: value`; a list stands two columns to the right of its key."""
    head = f"{' ' * indent}{key_text(key)}:"
    if not isinstance(value, dict | list) or not value:
        return [f"{head} {flow(value, True)}"]
    if top and key == "blocks" and isinstance(value, dict):
        return [head, *_apart(value, indent + 2)]
    short = f"{head} {flow(value)}"
    if is_small(value) and len(short) <= WIDTH and not (top and isinstance(value, dict)):
        return [short]
    return [head, *_lines(value, indent + 2)]


def _apart(value: dict[str, Any], indent: int) -> list[str]:
    """The entries of a map with an empty line between two."""
    entries = ["\n".join(_entry(key, part, indent, top=True)) for key, part in value.items()]
    return ["\n\n".join(entries)]


def _lines(value: Any, indent: int) -> list[str]:
    """A map or list over several lines."""
    if isinstance(value, dict):
        return [line for key, part in value.items() for line in _entry(key, part, indent)]
    lines: list[str] = []
    for item in value:
        dash = f"{' ' * indent}- "
        # Rows of a table stand in braces; a layer with its fields reads better without them.
        is_row = isinstance(item, dict) and len(item) > 1 and not any(
            isinstance(part, dict | list) and part for part in item.values())
        if not isinstance(item, dict | list) or not item:
            lines.append(dash + flow(item, True))
        elif (is_row or isinstance(item, list)) and is_small(item) and len(
                dash + flow(item)) <= WIDTH:
            lines.append(dash + flow(item))
        else:
            first, *rest = _lines(item, indent + 2)
            lines += [dash + first.lstrip(), *rest]
    return lines


def is_small(value: Any) -> bool:
    """Whether a map or list holds no list of maps, at any depth: it may stand in one line."""
    if isinstance(value, dict):
        return all(is_small(part) for part in value.values())
    return not isinstance(value, list) or all(
        not (isinstance(part, dict) and part) and is_small(part) for part in value)


def flow(value: Any, block: bool = False) -> str:
    """A value in one line; `block` where it is not inside brackets."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key_text(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(item) for item in value)}]"
    if isinstance(value, Scalar):
        plain_type = not value.quoted and value.value in TYPES
        return str(value.value) if plain_type else flow(value.value, block)
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return _float(value)
        case _:
            return _text(value, block)


def _float(value: float) -> str:
    """A float that YAML 1.1 and 1.2 both read as one."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, e, exponent = repr(value).partition("e")
    mantissa += "" if "." in mantissa else ".0"
    return f"{mantissa}e{exponent if exponent[:1] in '+-' else '+' + exponent}" if e else mantissa


def key_text(key: str) -> str:
    """A key; those of a spec are names or numbers, which need no quotes."""
    return key if key.replace("_", "").replace(".", "").isalnum() else json.dumps(
        key, ensure_ascii=False)


def _text(text: str, block: bool) -> str:
    """A text without quotes where every reader takes it for itself, else in quotes."""
    colon = ":" in text.replace("://", "")
    plain = (
        text and text.isprintable() and text == text.strip() and not colon and "#" not in text
        and text[0] not in "-?:,[]{}#&*!|>'\"%@`" and text not in TYPES and text != "="
        and (block or not set(text) & set(",[]{}"))
        and not (text[0] == "=" and set(text) & set(",[]{}"))
        and resolve(text) == text and other_reading(text, text) is None)
    return text if plain else json.dumps(text, ensure_ascii=False)
