"""docs/operators.md is what the operators say of themselves."""

from __future__ import annotations

import os
import re
from pathlib import Path

from compiler.ops import WORDS
from compiler.ops.initialisers import INITIALISERS
from compiler.targets import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"


def test_the_page_is_what_the_operators_give() -> None:
    """Write it anew with GOLDEN=write after a change that is meant, and read the difference."""
    text = reference.page()
    if os.environ.get("GOLDEN") == "write":
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def test_every_operator_and_initialiser_has_its_place() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", text, re.M) == list(WORDS)
    assert re.findall(r"^\| `(\w+)` \| .*\|$", text.partition("## Initialisers")[2], re.M) == [
        *INITIALISERS]


def test_examples_are_of_operators_that_there_are() -> None:
    assert set(reference.EXAMPLES) <= set(WORDS)
