"""Every operator as a piece of source; what has none is refused by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from compiler.diagnostics import SpecError, diagnostic
from compiler.ops import WORDS
from compiler.targets.flax_source.site import Piece, Site

# Which function of which module makes the source of a family.
_FAMILIES = {
    "convolution": ("windows", "convolution"),
    "pooling": ("windows", "pooling"),
    "dense": ("elementwise", "dense"),
    "activation": ("elementwise", "activation"),
    "noise": ("elementwise", "noise"),
    "normalisation": ("norms", "normalisation"),
    "recurrent": ("recurrent", "recurrent"),
    "attention": ("attention", "attention"),
    "combine": ("joins", "join"),
    "shape": ("shapes", "shape"),
    "spectrum": ("spectrum", "spectrum"),
}


def piece_of(site: Site) -> Piece:
    """The source of a layer.

    Raises:
        SpecError: F0910 the operator is a user's own, known to nobody but its `apply`.
    """
    op = site.node.operation
    word = getattr(op, "word", "")
    family = WORDS.get(word)
    if family is None:
        span = site.node.origin.span
        raise SpecError([diagnostic(
            "F0910", f"`{word}` at `{site.node.path}` cannot be ejected",
            span=span, label="this operator is not one of flaxspec's",
            help="its `apply` is Python of your own: replace it by `identity` in the spec, eject "
                 "that, and put your function into the file")])
    module, name = _FAMILIES[family]
    function: Callable[..., Piece] = getattr(
        importlib.import_module(f"compiler.targets.flax_source.{module}"), name)
    return function(op, site)


def is_light(word: str) -> bool:
    """Whether a layer reads well around the one before it: relu(norm(conv(x)))."""
    return WORDS.get(word) in ("activation", "normalisation", "noise")
