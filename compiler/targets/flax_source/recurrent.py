"""Recurrent layers: local classes, for what nnx.RNN does not do.

nnx.RNN goes on behind the end of a row, and its cells keep their arrays in another form, with
one bias of a gate: none of them reads the weights of PyTorch's layers. So these layers are
classes of the file, cut down to what the model asks of them.
"""

from __future__ import annotations

from typing import Any, assert_never

from compiler.ops.base import Init
from compiler.ops.recurrent import (
    ConvLstm,
    ConvLstmCell,
    Gru,
    GruCell,
    Lstm,
    LstmCell,
    RecurrentOperator,
    Rnn,
    RnnCell,
)
from compiler.targets.flax_source import helpers_recurrent as texts
from compiler.targets.flax_source.code import Code, Text, call
from compiler.targets.flax_source.site import Piece, Site, options

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
# Initialisers for which it makes no difference whether gates are drawn apart.
BY_ELEMENT = ("zeros", "ones", "constant", "normal", "truncated_normal", "uniform")


def recurrent(op: RecurrentOperator, site: Site) -> Piece:
    """A class of the file with the arrays under the spec's own names."""
    match op:
        case Rnn() | Lstm() | Gru():
            return _layers(op, site)
        case RnnCell() | LstmCell() | GruCell():
            return _cell(op, site)
        case ConvLstm():
            return _conv(op, site, "ConvLSTM", op.initial is not None)
        case ConvLstmCell():
            return _conv(op, site, "ConvLSTMCell", op.state is not None)
        case _:
            assert_never(op)


def _begin(site: Site, role: str, gates: int) -> Text | None:
    """How the arrays of a role begin where the author says it."""
    init: Init | None = site.node.init.get(role)
    if init is None:
        return None
    name = site.file.initialisers.of(init)
    if name is None or gates == 1 or init.name in BY_ELEMENT:
        return name
    site.file.need("by_gate")
    return Text(f"by_gate({name}, {gates})")


def _inits(site: Site, gates: int) -> dict[str, Any]:
    roles = {"kernel_init": "kernel", "recurrent_init": "recurrent_kernel", "bias_init": "bias",
             "recurrent_bias_init": "recurrent_bias", "projection_init": "projection"}
    found = {name: _begin(site, role, gates) for name, role in roles.items()}
    return {name: (text, None) for name, text in found.items() if text is not None}


def _layers(op: Rnn | Lstm | Gru, site: Site) -> Piece:
    head = NAMES[op.word]
    inits = _inits(site, op.gates)
    features = {
        "bidirectional": op.bidirectional, "sum": op.bidirectional and op.merge == "sum",
        "reverse": op.reverse, "bias": op.biases > 0, "two": op.biases == 2,
        "dropout": op.dropout > 0 and op.layers > 1, "recurrent_dropout": op.recurrent_dropout > 0,
        "initial": len(site.types) > 1, "carry": op.carry == "across",
        "projection": getattr(op, "projection", None) is not None,
        "before": getattr(op, "reset", "after") == "before",
        "relu": getattr(op, "activation", "tanh") == "relu",
        **dict.fromkeys(inits, True), op.word: True,
    }
    site.file.need(head, *(name for name, on in features.items() if on))
    site.file.need("Outcome")
    if op.gates > 1:
        site.file.need("by_gate")
    if features["initial"] or features["carry"]:
        site.file.need("cut_state")
    if features["carry"]:
        site.file.need("Carried")
    made = call(
        head, ("features", site.x.channels), ("units", op.units), rngs=True,
        **options(
            layers=(op.layers, 1), bidirectional=(op.bidirectional, False),
            merge=(op.merge if op.bidirectional else "concat", "concat"),
            reverse=(op.reverse, False), biases=(op.biases, 1),
            projection=(getattr(op, "projection", None), None),
            reset=(getattr(op, "reset", None), "after"),
            activation=(_activation(op), None),
            dropout=(op.dropout if op.layers > 1 else 0.0, 0.0),
            recurrent_dropout=(op.recurrent_dropout, 0.0),
            forget_bias=(None if "bias_init" in inits or not op.biases else
                         getattr(op, "forget_bias", None), 1.0)), **inits)
    lengths = ", {n0}" if site.timed else ""
    initial = ", initial={1}" if features["initial"] else ""
    return Piece(Code(f"{{self}}({{0}}{lengths}{initial})"), made, 0 if site.timed else None)


def _activation(op: Any) -> Text | None:
    return Text("nnx.relu") if getattr(op, "activation", "tanh") == "relu" else None


