"""What holds for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_are_let_go() -> Iterator[None]:
    """Thousands of compiled programs in one process use up its memory maps, so none outlives
    its module."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_quickly() -> Iterator[None]:
    """XLA leaves most of its optimisations out, which is half of what compiling takes.

    For modules whose arrays are tiny and whose claims are of values within a tolerance; never
    where bits are compared that differently compiled programs gave.
    """
    import jax

    name = "jax_disable_most_optimizations"
    jax.config.update(name, True)
    yield
    jax.config.update(name, False)
