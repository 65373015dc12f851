"""Writes jiwer_reference.json, word and character error rates of jiwer.

    python tests/conformance/make_jiwer_reference.py

It needs jiwer, which the tests do not.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import jiwer

WORDS = "one two three four five six seven eight nine zero oh".split()


def cases() -> list[tuple[list[str], list[str]]]:
    """True texts and what was said."""
    drawn = random.Random(0)
    found = [(["one two"], ["one two"]), (["one two three"], [""]), (["a"], ["b a c"]),
             (["it's  one"], [" it's one "]), (["one two", "three"], ["one", "tree three four"])]
    for _ in range(20):
        true = [" ".join(drawn.choices(WORDS, k=drawn.randint(1, 9))) for _ in range(4)]
        said = []
        for text in true:
            words = [w if drawn.random() > 0.3 else drawn.choice([*WORDS, ""])
                     for w in text.split()]
            said.append(" ".join(w for w in words if w))
        found.append((true, said))
    return found


def main() -> None:
    """Write the file beside this one."""
    told = [{"true": true, "said": said, "wer": jiwer.wer(true, said),
             "cer": jiwer.cer(true, said)} for true, said in cases()]
    Path(__file__).with_name("jiwer_reference.json").write_text(
        json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
