"""The specs that one spec refers to: from a reference to a parsed tree, each file read once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from compiler import zoo
from compiler.diagnostics import Label, Report, SpecError
from compiler.home import Home, here
from compiler.parse import Mapping, parse, read_source
from compiler.source import Span
from compiler.spec import Document

# How many files may refer to one another in a chain.
MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """A spec that another one refers to.

    Attributes:
        tree: its tree, as it is written.
        path: its file, links followed: what it is known by.
        variant: the variant that the reference implies, or "".
        stem: its file's name without the suffix.
    """

    tree: Mapping
    path: Path
    variant: str
    stem: str


@dataclass(slots=True)
class Files:
    """Opens what specs refer to.

    Attributes:
        cls: the document's class, which opens bundles.
        report: where errors go.
        trees: the files read so far.
    """

    cls: type[Document]
    report: Report
    trees: dict[Path, Mapping] = field(default_factory=dict)

    def named(self, reference: str, span: Span, home: Home | None, verb: str) -> Opened | None:
        """A file or a zoo name; None, and a report, where it cannot be opened.

        Args:
            reference: as the spec names it.
            span: where it does.
            home: where paths begin that are written there.
            verb: what is done with it, for messages: "used".
        """
        home = span.source.home or home or here()
        try:
            path, variant = zoo.find(reference, home)
        except zoo.NotFound as error:
            self.report.error(error.code, str(error), span, error.near, help=error.help)
            return None
        return self._opened(path, zoo.shown(path, reference), zoo.home_in(path, home), variant,
                            span, verb)

    def bundled(self, reference: str, span: Span, home: Home | None) -> Opened | None:
        """The spec in a bundle; None, and a report, where it cannot be opened."""
        try:
            path = self.cls.open_bundle(reference, span.source.home or home or here())
        except SpecError as error:
            self._complain(error, Label(span, "extended here"))
            return None
        home = Home(path.parent, path.parent.resolve(), sealed=True)
        return self._opened(path, f"{reference}/{path.name}", home, "", span, "extended")

    def _opened(self, path: Path, shown: str, home: Home, variant: str, span: Span,
                verb: str) -> Opened | None:
        real = path.resolve()
        if real not in self.trees:
            try:
                self.trees[real] = parse(read_source(path, shown, home), self.report)
            except SpecError as error:
                self._complain(error, Label(span, f"{verb} here"))
                return None
        return Opened(self.trees[real], real, variant, path.stem)

    def _complain(self, error: SpecError, where: Label) -> None:
        """Report what was wrong with a file; what has no place in it, where it is named."""
        for complaint in error.diagnostics:
            self.report.add(complaint if complaint.labels
                            else replace(complaint, labels=(where,)))
