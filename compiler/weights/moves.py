"""How an array of another library is made of ours, and ours of it, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """One of our arrays, as it lies in an array of another library.

    Attributes:
        ours: the name of our array: "kernel".
        shape: our shape.
        split: a finer shape that ours is seen in first; ours where empty.
        axes: the order of the axes there; as they are where empty.
        joined: the shape that comes of it; as it is where empty.
        blocks: the order there of the equal parts of our last axis: an LSTM's gates.
    """

    ours: str
    shape: Shape
    split: Shape = ()
    axes: tuple[int, ...] = ()
    joined: Shape = ()
    blocks: tuple[int, ...] = ()

    @property
    def _turned(self) -> Shape:
        """The shape after the axes were put in order."""
        split = self.split or self.shape
        return tuple(split[a] for a in self.axes) if self.axes else split

    @property
    def theirs(self) -> Shape:
        """The shape in the other library."""
        return self.joined or self._turned

    def there(self, array: np.ndarray) -> np.ndarray:
        """Our array in their layout."""
        array = _in_blocks(array, self.blocks)
        array = array.reshape(self.split or self.shape)
        return (array.transpose(self.axes) if self.axes else array).reshape(self.theirs)

    def here(self, array: np.ndarray) -> np.ndarray:
        """Their array in our layout."""
        array = array.reshape(self._turned)
        if self.axes:
            array = array.transpose(np.argsort(self.axes))
        return _in_blocks(array.reshape(self.shape), tuple(np.argsort(self.blocks)))


@dataclass(frozen=True)
class Theirs:
    """An array of another library's layer.

    Attributes:
        name: what it is called in its layer: "weight".
        parts: our arrays in it, one after another on its first axis.
        added: it is added to ours, which another one of theirs is as well: a second bias.
        also: other shapes that hold the same numbers in the same order.
    """

    name: str
    parts: tuple[Part, ...]
    added: bool = False
    also: tuple[Shape, ...] = ()

    @property
    def shape(self) -> Shape:
        first, *_ = shapes = [part.theirs for part in self.parts]
        return (sum(shape[0] for shape in shapes), *first[1:]) if len(shapes) > 1 else first

    def fits(self, shape: Shape) -> bool:
        """Whether an array of that shape may be this one."""
        return shape == self.shape or shape in self.also

    def there(self, arrays: Arrays) -> np.ndarray:
        """Their array, of ours by name."""
        if self.added:
            return np.zeros(self.shape, arrays[self.parts[0].ours].dtype)
        return np.concatenate([part.there(arrays[part.ours]) for part in self.parts])

    def here(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """Our arrays by name, of theirs."""
        ends = np.cumsum([part.theirs[0] for part in self.parts])[:-1]
        array = array.reshape(self.shape)
        pieces = np.split(array, ends) if len(self.parts) > 1 else [array]
        return {part.ours: part.here(piece) for part, piece in zip(self.parts, pieces)}


@dataclass(frozen=True)
class Module:
    """A layer of another library.

    Attributes:
        path: our layer's path.
        tensors: its arrays, in the library's order.
        kind: what the library calls such a layer, where its names tell: "conv2d".
        idle: names of arrays that belong to it and say nothing to us.
        zeros: our arrays that it has no counterpart for, which then are zeros.
    """

    path: str
    tensors: tuple[Theirs, ...]
    kind: str = ""
    idle: tuple[str, ...] = ()
    zeros: tuple[tuple[str, Shape], ...] = ()


def plain(name: str, shape: Shape, theirs: str) -> Theirs:
    """An array that lies the same in both."""
    return Theirs(theirs, (Part(name, shape),))


def turned(name: str, shape: Shape, axes: tuple[int, ...], theirs: str) -> Theirs:
    """An array whose axes have another order there."""
    return Theirs(theirs, (Part(name, shape, axes=axes),))


def joined(module: str, name: str) -> str:
    """The full name of a module's tensor; a layer saved alone has no module before it."""
    return f"{module}.{name}" if module else name


def _in_blocks(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The equal parts of the last axis in another order."""
    if not order:
        return array
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[i] for i in order], axis=-1)
