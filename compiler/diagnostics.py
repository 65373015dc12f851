"""Diagnostics: what is wrong, where, and how to mend it, as data.

A `Diagnostic` never holds formatted text with colours or positions in it; the
renderers at the bottom turn it into the form of the terminal or into JSON.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.source import Span


@dataclass(frozen=True, slots=True)
class Label:
    """A remark on a place."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint.

    Attributes:
        code: a key of `CODES`, for good: a code is never given another meaning.
        headline: what was found, in one line, names in backticks.
        labels: the places; the first is where the mistake is.
        notes: facts that help to understand it, one line each.
        help: how to mend it, or "".
        severity: "error" stops the compiler, "warning" does not.
    """

    code: str
    headline: str
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    severity: str = "error"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"{self.code} is not in the table of codes")


class SpecError(Exception):
    """A spec that cannot be compiled; carries every diagnostic found so far."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(render(d) for d in self.diagnostics))


@dataclass(slots=True)
class Report:
    """Collects diagnostics, so that every error of a file is told at once."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic, once: the same complaint from two uses of a block is one."""
        if diagnostic not in self.diagnostics:
            self.diagnostics.append(diagnostic)

    def error(
        self, code: str, headline: str, span: Span | None = None, label: str = "", *,
        notes: Iterable[str] = (), help: str = "", more: Iterable[Label] = (),
    ) -> None:
        """Add an error at `span`; `more` are further places that bear on it."""
        self.add(diagnostic(code, headline, span, label, notes=notes, help=help, more=more))

    def warning(
        self, code: str, headline: str, span: Span | None = None, label: str = "", *,
        notes: Iterable[str] = (), help: str = "", more: Iterable[Label] = (),
    ) -> None:
        """Add a warning at `span`."""
        self.add(diagnostic(code, headline, span, label, notes=notes, help=help, more=more,
                            severity="warning"))

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity == "error"]

    def check(self) -> None:
        """Raise SpecError if there is an error among the diagnostics."""
        if self.errors:
            raise SpecError(self.diagnostics)


def diagnostic(
    code: str, headline: str, span: Span | None = None, label: str = "", *,
    notes: Iterable[str] = (), help: str = "", more: Iterable[Label] = (),
    severity: str = "error",
) -> Diagnostic:
    """A Diagnostic whose first label is `span` with the remark `label`."""
    first = (Label(span, label),) if span is not None else ()
    return Diagnostic(code, headline, (*first, *more), tuple(notes), help, severity)


def nearest(word: str, words: Iterable[str]) -> str:
    """"did you mean `kernel`?" for the nearest of `words`, or "" where none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""


# Every code and the title of its page in docs/errors.md. F01 is the YAML text,
# F02 the document and its fields, F03 names and formulas, F04 shapes and types,
# F05 limits, F06 files and recipes, F07 facts, F08 running.
CODES = {
    "F0101": "the text is not YAML",
}


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text, in the form that docs/errors.md shows."""
    return f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.headline}"
