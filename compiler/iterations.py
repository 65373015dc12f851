"""How many iterations the loops have that a path goes through, as far as a spec alone tells.

A patch of an iteration that no variant has would never come into force; here that is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any

from compiler.addresses import Pass
from compiler.diagnostics import Report, SpecError
from compiler.scope import Enough, Scope, value_of
from compiler.tree import Mapping, Node, Scalar
from compiler.validate import UNKNOWN

MAX_ROWS = 100  # iterations of one loop that are looked into
MAX_VARIANTS = 100  # variants that are looked at


def missed(
    tree: Mapping, passes: tuple[Pass, ...], values: AbstractMapping[str, Node] | None = None,
) -> tuple[Pass, int] | None:
    """A loop of which a path names an iteration that is not there, and how many there are.

    None where there is none such: what depends on values that are not known before the model is
    made is not counted.

    Args:
        tree: the spec.
        passes: the loops that the path goes through.
        values: what the params are given, in place of their defaults; what any variant gives
            them, where not given.
    """
    if all(step.number is None for step in passes):
        return None
    found: list[tuple[Pass, int]] = []
    for scope in _scopes(tree, _settings(tree) if values is None else [values]):
        if _reaches(passes, scope, found) is not False:
            return None
    return max(found, key=lambda one: (passes.index(one[0]), one[1]), default=(passes[0], 0))


def _reaches(
    passes: tuple[Pass, ...], scope: Scope, found: list[tuple[Pass, int]],
) -> bool | None:
    """Whether loops have the iterations that a path names; None where that cannot be told.

    Those that have not go to `found`.
    """
    if not passes:
        return True
    here, rest = passes[0], passes[1:]
    rows = _rows(here, scope)
    if rows is None:
        return None
    if here.number is not None:
        if here.number >= len(rows):
            found.append((here, len(rows)))
            return False
        rows = rows[here.number : here.number + 1]
    for row in rows[:MAX_ROWS]:
        outcome = _reaches(rest, scope.inner(row), found)
        if outcome is not False:
            return outcome
    return None if len(rows) > MAX_ROWS else False


def _rows(here: Pass, scope: Scope) -> list[dict[str, Any]] | None:
    """The values of each iteration of a loop; None where they cannot be told."""
    times, each = here.loop.get("times"), here.loop.get("each")
    lists: AbstractMapping[str, Any] = {}
    if times is not None:
        count = _value(times, scope)
    elif isinstance(each, Mapping) and each:
        lists = {name: _value(node, scope) for name, node in each.items()}
        if not all(isinstance(values, list) for values in lists.values()):
            return None
        count = min(map(len, lists.values()))
    else:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 10_000:
        return None
    index = [here.index] if here.index else []
    return [{name: values[i] for name, values in lists.items()} | dict.fromkeys(index, i)
            for i in range(count)]


def _value(node: Node, scope: Scope) -> Any:
    """A value, UNKNOWN where it cannot be told; what is wrong with it is told elsewhere."""
    try:
        return value_of(node, scope, Report())
    except (Enough, SpecError):
        return UNKNOWN


def _scopes(
    tree: Mapping, settings: Iterable[AbstractMapping[str, Node]],
) -> Iterator[Scope]:
    """The values of the params and of `let`, for each of several settings of the params."""
    params, let = _map(tree.get("params")), _map(tree.get("let"))
    defaults = {name: node.get("default") if isinstance(node, Mapping) else node
                for name, node in params.items()}
    for given in settings:
        scope = Scope()
        for key, node in [*(defaults | dict(given)).items(), *let.items()]:
            value = UNKNOWN if node is None else _value(node, scope)
            if value is not UNKNOWN:
                scope.values_[key] = value
        yield scope


def _settings(tree: Mapping) -> list[dict[str, Node]]:
    """What no variant gives the params, and what each gives."""
    names = list(_map(tree.get("variants")))[:MAX_VARIANTS]
    return [values_of(name, tree) for name in ("", *names)]


def values_of(variant: str, tree: Mapping) -> dict[str, Node]:
    """What a variant gives the params, with what the variants give that it extends."""
    variants = _map(tree.get("variants"))
    values: dict[str, Node] = {}
    seen: set[str] = set()
    while variant not in seen and isinstance(node := variants.get(variant), Mapping):
        seen.add(variant)
        values = {k: n for k, n in node.items() if k != "extends"} | values
        parent = node.get("extends")
        variant = str(parent.value) if isinstance(parent, Scalar) else ""
    return values


def _map(node: Node | None) -> AbstractMapping[str, Node]:
    return node if isinstance(node, Mapping) else {}
