"""The local functions of an ejected file. `lengths` (batch,) may always be None."""

# ruff: noqa: E501 (the mark of a line is no part of the file that it goes to)

REAL_STEPS = '''
def real_steps(x, lengths, axis=1):
    """True at the real steps of each row, of size 1 along the other axes; None where all are."""
    if lengths is None:
        return None
    real = jnp.arange(x.shape[axis]) < lengths[:, None]
    shape = [1] * x.ndim
    shape[0], shape[axis] = real.shape
    return real.reshape(shape)
'''

ONLY_REAL = '''
def only_real(x, lengths, axis=1, fill=0):
    """x with `fill` at every step behind a row's end."""
    real = real_steps(x, lengths, axis)
    return x if real is None else jnp.where(real, x, jnp.asarray(fill, x.dtype))
'''

REAL_PLACES = '''
def real_places(x, lengths, axis=1):
    """(batch, places): which places of (batch, axes..., channels) are real; None where all are."""
    real = real_steps(x, lengths, axis)
    if real is None:
        return None
    return jnp.broadcast_to(real[..., 0], x.shape[:-1]).reshape(len(x), -1)
'''

WINDOW_LENGTHS = '''
def window_lengths(lengths, window, stride, pads=(0, 0), ceil=False):
    """How often a window fits on each row."""
    if lengths is None:
        return None
    room = lengths + sum(pads) - window
    fits = (-(-room // stride) if ceil else room // stride) + 1
    if ceil:
        fits -= (fits - 1) * stride >= lengths + pads[0]
    return jnp.where(lengths > 0, jnp.maximum(fits, 0), 0)
'''

SPREAD_LENGTHS = '''
def spread_lengths(lengths, stride, more):
    """The lengths that a transposed convolution makes."""
    if lengths is None:
        return None
    return jnp.where(lengths > 0, jnp.maximum((lengths - 1) * stride + more, 0), 0)
'''

SCALED_LENGTHS = '''
def scaled_lengths(lengths, times, by):
    """lengths * times / by, rounded up."""
    return None if lengths is None else -(-(lengths * times) // by)
'''

LONGER_ROWS = '''
def longer_rows(lengths, more, empty=False):
    """Lengths that grew by a number; empty rows stay empty unless `empty`."""
    if lengths is None:
        return None
    longer = jnp.maximum(lengths + more, 0)
    return longer if empty else jnp.where(lengths > 0, longer, 0)
'''

SHORTEST = '''
def shortest(*lengths):
    """A step of a join is real where it is in all its branches."""
    known = [n for n in lengths if n is not None]
    return functools.reduce(jnp.minimum, known) if known else None
'''

MAX_POOL = '''
def max_pool(x, window, stride, pads, dilation=None, ceil=False):
    """The largest number in each window over (batch, axes..., channels).

    `ceil` keeps a last window that reaches beyond the end.
    """
    sizes, reach = x.shape[1:], [d * (k - 1) + 1 for k, d in zip(window, dilation or (1,) * 9)]
    widths, places = [(0, 0)], []
    for size, r, s, (before, after) in zip(sizes, reach, stride, pads):
        room = size + before + after - r
        n = (-(-room // s) if ceil else room // s) + 1
        n -= ceil and (n - 1) * s >= size + before
        places.append(n)
        widths.append((before, max(after, (n - 1) * s + r - size - before)))
    widths += [(0, 0)] * (x.ndim - len(widths))
    x = jnp.pad(x, widths, constant_values=-jnp.inf)
    best = None
    for tap in itertools.product(*map(range, window)):
        starts = [t * d for t, d in zip(tap, dilation or (1,) * 9)]
        cuts = [slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, places, stride)]
        piece = x[(slice(None), *cuts)]
        best = piece if best is None else jnp.where(piece > best, piece, best)
    return best
'''

