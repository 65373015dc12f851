"""A Keras model's JSON (`model.to_json()` of Keras 3, and of Keras 2) as parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.imports.complaints import Complaints, Unsupported, refused
from compiler.imports.keras_layers import KerasLayers
from compiler.imports.parts import Builder, Model, Ref, good_name, identifier
from compiler.types import TensorType

LARGEST = 64 * 2**20  # bytes of a file
DEEPEST = 32  # models in models
_MODELS = ("Functional", "Model", "Sequential")
Config = Mapping[str, Any]
# A tensor of a Keras graph: (layer, which of its uses, which of its outputs).
History = tuple[str, int, int]


def read_keras(data: bytes, file: str) -> tuple[Model, Complaints]:
    """The model of a Keras JSON.

    Raises:
        SpecError: F0943 it is none, F0944 and F0945 with everything that cannot be imported.
    """
    if len(data) > LARGEST:
        raise refused(file, f"is larger than {LARGEST // 2**20} MiB", "a Keras JSON holds no "
                      "weights and is much smaller")
    try:
        found = json.loads(data)
        if isinstance(found, str):  # saved with json.dump(model.to_json(), file)
            found = json.loads(found)
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise refused(file, "is no JSON", notes=[said]) from None
    config = found.get("config") if isinstance(found, Mapping) else None
    if not isinstance(config, Mapping | list) or found.get("class_name") not in _MODELS:
        raise refused(file, "is no Keras model", "write one with `open('model.json', 'w')."
                      "write(model.to_json())`; a model of one's own class has no such form")
    if isinstance(config, list):  # a Sequential of old
        config = {"layers": config}
    complaints = Complaints(file)
    builder = Builder()
    graph = _Graph(builder, complaints)
    ends = graph.model(str(found["class_name"]), config, None, "", "", 0)
    complaints.check()
    version = str(found.get("keras_version") or config.get("keras_version") or "")
    source = f"Imported from {file}, a Keras{f' {version[:20]}' if version else ''} model."
    name = identifier(str(config.get("name", ""))) or "model"
    return builder.model(name.lower(), source, ends), complaints


@dataclass(frozen=True)
class _Layer:
    """A layer of the file.

    Attributes:
        name, kind, config: as the file has them.
        uses: for each use the tensors that it reads.
        place: what messages call it.
        group: where a file of weights has its arrays: its class and its number among those.
    """

    name: str
    kind: str
    config: Config
    uses: Sequence[tuple[History, ...]]
    place: str
    group: str


class _Graph:
    """Walks through models and models in them."""

    def __init__(self, builder: Builder, complaints: Complaints):
        self.builder, self.complaints = builder, complaints
        self.layers = KerasLayers(builder, complaints)
        self.outer = ""  # the group of the model that is walked through

    def model(self, kind: str, config: Config, arriving: Sequence[Ref] | None, prefix: str,
              shared: str, depth: int) -> dict[str, Ref]:
        """The outputs of a model; its inputs are the whole model's own where none arrive."""
        if depth > DEEPEST:
            self.complaints.add(f"model `{prefix}`", Unsupported(
                f"models are nested more than {DEEPEST} deep", code="F0945"))
            return {}
        layers = self._read(config, kind)
        if kind == "Sequential":
            return self._sequential(layers, arriving, prefix, shared, depth)
        return self._functional(config, layers, arriving, prefix, shared, depth)

    def _read(self, config: Config, kind: str) -> list[_Layer]:
        found: list[_Layer] = []
        counts: dict[str, int] = {}
        layers = config.get("layers")
        for number, layer in enumerate(layers if isinstance(layers, list) else ()):
            inner = layer.get("config") if isinstance(layer, Mapping) else None
            place = f"layer {number}"
            if not isinstance(layer, Mapping) or not isinstance(inner, Mapping | list):
                self.complaints.add(place, Unsupported("it has no `config`", code="F0945"))
                continue
            inner = inner if isinstance(inner, Mapping) else {"layers": inner}
            kind_ = str(layer.get("class_name"))
            name = str(layer.get("name") or inner.get("name") or f"layer_{number}")
            place = f"layer `{name[:80]}` ({kind_[:40]}, number {number})"
            group = _snake(kind_)
            counts[group] = counts.get(group, -1) + 1
            if counts[group]:
                group = f"{group}_{counts[group]}"
            nodes: Any = layer.get("inbound_nodes") or ()
            try:
                uses = [_use(node) for node in nodes]
            except Unsupported as problem:
                self.complaints.add(place, problem)
                continue
            found.append(_Layer(name, kind_, inner, uses, place, group))
        if not found and not self.complaints.errors:
            self.complaints.add("the model", Unsupported("it has no layers", code="F0945"))
        return found

    # --------------------------------------------------------------------- the two kinds

    def _sequential(self, layers: Sequence[_Layer], arriving: Sequence[Ref] | None, prefix: str,
                    shared: str, depth: int) -> dict[str, Ref]:
        flow = list(arriving or ())
        for number, layer in enumerate(layers):
            if layer.kind == "InputLayer" and flow:
                continue
            if not flow:
                shape = _shape_of(layer.config)
                if shape is None:
                    self.complaints.add(layer.place, Unsupported(
                        "the model's input has no shape", "give it one: `keras.Input(shape)`",
                        "F0945"))
                    return {}
                reader = next((other for other in layers[number:] if other.kind != "InputLayer"),
                              None)
                ref = self._input(layer, shape, [reader] if reader else [],
                                  layer.name if layer.kind == "InputLayer" else "input")
                if ref is None:
                    return {}
                flow = [ref]
                if layer.kind == "InputLayer":
                    continue
            made = self._applied(layer, flow, prefix, shared, depth)
            if not made:
                return {}
            flow = made
        return {"output": flow[0]} if flow else {}

    def _functional(self, config: Config, layers: Sequence[_Layer],
                    arriving: Sequence[Ref] | None, prefix: str, shared: str, depth: int,
                    ) -> dict[str, Ref]:
        made: dict[History, Ref | None] = {}
        ends = _ends(config.get("input_layers"))
        for position, history in enumerate(ends if arriving is not None else ()):
            made[history] = arriving[position] if arriving and position < len(arriving) else None
        if arriving is None:
            order = {history[0]: i for i, history in enumerate(ends)}
            inputs = [layer for layer in layers if layer.kind == "InputLayer"]
            for layer in sorted(inputs, key=lambda one: order.get(one.name, len(order))):
                readers = [other for other in layers for use in other.uses
                           if any(h[0] == layer.name for h in use)]
                shape = _shape_of(layer.config)
                made[layer.name, 0, 0] = None if shape is None else self._input(
                    layer, shape, readers, layer.name)
                if shape is None:
                    self.complaints.add(layer.place, Unsupported("it has no shape", code="F0945"))
        # Each use of each layer, when all that it reads is there.
        waiting = [(layer, number) for layer in layers if layer.kind != "InputLayer"
                   for number in range(len(layer.uses))]
        readers_of: dict[History, list[int]] = {}
        missing = []
        for place, (layer, number) in enumerate(waiting):
            needs = {h for h in layer.uses[number] if h not in made}
            missing.append(len(needs))
            for history in needs:
                readers_of.setdefault(history, []).append(place)
        ready = [place for place in range(len(waiting)) if not missing[place]]
        done = 0
        while done < len(ready):
            layer, number = waiting[ready[done]]
            done += 1
            reads = [made[h] for h in layer.uses[number]]
            key = f"{prefix}{layer.name}"
            own = shared or (key if len(layer.uses) > 1 else "")
            results: Sequence[Ref | None] = []
            if all(ref is not None for ref in reads):
                results = self._applied(layer, [r for r in reads if r is not None], prefix, own,
                                        depth) or []
            # What cannot be imported gives nothing, and what reads it is not complained of.
            for position in range(max(len(results), 1)):
                history = (layer.name, number, position)
                made[history] = results[position] if results else None
                for place in sorted(readers_of.pop(history, [])):
                    missing[place] -= 1
                    if not missing[place]:
                        ready.append(place)
        for place, (layer, number) in enumerate(waiting):
            if missing[place]:
                lacking = next(h for h in layer.uses[number] if h not in made)
                self.complaints.add(layer.place, Unsupported(
                    f"it reads `{lacking[0][:80]}`, which is not there before it",
                    "the graph has a circle, or a layer is missing", "F0945"))
        return self._outputs(config, made)

    def _outputs(self, config: Config, made: Mapping[History, Ref | None]) -> dict[str, Ref]:
        ends = _ends(config.get("output_layers"))
        found: dict[str, Ref] = {}
        for history in ends:
            ref = made.get(history)
            if history not in made:
                self.complaints.add("the model", Unsupported(
                    f"its output `{history[0][:80]}` is not there", code="F0945"))
            if ref is not None:
                name = identifier(history[0]) if len(ends) > 1 else "output"
                number, wish = 2, name or "output_1"
                name = wish
                while name in found:
                    name, number = f"{wish}_{number}", number + 1
                found[name] = ref
        if not ends:
            self.complaints.add("the model", Unsupported("it has no outputs", code="F0945"))
        return found

    # -------------------------------------------------------------------------- layers

    def _applied(self, layer: _Layer, reads: list[Ref], prefix: str, shared: str, depth: int,
                 ) -> list[Ref]:
        """A layer applied to tensors; [] where it cannot be imported."""
        if layer.kind in _MODELS:
            inside, outer = f"{prefix}{layer.name}_", self.outer
            self.outer = f"{outer}{layer.group}.layers."
            try:
                ends = self.model(layer.kind, layer.config, reads, inside,
                                  shared and inside, depth + 1)
                return list(ends.values())
            finally:
                self.outer = outer
        key = identifier(f"{prefix}{layer.name}") if shared else ""
        within = {"TimeDistributed": ".layer"}.get(layer.kind, "")
        self.builder.at(layer.place, good_name(layer.name, layer.kind), key,
                        f"{self.outer}{layer.group}{within}")
        try:
            if str(layer.config.get("dtype")) in ("float16", "bfloat16"):
                self.complaints.remark(layer.place, "its precision is the run's own here")
            return self.layers.apply(layer.kind, layer.config, reads, layer.place)
        except Unsupported as problem:
            self.complaints.add(layer.place, problem)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
            # The settings of a damaged file may be anything at all.
            self.complaints.add(layer.place, Unsupported(
                f"its settings cannot be read ({type(error).__name__})", code="F0945"))
        return []

    def _input(self, layer: _Layer, shape: Sequence[Any], readers: Sequence[_Layer], name: str,
               ) -> Ref | None:
        """An input of the whole model."""
        kinds = {reader.kind for reader in readers}
        sizes = list(shape)[1:]
        try:
            if any(s is not None and (type(s) is not int or not 0 < s < 2**31) for s in sizes):
                raise Unsupported(f"its shape is {str(shape)[:60]}", code="F0945")
            wish = good_name(name, "InputLayer", "input") or {
                1: "features", 2: "sequence", 3: "image", 4: "video"}.get(len(sizes), "input_1")
            if "Embedding" in kinds:
                vocabulary = next(r.config.get("input_dim") for r in readers
                                  if r.kind == "Embedding")
                return self._tokens(identifier(wish) if wish != "features" else "text", sizes,
                                    vocabulary)
            axes = _axes(len(sizes), kinds)
            unknown = [a for a, s in zip(axes, sizes) if s is None and a != "time"]
            if unknown:
                raise Unsupported(f"the {' and '.join(unknown)} of the input is not known",
                                  "build the model with a fixed size, and save it again")
            shown = [s if s is not None else "any" for s in sizes]
            named = tuple(s if s is not None else wish for s in sizes)
            section: dict[str, Any] = {"shape": shown}
            if len(sizes) == 4 and axes[0] != "depth":
                section = {"axes": list(axes), "shape": shown}
            return self.builder.input(wish, TensorType(axes, named), section)
        except Unsupported as problem:
            self.complaints.add(layer.place, problem)
            return None

    def _tokens(self, name: str, sizes: Sequence[int | None], vocabulary: Any) -> Ref:
        if type(vocabulary) is not int or not 0 < vocabulary < 2**31 or len(sizes) > 1:
            raise Unsupported("an embedding of something else than a row of indices")
        if not sizes:
            return self.builder.input(name, TensorType((), (), "int", vocabulary),
                                      {"kind": "category", "vocabulary": vocabulary})
        length = sizes[0]
        return self.builder.input(
            name, TensorType(("time",), (length or name,), "int", vocabulary),
            {"kind": "tokens", "vocabulary": vocabulary, "length": length or "any"})


