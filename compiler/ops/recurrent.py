"""Recurrent layers over time, and their cells for one step.

A layer's state is one tensor of channels: for each of its layers, for each direction, what
that direction's cell carries from step to step: h, or h and c for an LSTM.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.ops.base import Parameter, Probability, ShapeError, Window
from compiler.ops.cells import (
    Cell,
    GruFields,
    LstmFields,
    Return,
    RnnFields,
    expect_sequence,
    expect_state,
    expect_vector,
    steps_of,
)
from compiler.ops.conv_lstm import ConvLstm, ConvLstmCell
from compiler.types import TensorType

# -- layers over time --------------------------------------------------------------------------


class Layers(Cell):
    """Cells over a sequence: stacked, in one direction or both."""

    references: ClassVar[tuple[str, ...]] = ("initial",)

    layers: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="how many are stacked")
    bidirectional: bool = Field(False, description="read from both ends, with weights of their own")
    merge: Literal["concat", "sum"] = Field(
        "concat", description="how the two directions of each layer become one tensor")
    reverse: bool = Field(False, description="read from each row's last step to its first")
    dropout: Probability = Field(
        0.0, description="of the outputs of all layers but the last, in training")
    recurrent_dropout: Probability = Field(0.0, description=(
        "of the state where it is multiplied, the same at all steps of a row, in training (Gal & "
        "Ghahramani 2016)"))
    return_: Return = Field("sequence", alias="return", description=(
        "what flows on: every step's output, the last one's, or the whole state"))
    initial: str | None = Field(None, description=(
        "the tensor to begin with, such as `encoder.state`, or outputs h alone; zeros where not "
        "given"))
    carry: Literal["within", "across"] = Field("within", description=(
        "begin each batch anew, or where the batch before ended, without a gradient through the "
        "border (truncated back-propagation)"))

    @property
    def random(self) -> Literal["never", "training", "always"]:  # type: ignore[override]
        return "training" if self.drops else "never"

    @property
    def modal(self) -> bool:  # type: ignore[override]
        return self.drops

    @property
    def drops(self) -> bool:
        """Whether training differs from evaluation."""
        return self.recurrent_dropout > 0 or (self.dropout > 0 and self.layers > 1)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of each direction's parameters end with."""
        return ("", "_backward") if self.bidirectional else ("",)

    @property
    def merged(self) -> int:
        """Channels of each layer's output."""
        return self.width * (2 if self.bidirectional and self.merge == "concat" else 1)

    @property
    def all_state_sizes(self) -> tuple[int, ...]:
        """The sizes of all that the layers carry, in the order in which `.state` holds them."""
        return self.state_sizes * (self.layers * len(self.suffixes))

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)[self.return_]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        x = inputs[0]
        expect_sequence(x, self.word)
        self._check_fields()
        if len(inputs) > 1:
            outputs = self.state_sizes[0] * self.layers * len(self.suffixes)
            expect_state(inputs[1], sum(self.all_state_sizes), outputs, self.word)
        assert x.length is not None
        found = {
            "sequence": TensorType(("time", "channels"), (x.length, self.merged)),
            "last": TensorType(("channels",), (self.merged,)),
            "state": TensorType(("channels",), (sum(self.all_state_sizes),)),
        }
        return {self.return_: found[self.return_]} | found

    def _check_fields(self) -> None:
        if self.bidirectional and self.reverse:
            raise ShapeError(f"a bidirectional `{self.word}` reads in both directions already",
                             "drop `reverse`", "reverse", "F0452")
        if self.carry == "within":
            return
        if self.bidirectional or self.reverse:
            raise ShapeError(
                f"`{self.word}` cannot carry its state across batches and read them backwards",
                "drop `carry: across`, or read forwards only", "carry", "F0452")
        if self.initial is not None:
            raise ShapeError(f"`{self.word}` has two states to begin with",
                             "drop `initial` or `carry: across`", "initial", "F0452")

    def _inputs_of_layers(self, x: TensorType) -> list[int]:
        """The channels that arrive at each layer."""
        return [expect_sequence(x, self.word), *(self.merged,) * (self.layers - 1)]

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for number, features in enumerate(self._inputs_of_layers(inputs[0])):
            for suffix in self.suffixes:
                found |= self.cell_parameters(features, f"_{number}{suffix}")
        return found

    def macs(self, *inputs: TensorType) -> int:
        per_step = sum(map(self.cell_macs, self._inputs_of_layers(inputs[0])))
        return steps_of(inputs[0]) * len(self.suffixes) * per_step

    def steps(self, *inputs: TensorType) -> int:
        return steps_of(inputs[0]) * self.layers

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {"time": None}

    def saved(self, *inputs: TensorType) -> int:
        # Gates, the cell and the output of every step.
        per_step = self.gates * self.units + sum(self.state_sizes)
        return steps_of(inputs[0]) * self.layers * len(self.suffixes) * per_step


class Rnn(Layers, RnnFields):
    """Plain recurrent layers: h' = act(x W + b + h U) (Elman 1990)."""

    word: ClassVar[str] = "rnn"


class Lstm(Layers, LstmFields):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with gates i, f, g, o."""

    word: ClassVar[str] = "lstm"


class Gru(Layers, GruFields):
    """Gated recurrent units (Cho et al. 2014) with gates r, z, n."""

    word: ClassVar[str] = "gru"


# -- one step ----------------------------------------------------------------------------------


class OneStep(Cell):
    """A cell for one step, for the body of a scan."""

    references: ClassVar[tuple[str, ...]] = ("state",)

    state: str | None = Field(
        None, description="the state before this step; zeros where not given")

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)["output"]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        expect_vector(inputs[0], self.word)
        if len(inputs) > 1:
            expect_state(inputs[1], sum(self.state_sizes), self.width, self.word, "state")
        return {"output": TensorType(("channels",), (self.width,)),
                "state": TensorType(("channels",), (sum(self.state_sizes),))}

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        return self.cell_parameters(expect_vector(inputs[0], self.word))

    def macs(self, *inputs: TensorType) -> int:
        return self.cell_macs(expect_vector(inputs[0], self.word))

    def saved(self, *inputs: TensorType) -> int:
        return self.gates * self.units + sum(self.state_sizes)


class RnnCell(OneStep, RnnFields):
    """One step of `rnn`; its state is its output."""

    word: ClassVar[str] = "rnn_cell"


class LstmCell(OneStep, LstmFields):
    """One step of `lstm`; its state is the output h and the cell c."""

    word: ClassVar[str] = "lstm_cell"


class GruCell(OneStep, GruFields):
    """One step of `gru`; its state is its output."""

    word: ClassVar[str] = "gru_cell"


RecurrentOperator = Rnn | Lstm | Gru | RnnCell | LstmCell | GruCell | ConvLstm | ConvLstmCell
OPERATORS = (Rnn, Lstm, Gru, RnnCell, LstmCell, GruCell, ConvLstm, ConvLstmCell)
