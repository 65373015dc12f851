"""A class as text: its `__init__`, and its `__call__` with variables named after branches."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.targets.flax_source.arguments import Arguments
from compiler.targets.flax_source.code import WIDTH, Text, atom, laid_out, literal, unique
from compiler.targets.flax_source.items import Item, Ref
from compiler.targets.flax_source.template import Region, Template, make_code
from compiler.types import TensorType

# The longest expression that another layer is still written around.
NESTED = 72
# Attributes that every nnx.Module has, and that a layer may not take the name of.
RESERVED = {"train", "eval", "sow", "perturb", "deterministic", "use_running_average", "begin",
            "iter_modules", "iter_children", "set_attributes", "set_mode"}


class Names:
    """The attributes of all classes, and what each is called in a file of weights."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def attribute(self, words: str, wish: str = "") -> str:
        """An attribute for the words of a path; the same words always give the same one."""
        for name, known in self.words.items():
            if known == words and (not wish or name.startswith(wish)):
                return name
        wish = wish or re.sub(r"\W+", "_", words.replace("*", "")).strip("_")
        if keyword.iskeyword(wish) or wish in RESERVED:
            wish = f"{wish}_"
        name = unique(wish, self.words.__contains__)
        self.words[name] = words
        return name

    def paths(self) -> dict[str, str]:
        """The attributes whose names are not the words themselves."""
        return {name: words for name, words in sorted(self.words.items()) if name != words}


@dataclass
class Line:
    """A statement at a depth of its own, and what it is told of."""

    text: str
    depth: int = 0
    comment: str = ""