AVERAGE_POOL = '''
def average_pool(
    x, axes, window, stride, pads, ceil=False, count_padding=True, lengths=None, time=1
):
    """The mean of each window, over the places that count.

    The overhang of `ceil` never counts, padding does with `count_padding`; each row ends at its
    own length.
    """
    counts, widths, one = 1.0, [(0, 0)] * x.ndim, [1] * x.ndim
    windows, strides = list(one), list(one)
    for axis, k, s, (before, after) in zip(axes, window, stride, pads):
        size = x.shape[axis]
        room = size + before + after - k
        n = (-(-room // s) if ceil else room // s) + 1
        n -= ceil and (n - 1) * s >= size + before
        widths[axis] = (before, max(after, (n - 1) * s + k - size - before))
        windows[axis], strides[axis] = k, s
        end_of_row = lengths[:, None] if axis == time and lengths is not None else size
        start = jnp.arange(n) * s - before
        end = jnp.minimum(start + k, end_of_row + (after if count_padding else 0))
        count = jnp.maximum(end - (start if count_padding else jnp.maximum(start, 0)), 1)
        shape = list(one)
        shape[0], shape[axis] = count.shape if count.ndim == 2 else (1, n)
        counts = counts * count.reshape(shape)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, windows, strides, widths) / counts
'''

ADAPTIVE_AVERAGE_POOL = '''
def adaptive_average_pool(x, bins, lengths=None, time=None):
    """The means of a fixed number of bins along each axis, as PyTorch divides them.

    `bins` is a number for each axis; the bins of the time axis divide each row's own length.
    """
    for axis, number in bins.items():
        size = x.shape[axis]
        real = lengths if axis == time and lengths is not None else jnp.array([size])
        real, place = real[:, None, None], jnp.arange(size)[:, None]
        start = jnp.arange(number) * real // number
        end = -(-(jnp.arange(number) + 1) * real // number)
        inside = (place >= start) & (place < end)
        weights = (inside / (end - start).clip(1)).astype(x.dtype)
        moved = jnp.moveaxis(x, axis, -1)
        flat = moved.reshape(moved.shape[0], -1, size)
        pooled = jnp.matmul(flat, weights, precision="highest")
        x = jnp.moveaxis(pooled.reshape(*moved.shape[:-1], number), -1, axis)
    return x
'''

MEAN_OF_REAL = '''
def mean_of_real(x, lengths, axes, time=1):
    """The mean over some axes, the time axis among them, of the real steps; 0 for an empty row."""
    if lengths is None:
        return x.mean(axes)
    total = only_real(x, lengths, time).sum(axes)
    each = math.prod(x.shape[a] for a in np.atleast_1d(axes) if a != time)
    count = jnp.maximum(lengths, 1) * each
    return total / count.astype(x.dtype).reshape(-1, *(1,) * (total.ndim - 1))
'''

MAX_OF_REAL = '''
def max_of_real(x, lengths, axes, time=1):
    """The largest number over some axes of the real steps; 0 for an empty row."""
    if lengths is None:
        return x.max(axes)
    largest = only_real(x, lengths, time, -jnp.inf).max(axes)
    return jnp.where((lengths > 0).reshape(-1, *(1,) * (largest.ndim - 1)), largest, 0)
'''

LAST_STEP = '''
def last_step(x, lengths, axis=1):
    """Each row's last real step; 0 for an empty row."""
    if lengths is None:
        return jax.lax.index_in_dim(x, -1, axis, keepdims=False)
    index = jnp.maximum(lengths - 1, 0).reshape(-1, *(1,) * (x.ndim - 1))
    last = jnp.take_along_axis(x, index, axis).squeeze(axis)
    return jnp.where((lengths > 0).reshape(-1, *(1,) * (last.ndim - 1)), last, 0)
'''

SOFTMAX_OF_REAL = '''
def softmax_of_real(x, lengths, axis=1):
    """Softmax over time; steps behind a row's end get 0."""
    real = real_steps(x, lengths, axis)
    if real is None:
        return jax.nn.softmax(x, axis)
    return jnp.where(real, jnp.exp(log_softmax_of_real(x, lengths, axis)), 0)
'''

LOG_SOFTMAX_OF_REAL = '''
def log_softmax_of_real(x, lengths, axis=1):
    """The logarithm of softmax over time; 0 behind a row's end."""
    real = real_steps(x, lengths, axis)
    if real is None:
        return jax.nn.log_softmax(x, axis)
    largest = jnp.max(x, axis, keepdims=True, where=real, initial=-jnp.inf)
    largest = jnp.where(jnp.isfinite(largest), jax.lax.stop_gradient(largest), 0)
    shifted = jnp.where(real, x, largest) - largest
    total = jnp.where(real, jnp.exp(shifted), 0).sum(axis, keepdims=True)
    return jnp.where(real, shifted - jnp.log(jnp.where(total == 0, 1, total)), 0)
'''

