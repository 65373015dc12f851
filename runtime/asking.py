"""What a user asks to have compiled: a path, a zoo name, text, or a reference to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from compiler.home import Home
from compiler.pipeline import Request
from compiler.source import Source
from runtime.recipe import Recipe
from runtime.share.reference import names_bundle

Spec = TypeVar("Spec", bound=str | Path | Source)


def request(
    spec: str | Path | Source, variant: str = "", assignments: Sequence[str] = (),
) -> Request:
    """The request for a spec, which may extend bundles; one that is a bundle is opened.

    Args:
        spec: a path, a name from the zoo, a reference to a bundle, or the text of a spec.
        variant: one of its variants.
        assignments: the texts of `--set`.

    Raises:
        SpecError: the bundle cannot be had, or is not in order.
    """
    return Request(spec_of(spec), variant, tuple(assignments), document=Recipe)


def spec_of(spec: Spec) -> Spec | Path:
    """What the compiler is to read: the spec's file of a bundle, else what was given.

    Raises:
        SpecError: the bundle cannot be had, or is not in order.
    """
    if isinstance(spec, Source) or not names_bundle(str(spec)):
        return spec
    return spec_in_bundle(str(spec))


def spec_in_bundle(reference: str, home: Home | None = None) -> Path:
    """The spec of a bundle, fetched where it is elsewhere, and looked at.

    Args:
        reference: to the bundle.
        home: where the spec lies that names it; None for the user's own reference.

    Raises:
        SpecError: F0850 to F0858.
    """
    from runtime.share.opening import opened

    return opened(reference, home).spec