class ClassText:
    """Writes one class."""

    def __init__(self, template: Template, arguments: Arguments, names: Names, *,
                 title: str, is_model: bool, timed: Sequence[str]):
        """Prepare to write.

        Args:
            template: the class.
            arguments: what its values are called.
            names: the attributes of the file.
            title: its docstring.
            is_model: it is the model itself: its several outputs are a dict.
            timed: the names of the lengths that it takes.
        """
        self.template, self.arguments, self.names = template, arguments, names
        self.title, self.is_model, self.timed = title, is_model, timed
        self.attributes: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.kept: list[str] = []
        self.body: list[Line] = []
        self.variables: dict[Ref, str] = {}
        self.last_use: dict[Ref, int] = {}
        self.reserved: set[str] = set()
        self.now = 0

    def lines(self) -> list[str]:
        """The source of the class."""
        call = self._call()
        init = self._init()
        doc = docstring(self.title, 4)
        return [f"class {self.template.name}(nnx.Module):", *doc, "", *init, "", *call]

    # -- __init__ ------------------------------------------------------------------------------

    def _init(self) -> list[str]:
        template = self.template
        parts = ["self"]
        for name in template.arguments:
            default = template.defaults.get(name)
            parts.append(name if name not in template.defaults else f"{name}={literal(default)}")
        head = f"def __init__({', '.join([*parts, '*', 'rngs'])}):"
        lines = laid_out(head, 4)
        lines += [f"        self.{name} = {name}" for name in self.kept]
        if any(r.during for r in template.regions) or any(template.rows[0].phases):
            lines.append("        self.deterministic = False  # set by eval() and train()")
        made: set[str] = set()
        current = None
        ties = []
        for path, found in template.items.items():
            item = next(iter(found.values()))
            region = self._switch(path)
            depth = 4 if region else 0
            for owner in self._owners(item):
                code = make_code(owner, template)
                if code is None:
                    continue
                attribute = self._attribute(owner, path)
                if attribute in made:
                    continue
                made.add(attribute)
                if region is not None and region is not current:
                    lines.append(f"        if {region.switch}:")
                current = region
                text = code.render(self._values(path, 0) if owner is item else None)
                lines += laid_out(f"self.{attribute} = {text}", 8 + depth)
                ties += self._ties(item, attribute, depth)
        lines += ties
        if len(lines) == len(laid_out(head, 4)):
            lines.append("        pass")
        return lines

    def _owners(self, item: Item) -> list[Item]:
        """The item, and what is shared inside it."""
        inside = [i for inner in item.inside for i in self._owners(inner) if i.shared]
        return [item, *inside] if item.make or item.callee or item.entries else inside

    def _ties(self, item: Item, attribute: str, depth: int) -> list[str]:
        """What makes a layer use the arrays of another one with the same key."""
        first = self._first_of.setdefault(item.weights, attribute) if item.owns else attribute
        if first == attribute or item.make is None:
            return []
        return [f"{' ' * (8 + depth)}self.{attribute}.{name} = self.{first}.{name}"
                for name in item.parameters]

    @property
    def _first_of(self) -> dict[str, str]:
        return self.__dict__.setdefault("_firsts", {})

    def _switch(self, path: str) -> Region | None:
        return next((r for r in self.template.regions if path in r.items and r.switch), None)

    def _attribute(self, item: Item, path: str) -> str:
        """The attribute of an item's module; layers that share their weights share it."""
        made = self._made(item)
        if item.shared:
            wish = {"nnx.Dropout": "dropout", "GaussianNoise": "noise"}.get(
                made.partition("(")[0].removeprefix("frozen("), "random")
            if made not in self.shared:
                self.shared[made] = unique(wish, lambda n: n in self.shared.values())
                self.names.words.setdefault(self.shared[made], self.shared[made])
            return self.shared[made]
        key = f"{item.weights}|{made if item.make else ''}"
        if key not in self.attributes:
            if item.entries:
                last = item.weights.partition("*")[0].replace(".", "_")
                name = self.names.attribute(item.weights, plural(last))
            else:
                name = self.names.attribute(item.weights)
            while name in self.attributes.values():
                name = self.names.attribute(item.weights, f"{name}_again")
            self.attributes[key] = name
        return self.attributes[key]

    def _made(self, item: Item) -> str:
        code = make_code(item, self.template)
        path = item.path if item.path in self.template.items else ""
        return "" if code is None else code.render(self._values(path, 0) if path else None)

    def _values(self, path: str, k: int, at_call: bool = False) -> dict[str, Any]:
        """The expression of each hole of an item's k-th piece of code."""
        found = {hole: value for (p, n, hole), value in self.arguments.expressions.items()
                 if p == path and n == k}
        return {h: self._kept(v) for h, v in found.items()} if at_call else found

    def _kept(self, value: Any) -> Any:
        """An expression of arguments as one of attributes that keep them."""
        if isinstance(value, tuple):
            return tuple(map(self._kept, value))
        if not isinstance(value, Text):
            return value

        def attribute(match: re.Match[str]) -> str:
            name = match[0]
            if name not in self.template.arguments:
                return name
            if name not in self.kept:
                self.kept.append(name)
            return f"self.{name}"

        return Text(re.sub(r"(?<![\w.])[A-Za-z_]\w*", attribute, value))

    # -- __call__ ------------------------------------------------------------------------------

    def _call(self) -> list[str]:
        template = self.template
        body = template.rows[0]
        inputs = []
        for i, (name, _) in enumerate(body.inputs):
            safe = name if name.isidentifier() and not keyword.iskeyword(name) else "x"
            safe = unique(safe, inputs.__contains__)
            inputs.append(safe)
            self.variables["", str(i)] = safe
        for i, name in zip(self._reads(), self.timed):
            self.variables["lengths", str(i)] = name
        self.reserved |= set(self.timed)
        self._count_uses()
        self._block(list(template.items), 0)
        head = f"def __call__(self, {', '.join([*inputs, *(f'{n}=None' for n in self.timed)])}):"
        result = self._result()
        lines = laid_out(head, 4)
        last = self.body[-1] if self.body else None
        if last is not None and last.depth == 0 and len(result) == 1:
            name, sign, text = last.text.partition(" = ")
            if sign and result[0].strip() == f"return {name}":
                last.text, result = f"return {text}", []
        for line in self.body:
            lines += commented(line)
        return [*lines, *result]

    def _reads(self) -> Sequence[int]:
        return self.template.rows[0].reads

    def _count_uses(self) -> None:
        """When each tensor is read for the last time, by the number of the statement."""
        wiring, position = self.template.refs, 0
        self.uses: dict[Ref, int] = {}
        for position, path in enumerate(self.template.items):
            for ref in wiring.inputs[path]:
                self.last_use[ref] = position
                self.uses[ref] = self.uses.get(ref, 0) + 1
        for ref in wiring.outputs.values():
            self.last_use[ref] = len(self.template.items)
            self.uses[ref] = self.uses.get(ref, 0) + 1
        for region in self.template.regions:
            end = list(self.template.items).index(region.items[-1])
            for ref, instead in region.escapes.items():
                if instead is not None:
                    begin = list(self.template.items).index(region.items[0])
                    self.last_use[instead] = max(self.last_use.get(instead, 0), begin)
                    self.uses[instead] = self.uses.get(instead, 0) + 1
                self.last_use[ref] = max(self.last_use.get(ref, 0), end)

    def _block(self, paths: list[str], depth: int) -> None:
        """Statements for items in order, regions under their conditions."""
        regions = {r.items[0]: r for r in self.template.regions}
        inside: set[str] = set()
        for path in paths:
            if path in inside:
                continue
            region = regions.get(path)
            if region is None:
                self._statement(path, depth)
                continue
            inside |= set(region.items)
            self._region(region, depth)

    def _region(self, region: Region, depth: int) -> None:
        """A stretch of items that is not always there."""
        order = list(self.template.items)
        first, last = order.index(region.items[0]), order.index(region.items[-1])
        self.now = first
        targets: dict[Ref, str] = {}
        for ref, instead in region.escapes.items():
            if instead is None:
                name = self._fresh(_branch(ref[0]) or "head", set())
                if not self.is_model:
                    self.body.append(Line(f"{name} = None", depth))
            else:
                source = self.variables[instead]
                dead = self.last_use.get(instead, 0) <= last and self.uses[instead] - sum(
                    instead in self.template.refs.inputs[p] for p in region.items) <= 1
                if dead and source.isidentifier():
                    name = source
                else:
                    name = self._fresh(_branch(ref[0]) or "y", {source})
                    self.body.append(Line(f"{name} = {source}", depth))
            targets[ref] = name
            self.reserved.add(name)
        if region.switch:
            test = str(self._kept(Text(region.switch)))
        else:
            test = "not self.deterministic" if region.during == "training" else "self.deterministic"
        self.body.append(Line(f"if {test}:", depth))
        for path in region.items:
            self._statement(path, depth + 4, targets)
        self.reserved -= set(targets.values())

    def _statement(self, path: str, depth: int, targets: dict[Ref, str] | None = None) -> None:
        """The code of an item, written into the one that reads it where that reads well."""
        item = self.template.item(path)
        self.now = list(self.template.items).index(path)
        if item.entries:
            self._loop(item, path, depth, targets)
            return
        if item.makes_lengths(self.template.rows[0].needed):
            self._with_lengths(item, path, depth)
        expression = self._expression(item, path)
        self._bind(item, path, expression, depth, targets or {})

    def _expression(self, item: Item, path: str, attribute: str = "") -> str:
        offset = 1 if make_code(item, self.template) is not None else 0
        holes: dict[str, Any] = dict(self._values(path, offset, at_call=True))
        holes |= self._common_holes(item, self.template.refs.inputs[path])
        if item.make or item.callee:
            holes["self"] = Text(attribute or f"self.{self._attribute(item, path)}")
        if item.tied:
            holes["tied"] = Text(self._tied(item.tied))
        return item.run.render(holes)

    def _common_holes(self, item: Item, inputs: Sequence[Ref]) -> dict[str, Any]:
        holes: dict[str, Any] = {}
        for i, ref in enumerate(inputs):
            text = self.variables[ref]
            holes[str(i)] = Text(text if _is_argument(item.run.text, i) else atom(text))
        for i, lens in enumerate(item.lens):
            holes[f"n{i}"] = Text(self._lengths(lens))
        if item.run.uses("lengths"):
            holes["lengths"] = Text(self._lengths((item.path, "lengths")))
        return holes

    def _lengths(self, lens: Ref | None) -> str:
        if lens is None:
            return "None"
        if lens[0] == "":
            return self.variables.get(("lengths", lens[1]), "None")
        return self.variables.get(lens, "None")

    def _tied(self, tied: tuple[str, str]) -> str:
        """The parameter of another layer, which may stand inside a block."""
        path, name = tied
        steps: list[str] = []
        template, rest = self.template, path
        while rest:
            owner = next((i for p in template.items for i in [template.item(p)]
                          if rest == i.weights or rest.startswith(f"{i.weights}.")), None)
            if owner is None:
                steps.append(rest)
                break
            steps.append(self.names.attribute(owner.weights))
            rest = rest[len(owner.weights) + 1:]
            if owner.callee is not None:
                template = template.classes[id(owner.callee)]
        return ".".join(["self", *steps, name])

    def _bind(self, item: Item, path: str, expression: str, depth: int,
              targets: dict[Ref, str]) -> None:
        """Give an item's result its variable, or write it into its only reader."""
        outputs = [(path, name) for name in item.picks]
        needed = self.template.rows[0].needed
        live = [ref for ref in outputs if self.last_use.get(ref, -1) > self.now
                or ref in targets or ref in needed]
        if len(live) == 1:
            (ref,) = live
            text = expression + item.picks[ref[1]]
            if ref not in targets and self._nests(ref, text, path):
                self.variables[ref] = text
                return
            name = targets.get(ref) or self._variable(ref, item)
            self._write(name, text, depth, item.types[ref[1]])
            self.variables[ref] = name
            return
        if not live:
            self.body.append(Line(expression, depth))
            return
        if all(pick.startswith("[") for pick in item.picks.values()):
            names = []
            for ref in outputs:
                if ref in live:
                    wish = "lengths" if ref[1].startswith("lengths") else (
                        _branch(path) or _clean(ref[1]))
                    names.append(targets.get(ref) or self._fresh(wish, set(names)))
                    self.variables[ref] = names[-1]
                else:
                    names.append("_")
            self.body.append(Line(f"{', '.join(names)} = {expression}", depth))
            return
        whole = self._fresh(_clean(path), set())
        self.body.append(Line(f"{whole} = {expression}", depth))
        for ref in live:
            self.variables[ref] = f"{whole}{item.picks[ref[1]]}"
            self.reserved.add(whole)

    def _with_lengths(self, item: Item, path: str, depth: int) -> None:
        """The lengths that an item makes, before its input's variable is taken for its result."""
        assert item.lengths is not None
        offset = 2 if make_code(item, self.template) is not None else 1
        holes = self._values(path, offset, at_call=True)
        holes |= self._common_holes(item, self.template.refs.inputs[path])
        lengths = self._fresh("lengths", set())
        self.body.append(Line(f"{lengths} = {item.lengths.render(holes)}", depth))
        self.reserved.add(lengths)
        self.variables[path, "lengths"] = lengths
        for number in range(len(item.picks)):
            self.variables[path, f"lengths[{number}]"] = f"{lengths}[{number}]"

    def _nests(self, ref: Ref, text: str, path: str) -> bool:
        """Whether a result is best written into its reader: relu(norm(conv(x)))."""
        order = list(self.template.items)
        if self.uses.get(ref) != 1 or self.now + 1 >= len(order) or len(text) > NESTED:
            return False
        follower = order[self.now + 1]
        item, region = self.template.item(follower), self._place(follower)
        if self.template.refs.inputs[follower][:1] != [ref] or region is not self._place(path):
            return False
        if item.run.text.count("{0}") != 1 or not _is_argument(item.run.text, 0):
            return text == self.variables.get(self.template.refs.inputs[path][0])
        return item.light and not item.lengths

    def _place(self, path: str) -> Region | None:
        return next((r for r in self.template.regions if path in r.items), None)

    def _variable(self, ref: Ref, item: Item) -> str:
        """A variable for a tensor: its branch's, or `x` for what flows."""
        return self._fresh(_branch(ref[0]) or "x", set(), _clean(ref[0]))

    def _fresh(self, wish: str, more: set[str], other: str = "") -> str:
        """A variable that holds nothing that is still to be read."""
        taken = self._live() | more | self.reserved | set(self.kept_words())
        for name in (wish, other):
            if name and name not in taken:
                return name
        return unique(wish, taken.__contains__)

    def kept_words(self) -> Iterable[str]:
        """Names that no variable may have."""
        return ("nnx", "jax", "jnp", "np", "math")

    def _live(self) -> set[str]:
        """The variables that hold what is read by a later statement."""
        found: set[str] = set()
        for ref, text in self.variables.items():
            if self.last_use.get(ref, -1) > self.now:
                found |= set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))
        return found

    def _write(self, name: str, text: str, depth: int, type: TensorType) -> None:
        if name == text:
            return
        self.body.append(Line(f"{name} = {text}", depth, self._shape(type)))

    def _shape(self, type: TensorType) -> str:
        """ "(112, 112, 64)": a tensor's sizes, where all uses of the class agree on them."""
        if len(self.template.rows) > 1 or not type.axes:
            return ""
        return f"({', '.join(map(str, type.shape))}{',' if len(type.shape) == 1 else ''})"

    # -- loops ---------------------------------------------------------------------------------

    def _loop(self, item: Item, path: str, depth: int, targets: dict[Ref, str] | None) -> None:
        start = self.template.refs.inputs[path][0]
        source = self.variables[start]
        result = (path, "output")
        name = (targets or {}).get(result)
        if name is None:
            dead = self.last_use.get(start, 0) <= self.now
            name = source if dead and source.isidentifier() and source not in self.reserved \
                else self._fresh(_branch(path) or "x", {source})
            if dead and start[0] == "" and name == source and name != "x":
                name = self._fresh("x", {source})
        if name != source:
            self.body.append(Line(f"{name} = {source}", depth))
        self.reserved.add(name)
        inner = dict(zip(item.inputs, self.template.refs.inputs[path]))
        self._rounds(item, f"self.{self._attribute(item, path)}", name, depth,
                     {old: self.variables[new] for old, new in inner.items()}, item.alike)
        self.reserved.discard(name)
        self.variables[result] = name
        last = self.body[-1]
        if not item.alike and (shape := self._shape(item.types["output"])):
            last.comment = f"{shape} in the end"

    def _rounds(self, item: Item, over: str, flow: str, depth: int, known: dict[Ref, str],
                alike: bool) -> None:
        """A loop over modules; what flows keeps one variable."""
        taken = self._live() | {flow} | self.reserved
        module = unique(item.loop, taken.__contains__)
        self.reserved.add(module)
        self.body.append(Line(f"for {module} in {over}:", depth))
        values = {**known, item.inputs[0]: flow}
        for number, part in enumerate(item.inside):
            self._round(item, part, number, module, flow, depth + 4, values, alike)
        self.reserved.discard(module)

    def _round(self, loop: Item, item: Item, number: int, module: str, flow: str, depth: int,
               values: dict[Ref, str], alike: bool) -> None:
        outputs = [(item.path, name) for name in item.picks]
        if item.entries:
            if values[item.inputs[0]] != flow:
                self.body.append(Line(f"{flow} = {values[item.inputs[0]]}", depth))
            self._rounds(item, module, flow, depth, dict(values), alike and item.alike)
            values[outputs[0]] = flow
            return
        holes = {str(i): Text(values[ref] if _is_argument(item.run.text, i) else atom(values[ref]))
                 for i, ref in enumerate(item.inputs)}
        holes |= {f"n{i}": Text(self._lengths(lens)) for i, lens in enumerate(item.lens)}
        if item.tied:
            holes["tied"] = Text(self._tied(item.tied))
        holes["self"] = Text(module if item.owns else f"self.{self._attribute(item, item.path)}"
                             if item.shared else "")
        text = item.run.render(holes)
        readers = [later for later in loop.inside[number + 1:]
                   for ref in later.inputs if ref in outputs]
        carried = loop.carried in outputs
        picked = [ref for ref in outputs if ref == loop.carried or
                  any(ref in later.inputs for later in readers)]
        for ref in picked:
            whole = text + item.picks[ref[1]]
            follower = loop.inside[number + 1] if number + 1 < len(loop.inside) else None
            if (len(picked) == 1 and not carried and len(readers) == 1 and readers[0] is follower
                    and follower is not None and follower.light and len(whole) <= NESTED
                    and follower.run.text.count("{0}") == 1
                    and _is_argument(follower.run.text, 0)):
                values[ref] = whole
                continue
            later = {r for i in loop.inside[number + 1:] for r in i.inputs}
            holders = {values[r] for r in values if r in later}
            taken = holders | self._live() | self.reserved
            name = flow if carried or flow not in holders else unique("y", taken.__contains__)
            shape = self._shape(item.types[ref[1]]) if alike else ""
            self.body.append(Line(f"{name} = {whole}", depth, shape))
            values[ref] = name

    # -- results -------------------------------------------------------------------------------

    def _result(self) -> list[str]:
        template = self.template
        outputs = {name: self.variables[ref] for name, ref in template.refs.outputs.items()}
        phases = template.rows[0].phases
        if len(outputs) == 1:
            made = [self._lengths(n) for n in template.rows[0].made_lengths] \
                if not self.is_model else []
            return laid_out(f"return {', '.join([*outputs.values(), *made])}", 8)
        if not self.is_model:
            made = [self._lengths(n) for n in template.rows[0].made_lengths]
            return laid_out(f"return {', '.join([*outputs.values(), *made])}", 8)
        if not phases:
            return laid_out(f"return {_dict(outputs)}", 8)
        lines = []
        for test, phase in (("if self.deterministic:", "evaluation"), ("", "training")):
            found = {n: v for n, v in outputs.items() if phases.get(n, phase) == phase}
            if test:
                lines += [f"        {test}", *laid_out(f"return {_dict(found)}", 12)]
            else:
                lines += laid_out(f"return {_dict(found)}", 8)
        return lines