LOCAL_RESPONSE_NORM = '''
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha / size * sum of squares of neighbours)^beta (Krizhevsky et al. 2012)."""
    window, one = (1,) * (x.ndim - 1) + (size,), (1,) * x.ndim
    pads = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    squares = jax.lax.reduce_window(jnp.square(x), 0.0, jax.lax.add, window, one, pads)
    return x * (k + alpha / size * squares) ** -beta
'''

TAKE_STEPS = '''
def take_steps(x, index, axis=1):
    """The steps (batch, steps) of each row by its own indices, as near as there are any."""
    index = jnp.clip(index, 0, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[0], shape[axis] = index.shape
    return jnp.take_along_axis(x, index.reshape(shape), axis)
'''

PAD_ROWS = '''
def pad_rows(x, lengths, before, after, mode, axis=1):
    """Pad time before the first and behind the last step of each row."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    if lengths is None or mode == "constant":
        return jnp.pad(only_real(x, lengths, axis) if mode == "constant" else x, widths, mode)
    last = jnp.maximum(lengths - 1, 0)[:, None]
    index = jnp.arange(x.shape[axis] + before + after) - before
    if mode == "edge":
        index = jnp.clip(index, 0, last)
    else:
        around = jnp.abs(index) % jnp.maximum(2 * last, 1)
        index = jnp.minimum(around, 2 * last - around)
    return take_steps(x, index, axis)
'''

SLICE_LENGTHS = '''
def bound(value, lengths):
    """A bound of a Python slice in each row."""
    return jnp.minimum(value, lengths) if value >= 0 else jnp.maximum(lengths + value, 0)


def slice_lengths(lengths, start, stop, step):
    """How many steps of each row a slice takes."""
    if lengths is None:
        return None
    stop = lengths if stop is None else bound(stop, lengths)
    return jnp.maximum(-(-(stop - bound(start or 0, lengths)) // step), 0)
'''

SLICE_ROWS = '''
def slice_rows(x, lengths, start, stop, step, axis=1):
    """Some steps of each row, counted from its own end where a bound is negative."""
    steps = len(range(*slice(start, stop, step).indices(x.shape[axis])))
    if lengths is None:
        return jax.lax.slice_in_dim(x, *slice(start, stop, step).indices(x.shape[axis]), axis)
    index = bound(start or 0, lengths)[:, None] + step * jnp.arange(steps)
    return take_steps(x, index, axis)
'''

SHIFT = '''
def shift(x, by, axis, fill=0):
    """Every element `by` places further along an axis; what comes in is `fill`."""
    size = x.shape[axis]
    by = max(min(by, size), -size)
    kept = jax.lax.slice_in_dim(x, max(-by, 0), size - max(by, 0), axis=axis)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (max(by, 0), max(-by, 0))
    return jnp.pad(kept, widths, constant_values=jnp.asarray(fill, x.dtype))
'''

RESIZE = '''
def resize(x, factors):
    """Linear interpolation; `factors` tells how much longer some axes become."""
    shape = [n * factors.get(axis, 1) for axis, n in enumerate(x.shape)]
    return jax.image.resize(x, shape, "linear")
'''

LAST_STEP_GOES_ON = '''
def last_step_goes_on(x, lengths, axis=1):
    """x with each row's last real step behind its end, so that padding does not mix in."""
    if lengths is None:
        return x
    x = only_real(x, lengths, axis)
    return take_steps(x, jnp.minimum(jnp.arange(x.shape[axis]), lengths[:, None] - 1), axis)
'''

PIXEL_SHUFFLE = '''
def pixel_shuffle(x, factors):
    """Channels into finer axes (Shi et al. 2016), in PyTorch's order."""
    batch, *sizes, channels = x.shape
    rank = len(sizes)
    x = x.reshape(batch, *sizes, channels // math.prod(factors), *factors)
    x = x.transpose(0, *(d for i in range(rank) for d in (1 + i, rank + 2 + i)), rank + 1)
    return x.reshape(batch, *(s * f for s, f in zip(sizes, factors)), -1)
'''

