"""Spectrograms in JAX. What lies behind the end of a sound counts as silence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.spectrum import LogMel, SpectrumOperator

# What a variance of 0 is divided by: silence normalised is silence.
EPSILON = 1e-5


def apply(
    op: SpectrumOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """The spectrogram of (batch, time, channels); see `compiler.lower.layer.apply`."""
    (x,) = inputs
    sound = x.filled()
    lengths = x.lengths
    if lengths is not None:
        lengths = jnp.where(lengths > 0, jnp.maximum(lengths - op.size, 0) // op.hop + 1, 0)
    # A Fourier transform in half precision has no meaning for quiet sounds.
    wide = sound.astype(jnp.promote_types(sound.dtype, jnp.float32))
    power = _power(op, jnp.swapaxes(wide, 1, 2))
    mels = jnp.matmul(power, jnp.asarray(filters(op).T, power.dtype),
                      precision=jax.lax.Precision.HIGHEST)
    # (batch, channels, time, bands) to (batch, time, bands, channels).
    logs = jnp.moveaxis(jnp.log(mels / op.size + op.floor), 1, -1)
    result = Tensor(logs, ("time", "frequency", "channels"), lengths)
    result = normalised(result, op.normalise)
    return result.with_array(result.array.astype(x.array.dtype))


def _power(op: LogMel, sound: jax.Array) -> jax.Array:
    """(…, samples) to the power of each frequency (…, steps, frequencies)."""
    window = np.hanning(op.size + 1)[:-1]
    cut = frames(sound, op.size, op.hop) * jnp.asarray(window, sound.dtype)
    found = jnp.fft.rfft(cut, op.transformed, axis=-1)
    return jnp.square(found.real) + jnp.square(found.imag)


def frames(sound: jax.Array, size: int, hop: int) -> jax.Array:
    """Windows (…, steps, size) that begin at every hop and lie within (…, samples).

    They are put together from pieces of one hop, whose gradient is a sum of slices, where that
    of a gather would be a scatter.
    """
    samples = sound.shape[-1]
    if samples < size:
        sound, samples = _longer(sound, size - samples), size
    steps, pieces = (samples - size) // hop + 1, -(-size // hop)
    whole = (steps + pieces - 1) * hop
    sound = _longer(sound, whole - samples) if whole > samples else sound[..., :whole]
    blocks = sound.reshape(*sound.shape[:-1], steps + pieces - 1, hop)
    together = [blocks[..., i:i + steps, :] for i in range(pieces)]
    return jnp.concatenate(together, axis=-1)[..., :size]


def _longer(sound: jax.Array, more: int) -> jax.Array:
    return jnp.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(0, more)])


def filters(op: LogMel) -> np.ndarray:
    """What each frequency adds to each band: (bands, frequencies) float64."""
    corners = np.asarray(op.corners())
    places = np.arange(op.frequencies) * op.rate / op.transformed
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (places - low) / (centre - low), (high - places) / (high - centre)
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return triangles * (2 / (high - low)) if op.scale == "slaney" else triangles


def normalised(x: Tensor, how: str) -> Tensor:
    """Mean 0 and deviation 1 over the real steps of each row, of all bands or of each."""
    if how == "none":
        return x
    axes = (1,) if how == "band" else (1, 2)
    mask = x.mask()
    real = jnp.ones((1,) * x.array.ndim, bool) if mask is None else mask
    count = jnp.broadcast_to(real, x.array.shape).sum(axes, keepdims=True).clip(1)
    array = x.filled()
    mean = array.sum(axes, keepdims=True) / count
    away = jnp.where(real, array - mean, 0)
    variance = jnp.square(away).sum(axes, keepdims=True) / count
    return x.with_array(away * jax.lax.rsqrt(variance + EPSILON))
