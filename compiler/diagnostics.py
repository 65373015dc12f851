"""Diagnostics: what is wrong, where, and how to mend it, as data.

A `Diagnostic` never holds formatted text with colours or positions in it; the
renderers at the bottom turn it into the form of the terminal or into JSON.
"""

from __future__ import annotations

import difflib
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.source import Source, Span, excerpt, visible

MAX_TEXT = 1_000  # characters of one text in a diagnostic


def shortened(text: str) -> str:
    """The text with its middle left out, where it is longer than anybody reads."""
    half = MAX_TEXT // 2
    return text if len(text) <= MAX_TEXT else f"{text[:half]} … {text[-half:]}"


@dataclass(frozen=True, slots=True)
class Label:
    """A remark on a place."""

    span: Span
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shortened(self.text))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint.

    Attributes:
        code: a key of `CODES`, for good: a code is never given another meaning.
        headline: what was found, in one line, names in backticks.
        labels: the places; the first is where the mistake is.
        notes: facts that help to understand it, one line each.
        help: how to mend it, or "".
        severity: "error" stops the compiler, "warning" does not, "hint" may be hidden.
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
        # A name in a spec may be as long as the spec.
        object.__setattr__(self, "headline", shortened(self.headline))
        object.__setattr__(self, "help", shortened(self.help))
        object.__setattr__(self, "notes", tuple(map(shortened, self.notes)))


