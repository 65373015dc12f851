"""What is said in sounds, as units: words or characters.

A unit that begins a word begins with `▁`, as in SentencePiece; a text is its units together.
Unit 0 is no unit: tasks that align texts with sounds use it for what is between units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from compiler.diagnostics import SpecError, diagnostic
from runtime.section import Section, problem

if TYPE_CHECKING:
    import numpy as np

BEGINS = "▁"
# How many unknown units a message names.
SHOWN = 5


class Transcripts(Section):
    """What texts are made of."""

    units: Literal["words", "characters"] = Field(description="what a text is cut into")
    lower: bool = Field(default=False, description="whether capitals are made small")
    known: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, description="the words or characters that there are, in the order of their "
                                  "numbers; those of the training part where not given")

    @model_validator(mode="after")
    def _are_units(self) -> Transcripts:
        for unit in self.known or ():
            if self.units == "characters" and len(unit) > 1:
                raise problem(f"`{unit}` is more than one character",
                              help="list characters, or say `units: words`")
            if self.units == "words" and len(unit.split()) != 1:
                raise problem(f"`{unit}` is not one word")
            if (self.known or ()).count(unit) > 1:
                raise problem(f"`known` has `{unit}` twice")
        return self

    @property
    def count(self) -> int | None:
        """How many classes there are, no unit among them, where that is declared."""
        return None if self.known is None else len(self.known) + 1

    def units_of(self, text: str) -> list[str]:
        """The units of a text; white space parts words and means nothing else."""
        words = (text.lower() if self.lower else text).split()
        return [BEGINS + word for word in words] if self.units == "words" else list(" ".join(words))

    def named(self, texts: Sequence[str]) -> tuple[str, ...]:
        """What the classes are called: nothing, and the units that there are.

        Args:
            texts: of the training part.
        """
        if self.known is not None:
            begin = BEGINS if self.units == "words" else ""
            return ("", *(begin + unit for unit in self.known))
        return ("", *sorted({unit for text in texts for unit in self.units_of(text)}))

    def numbered(
        self, texts: Sequence[str], names: Sequence[str], files: Sequence[str],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Texts as numbers of units, and how many of each are real.

        Args:
            texts: the texts.
            names: of the classes.
            files: what messages call each.

        Returns:
            (texts, units) int32 with zeros behind the ends, and (texts,) int32.

        Raises:
            SpecError: F0671 a unit is not known.
        """
        import numpy as np

        number = {name: at for at, name in enumerate(names)}
        rows = [self.units_of(text) for text in texts]
        unknown: dict[str, str] = {}
        for row, file in zip(rows, files):
            for unit in row:
                if unit not in number:
                    unknown.setdefault(unit, file)
        if unknown:
            raise SpecError([_unknown(unknown, self.units)])
        lengths = np.array([len(row) for row in rows], np.int32)
        array = np.zeros((len(rows), max(int(lengths.max(initial=1)), 1)), np.int32)
        for place, row in zip(array, rows):
            place[:len(row)] = [number[unit] for unit in row]
        return array, lengths


def _unknown(unknown: Mapping[str, str], units: str) -> Any:
    told = [f"`{unit.removeprefix(BEGINS)}` in {file}" for unit, file in unknown.items()]
    more = [f"and {len(told) - SHOWN:,} more"] if len(told) > SHOWN else []
    word = units if len(told) > 1 else units.removesuffix("s")
    return diagnostic(
        "F0671", f"the texts have {len(told):,} {word} that the training part does not have",
        notes=[*told[:SHOWN], *more],
        help="correct the texts, or list all that there are: "
             f"`transcripts: {{units: {units}, known: [...]}}`")


def joined(units: Sequence[str]) -> str:
    """Units as a text."""
    return "".join(units).replace(BEGINS, " ").strip()


def _spelt_out(value: Any) -> Any:
    return {"units": value} if isinstance(value, str) else value


Transcribed = Annotated[Transcripts, BeforeValidator(_spelt_out)]
