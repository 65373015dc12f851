"""From a file to a model's arrays: which tensor is which array, with nothing left unsaid."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.diagnostics import Diagnostic, SpecError, diagnostic, nearest
from compiler.graph import Graph, walk
from compiler.ops.recurrent import Gru, GruCell
from compiler.weights import names as naming
from compiler.weights.files import TensorFile, read_file
from compiler.weights.moves import Module, Shape, Theirs, joined
from compiler.weights.order import by_path, in_order
from compiler.weights.slots import Slots, layers

SHOWN = 6  # complaints that an error lists
NAMES = ("auto", "flaxspec", *naming.LIBRARIES, "torch", "keras")


@dataclass(frozen=True)
class Row:
    """An array of ours, or several, and the tensor that it came from.

    Attributes:
        ours: paths of our arrays.
        theirs: the tensor's name.
        our_shapes: of ours.
        their_shape: of the tensor.
        added: it was added to another one.
    """

    ours: tuple[str, ...]
    theirs: str
    our_shapes: tuple[Shape, ...]
    their_shape: Shape
    added: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a file gives a model.

    Attributes:
        arrays: by our paths, in the file's own types.
        whose: the names that were found: "torchvision's resnet", "flaxspec's".
        rows: what became what.
        drawn: our arrays that the file was not asked for.
        idle: tensors that say nothing to us, such as counts of batches.
        left: tensors of layers that the model does without.
    """

    arrays: dict[str, np.ndarray]
    whose: str
    rows: tuple[Row, ...] = ()
    drawn: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers were taken over."""
        return sum(array.size for array in self.arrays.values())


@dataclass(frozen=True)
class _Misfit:
    """An array of one side that the other does not have, or has in another shape.

    Attributes:
        headline: what is wrong.
        help: the remedy.
        name: what to look for among `names`, where the nearest is the better remedy.
        names: those of the other side.
    """

    headline: str
    help: str = ""
    name: str = ""
    names: Iterable[str] = ()

    def told(self) -> Diagnostic:
        """The misfit as a diagnostic; the search for the nearest name takes a while."""
        near = nearest(self.name, self.names) if self.name else ""
        return diagnostic("F0806", self.headline, help=near or self.help)


@dataclass
class _Attempt:
    """The names of one library, tried on a file."""

    loaded: Loaded
    complaints: list[_Misfit]
    met: int = 0  # tensors of the file that have such a name


def load(
    path: Path, graph: Graph, names: str = "auto", *, drawn: Collection[str] = (),
    partial: bool = False,
) -> Loaded:
    """A model's arrays from a file of any known format.

    Args:
        path: safetensors, `.pth` or `.weights.h5`.
        graph: the model.
        names: whose names the file has: one of `NAMES`, or a file of names; "auto" finds out.
        drawn: paths of arrays that need not be there: they are drawn anew.
        partial: whole layers of the file may be left over.

    Raises:
        SpecError: F0805, F0880 the file cannot be read; F0806 it does not fit the model; F0881
            the names are unknown; F0884 a layer has no counterpart.
    """
    file, own = read_file(path), layers(graph)
    attempts = _attempts(file, graph, own, names, frozenset(drawn), partial)
    good = next((a for a in attempts if not a.complaints), None)
    if good is not None:
        return good.loaded
    best = max(attempts, key=lambda a: (a.met, len(a.loaded.rows)), default=None)
    if best is None or not best.met:
        raise SpecError([_strangers(file, own, attempts, names)])
    hidden = len(best.complaints) - SHOWN
    more = [diagnostic("F0806", f"and {hidden} more arrays do not fit")] if hidden > 0 else []
    raise SpecError([*(misfit.told() for misfit in best.complaints[:SHOWN]), *more])


def load_by_modules(path: Path, graph: Graph, modules: Mapping[str, Module], whose: str) -> Loaded:
    """A model's arrays from a file of which it is known which layer is which.

    Args:
        path: safetensors, `.pth` or `.weights.h5`.
        graph: the model.
        modules: its layers by their names in the file.
        whose: whose names these are: "Keras's".

    Raises:
        SpecError: F0805, F0880 the file cannot be read; F0806 it does not fit the model.
    """
    attempt = _matched(read_file(path), whose, modules, layers(graph), frozenset(), False, None)
    if attempt.complaints:
        raise SpecError(misfit.told() for misfit in attempt.complaints[:SHOWN])
    return attempt.loaded


def _attempts(
    file: TensorFile, graph: Graph, own: Sequence[Slots], names: str, drawn: frozenset[str],
    partial: bool,
) -> list[_Attempt]:
    """The file read under each of the names that it may have, up to the first that fit."""
    wanted = [s for s in own if any(f"{s.path}.{n}" not in drawn for n in s.parameters)]
    found: list[_Attempt] = []

    def attempt(whose: str, modules: Mapping[str, Module] | None,
                spare: naming.NameMap | None = None) -> bool:
        if modules is None:
            return False
        found.append(_matched(file, whose, modules, own, drawn, partial, spare))
        return not found[-1].complaints

    if names in ("auto", "flaxspec") and file.kind == "safetensors":
        found.append(_own(file, graph, own, drawn, partial))
        if not found[-1].complaints or names == "flaxspec":
            return found
    if names == "keras" or (names == "auto" and file.kind == "keras"):
        from compiler.weights.keras_layers import keras_modules

        attempt("Keras's", keras_modules(own, file))
        return found
    for one in _maps(names):
        if attempt(one.name, one.modules(wanted), one):
            return found
    if names in ("auto", "torch"):
        attempt("PyTorch's, by our paths,", by_path(own))
        if found[-1].complaints:
            anew = {s.path for s in own} - {s.path for s in wanted}
            attempt("PyTorch's, in order,", in_order(own, file, anew))
    return found


def _maps(names: str) -> list[naming.NameMap]:
    """The maps that may hold, by what the user says.

    Raises:
        SpecError: F0881 it is none of the names there are.
    """
    if names in ("flaxspec", "torch", "keras"):
        return []
    if names == "auto":
        return [m for library in naming.LIBRARIES for m in naming.maps(library)]
    if names in naming.LIBRARIES:
        return list(naming.maps(names))
    if names.endswith((".yaml", ".yml")):
        return list(naming.read_maps(Path(names), f"`{names}`'s"))
    raise SpecError([diagnostic(
        "F0881", f"`{names}` are not names that flaxspec knows", notes=[
            f"there are: {', '.join(NAMES)}; or a YAML file with a map of your own"],
        help=nearest(names, NAMES))])


# ------------------------------------------------------------------------ our own names


def _own(
    file: TensorFile, graph: Graph, own: Sequence[Slots], drawn: frozenset[str], partial: bool,
) -> _Attempt:
    """A file with our own paths, or with those that layers had before (`was`)."""
    arrays = dict(file.tensors)
    targets = {f"{s.path}.{name}": p.shape for s in own for name, p in s.parameters.items()}
    former = {old: f"{path.rpartition('.')[0]}.{node.weights}".lstrip(".")
              for path, node in walk(graph) if (old := node.was)}
    for name in list(arrays):
        owner, _, parameter = name.rpartition(".")
        if name not in targets and owner in former:
            arrays[f"{former[owner]}.{parameter}"] = arrays.pop(name)
    complaints = [_Misfit(
        f"`{file.path}` has no array `{name}`",
        "`was: OLD.PATH` beside a layer tells where its weights were", name, arrays)
        for name in sorted(targets.keys() - arrays.keys() - drawn)]
    left = sorted(arrays.keys() - targets.keys())
    owners = {name.rpartition(".")[0] for name in targets.keys() - drawn}
    complaints += [_Misfit(
        f"`{file.path}` has an array `{name}`, the model does not", "", name, targets)
        for name in left if not partial or name.rpartition(".")[0] in owners]
    shared = sorted((targets.keys() & arrays.keys()) - drawn)
    complaints += [_Misfit(
        f"`{name}` has the shape {targets[name]}, in `{file.path}` {arrays[name].shape}",
        _replacing(name)) for name in shared if targets[name] != arrays[name].shape]
    fitting = [name for name in shared if targets[name] == arrays[name].shape]
    rows = tuple(Row((name,), name, (targets[name],), targets[name]) for name in fitting)
    loaded = Loaded({name: arrays[name] for name in fitting}, "flaxspec's", rows,
                    tuple(sorted(drawn)), (), tuple(left))
    return _Attempt(loaded, complaints, len(arrays) - len(left))


# --------------------------------------------------------------------- others' names


def _matched(
    file: TensorFile, whose: str, modules: Mapping[str, Module], own: Sequence[Slots],
    drawn: frozenset[str], partial: bool, spare: naming.NameMap | None,
) -> _Attempt:
    """A file whose layers are known by name: every tensor of both sides accounted for."""
    arrays: dict[str, np.ndarray] = {}
    rows: list[Row] = []
    idle: list[str] = []
    complaints: list[_Misfit] = []
    met: set[str] = set()
    ops = {s.path: s.operation for s in own}
    for name, module in modules.items():
        known = [full for word in module.idle if (full := joined(name, word)) in file.tensors]
        idle += known
        met.update(known)
        arrays |= {f"{module.path}.{zero}": np.zeros(shape, np.float32)
                   for zero, shape in module.zeros if f"{module.path}.{zero}" not in drawn}
        for theirs in module.tensors:
            ours = tuple(f"{module.path}.{part.ours}" for part in theirs.parts)
            full = joined(name, theirs.name)
            tensor = file.tensors.get(full)
            met.add(full)
            if all(path in drawn for path in ours):
                continue
            if tensor is None:
                complaints.append(_missing(file, full, theirs, ours))
            elif not theirs.fits(tensor.shape):
                complaints.append(_misfit(file, full, tensor.shape, theirs, ours))
            else:
                rows.append(Row(ours, full, tuple(p.shape for p in theirs.parts), tensor.shape,
                                theirs.added))
                made = theirs.here(tensor)
                if theirs.added:
                    complaints += _hidden_bias(full, ours[0], ops[module.path], made)
                for part, array in made.items():
                    path = f"{module.path}.{part}"
                    arrays[path] = arrays[path] + array if theirs.added else array
    left = [name for name in file.tensors if name not in met]
    spared = [name for name in left if spare is not None and spare.is_spare(name)]
    stray = [name for name in left if name not in spared
             and (not partial or name.rpartition(".")[0] in modules)]
    expected = [joined(name, t.name) for name, m in modules.items() for t in m.tensors]
    absent = [e for e in expected if e not in file.tensors]
    complaints += [_Misfit(
        f"`{file.path}` has a tensor `{name}` {file.tensors[name].shape}, the model has nothing "
        "for it", "", name, absent) for name in stray]
    return _Attempt(Loaded(arrays, whose, tuple(rows), tuple(sorted(drawn)), tuple(idle),
                           tuple(left)), complaints, len(file.tensors) - len(left))


def _missing(file: TensorFile, full: str, theirs: Theirs, ours: tuple[str, ...]) -> _Misfit:
    like = [name for name, tensor in file.tensors.items() if theirs.fits(tensor.shape)]
    return _Misfit(
        f"`{file.path}` has no tensor `{full}` {theirs.shape} for `{' and '.join(ours)}`", "",
        full, like or file.tensors)


def _misfit(
    file: TensorFile, full: str, shape: Shape, theirs: Theirs, ours: tuple[str, ...],
) -> _Misfit:
    our_shapes = " and ".join(str(part.shape) for part in theirs.parts)
    return _Misfit(
        f"`{' and '.join(ours)}` {our_shapes} needs `{full}` as {theirs.shape}, in "
        f"`{file.path}` it is {shape}", _replacing(ours[0]))


def _replacing(path: str) -> str:
    """How to do without an array of another shape."""
    return ("set the spec's params as the weights have them, or train on with "
            f"`from: FILE` and `replace: [{path.rpartition('.')[0]}]`, which draws it anew")


def _hidden_bias(
    full: str, ours: str, op: object, made: Mapping[str, np.ndarray],
) -> list[_Misfit]:
    """Whether a second bias can be added to the first: not where a gate multiplies it before."""
    if not isinstance(op, Gru | GruCell):
        return []
    (bias,) = made.values()
    if not np.any(bias[2 * (len(bias) // 3):]):
        return []
    return [_Misfit(f"`{ours}` cannot hold `{full}`, which the reset gate multiplies",
                    "say `biases: 2` in the layer, as PyTorch has it")]


def _strangers(
    file: TensorFile, own: Sequence[Slots], attempts: Sequence[_Attempt], names: str,
) -> Diagnostic:
    """Nothing fits: the first names and shapes of both sides."""
    theirs = [f"{name} {array.shape}" for name, array in file.tensors.items()]
    ours = [f"{s.path}.{name} {p.shape}" for s in own for name, p in s.parameters.items()]
    if file.kind == "keras":
        names = "Keras's"
    tried = ", ".join(dict.fromkeys(a.loaded.whose.rstrip(",") for a in attempts)) or names
    return diagnostic(
        "F0806", f"no array of `{file.path}` fits the model",
        notes=[f"the file's first of {len(theirs)}: {', '.join(theirs[:4])}",
               f"the model's first of {len(ours)}: {', '.join(ours[:4])}",
               f"names tried: {tried}"],
        help="is it the weights of this spec and variant? A map of your own, "
             "`--names FILE.yaml`, says which layer is which")
