"""What an importer has to say of a file: everything at once, each with its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from compiler.diagnostics import MAX_DIAGNOSTICS, Diagnostic, SpecError, diagnostic


class Unsupported(Exception):
    """A part of a model that the language has no words for.

    Args:
        message: what it is, as a headline goes on after the place.
        help: what can be done, or "".
        code: F0944 it cannot be imported, F0945 the file contradicts itself.
    """

    def __init__(self, message: str, help: str = "", code: str = "F0944"):
        super().__init__(message)
        self.message, self.help, self.code = message, help, code


@dataclass
class Complaints:
    """Errors and remarks found so far.

    Attributes:
        file: the file's name.
    """

    file: str
    errors: list[Diagnostic] = field(default_factory=list)
    remarks: list[Diagnostic] = field(default_factory=list)

    def add(self, place: str, problem: Unsupported) -> None:
        """An error at a place: "layer `conv2d` (Conv2D, number 3)"."""
        self.errors.append(diagnostic(
            problem.code, f"{place}: {problem.message}", notes=[f"in {self.file}"],
            help=problem.help))
        if len(self.errors) >= MAX_DIAGNOSTICS:
            self.check()

    def remark(self, place: str, text: str, help: str = "") -> None:
        """A difference that a user should know of; the same one is told once, with its number."""
        for i, known in enumerate(self.remarks):
            if known.help == help and known.headline.partition(": ")[2].split(" (")[0] == text:
                times = len(known.notes) + 1
                self.remarks[i] = replace(known, notes=(*known.notes, f"also {place}")
                                          if times <= 3 else known.notes)
                return
        self.remarks.append(diagnostic("F0947", f"{place}: {text}", help=help,
                                       severity="warning"))

    def check(self) -> None:
        """Raise what was found.

        Raises:
            SpecError: there is an error.
        """
        if self.errors:
            raise SpecError(self.errors)


def refused(file: str, message: str, help: str = "", notes: Sequence[str] = ()) -> SpecError:
    """F0943: a file that is not read at all."""
    return SpecError([diagnostic("F0943", f"`{file}` {message}", notes=notes, help=help)])