def _snake(kind: str) -> str:
    """"conv2d", "batch_normalization": how Keras writes a class in files of weights."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _axes(rank: int, readers: set[str]) -> tuple[str, ...]:
    """The axes of an input."""
    match rank:
        case 1:
            return ("channels",)
        case 2:
            return ("time", "channels")
        case 3:
            return ("height", "width", "channels")
        case 4:
            if any(kind.endswith("3D") for kind in readers):
                return ("depth", "height", "width", "channels")
            return ("time", "height", "width", "channels")
    raise Unsupported(f"an input of {rank + 1} axes")


def _shape_of(config: Config) -> Sequence[Any] | None:
    """The shape of an input with its batch."""
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if isinstance(shape, Mapping):
        shape = shape.get("items")
    return shape if isinstance(shape, list) and shape else None


def _use(node: Any) -> tuple[History, ...]:
    """The tensors that one use of a layer reads.

    Raises:
        Unsupported: it reads something else, too.
    """
    if isinstance(node, Mapping):
        found: list[History] = []
        _histories(node.get("args"), found, 0)
        others = {k: v for k, v in (node.get("kwargs") or {}).items() if v not in (None, False)}
        inner: list[History] = []
        _histories(list(others.values()), inner, 0)
        if inner:
            raise Unsupported(f"a tensor given as `{next(iter(others))}`")
        return tuple(found)
    if not isinstance(node, list):
        raise Unsupported("its inbound nodes cannot be read", code="F0945")
    if node and isinstance(node[0], str):  # a single tensor, as some versions wrote it
        node = [node]
    return tuple(_history(entry) for entry in node)


def _histories(value: Any, found: list[History], depth: int) -> None:
    """Every Keras tensor in the arguments of a call."""
    if depth > 8:
        raise Unsupported("its arguments are nested too deeply", code="F0945")
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            found.append(_history((value.get("config") or {}).get("keras_history")))
    elif isinstance(value, list):
        for part in value:
            _histories(part, found, depth + 1)


def _history(entry: Any) -> History:
    if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[0], str) and all(
            type(number) is int for number in entry[1:3]):
        if len(entry) > 3 and isinstance(entry[3], Mapping) and "_histories" not in entry[3] \
                and any(isinstance(v, list) and v and isinstance(v[0], str)
                        for v in entry[3].values()):
            raise Unsupported(f"a tensor given as `{next(iter(entry[3]))}`")
        return entry[0], entry[1], entry[2]
    raise Unsupported("its inbound nodes cannot be read", code="F0945")


def _ends(value: Any) -> list[History]:
    """The inputs or outputs of a model: one, a list, or a map of them."""
    if isinstance(value, Mapping):
        return [end for part in value.values() for end in _ends(part)]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_history(value)]
    return [_history(entry) for entry in value] if isinstance(value, list) else []
