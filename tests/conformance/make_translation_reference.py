"""Makes translation_reference.json: what sacrebleu says of texts made here.

    pip install sacrebleu
    python tests/conformance/make_translation_reference.py

It is needed for nothing else; the tests read the file.
"""

import json
import random
from pathlib import Path

import sacrebleu  # type: ignore[import-not-found]

OUT = Path(__file__).with_name("translation_reference.json")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "Straße", "naïve", "3.14", "1,000", "U.S.",
         "well-known", "9-to-5", "it's", "Tom & Jerry", "&quot;x&quot;", "(see", "p. 12)", "100%",
         "a/b", "e-mail", "日本", "…", "end.", "what?", "«oui»", "no,", "$5", "[x]", "x_y"]


def pieces(draw: random.Random, count: int, longest: int) -> list[list[str]]:
    """So many lists of words."""
    return [[draw.choice(WORDS) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def changed(draw: random.Random, words: list[str], rate: float) -> list[str]:
    """Words of which some are others, are missing, or stand twice."""
    found: list[str] = []
    for word in words:
        luck = draw.random()
        if luck < rate / 3:
            found.append(draw.choice(WORDS))
        elif luck < 2 * rate / 3:
            found += [word, word]
        elif luck > rate:
            found.append(word)
    return found


def cases() -> list[tuple[list[str], list[str]]]:
    """Translations and references: good ones, bad ones, short ones, odd ones."""
    draw = random.Random(0)
    made = []
    for count, longest, rate in ((12, 15, 0.1), (12, 15, 0.4), (12, 15, 0.9), (8, 3, 0.3),
                                 (1, 20, 0.3), (20, 8, 0.0)):
        references = pieces(draw, count, longest)
        made.append(([" ".join(changed(draw, words, rate)) for words in references],
                     [" ".join(words) for words in references]))
    return [
        *made,
        (["2021-05-03", "1998-12-31"], ["2021-05-03", "1998-12-30"]),
        (["", "a b c d e"], ["x", "a b c d e f"]),
        (["zzz"], ["qqq ppp"]),
        (["one two"], ["one two"]),
        (["a b\nc-\nd <skipped> e"], ["a b c d e"]),
    ]


def main() -> None:
    found = []
    for translations, references in cases():
        found.append({
            "translations": translations, "references": references,
            "bleu": sacrebleu.corpus_bleu(translations, [references]).score,
            "chrf": sacrebleu.corpus_chrf(translations, [references]).score})
    OUT.write_text(json.dumps(
        {"sacrebleu": sacrebleu.__version__, "cases": found}, ensure_ascii=False, indent=1) + "\n",
        encoding="utf-8")


if __name__ == "__main__":
    main()
