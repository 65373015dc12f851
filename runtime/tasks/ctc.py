"""Connectionist temporal classification: texts without a place for each of their units.

Graves et al. 2006, https://doi.org/10.1145/1143844.1143891. At every frame a network says a unit
or nothing, the blank, which is class 0. A text is what is left of the path when repeats are one
and blanks are gone; its probability is the sum over all paths that leave it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

BLANK = 0
NEVER = -jnp.inf


def needed_frames(labels: jax.Array, lengths: jax.Array) -> jax.Array:
    """How many frames a text needs: one for each unit, and one between equal ones.

    Args:
        labels: (batch, units) integers.
        lengths: (batch,) how many of them are real.

    Returns:
        (batch,) integers.
    """
    real = jnp.arange(1, labels.shape[1]) < lengths[:, None]
    return lengths + ((labels[:, 1:] == labels[:, :-1]) & real).sum(axis=1)


def ctc_loss(
    logits: jax.Array, frames: jax.Array, labels: jax.Array, lengths: jax.Array,
) -> jax.Array:
    """The negative logarithm of the probability of each text, in nats, in float32 at least.

    Args:
        logits: (batch, frames, classes); class 0 is the blank.
        frames: (batch,) how many frames of each row are real.
        labels: (batch, units) classes from 1 on; what lies behind the end may be anything.
        lengths: (batch,) how many units of each row are real.

    Returns:
        (batch,); infinite, with a gradient of 0, where the frames do not suffice.
    """
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return ctc_of_logs(jax.nn.log_softmax(wide), frames, labels, lengths)


@jax.custom_vjp
def ctc_of_logs(
    logs: jax.Array, frames: jax.Array, labels: jax.Array, lengths: jax.Array,
) -> jax.Array:
    """As `ctc_loss`, of logarithms of probabilities."""
    return _forward(logs, frames, labels, lengths)[0]


def _forward(
    logs: jax.Array, frames: jax.Array, labels: jax.Array, lengths: jax.Array,
) -> tuple[jax.Array, Any]:
    """The loss, and what its gradient needs.

    A state of a path is a place in the text with a blank before, between and behind its units:
    (batch, states), 2 · units + 1 of them.
    """
    states, skips = _states(labels, lengths)
    emitted = jnp.moveaxis(_at(logs, states), 1, 0)
    begin = jnp.full(states.shape, NEVER, logs.dtype).at[:, 0].set(0)

    def step(alpha: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        emission, frame = given
        two = jnp.where(skips, _moved(alpha, 2), NEVER)
        reached = _sum(alpha, _moved(alpha, 1), two) + emission
        alpha = jnp.where((frame < frames)[:, None], reached, alpha)
        return alpha, alpha

    last, alphas = jax.lax.scan(step, begin, (emitted, jnp.arange(logs.shape[1])))
    total = jax.nn.logsumexp(jnp.where(_ends(states, lengths), last, NEVER), axis=1)
    return -total, (logs, states, skips, emitted, alphas, total, frames, lengths)


def _backward(kept: Any, cotangent: jax.Array) -> tuple[jax.Array, None, None, None]:
    """How often each class is said at each frame by the paths, times -1."""
    logs, states, skips, emitted, alphas, total, frames, lengths = kept
    ends = jnp.where(_ends(states, lengths), 0.0, NEVER).astype(logs.dtype)

    def step(
        ahead: jax.Array, given: tuple[jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        """From the sum over what follows a frame, its own emission in it, to that before it."""
        emission, frame = given
        two = _moved(jnp.where(skips, ahead, NEVER), -2)
        beta = jnp.where((frame == frames - 1)[:, None], ends,
                         _sum(ahead, _moved(ahead, -1), two))
        beta = jnp.where((frame < frames)[:, None], beta, NEVER)
        return beta + emission, beta

    nothing = jnp.full(states.shape, NEVER, logs.dtype)
    _, betas = jax.lax.scan(
        step, nothing, (emitted, jnp.arange(logs.shape[1])), reverse=True)
    possible = jnp.isfinite(total)
    share = jnp.exp(alphas + betas - jnp.where(possible, total, 0)[:, None])
    share = jnp.where(possible[:, None], share, 0) * cotangent[:, None]
    classes = jax.nn.one_hot(states, logs.shape[2], dtype=logs.dtype)
    gradient = -jnp.einsum("tbs,bsc->btc", share, classes, precision=jax.lax.Precision.HIGHEST)
    return gradient, None, None, None


ctc_of_logs.defvjp(_forward, _backward)


def _states(labels: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The class of each state (batch, states), and whether the blank before it may be skipped."""
    real = jnp.arange(labels.shape[1]) < lengths[:, None]
    units = jnp.where(real, labels, BLANK)
    states = jnp.full((len(labels), 2 * labels.shape[1] + 1), BLANK, units.dtype)
    states = states.at[:, 1::2].set(units)
    before = jnp.pad(states, [(0, 0), (2, 0)])[:, :-2]
    return states, (states != BLANK) & (states != before)


def _ends(states: jax.Array, lengths: jax.Array) -> jax.Array:
    """True at the states in which a path may end: the last unit, and the blank behind it."""
    place = jnp.arange(states.shape[1])
    return (place == 2 * lengths[:, None]) | (place == 2 * lengths[:, None] - 1)


def _at(logs: jax.Array, states: jax.Array) -> jax.Array:
    """What each frame says of each state: (batch, frames, states)."""
    where = jnp.broadcast_to(states[:, None], (*logs.shape[:2], states.shape[1]))
    return jnp.take_along_axis(logs, where, axis=2)


def _moved(values: jax.Array, by: int) -> jax.Array:
    """(batch, states) moved to later states, or with a negative `by` to earlier ones."""
    pads = [(0, 0), (max(by, 0), max(-by, 0))]
    wide = jnp.pad(values, pads, constant_values=NEVER)
    return wide[:, :values.shape[1]] if by > 0 else wide[:, -by:]


def _sum(*logs: jax.Array) -> jax.Array:
    """The logarithm of a sum; of nothing but zeros too."""
    top = jnp.maximum(logs[0], logs[1]) if len(logs) == 2 else jnp.maximum(
        jnp.maximum(logs[0], logs[1]), logs[2])
    finite = jnp.where(jnp.isfinite(top), top, 0)
    total = jnp.exp(logs[0] - finite) + jnp.exp(logs[1] - finite)
    if len(logs) == 3:
        total = total + jnp.exp(logs[2] - finite)
    return finite + jnp.log(total)
