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