SPLIT_LENGTHS = '''
def split_lengths(lengths, sizes):
    """The lengths of parts that lie behind one another in time."""
    if lengths is None:
        return [None] * len(sizes)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [jnp.clip(lengths - start, 0, size) for start, size in zip(starts, sizes)]
'''

SELECT_STEP = '''
def select_step(x, lengths, place, axis=1):
    """One step of each row, counted from its own end if negative; 0 where it is too short."""
    lengths = jnp.full(len(x), x.shape[axis]) if lengths is None else lengths
    index = jnp.broadcast_to(place if place >= 0 else lengths + place, (len(x),))
    taken = take_steps(x, index[:, None], axis).squeeze(axis)
    real = (index >= 0) & (index < lengths)
    return jnp.where(real.reshape(-1, *(1,) * (taken.ndim - 1)), taken, 0)
'''

BROADCAST = '''
def broadcast(*arrays, axis):
    """Arrays with equal sizes but along one axis."""
    shapes = [(*a.shape[:axis], 1, *a.shape[axis + 1 :]) for a in arrays]
    common = jnp.broadcast_shapes(*shapes)
    return [
        jnp.broadcast_to(a, (*common[:axis], a.shape[axis], *common[axis + 1 :])) for a in arrays
    ]
'''

CONCAT_STEPS = '''
def concat_steps(arrays, lengths, axis):
    """Sequences behind one another, the real steps of each row together."""
    joined = jnp.concatenate(arrays, axis)
    if all(n is None for n in lengths[:-1]):
        return joined
    to = jnp.arange(joined.shape[axis])
    source = jnp.zeros((len(joined), len(to)), jnp.int32)
    start, end = 0, jnp.zeros((len(joined), 1), jnp.int32)
    for array, n in zip(arrays, lengths):
        size = array.shape[axis]
        source = jnp.where(to >= end, to - end + start, source)
        start, end = start + size, end + (size if n is None else n[:, None])
    return take_steps(joined, source, axis)
'''

CONCAT_LENGTHS = '''
def concat_lengths(arrays, lengths, axis):
    """The lengths of sequences behind one another; None where all are full."""
    if all(n is None for n in lengths):
        return None
    return sum(a.shape[axis] if n is None else n for a, n in zip(arrays, lengths))
'''

EACH_STEP = '''
def each_step(block, x, axis=1):  #? !rows
def each_step(block, x, axis=1, lengths=None):  #? rows
    """Run a block on every step of an axis, all steps as one batch; the axis then comes first."""
    real = real_steps(x, lengths, axis)  #? rows
    x = jnp.moveaxis(x, axis, 1)
    if real is not None:  #? rows
        COUNTING.append(jnp.broadcast_to(real.reshape(len(x), -1), x.shape[:2]).reshape(-1))  #? rows
    y = block(x.reshape(-1, *x.shape[2:]))
    if real is not None:  #? rows
        COUNTING.pop()  #? rows
    return y.reshape(*x.shape[:2], *y.shape[1:])
'''

SCAN_STEPS = '''
def scan_steps(body, sequences, states):  #? !lengths
def scan_steps(body, sequences, states, lengths=None):  #? lengths
    """Step a body through time; every step sees the states that the one before left.

    Args:
        body: [a step of each sequence, states] -> (result, *states, *further results).
        sequences: (batch, time, ...) each.
        states: what the first step sees, (batch, ...) each.
        lengths: (batch,) steps of each row; behind its end its states stand still.  #? lengths

    Returns:
        The result and the further results of all steps, 0 behind each end,  #? lengths
        The result and the further results of all steps,  #? !lengths
        the last result of each row, and the states in the end.
    """
    made = []
    for t in range(sequences[0].shape[1]):
        result, *found = body([*(x[:, t] for x in sequences), *states])
        after, results = found[: len(states)], [result, *found[len(states) :]]
        if lengths is not None:  #? lengths
            real = [(t < lengths).reshape(-1, *(1,) * (x.ndim - 1)) for x in after]  #? lengths
            after = [jnp.where(r, x, h) for r, x, h in zip(real, after, states)]  #? lengths
            real = [(t < lengths).reshape(-1, *(1,) * (x.ndim - 1)) for x in results]  #? lengths
            results = [jnp.where(r, x, 0) for r, x in zip(real, results)]  #? lengths
        states = after
        made.append(results)
    made = [jnp.stack(steps, axis=1) for steps in zip(*made)]
    last = made[0][:, -1]
    if lengths is not None:  #? lengths
        last = made[0][jnp.arange(len(lengths)), jnp.maximum(lengths - 1, 0)]  #? lengths
    return *made, last, *states
'''