def _dict(outputs: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{n}": {v}' for n, v in outputs.items()) + "}"


def _is_argument(text: str, i: int) -> bool:
    """Whether an input stands alone between brackets or commas wherever it is used."""
    places = [m.span() for m in re.finditer(rf"\{{{i}\}}", text)]
    return all((a == 0 or text[a - 1] in "(, [") and (b == len(text) or text[b] in "),]")
               and (a == 0 or not _beside_sign(text, a, b)) for a, b in places) and not (
        places and places[0][0] == 0 and places[0][1] != len(text))


def _beside_sign(text: str, a: int, b: int) -> bool:
    before, after = text[:a].rstrip()[-1:], text[b:].lstrip()[:1]
    return before in "+-*/@" or (after != "" and after in "+-*/@")


def _branch(path: str) -> str:
    """The branch that a layer stands in, as a variable; "" for what flows."""
    steps = [s for s in path.split(".")[:-1] if not re.fullmatch(r"\w*[A-Za-z]\d+", s)]
    return _clean(steps[-1]) if steps else ""


def _clean(path: str) -> str:
    name = re.sub(r"\W+", "_", path)
    name = name.rpartition("_")[0] if re.search(r"_\d+$", name) else name
    return f"{name}_" if keyword.iskeyword(name) or name in ("input", "sum", "max") else name


def plural(word: str) -> str:
    """Several of a thing: units, branches, copies."""
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word[-1:] == "y" and word[-2:-1] not in "aeiou" else f"{word}s"


def commented(line: Line) -> list[str]:
    """A statement with its remark beside it, or above where there is no room."""
    made = laid_out(line.text, 8 + line.depth)
    if not line.comment:
        return made
    if len(made) == 1 and len(made[0]) + len(line.comment) + 4 <= WIDTH:
        return [f"{made[0]}  # {line.comment}"]
    return [f"{' ' * (8 + line.depth)}# {line.comment}", *made]


def docstring(text: str, indent: int) -> list[str]:
    """A docstring of one or more lines."""
    pad = " " * indent
    first, *rest = text.splitlines() or [""]
    if not rest:
        return [f'{pad}"""{first}"""']
    return [f'{pad}"""{first}', *(f"{pad}{line}".rstrip() for line in rest), f'{pad}"""']

