"""Sentences about films, made by a grammar: whether they praise or blame hangs on their order.

Every word that values something is used as often in praise as in blame, so that counting words
tells next to nothing: what counts is what a negation belongs to, how strong each part is, and
which side of "but" it stands on.

A clause has a value: its adjective praises (+) or blames (-), by 1 to 3.

    the plot was slightly dull                         -1
    the plot was dull                                  -2
    the plot was extremely dull                        -3
    the plot was hardly dull                           +1
    the plot was not dull                              +2
    the plot was far from dull                         +3
    nobody could say that the plot was far from dull   -3

A sentence is one clause, or two:

    A and B                 the sum of both: the stronger one wins
    A , but B               B decides, whatever A says against it
    although A , B          B decides
    B , although A          B decides
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.data.documents import Documents
from runtime.data.source import Origin, Source
from runtime.data.tokens import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

THINGS = ("film", "plot", "acting", "music", "story", "script", "dialogue", "ending", "camera",
          "cast", "humour", "pace", "lighting", "editing", "hero", "villain")
PRAISE = ("good", "great", "moving", "clever", "funny", "superb", "charming", "gripping",
          "beautiful", "fresh", "honest", "warm")
BLAME = ("bad", "dull", "boring", "clumsy", "silly", "dreadful", "tedious", "shallow", "ugly",
         "stale", "false", "cold")
# What stands before the adjective, by how strong it makes it; below 0, what it turns into.
BEFORE = {1: ("slightly", "a bit", "rather"), 2: ("", "quite"),
          3: ("extremely", "truly", "utterly", "very"),
          -1: ("hardly",), -2: ("not", "never"), -3: ("not at all", "far from")}
DENIAL = "nobody could say that"
OPENINGS = ("", "i thought", "to me", "last night", "in the end")
FORMS = ("one", "and", "but", "although", "although after")
CLASSES = ("negative", "neutral", "positive")
# The longest sentence has two denied clauses behind an opening.
LONGEST = 32


class Reviews(Source):
    """Sentences about films from a grammar, no two of them alike.

    Gives `text` (length), words, and `label`: `negative` or `positive`, with `neutral: true`
    also `neutral`, where two clauses balance each other.
    """

    embedded: ClassVar[Origin] = Origin(
        "sentences about films, made by a grammar of flaxspec's own", "",
        "Apache License 2.0, as flaxspec")

    dataset: Literal["reviews"] = Field(description="the word that chooses this source")
    sentences: int = Field(default=6000, ge=100, le=200_000, description="how many there are")
    neutral: bool = Field(
        default=False, description="whether there are sentences whose two clauses balance")
    grammar_seed: int = Field(default=0, ge=0, description="chooses the sentences")
    split_seed: int = Field(
        default=0, ge=0, description="chooses the cut into parts, whatever the training seed")

    @property
    def classes(self) -> list[str]:
        """What there is to say of a sentence."""
        return [name for name in CLASSES if self.neutral or name != "neutral"]

    @property
    def _reader(self) -> Documents:
        """What turns texts into numbers: they are read as any other texts are."""
        return Documents(documents="reviews", validation=self.validation, test=self.test,
                         classes=self.classes, tokens=Words(lowercase=True),
                         vocabulary=len(words()) + 1, length=LONGEST, buckets=1,
                         split_seed=self.split_seed)

    def fields(self) -> dict[str, TensorType]:
        return self._reader.fields()

    def targets(self) -> tuple[str, ...]:
        return ("label",)

    def load(self) -> Dataset:
        from runtime.data.tabular import from_records

        rows = [{"text": text, "label": label}
                for text, label in sentences(self.sentences, self.neutral, self.grammar_seed)]
        names = [f"sentence {number}" for number in range(1, len(rows) + 1)]
        table, reader = from_records(rows, ["text", "label"], names), self._reader
        return reader.made_of(reader.parted(table, "label", self.validation, self.test))

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Texts as the model takes them; words that are none of the grammar's are unknown."""
        return self._reader.encode(inputs, fitted, called)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A table of texts with their labels."""
        return self._reader.examples(path, known)


def sentences(count: int, neutral: bool, seed: int) -> list[tuple[str, str]]:
    """So many different sentences, each with its class; the same ones for the same arguments."""
    # Python promises the same numbers from `random()` in every version; from nothing else.
    drawn = random.Random(seed)

    def pick(options: Sequence[Any]) -> Any:
        return options[int(drawn.random() * len(options))]

    labels = [name for name in CLASSES if neutral or name != "neutral"]
    found: dict[str, str] = {}
    while len(found) < count:
        # As many of each class; what comes out otherwise is drawn again.
        wanted = labels[len(found) % len(labels)]
        text, value = _sentence(pick, ("and",) if wanted == "neutral" else FORMS)
        if CLASSES[(value > 0) - (value < 0) + 1] == wanted and text not in found:
            found[text] = wanted
    return list(found.items())


def _sentence(pick: Any, forms: Sequence[str] = FORMS) -> tuple[str, int]:
    """A sentence of one of the forms, and its value."""
    opening, form, (first, one), (second, other) = (
        pick(OPENINGS), pick(forms), _clause(pick), _clause(pick))
    while form not in ("one", "and") and one * other > 0:  # nothing is set against anything
        second, other = _clause(pick)
    match form:
        case "one":
            text, value = first, one
        case "and":
            text, value = f"{first} and {second}", one + other
        case "but":
            text, value = f"{first} , but {second}", other
        case "although":
            text, value = f"although {first} , {second}", other
        case _:
            text, value = f"{first} , although {second}", one
    return f"{opening} {text} .".strip(), value


def _clause(pick: Any) -> tuple[str, int]:
    """A clause and its value."""
    sign, force = pick((1, -1)), pick((1, 2, 3)) * pick((1, 1, -1))
    adjective, before = pick(PRAISE if sign > 0 else BLAME), pick(BEFORE[force])
    text = f"the {pick(THINGS)} was {before} {adjective}".replace("  ", " ")
    if pick((True, False, False, False, False)):
        return f"{DENIAL} {text}", -sign * force
    return text, sign * force


def words() -> list[str]:
    """Every word and sign of the grammar, in alphabetical order."""
    phrases = (*THINGS, *PRAISE, *BLAME, *OPENINGS, DENIAL, "the was and but although , .",
               *(phrase for options in BEFORE.values() for phrase in options))
    return sorted({word for phrase in phrases for word in phrase.split()})
