"""From frames to texts: the best path, the best text by prefix search, the best alignment."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from runtime.tasks.ctc import BLANK, NEVER


def greedy(logits: jax.Array, frames: jax.Array) -> jax.Array:
    """The texts that the most probable path of each row leaves: (batch, frames), -1 behind them.

    Args:
        logits: (batch, frames, classes).
        frames: (batch,) how many frames of each row are real.
    """
    said = logits.argmax(axis=-1)
    before = jnp.pad(said, [(0, 0), (1, 0)], constant_values=BLANK)[:, :-1]
    real = jnp.arange(said.shape[1]) < frames[:, None]
    return compact(jnp.where((said != BLANK) & (said != before) & real, said, -1))


def compact(units: jax.Array) -> jax.Array:
    """Rows (batch, steps) with what is not -1 moved to the front, in its order."""
    order = jnp.argsort(units < 0, axis=1, stable=True)
    return jnp.take_along_axis(units, order, axis=1)


class _Beam(NamedTuple):
    """Texts that are gone on with, (beams,) each; the probabilities are logarithms.

    `name` stands for a text: two hashes of 32 bits, that of the text without its last unit being
    `parent`. `blank` is the probability of all its paths that end in a blank, `unit` of the
    others.
    """

    blank: jax.Array
    unit: jax.Array
    last: jax.Array
    name: jax.Array
    parent: jax.Array


# Odd multipliers of two polynomial hashes (Knuth's and Murmur's).
_FACTORS = np.array([2654435761, 3432918353], np.uint32)


def beam_search(
    logits: jax.Array, frames: jax.Array, beams: int,
) -> tuple[jax.Array, jax.Array]:
    """The most probable text of each row, as far as a search with so many prefixes finds it.

    The paths of a text are added up (Graves & Jaitly 2014; Hannun et al. 2014, without a language
    model).

    Args:
        logits: (batch, frames, classes).
        frames: (batch,) how many frames of each row are real.
        beams: how many prefixes are kept at each frame.

    Returns:
        Texts (batch, frames) with -1 behind them, and the logarithms of their probabilities
        (batch,), in which paths that were cut off are missing.
    """
    logs = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    return jax.vmap(lambda row, count: _search(row, count, beams))(logs, frames)


def _search(logs: jax.Array, frames: jax.Array, beams: int) -> tuple[jax.Array, jax.Array]:
    classes = logs.shape[1]
    first = jnp.arange(beams) == 0
    nothing = jnp.full(beams, NEVER, logs.dtype)
    start = _Beam(jnp.where(first, 0.0, nothing), nothing, jnp.full(beams, BLANK),
                  jnp.where(first, 1, 0)[:, None].astype(jnp.uint32) * jnp.ones(2, jnp.uint32),
                  jnp.zeros((beams, 2), jnp.uint32))

    def step(beam: _Beam, given: tuple[jax.Array, jax.Array]) -> tuple[_Beam, jax.Array]:
        said, frame = given
        both = jnp.logaddexp(beam.blank, beam.unit)
        blank = both + said[BLANK]
        stays = jnp.where(beam.last == BLANK, NEVER, beam.unit + said[beam.last])
        # A unit said again is another one only behind a blank.
        again = jnp.arange(classes) == beam.last[:, None]
        longer = jnp.where(again, beam.blank[:, None], both[:, None]) + said
        longer = longer.at[:, BLANK].set(NEVER)
        # What makes a text that is in the beam by itself is added to that one.
        same = (beam.name[:, None] == beam.parent[None]).all(-1) & jnp.isfinite(both)[None] & (
            beam.last != BLANK)[None]
        joined = jnp.where(same, longer[:, beam.last], NEVER)
        unit = jnp.logaddexp(stays, jax.nn.logsumexp(joined, axis=0))
        taken = (same[:, :, None] & (jnp.arange(classes) == beam.last[None, :, None])).any(1)
        longer = jnp.where(taken, NEVER, longer)
        scores = jnp.concatenate([jnp.logaddexp(blank, unit), longer.reshape(-1)])
        _, best = jax.lax.top_k(scores, beams)
        grows = best >= beams
        source = jnp.where(grows, (best - beams) // classes, best)
        new = jnp.where(grows, (best - beams) % classes, -1)
        name = beam.name[source] * _FACTORS + new[:, None].astype(jnp.uint32) + 1
        after = _Beam(
            jnp.where(grows, NEVER, blank[source]),
            jnp.where(grows, scores[best], unit[source]),
            jnp.where(grows, new, beam.last[source]),
            jnp.where(grows[:, None], name, beam.name[source]),
            jnp.where(grows[:, None], beam.name[source], beam.parent[source]))
        real = frame < frames
        after = jax.tree.map(lambda a, b: jnp.where(real, a, b), after, beam)
        whence = jnp.where(real, jnp.stack([source, new]),
                           jnp.stack([jnp.arange(beams), jnp.full(beams, -1)]))
        return after, whence

    beam, whences = jax.lax.scan(step, start, (logs, jnp.arange(len(logs))))
    scores = jnp.logaddexp(beam.blank, beam.unit)

    def back(place: jax.Array, whence: jax.Array) -> tuple[jax.Array, jax.Array]:
        return whence[0, place], whence[1, place]

    _, units = jax.lax.scan(back, scores.argmax(), whences, reverse=True)
    return compact(units[None])[0], scores.max()


def aligned(logs: np.ndarray, units: np.ndarray) -> list[tuple[int, int]]:
    """The frames at which each unit of a text is said, on the best path that leaves it (Viterbi).

    Args:
        logs: (frames, classes) logarithms of probabilities.
        units: (units,) classes of the text.

    Returns:
        For each unit its first frame and the one behind its last; [] where the text does not
        fit.
    """
    states = np.zeros(2 * len(units) + 1, int)
    states[1::2] = units
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), -np.inf)
    best[0] = 0
    whences = np.zeros((len(logs), len(states)), int)
    for frame, said in enumerate(logs):
        reached = np.stack([best, np.r_[-np.inf, best][:-1],
                            np.where(skips, np.r_[-np.inf, -np.inf, best][:-2], -np.inf)])
        whences[frame] = reached.argmax(axis=0)
        best = reached.max(axis=0) + said[states]
    at = max(range(max(len(states) - 2, 0), len(states)), key=lambda s: best[s])
    if not np.isfinite(best[at]):
        return []
    path = np.zeros(len(logs), int)
    for frame in reversed(range(len(logs))):
        path[frame], at = at, at - whences[frame, at]
    places = [np.flatnonzero(path == 2 * i + 1) for i in range(len(units))]
    return [(int(p[0]), int(p[-1]) + 1) for p in places]
