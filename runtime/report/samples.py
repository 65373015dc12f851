"""Texts that a language model goes on with."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from runtime.batch import Batch
from runtime.data.dataset import Part
from runtime.data.tokens import vocabulary_from
from runtime.saved import Trained

PROMPT, LENGTH = 40, 240  # tokens
TEMPERATURES = (0.3, 0.7, 1.0)


def continuations(
    trained: Trained, part: Part, count: int = 2,
) -> list[tuple[str, list[tuple[float, str]]]]:
    """For the beginnings of a few texts what the model goes on with, by temperature.

    Always the same for the same model and part.
    """
    (field,) = list(trained.inputs.values())[:1]
    meaning = trained.preprocessing.meaning
    if field not in meaning.labels or field not in part.arrays:
        return []
    vocabulary = meaning.fields[field].vocabulary or len(meaning.labels[field])
    names = meaning.names(field, vocabulary)
    stored = trained.preprocessing.fitted.get("vocabulary")
    decode = (lambda ids: text_of([names[i] for i in ids])) if stored is None else (
        vocabulary_from(stored).decode)
    found = []
    window = part.arrays[field].shape[1]
    lengths = part.lengths.get(field, np.full(part.size, window))
    full = np.flatnonzero(lengths == lengths.max())
    for i in np.unique(full[np.linspace(0, len(full) - 1, count).astype(int)]):
        row = np.asarray(part.arrays[field][np.array([i])])[0][:lengths[i]]
        prompt = row[:max(1, min(PROMPT, len(row) // 2))]
        texts = generate(trained, field, prompt, window, LENGTH, TEMPERATURES)
        found.append((decode(prompt.tolist()),
                      [(temperature, decode(text.tolist()))
                       for temperature, text in zip(TEMPERATURES, texts)]))
    return found


def generate(
    trained: Trained, field: str, prompt: np.ndarray, window: int, count: int,
    temperatures: Sequence[float], seed: int = 0,
) -> np.ndarray:
    """Tokens drawn one after the other, each given the last `window` of those before.

    Args:
        trained: a language model.
        field: its input.
        prompt: (steps,) the tokens to begin with.
        window: how many tokens the model sees.
        count: how many to draw.
        temperatures: one for each text; what logits are divided by.
        seed: chooses among the likely ones.

    Returns:
        (temperatures, count).
    """
    random = np.random.default_rng(seed)
    rows = len(temperatures)
    texts = np.tile(np.asarray(prompt, np.int32), (rows, 1))
    divisor = np.asarray(temperatures)[:, None]
    for _ in range(count):
        seen = texts[:, -window:]
        length = seen.shape[1]
        padded = np.pad(seen, [(0, 0), (0, window - length)])
        batch = Batch({field: jnp.asarray(padded)},
                      {field: jnp.full(rows, length, jnp.int32)}, jnp.ones(rows, bool))
        outputs = trained.forward(batch)
        logits = np.asarray(outputs[trained.task.chosen(outputs)].array[:, length - 1], np.float64)
        # The largest of logits with Gumbel noise is a draw from their distribution.
        noise = random.gumbel(size=logits.shape)
        drawn = (logits / divisor + noise).argmax(axis=-1).astype(np.int32)
        texts = np.concatenate([texts, drawn[:, None]], axis=1)
    return texts[:, len(prompt):]


def text_of(tokens: Sequence[str]) -> str:
    """Tokens as text: characters stand close, words apart."""
    if not tokens:
        return ""
    close = sum(map(len, tokens)) <= 1.2 * len(tokens)
    return ("" if close else " ").join(tokens)
