"""PyTorch's layers without a map of names: by our own paths, or one after another."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from compiler.weights.files import TensorFile
from compiler.weights.moves import Module, Shape, joined
from compiler.weights.slots import Slots
from compiler.weights.torch_layers import COUNT, torch_module

Signature = tuple[tuple[str, Shape], ...]  # the names and shapes of a module's tensors


def by_path(own: Sequence[Slots]) -> dict[str, Module]:
    """The modules called as our layers are."""
    return {layer.path: torch_module(layer) for layer in own}


def in_order(
    own: Sequence[Slots], file: TensorFile, drawn: Collection[str] = (),
) -> dict[str, Module] | None:
    """Our layers, each with the module of the file that stands in its place.

    A state dict has its modules in the order in which the model's author wrote them: our layers,
    in the order they run, each get the next one. In a safetensors file names are sorted; there a
    layer gets the one module that is like it, and of several those that only differ in a
    number, in their order.

    Layers side by side in branches have no order; where they are alike, nobody can tell them
    apart.

    Args:
        own: our layers.
        file: the file.
        drawn: the paths of layers that may have other shapes there.

    Returns:
        Modules by their names in the file; None where the two do not go side by side.
    """
    if any(confusable(group) for group in alike(own, [torch_module(layer) for layer in own])):
        return None
    tensors = [name for name in file.tensors if name.rpartition(".")[2] != COUNT]
    modules = [torch_module(layer) for layer in own]
    return _by_likeness(modules, tensors, file) if file.kind == "safetensors" else (
        _one_by_one(modules, tensors, file, drawn))


def alike(own: Sequence[Slots], modules: Sequence[Module]) -> list[list[Slots]]:
    """Layers whose modules have the same tensors in the same shapes."""
    groups: dict[Signature, list[Slots]] = {}
    for layer, module in zip(own, modules):
        groups.setdefault((*_signature(module), (module.kind, ())), []).append(layer)
    return list(groups.values())


def confusable(group: Sequence[Slots]) -> bool:
    """Whether layers that are alike do not all follow one another."""
    return any(not later.follows(layer) for layer, later in pairwise(group))


def _signature(module: Module) -> Signature:
    return tuple((t.name, t.shape) for t in module.tensors)


def _one_by_one(
    modules: Sequence[Module], tensors: Sequence[str], file: TensorFile, drawn: Collection[str],
) -> dict[str, Module] | None:
    found: dict[str, Module] = {}
    place = 0
    for module in modules:
        names = tensors[place:place + len(module.tensors)]
        prefix = _prefix(names, module)
        if prefix is None or module.path not in drawn and not _fits(module, prefix, file):
            return None
        found[prefix] = module
        place += len(names)
    return found if place == len(tensors) else None


def _by_likeness(
    modules: Sequence[Module], tensors: Sequence[str], file: TensorFile,
) -> dict[str, Module] | None:
    groups: dict[Signature, list[Module]] = {}
    for module in modules:
        groups.setdefault(_signature(module), []).append(module)
    free, found = set(tensors), {}
    # What has more tensors first: a batch norm has all that a layer norm has.
    for signature, group in sorted(groups.items(), key=lambda item: -len(item[0])):
        word = signature[0][0]
        prefixes = [p for name in free if (p := _before(name, word)) is not None
                    and _fits(group[0], p, file)
                    and all(joined(p, w) in free for w, _ in signature)]
        if len(prefixes) != len(group) or len({re.sub(r"\d+", "#", p) for p in prefixes}) > 1:
            return None
        for prefix, module in zip(sorted(prefixes, key=_natural), group):
            found[prefix] = module
            free -= {joined(prefix, w) for w, _ in signature}
    return None if free else found


def _fits(module: Module, prefix: str, file: TensorFile) -> bool:
    """Whether the tensors of a module are there, in their shapes."""
    return all((array := file.tensors.get(joined(prefix, t.name))) is not None
               and t.fits(array.shape) for t in module.tensors)


def _prefix(names: Sequence[str], module: Module) -> str | None:
    """What stands before the tensors of a module, if these are all of them."""
    wanted = {theirs.name for theirs in module.tensors}
    for word in wanted:
        prefix = _before(names[0], word) if names else None
        if prefix is not None and {joined(prefix, w) for w in wanted} == set(names):
            return prefix
    return None


def _before(name: str, word: str) -> str | None:
    """What stands before a word at the end of a name; None where it does not end so."""
    if name == word:
        return ""
    return name.removesuffix(f".{word}") if name.endswith(f".{word}") else None


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece)
            for piece in re.split(r"(\d+)", name) if piece]
