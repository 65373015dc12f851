"""Numbers in English words, with the same numbers in digits: made, not stored."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from runtime.data.paired import Paired
from runtime.data.source import Origin
from runtime.data.tokens import Characters, Tokeniser, Words

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset

SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((10**6, "million"), (10**3, "thousand"))
# Numbers have at most so many digits; a number of each length is as likely as of another.
DIGITS = 9
# Words of the longest way to write a number, and of the longest in the one way of `reverse`.
LONGEST, PLAIN = 17, 14
# Ids of all words, and of all digits, with the two marks and what neither has.
WORD_IDS, DIGIT_IDS = 110, 13
# Of so many examples one is written in each of the rarer ways.
RARE = 5


class NumberWords(Paired):
    """Numbers in words (`three hundred and five`), to be written in digits (`305`), or back.

    With and without `and`, commas and hyphens; `a hundred`; `twelve hundred`. All ways to write a
    number are in one part: no number that is tested was trained on, however it is written.
    """

    embedded: ClassVar[Origin] = Origin("numbers in words, made from a seed")

    dataset: Literal["number_words"] = Field(description="the word that chooses this source")
    count: int = Field(default=12_000, ge=100, le=500_000, description="how many to make")
    seed: int = Field(
        default=0, ge=0, description="chooses them, and their parts, whatever the training seed")
    reverse: bool = Field(
        default=False, description="whether digits are turned into words, of which there is then "
                                   "one way: `three hundred and five`")
    tokens: Tokeniser = Field(
        default=Words(split_at="spaces"), description="what a token of a text is")
    target_tokens: Tokeniser | None = Field(
        default=Characters(), description="what a token of a translation is")
    vocabulary: int | None = Field(
        default=WORD_IDS, gt=3, description="how many ids a text may have")
    target_vocabulary: int | None = Field(
        default=DIGIT_IDS, gt=3, description="how many ids a translation has")

    @model_validator(mode="before")
    @classmethod
    def _other_way(cls, fields: object) -> object:
        """Digits as texts and words as translations, where the recipe says nothing else."""
        if not isinstance(fields, dict) or fields.get("reverse") is not True:
            return fields
        return {"tokens": Characters(), "target_tokens": Words(split_at="spaces"),
                "vocabulary": DIGIT_IDS, "target_vocabulary": WORD_IDS, **fields}

    def sizes(self) -> tuple[int | None, int | None]:
        if (Characters() if self.reverse else Words(split_at="spaces")) != self.tokens or (
                Words(split_at="spaces") if self.reverse else Characters()) != self.target_tokens:
            return None, None  # what other tokens there are, only the numbers tell
        return (DIGITS, PLAIN + 1) if self.reverse else (LONGEST, DIGITS + 1)

    def load(self) -> Dataset:
        from runtime.data.split import grouped

        pairs = made(self.count, self.seed, self.reverse)
        numbers = [text if self.reverse else said for text, said in pairs]
        cut = grouped(numbers, self.validation, self.test, self.seed)
        return self.assembled({
            name: [pairs[i] for i in getattr(cut, name)]
            for name in ("train", "validation", "test")})


def made(count: int, seed: int, reverse: bool = False) -> list[tuple[str, str]]:
    """So many different ways to write numbers, each with its number; or numbers with the one way.

    Short numbers are as frequent as long ones, as far as there are enough of them.
    """
    # Python promises that `random` and `Random(seed)` stay as they are, and no more.
    draw = random.Random(seed).random
    found: dict[str, str] = {}
    while len(found) < count:
        number = int(draw() * 10 ** (1 + int(draw() * DIGITS)))
        rare = [draw() * RARE < 1 for _ in range(4)]
        if reverse:
            found[str(number)] = spelt(number)
        else:
            found[spelt(number, *rare)] = str(number)
    return list(found.items())


def spelt(
    number: int, bare: bool = False, commas: bool = False, apart: bool = False,
    idiom: bool = False,
) -> str:
    """A number below a thousand million in words.

    Args:
        number: it.
        bare: whether `and` is left out: `three hundred five`.
        commas: whether millions and thousands end with one.
        apart: whether tens and units have a space between them: `twenty one`.
        idiom: whether it is `a hundred`, and `twelve hundred`, where either can be said.
    """
    if not number:
        return SMALL[0]
    link = "" if bare else "and"
    if idiom and 1000 < number < 10_000 and number // 100 % 10:
        tens, rest = _tens(number // 100, apart), number % 100
        return " ".join(filter(None, (tens, "hundred", link if rest else "", _tens(rest, apart))))
    said: list[str] = []
    rest = number
    for size, scale in SCALES:
        if rest >= size:
            comma = "," if commas and rest % size >= 100 else ""
            said += [_hundreds(rest // size, link, apart), scale + comma]
        rest %= size
    if said and 0 < rest < 100:
        said.append(link)
    text = " ".join(filter(None, (*said, _hundreds(rest, link, apart))))
    return f"a{text[3:]}" if idiom and text.startswith(_ONES) else text


# What can begin with `a` instead.
_ONES = ("one hundred", "one thousand", "one million")


def _hundreds(number: int, link: str, apart: bool) -> str:
    """A number below a thousand; nothing for 0."""
    hundreds, rest = divmod(number, 100)
    said = [SMALL[hundreds], "hundred"] if hundreds else []
    return " ".join(filter(None, (*said, link if hundreds and rest else "", _tens(rest, apart))))


def _tens(number: int, apart: bool) -> str:
    """A number below a hundred; nothing for 0."""
    if number < len(SMALL):
        return SMALL[number] if number else ""
    tens, rest = divmod(number, 10)
    return TENS[tens] + (f"{' ' if apart else '-'}{SMALL[rest]}" if rest else "")