ROWS_THAT_COUNT = '''
# The rows that are real steps, within each_step; the others do not count in batch statistics.
COUNTING = []


def rows_that_count(x, real):
    """The mask of a batch norm with the rows that only pad, within each_step, left out."""
    if not COUNTING:
        return real
    rows = COUNTING[-1].reshape(-1, *(1,) * (x.ndim - 1))
    return rows if real is None else rows & real
'''

SHIFTED = '''
def shifted(init, mean):
    """An initialiser whose numbers have another mean."""
    return lambda *args: init(*args) + mean
'''

BETWEEN = '''
def between(low, high):
    """An initialiser: uniform numbers between two bounds."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, low, high)
'''

DIRAC = '''
def dirac(gain=1.0):
    """An initialiser: the map of channel i to channel i at the window's centre."""

    def draw(key, shape, dtype=jnp.float32):
        index = jnp.arange(min(shape[-2:]))
        centre = tuple(n // 2 for n in shape[:-2])
        return jnp.zeros(shape, dtype).at[(*centre, index, index)].set(gain)

    return draw
'''

MEL_FILTERS = '''
def mel_filters(rate, bands, points, low, high, scale):
    """What each frequency adds to each band: triangles, equally wide on the mel scale."""
    if scale == "htk":
        mels = 2595 * np.log10(1 + np.array([low, high]) / 700)
        corners = 700 * (10 ** (np.linspace(*mels, bands + 2) / 2595) - 1)
    else:
        ends = np.array([low, high])
        high_mels = 15 + 27 * np.log(np.maximum(ends, 1000) / 1000) / np.log(6.4)
        mels = np.linspace(*np.where(ends < 1000, ends * 3 / 200, high_mels), bands + 2)
        high_hertz = 1000 * np.exp((mels - 15) * np.log(6.4) / 27)
        corners = np.where(mels < 15, mels * 200 / 3, high_hertz)
    places = np.arange(points // 2 + 1) * rate / points
    begin, top, end = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    found = np.minimum((places - begin) / (top - begin), (end - places) / (end - top)).clip(0)
    return found if scale == "htk" else found * (2 / (end - begin))
'''

FRAME_LENGTHS = '''
def frame_lengths(lengths, size, hop):
    """How many windows there are on each row: one at least, unless it is empty."""
    if lengths is None:
        return None
    return jnp.where(lengths > 0, jnp.maximum(lengths - size, 0) // hop + 1, 0)
'''

LOG_MEL = '''
def log_mel(sound, rate, bands, size, hop, points, low=0.0, high=None, scale="htk", floor=1e-6):
    """(batch, samples, channels) to (batch, steps, bands, channels): the power in each band."""
    sound = sound.swapaxes(1, 2)
    sound = jnp.pad(sound, ((0, 0), (0, 0), (0, max(size - sound.shape[-1], 0))))
    starts = np.arange((sound.shape[-1] - size) // hop + 1) * hop
    frames = sound[..., starts[:, None] + np.arange(size)]
    window = jnp.asarray(np.hanning(size + 1)[:-1], sound.dtype)
    power = jnp.square(jnp.abs(jnp.fft.rfft(frames * window, points)))
    filters = mel_filters(rate, bands, points, low, rate / 2 if high is None else high, scale)
    return jnp.moveaxis(jnp.log(power @ filters.T.astype(power.dtype) / size + floor), 1, -1)
'''

NORMALISED_STEPS = '''
def normalised_steps(x, lengths, by_band):
    """Mean 0 and deviation 1 over the real steps of each row, of each band or of all."""
    axes = (1,) if by_band else (1, 2)
    real = real_steps(x, lengths)
    real = jnp.broadcast_to(True if real is None else real, x.shape)
    count = real.sum(axes, keepdims=True).clip(1)
    mean = jnp.where(real, x, 0).sum(axes, keepdims=True) / count
    away = jnp.where(real, x - mean, 0)
    return away / jnp.sqrt(jnp.square(away).sum(axes, keepdims=True) / count + 1e-5)
'''
