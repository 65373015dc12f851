"""BLEU and chrF are those of sacrebleu."""

import json
from pathlib import Path

import pytest

from runtime.tasks.overlap import bleu, chrf

REFERENCE = json.loads(
    Path(__file__).with_name("translation_reference.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", REFERENCE, ids=range(len(REFERENCE)))
def test_bleu_and_chrf_are_those_of_sacrebleu(case):
    texts = case["translations"], case["references"]
    assert bleu(*texts) == pytest.approx(case["bleu"], rel=1e-9, abs=1e-9)
    assert chrf(*texts) == pytest.approx(case["chrf"], rel=1e-9, abs=1e-9)


def test_a_corpus_of_nothing_scores_nothing():
    assert bleu([], []) == chrf([], []) == 0.0