class SpecError(Exception):
    """A spec that cannot be compiled; carries every diagnostic found so far."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(render(d) for d in self.diagnostics))


# Complaints about one spec; a machine-made file could hold a hundred thousand mistakes.
MAX_DIAGNOSTICS = 200


@dataclass(slots=True)
class Report:
    """Collects diagnostics, so that every error of a file is told at once.

    Attributes:
        diagnostics: those found so far.
        asked: how often a near name was looked for.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)
    asked: int = field(default=0, init=False, repr=False)
    _known: set[Diagnostic] = field(default_factory=set, init=False, repr=False)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic, once: the same complaint from two uses of a block is one.

        Raises:
            SpecError: there are so many that nobody reads more.
        """
        if diagnostic in self._known:
            return
        if len(self.diagnostics) >= MAX_DIAGNOSTICS:
            last = Diagnostic("F0501", f"there are more than {MAX_DIAGNOSTICS} mistakes",
                              help="mend these first; what comes after them is not told")
            if last not in self._known:
                self._known.add(last)
                self.diagnostics.append(last)
            raise SpecError(self.diagnostics)
        self._known.add(diagnostic)
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

    def hint(
        self, code: str, headline: str, span: Span | None = None, label: str = "", *,
        notes: Iterable[str] = (), help: str = "", more: Iterable[Label] = (),
    ) -> None:
        """Add a hint at `span`: a remark that callers may hide."""
        self.add(diagnostic(code, headline, span, label, notes=notes, help=help, more=more,
                            severity="hint"))

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
# F05 limits, F06 files and recipes, F07 facts, samples and forecasts, F08 running, F09 sharing,
# leaving and drawing.
CODES = {
    "F0101": "the text is not YAML",
    "F0102": "the file cannot be read",
    "F0103": "the file is too large",
    "F0104": "the file is not UTF-8 text",
    "F0105": "a character that a spec may not hold",
    "F0106": "the spec is empty",
    "F0107": "the spec is not a map of sections",
    "F0108": "several documents in one file",
    "F0109": "two values for one key",
    "F0110": "a key that is not a name",
    "F0111": "a tag outside the core schema",
    "F0112": "an alias without an anchor",
    "F0113": "an anchor that contains itself",
    "F0114": "the aliases stand for too much",
    "F0115": "the spec is nested too deeply",
    "F0116": "the spec has too many values",
    "F0117": "a number is out of range",
    "F0118": "a formula that needs quotes",
    "F0119": "a space is missing after a colon or dash",
    "F0120": "a colon is missing after a name",
    "F0121": "a tab where YAML needs spaces",
    "F0122": "a bracket is not closed",
    "F0123": "a quote is not closed",
    "F0124": "the indentation matches nothing",
    "F0125": "the merge key `<<`",
    "F0126": "a second colon in one line",
    "F0127": "a character that no plain text begins with",
    "F0128": "an escape that YAML does not know",
    "F0129": "a comma is missing or too many",
    "F0130": "YAML 1.1 reads another value",
    "F0131": "YAML 1.1 reads a text",
    "F0201": "a section has the wrong form",
    "F0202": "an unknown operator or block",
    "F0203": "an unknown field",
    "F0204": "a field is missing",
    "F0205": "a field's value is not one that it takes",
    "F0206": "a layer is not one operator",
    "F0207": "a field or modifier at the wrong indentation",
    "F0208": "a modifier that cannot be",
    "F0209": "a name that cannot be",
    "F0210": "a name used twice",
    "F0211": "a block with the name of an operator",
    "F0212": "an unknown variant",
    "F0213": "a value that a param does not take",
    "F0214": "a param without a value",
    "F0216": "a variant that extends itself",
    "F0217": "a spec that cannot be found",
    "F0218": "the version of the language",
    "F0219": "a `--set` that cannot be applied",
    "F0221": "nothing to compile",
    "F0222": "axes that do not fit a shape",
    "F0230": "a spec that extends itself",
    "F0231": "a path that leads nowhere",
    "F0232": "a patch that cannot be applied",
    "F0233": "patches that undo one another",
    "F0234": "a path that leaves its folder",
    "F0301": "a formula cannot be read",
    "F0302": "a formula reads an unknown name",
    "F0303": "a formula mixes types that do not go together",
    "F0304": "a formula has no value",
    "F0305": "a formula uses an unknown function or attribute",
    "F0306": "a formula goes beyond a limit",
    "F0310": "a name that leads nowhere",
    "F0313": "the lists of a loop have different lengths",
    "F0314": "a loop over something else than a list",
    "F0315": "no case for a value",
    "F0316": "a condition that is neither true nor false",
    "F0401": "an input that an operator cannot take",
    "F0402": "too few or too many tensors arrive",
    "F0403": "an axis that is not there",
    "F0404": "a size that must be known",
    "F0405": "a window larger than its axis",
    "F0406": "groups that do not divide the channels",
    "F0407": "fields of an operator that are missing or exclude each other",
    "F0408": "a window over no axis, or over too many",
    "F0409": "an operator of indices gets something else",
    "F0410": "a list as long as the channels, and another number of channels",
    "F0411": "padding as large as its window",
    "F0412": "the branches of a join have different shapes",
    "F0413": "shared layers with different parameters",
    "F0414": "a layer of one phase changes the shape",
    "F0415": "a state without a next value",
    "F0416": "a state that changes its shape",
    "F0417": "a time axis inside a scan",
    "F0418": "numbers kept from batch to batch inside a scan",
    "F0419": "a scan that cannot choose its symbols",
    "F0420": "sequences of different lengths side by side",
    "F0421": "a parameter borrowed from outside a scan",
    "F0440": "an operator of floats gets something else",
    "F0442": "a size that cannot be divided equally",
    "F0443": "bounds that no number keeps",
    "F0445": "axes that a tensor cannot have",
    "F0446": "another number of elements",
    "F0447": "a mirror image larger than the tensor",
    "F0448": "nothing is left of an axis",
    "F0449": "a slice of time counted from both ends",
    "F0450": "a vocabulary smaller than that of its indices",
    "F0451": "a fraction among integers",
    "F0452": "fields that do not go together",
    "F0453": "an index beyond its axis",
    "F0454": "another order of other axes",
    "F0455": "a sequence longer than its positional encoding",
    "F0456": "a memory without steps",
    "F0457": "a query and a memory of different widths",
    "F0458": "causal attention without an order",
    "F0459": "the branches of a join hold different kinds",
    "F0460": "a new axis that cannot be",
    "F0461": "matrices that cannot be multiplied",
    "F0480": "a window that has no frequencies",
    "F0481": "frequencies that a sound does not have",
    "F0482": "a band without a frequency",
    "F0501": "too many mistakes",
    "F0502": "too many variants",
    "F0503": "too many layers",
    "F0504": "the spec is nested too deeply",
    "F0505": "too many iterations",
    "F0506": "a tensor is too large",
    "F0701": "a fact that is not true",
    "F0710": "a forecast that cannot go on from itself",
    "F0720": "a value for a run that is finished",
    "F0721": "a backtest of something that forecasts nothing",
    "F0722": "a series that cannot be cut into so many folds",
    "F0725": "a metric that the model has no part in",
    "F0610": "a recipe lacks a section",
    "F0611": "a recipe's fields do not go together",
    "F0612": "an unknown data set, task or augmentation",
    "F0613": "an optimiser that optax does not have",
    "F0614": "the data does not fit the model's inputs",
    "F0615": "the data has no such field",
    "F0616": "the model has no such output",
    "F0617": "an output does not suit the task",
    "F0618": "a part of the data is empty",
    "F0619": "a setting that does not fit the data",
    "F0620": "a pattern that matches no parameter",
    "F0630": "a data file that cannot be read",
    "F0631": "data without examples",
    "F0632": "a column that the data does not have",
    "F0633": "a row of the data that is wrong",
    "F0634": "the data is not what the recipe declares",
    "F0635": "the same example in two parts of the data",
    "F0636": "a package is missing",
    "F0637": "a file that cannot be fetched",
    "F0638": "a fetched file that is another one",
    "F0640": "an argument of a loss that is nowhere",
    "F0641": "an argument of a loss that is two things",
    "F0642": "the arguments of a loss do not suit it",
    "F0643": "the name of a loss is taken",
    "F0644": "a loss of an output that is not there",
    "F0645": "losses and metrics that are not in order",
    "F0646": "a phase minimises a loss that there is not",
    "F0647": "parameters that no phase updates",
    "F0648": "a setting that does not go with phases",
    "F0660": "a line that is no part of a gettext catalogue",
    "F0661": "a damaged compiled catalogue",
    "F0662": "a model that cannot be searched",
    "F0670": "texts longer than the steps that should say them",
    "F0671": "a text with units that are not known",
    "F0672": "names of files that do not tell what is in them",
    "F0680": "outputs that make up no detector",
    "F0681": "a level that does not part the picture",
    "F0682": "annotations that are not what they should be",
    "F0683": "XML that is not safe to read",
    "F0684": "a box that is none",
    "F0685": "more boxes than there is room for",
    "F0690": "nothing to draw",
    "F0691": "vectors that do not fit the model",
    "F0692": "a line of a file of vectors that is wrong",
    "F0693": "vectors of other words",
    "F0702": "random numbers that cannot be told apart",
    "F0703": "a class that cannot be asked for",
    "F0704": "a classifier that cannot judge samples",
    "F0705": "a run that draws no pictures",
    "F0801": "the run folder exists already",
    "F0802": "the run folder cannot be written",
    "F0803": "the loss is no longer a number",
    "F0804": "the memory is too small",
    "F0805": "a file of weights that cannot be read",
    "F0806": "weights that do not fit the model",
    "F0807": "a file that is there already",
    "F0810": "not the folder of a finished run",
    "F0811": "an input that does not fit the model",
    "F0812": "a report that cannot be written",
    "F0820": "a checkpoint that cannot be written",
    "F0821": "a checkpoint that cannot be read",
    "F0822": "a checkpoint of another model",
    "F0823": "a run that cannot go on like this",
    "F0824": "a device that is not there",
    "F0825": "a folder that another process works in",
    "F0840": "a text that canonical style cannot hold",
    "F0841": "a file that cannot be written",
    "F0850": "a reference that names no bundle",
    "F0851": "a bundle that cannot be had",
    "F0852": "something that is no bundle",
    "F0853": "a bundle's manifest is damaged",
    "F0854": "a file that no bundle may have",
    "F0855": "a bundle's files are not those of its manifest",
    "F0856": "a bundle that is too large",
    "F0857": "another bundle than the one asked for",
    "F0858": "a spec of a bundle that reaches outside",
    "F0859": "a bundle that is not asked for anew",
    "F0860": "a bundle that cannot be pushed",
    "F0861": "a run that cannot be packed",
    "F0862": "a bundle without a claim",
    "F0863": "a bundle of another form",
    "F0880": "a file of weights that holds more than arrays",
    "F0881": "names of weights that are not known",
    "F0884": "a layer that another library does not have",
    "F0885": "a file of names that cannot be used",
    "F0886": "nothing is left to train",
    "F0899": "an internal error",
    "F0910": "an operator that cannot be ejected",
    "F0920": "a layer that ONNX cannot express",
    "F0921": "a runtime that does not take the exported file",
    "F0922": "a length that StableHLO cannot leave open",
    "F0923": "an exported file that computes something else",
    "F0924": "an exported file of another name",
    "F0940": "a block to open that a drawing does not have",
    "F0941": "a drawing with too many boxes",
    "F0942": "a drawing that cannot be written",
    "F0943": "a model of another program that cannot be read",
    "F0944": "a part of a model that cannot be imported",
    "F0945": "an imported model that contradicts itself",
    "F0947": "an imported model that is not the same in every respect",
    "F0948": "an imported model that cannot be written",
}


# ------------------------------------------------------------------------- renderers

_COLOURS = {"error": "31", "warning": "33", "hint": "36"}
_GUTTER = "34"
_BOLD = "1"


def render(diagnostic: Diagnostic, *, colour: bool = False, width: int | None = None) -> str:
    """The diagnostic in the form of the terminal, which docs/errors.md shows.

    Args:
        diagnostic: what to say.
        colour: with the colours of a terminal.
        width: columns after which notes and help go on in the next line.
    """
    mark = f"{_BOLD};{_COLOURS.get(diagnostic.severity, _BOLD)}"

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text

    pad = " " * max((len(str(label.span.line)) for label in diagnostic.labels), default=1)
    bar = paint(f"{pad} |", _GUTTER)
    lines = [paint(f"{diagnostic.severity}[{diagnostic.code}]", mark)
             + paint(f": {_one_line(diagnostic.headline)}", _BOLD)]
    for labels in _by_source(diagnostic.labels):
        lines += [f"{pad}{paint('-->', _GUTTER)} {_one_line(str(labels[0].span))}", bar]
        last = None  # the line shown last, which a second label on it need not show again
        for label in sorted(labels, key=lambda label: (label.span.line, label.span.column)):
            number, shown = label.span.line, excerpt(label.span)
            if last is not None and number > last[0] + 1:
                lines.append(paint("...", _GUTTER))
            if last != (number, shown.text):
                lines.append(f"{paint(f'{number:>{len(pad)}} |', _GUTTER)} {shown.text}".rstrip())
            last = (number, shown.text)
            first = label is diagnostic.labels[0]
            under = ("^" if first else "-") * shown.length + f" {_one_line(label.text)}"
            lines.append(f"{bar} {' ' * shown.offset}"
                         + paint(under.rstrip(), mark if first else _GUTTER))
    remarks = [*diagnostic.notes, *([f"help: {diagnostic.help}"] if diagnostic.help else [])]
    if remarks and diagnostic.labels:
        lines.append(bar)
    for remark in remarks:
        indent = " " * (len(pad) + (9 if remark.startswith("help: ") else 3))
        parts = visible(remark).split("\n")
        if width is not None:
            parts = [p for part in parts for p in _wrapped(part, width - len(indent))]
        text = f"\n{indent}".join(parts)
        lines.append(f"{pad} {paint('=', _GUTTER)} {text}")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """A line of a remark in lines that fit; one without blanks stays whole."""
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False,
                         drop_whitespace=True) or [text]


def as_json(diagnostic: Diagnostic) -> dict[str, object]:
    """The diagnostic for editors and scripts: plain data, lines and columns 1-based."""
    first = diagnostic.labels[0] if diagnostic.labels else None
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.headline,
        "label": first.text if first else "",
        **(_place(first.span) if first else {"file": None, "range": None}),
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
        "related": [{"message": label.text, **_place(label.span)}
                    for label in diagnostic.labels[1:]],
    }


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """"2 errors, 1 warning", or "no problems"."""
    counts = Counter(diagnostic.severity for diagnostic in diagnostics)
    words = [f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
             for severity in _COLOURS if counts[severity]]
    return ", ".join(words) or "no problems"


def _place(span: Span) -> dict[str, object]:
    return {
        "file": span.source.name,
        "range": {
            "start": {"line": span.line, "column": span.column},
            "end": {"line": span.end_line, "column": span.end_column},
        },
    }


def _by_source(labels: Iterable[Label]) -> list[list[Label]]:
    """The labels of each source apart, the first label's source first."""
    groups: dict[Source, list[Label]] = {}
    for label in labels:
        groups.setdefault(label.span.source, []).append(label)
    return list(groups.values())


def _one_line(text: str) -> str:
    return visible(text.replace("\n", " "))