def _cell(op: RnnCell | LstmCell | GruCell, site: Site) -> Piece:
    word = op.word.removesuffix("_cell")
    inits = _inits(site, op.gates)
    projection = getattr(op, "projection", None)
    head = site.file.need(f"{NAMES[word]}Cell", word, *inits,
                          *(["projection"] if projection is not None else []))
    if op.gates > 1:
        site.file.need("by_gate")
    if op.keeps_cell:
        site.file.need("cut_state")
    made = call(
        head, ("features", site.x.channels), ("units", op.units), rngs=True,
        **options(biases=(op.biases, 1), projection=(projection, None),
                  reset=(getattr(op, "reset", None), "after"), activation=(_activation(op), None),
                  forget_bias=(None if "bias_init" in inits else
                               getattr(op, "forget_bias", None), 1.0)), **inits)
    state = ", {1}" if len(site.types) > 1 else ""
    return Piece(Code(f"{{self}}({{0}}{state})"), made)


def _conv(op: ConvLstm | ConvLstmCell, site: Site, head: str, given: bool) -> Piece:
    for helper in (head, "by_gate", "cut_state", "same_convolution"):
        site.file.need(helper)
    if head == "ConvLSTM":
        site.file.need("Outcome")
    window = op.window_on(op.frame_of(site.x))
    inits = {k: v for k, v in _inits(site, 4).items() if k in ("kernel_init", "recurrent_init")}
    made = call(head, ("features", site.x.channels), ("filters", op.filters), ("kernel", window),
                rngs=True, use_bias=(op.bias, True), forget_bias=(op.forget_bias, 1.0), **inits)
    lengths = ", {n0}" if site.timed else ""
    name = "initial=" if head == "ConvLSTM" else ""
    state = f", {name}{{1}}" if len(site.types) > 1 else ""
    return Piece(Code(f"{{self}}({{0}}{lengths}{state})"), made, 0 if site.timed else None)


# -- the classes -------------------------------------------------------------------------------

_KINDS: dict[str, dict[str, Any]] = {
    "RNN": {"gates": 1, "step": texts.RNN_STEP, "state": "h",
            "title": "Plain recurrent layers (Elman 1990): h' = act(x W + b + h U).",
            "one": "One step of a plain recurrent network; its state is its output."},
    "LSTM": {"gates": 4, "step": texts.LSTM_STEP, "state": "h, c",
             "title": "LSTM layers; the gates i, f, g, o stand side by side in every array.",
             "one": "One step of an LSTM; its state is the output h and the cell c."},
    "GRU": {"gates": 3, "step": texts.GRU_STEP, "state": "h",
            "title": "GRU layers; the gates r, z, n stand side by side in every array.",
            "one": "One step of a GRU; its state is its output."},
}


def layers_text(name: str, features: set[str]) -> str:
    """The template of recurrent layers for one kind of cell; features still choose its lines."""
    kind = _KINDS[name]
    return _filled(texts.LAYERS.replace("TITLE", kind["title"]), name, kind, features)


def cell_text(name: str, features: set[str]) -> str:
    """The template of a cell for one step."""
    kind = _KINDS[name]
    text = texts.CELL.replace("TITLE", kind["one"])
    step = kind["step"].replace("\n            ", "\n        ").replace("  #? two", "").replace(
        "  #? before & two", "  #? before").replace("self.activation", "self.activation")
    lines = [line for line in step.splitlines() if "& !two" not in line and "#? !two" not in line]
    if name != "GRU":
        lines = [line.replace("SEEN @ kernel", "SEEN @ kernel + inner") for line in lines]
    lines = [line for line in lines if not line.endswith("#? !relu")]
    features |= {"before", "relu"}
    if name == "GRU":
        lines = [line for line in lines if not line.endswith("#? !before")]
    kind = kind | {"step": "\n".join(lines)}
    return _filled(text, name, kind, features)


def _filled(text: str, name: str, kind: dict[str, Any], features: set[str]) -> str:
    gates, state = kind["gates"], kind["state"]
    width = "(projection or units)" if "projection" in features else "units"
    own = "self.width" if "projection" in features else "self.units"
    is_pair = state == "h, c"
    step = kind["step"].strip("\n").replace(
        "SEEN", "(h * mask)" if "recurrent_dropout" in features else "h")

    def gated(init: str) -> str:
        return f"by_gate({init}, {gates})" if gates > 1 else init

    cell = "Cell(" in text
    swaps = {
        "STEP": step, "NAME": name,
        "KERNEL_INIT": gated("nnx.initializers.lecun_normal()"),
        "RECURRENT_INIT": gated("nnx.initializers.orthogonal()"),
        "STATE_TUPLE": state if is_pair else f"{state},", "STATE_LIST": state, "STATE": state,
        "SIZES": f"{own}, self.units" if is_pair else f"{own},",
        "SIZE": f"({own} + self.units)" if is_pair else own,
        "PARTS": "2" if is_pair else "1", "AFTER": f"({state})" if is_pair else f"({state},)",
        "INITIAL": f"({state})" if is_pair else f"({state},)",
        "RESULT": "jnp.concatenate([h, c], axis=-1)" if is_pair else "h",
        "BACKWARD": 'end == "_backward"' + (" or self.reverse" if "reverse" in features else ""),
        "WIDTH": width.strip("()") if cell else width,
        "GATES * ": f"{gates} * " if gates > 1 else "",
    }
    for mark, value in swaps.items():
        text = text.replace(mark, value)
    return text
