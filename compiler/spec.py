"""The document: what may stand at the top of a spec file, and in its sections.

Fields of type `Raw` keep their piece of the tree, because it holds layers or formulas
whose values are known only later; all others are plain data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from compiler.diagnostics import SpecError, diagnostic
from compiler.home import Home


class RawMarker:
    """Marks a field that keeps its node."""


Raw = Annotated[Any, RawMarker(), WithJsonSchema({})]


class Section(BaseModel):
    """The base of all sections of a spec."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class Document(Section):
    """A spec file.

    A recipe is a document with `data`, `task` and `train`; the runtime's own subclass
    declares those.

    Attributes:
        one_of: the places of maps that say which one of several things is meant, with the keys
            that say it (none: every key); see `merge`.
    """

    one_of: ClassVar[Mapping[str, Collection[str]]] = {"defaults.*.init.*": ()}

    @classmethod
    def open_bundle(cls, reference: str, home: Home) -> Path:
        """The spec in a bundle that `extends: {bundle: …}` names.

        The runtime's own document opens them. What it gives has been looked at: it is the
        bundle that was meant, and undamaged. No path in the spec leads out of its folder.

        Args:
            reference: as it is written.
            home: where the spec lies that names it: where relative paths begin.

        Raises:
            SpecError: it cannot be opened, or is not in order.
        """
        raise SpecError([diagnostic("F0217", f"the bundle `{reference}` cannot be opened here",
                                    help="name a spec: `extends: base.yaml`")])

    flaxspec: Literal[1] = Field(description="the version of the language")
    name: str = Field("", description="what the model is called; the file's name where absent")
    summary: str = Field("", description="one line on what it is")
    source: str | tuple[str, ...] = Field("", description="where it was published: addresses")
    extends: Raw = Field(None, description="the spec that this one is, but for what it changes")
    patch: Raw = Field(None, description="changes to single layers of that spec, by their paths")
    params: Raw = Field(None, description="the knobs, with a default or a type each")
    let: Raw = Field(None, description="named values, computed from params")
    variants: Raw = Field(None, description="named settings of the params")
    facts: Raw = Field(None, description="published figures by variant, proven by `check --facts`")
    inputs: Raw = Field(None, description="the tensors that the model takes")
    use: Raw = Field(None, description="other files whose blocks are used, by prefix")
    defaults: Raw = Field(None, description="operator fields to set throughout the file")
    blocks: Raw = Field(None, description="parametric groups of layers, used like operators")
    model: Raw = Field(None, description="the layers, top to bottom, or another spec to use")
    outputs: Raw = Field(None, description="results by name: a layer's name for each")


class Extended(Section):
    """`extends` in full: the spec that a file changes."""

    spec: str = Field("", description="a file beside this one, or a name from the zoo")
    bundle: str = Field("", description="a bundle, instead of a spec")
    variant: str = Field("", description="one of its variants, as what to begin with")


class Param(Section):
    """A param in full."""

    type: Literal["int", "float", "bool", "string", "list", "layers"] = Field(
        description="what kind of value it takes"
    )
    default: Raw = Field(None, description="its value where none is given; absent: required")
    min: float | None = Field(None, description="the least value allowed")
    max: float | None = Field(None, description="the greatest value allowed")
    choices: tuple[Any, ...] | None = Field(None, description="the values allowed")
    help: str = Field("", description="what it is for")


class Input(Section):
    """One tensor that a model takes."""

    kind: Literal["tensor", "tokens", "category"] = Field(
        "tensor", description="numbers, a sequence of indices, or one index"
    )
    shape: Raw = Field(None, description="sizes without the batch; `any` is an unknown length")
    axes: (
        tuple[Literal["time", "depth", "height", "width", "frequency", "channels"], ...] | None
    ) = Field(None, description="what each axis is; by rank where absent")
    vocabulary: Raw = Field(None, description="for indices: how many there are")
    length: Raw = Field(None, description="for tokens: how many steps, or `any`")


class Block(Section):
    """A parametric group of layers."""

    summary: str = Field("", description="one line on what it is")
    params: Raw = Field(None, description="its knobs; the first is its main field")
    let: Raw = Field(None, description="named values")
    inputs: tuple[str, ...] = Field(("x",), description="the names of the tensors it takes")
    layers: Raw = Field(description="its layers, top to bottom")
    outputs: Raw = Field(None, description="results by name: a local layer's name for each")


class Fact(Section):
    """Published figures of one variant."""

    params: int | None = Field(None, description="trainable parameters")
    buffers: int | None = Field(None, description="running statistics")
    macs: int | None = Field(None, description="multiply-accumulates of one example")
    during: Literal["training", "evaluation"] = Field(
        "evaluation", description="the phase whose layers count for `macs`"
    )


class Used(Section):
    """Another spec, brought in."""

    spec: str = Field(description="a file beside this one, or a name from the zoo")
    variant: str = Field("", description="one of its variants")
    with_: Raw = Field(None, alias="with", description="values for its params")
    weights: str = Field("", description="a file with its weights, flaxspec's or another library's")


class ModelUse(Section):
    """`model: {use: …}`: the model is another spec's."""

    use: str = Field(description="a file beside this one, or a name from the zoo")
    variant: str = Field("", description="one of its variants")
    with_: Raw = Field(None, alias="with", description="values for its params")
    weights: str = Field("", description="a file to start from, flaxspec's or another library's")


class Loop(Section):
    """`for`: layers once for each element of lists that run side by side."""

    each: Raw = Field(description="a list for each name")
    index: str = Field("", description="the name of the iteration's number, from 0")
    let: Raw = Field(None, description="named values")
    layers: Raw = Field(description="the layers of one iteration")


class Repeat(Section):
    """`repeat`: layers a number of times."""

    times: Raw = Field(description="how often")
    index: str = Field("", description="the name of the iteration's number, from 0")
    let: Raw = Field(None, description="named values")
    layers: Raw = Field(description="the layers of one iteration")


class Choose(Section):
    """`choose`: the layers of the case that a value names."""

    value: Raw = Field(description="a formula or a value")
    cases: Raw = Field(description="layers for each value")


class Head(Section):
    """`output`: a head on the flow, which goes on unchanged."""

    name: str = Field(description="what the output is called")
    layers: Raw = Field(None, description="its layers; none gives the flow itself")


class Scan(Section):
    """`scan`: a body that steps through time, every step after the one before."""

    over: Raw = Field(None, description=(
        "the sequences to step through: an earlier tensor for the name that a step of it has; "
        "what arrives, as `x`, where not given"))
    carry: Raw = Field(None, description=(
        "the states: for each name what it begins with, an earlier tensor or `{zeros: SIZE}`"))
    layers: Raw = Field(description="the layers of one step")
    next: Raw = Field(None, description=(
        "for states whose next value is not of the layer of their name: the name in the body"))
    outputs: Raw = Field(None, description="further results of every step: a name of the body each")
    sample: Raw = Field(None, description=(
        "in training, how often a step sees its own last choice instead of the given symbol"))
    decode: Raw = Field(None, description="how to search, where nothing is given to step through")


class Zeros(Section):
    """A state that begins as zeros."""

    zeros: Raw = Field(description="its size, or a list of sizes")


class Each(Section):
    """`layers` with `each`: every step of an axis apart."""

    each: Literal["time"] = Field(description="the axis")
    layers: Raw = Field(description="the layers for one step")
