"""Sentences of the grammar: what they are worth, and why counting words is not enough."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.data import reviews
from runtime.data.reviews import LONGEST, Reviews, sentences, words


def valued(clause: str) -> int:
    """What a clause is worth, read word by word."""
    denied = clause.startswith("nobody could say that ")
    rest = clause.removeprefix("nobody could say that ").split(" was ")[1]
    *before, adjective = rest.split()
    force = {word: force for force, options in reviews.BEFORE.items() for word in options}
    value = force[" ".join(before)] * (1 if adjective in reviews.PRAISE else -1)
    return -value if denied else value


def told(text: str) -> int:
    """What a sentence is worth, by the rules at the top of the file."""
    text = text.removesuffix(" .")
    for opening in reviews.OPENINGS[1:]:
        text = text.removeprefix(opening + " ")
    if text.startswith("although "):
        return valued(text.split(" , ")[1])
    for join, which in ((" , but ", 1), (" , although ", 0)):
        if join in text:
            return valued(text.split(join)[which])
    return sum(map(valued, text.split(" and ")))


@pytest.mark.parametrize("neutral", [False, True])
def test_every_sentence_is_what_the_rules_say(neutral: bool) -> None:
    found = sentences(900, neutral, 3)
    for text, label in found:
        assert np.sign(told(text)) == {"negative": -1, "neutral": 0, "positive": 1}[label], text
    labels = [label for _, label in found]
    assert {name: labels.count(name) for name in set(labels)} == (
        dict.fromkeys(reviews.CLASSES, 300) if neutral else {"negative": 450, "positive": 450})


def test_the_sentences_are_the_same_for_the_same_seed_and_all_different() -> None:
    first = sentences(500, False, 7)
    assert first == sentences(500, False, 7) and first != sentences(500, False, 8)
    assert len({text for text, _ in first}) == 500
    assert sentences(6000, False, 0)[0] == (FIRST, "negative")


FIRST = "in the end although the story was rather funny , the cast was very clumsy ."


def test_no_two_parts_share_a_sentence_and_every_word_is_known() -> None:
    data = Reviews(dataset="reviews", sentences=600).load()
    rows = [tuple(row) for part in (data.train, data.validation, data.test)
            for row in part.arrays["text"].tolist()]
    assert len(set(rows)) == len(rows) == 600
    assert data.train.lengths["text"].max() <= LONGEST
    assert data.fields["text"].vocabulary == len(words()) + 1
    reader = Reviews(dataset="reviews", sentences=600)
    part = reader.encode(["The plot was GOOD .", "zebra"], data.fitted)
    names = data.labels["text"]
    assert [names[i] for i in part.arrays["text"][0]] == ["the", "plot", "was", "good", "."]
    assert part.arrays["text"][1, 0] == 0 and part.lengths["text"].tolist() == [5, 1]


@pytest.mark.parametrize("run", [1, 2], ids=["words", "pairs of words"])
def test_counting_words_is_not_enough(run: int) -> None:
    """A ridge classifier on counts stays near chance; the networks reach 97 % and more."""
    found = sentences(4000, False, 0)
    place: dict[tuple[str, ...], int] = {}
    counts = np.zeros((len(found), 2000))
    for i, (text, _) in enumerate(found):
        tokens = text.split()
        for gram in zip(*(tokens[start:] for start in range(run))):
            counts[i, place.setdefault(gram, len(place))] += 1
    features = np.column_stack([counts[:, :len(place)], np.ones(len(found))])
    truth = np.array([1.0 if label == "positive" else -1.0 for _, label in found])
    train, test = slice(0, 3000), slice(3000, None)
    square = features[train].T @ features[train] + 5 * np.eye(features.shape[1])
    weights = np.linalg.solve(square, features[train].T @ truth[train])
    right = np.mean(np.sign(features[test] @ weights) == truth[test])
    assert 0.4 < right < 0.7
