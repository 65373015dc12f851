"""The local classes of an ejected file: what Flax has no layer for, or another one."""

# ruff: noqa: E501 (the mark of a line is no part of the file that it goes to)

BATCH_NORM = '''
class BatchNorm(nnx.Module):
    """Batch normalisation whose running variance is the unbiased one, unlike nnx.BatchNorm's."""

    def __init__(self, channels, momentum=0.9, epsilon=1e-5):  #? !no_scale & !no_bias & !init
    def __init__(  #? no_scale no_bias init
        self,  #? no_scale no_bias init
        channels,  #? no_scale no_bias init
        momentum=0.9,  #? no_scale no_bias init
        epsilon=1e-5,  #? no_scale no_bias init
        use_scale=True,  #? no_scale
        use_bias=True,  #? no_bias
        scale_init=nnx.initializers.ones,  #? init
        bias_init=nnx.initializers.zeros,  #? init
        rngs=None,  #? init
    ):  #? no_scale no_bias init
        key = rngs.params if rngs else lambda: None  #? init
        self.scale = nnx.Param(jnp.ones(channels)) if use_scale else None  #? no_scale & !init
        self.scale = nnx.Param(jnp.ones(channels))  #? !no_scale & !init
        self.scale = nnx.Param(scale_init(key(), (channels,))) if use_scale else None  #? no_scale & init
        self.scale = nnx.Param(scale_init(key(), (channels,)))  #? !no_scale & init
        self.bias = nnx.Param(jnp.zeros(channels)) if use_bias else None  #? no_bias & !init
        self.bias = nnx.Param(jnp.zeros(channels))  #? !no_bias & !init
        self.bias = nnx.Param(bias_init(key(), (channels,))) if use_bias else None  #? no_bias & init
        self.bias = nnx.Param(bias_init(key(), (channels,)))  #? !no_bias & init
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.momentum, self.epsilon = momentum, epsilon
        self.use_running_average = False  # set by model.eval() and model.train()
        self.frozen = False  # for good, by frozen()  #? frozen

    def __call__(self, x):  #? !mask & !rows
    def __call__(self, x, real=None):  #? mask rows
        if self.use_running_average:  #? !frozen
        if self.use_running_average or self.frozen:  #? frozen
            mean, var = self.mean[...], self.var[...]
        else:
            axes = tuple(range(x.ndim - 1))
            real = rows_that_count(x, real)  #? rows
            mean, var = x.mean(axes), x.var(axes)  #? !mask & !rows
            n = x.size // x.shape[-1]  #? !mask & !rows
            real = jnp.ones(x.shape[:-1], bool) if real is None else real[..., 0]  #? mask rows
            real = jnp.broadcast_to(real, x.shape[:-1])[..., None]  #? mask rows
            n = real.sum()  #? mask rows
            mean = jnp.where(real, x, 0).sum(axes) / jnp.maximum(n, 1)  #? mask rows
            squares = jnp.where(real, jnp.square(x - mean), 0)  #? mask rows
            var = squares.sum(axes) / jnp.maximum(n, 1)  #? mask rows
            unbiased = var * (n / max(n - 1, 1))  #? !mask & !rows
            unbiased = var * (n / jnp.maximum(n - 1, 1))  #? mask rows
            for running, now in ((self.mean, mean), (self.var, unbiased)):
                now = jax.lax.stop_gradient(now)
                running[...] = self.momentum * running[...] + (1 - self.momentum) * now
        x = (x - mean) * jax.lax.rsqrt(var + self.epsilon)  #? no_scale no_bias
        x = x if self.scale is None else x * self.scale  #? no_scale
        x = x * self.scale  #? no_bias & !no_scale
        return x if self.bias is None else x + self.bias  #? no_bias
        return x + self.bias  #? no_scale & !no_bias
        return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * self.scale + self.bias  #? !no_scale & !no_bias
'''

GROUP_NORM = '''
class GroupNorm(nnx.Module):
    """nnx.GroupNorm for rows of several lengths: steps behind a row's end do not count."""

    def __init__(
        self,
        channels,
        groups,
        epsilon=1e-5,
        use_scale=True,
        use_bias=True,
        scale_init=nnx.initializers.ones,
        bias_init=nnx.initializers.zeros,
        *,
        rngs,
    ):
        self.groups, self.epsilon = groups, epsilon
        if use_scale:
            self.scale = nnx.Param(scale_init(rngs.params(), (channels,)))
        if use_bias:
            self.bias = nnx.Param(bias_init(rngs.params(), (channels,)))

    def __call__(self, x, real=None):
        split = x.reshape(*x.shape[:-1], self.groups, -1)
        real = jnp.broadcast_to(True if real is None else real, x.shape)
        real = real.reshape(split.shape)
        axes = (*range(1, x.ndim - 1), x.ndim)
        split, mean, var = centred(split, axes, real)
        x = (split * jax.lax.rsqrt(var + self.epsilon)).reshape(x.shape)
        return x * getattr(self, "scale", 1.0) + getattr(self, "bias", 0.0)
'''

CENTRED = '''
def centred(x, axes, real):
    """x less its mean over some axes, that mean, and the variance, of the real numbers alone."""
    n = jnp.maximum(real.sum(axes, keepdims=True), 1)
    mean = jnp.where(real, x, 0).sum(axes, keepdims=True) / n
    x = jnp.where(real, x - mean, 0)
    return x, mean, jnp.square(x).sum(axes, keepdims=True) / n
'''

AXES_NORM = '''
class AxesNorm(nnx.Module):
    """Layer normalisation over some axes; scale and bias have their sizes."""

    def __init__(
        self,
        axes,
        sizes,
        epsilon=1e-5,
        use_scale=True,
        use_bias=True,
        scale_init=nnx.initializers.ones,
        bias_init=nnx.initializers.zeros,
        *,
        rngs,
    ):
        self.axes, self.epsilon = axes, epsilon
        if use_scale:
            self.scale = nnx.Param(scale_init(rngs.params(), sizes))
        if use_bias:
            self.bias = nnx.Param(bias_init(rngs.params(), sizes))

    def __call__(self, x):  #? !mask
    def __call__(self, x, real=True):  #? mask
        mean, var = (f(x, axis=self.axes, keepdims=True) for f in (jnp.mean, jnp.var))  #? !mask
        centre = x - mean  #? !mask
        centre, mean, var = centred(x, self.axes, jnp.broadcast_to(real, x.shape))  #? mask
        x = centre * jax.lax.rsqrt(var + self.epsilon)
        shape = [n if axis in self.axes else 1 for axis, n in enumerate(x.shape)]
        if hasattr(self, "scale"):
            x = x * self.scale[...].reshape(shape)
        return x + self.bias[...].reshape(shape) if hasattr(self, "bias") else x
'''

STANDARDISED_CONV = '''
class StandardisedConv(nnx.Conv):
    """nnx.Conv with a kernel of mean 0 and variance 1 for each filter (Qiao et al. 2019)."""

    def __call__(self, x):
        kernel = self.kernel[...]
        axes = tuple(range(kernel.ndim - 1))
        kernel = kernel - kernel.mean(axes)
        kernel = kernel * jax.lax.rsqrt(jnp.square(kernel).mean(axes) + 1e-10)
        graph, state = nnx.split(nnx.clone(self))
        return nnx.merge(graph, nnx.State({**state, "kernel": nnx.Param(kernel)})).convolve(x)

    def convolve(self, x):
        """The convolution with the kernel as it is."""
        return super().__call__(x)
'''

CONV_TRANSPOSE = '''
class ConvTranspose(nnx.Module):
    """A transposed convolution as PyTorch's: each number is spread over a window.

    `pads` is what is cut off before and after each axis of the whole result.
    """

    def __init__(
        self,
        channels,
        filters,
        window,
        pads,
        *,
        strides=1,
        dilation=1,
        groups=1,
        use_bias=True,
        kernel_init=nnx.initializers.lecun_normal(),
        bias_init=nnx.initializers.zeros,
        rngs,
    ):
        rank = len(window)
        self.strides = (strides,) * rank if isinstance(strides, int) else strides
        self.dilation = (dilation,) * rank if isinstance(dilation, int) else dilation
        self.pads, self.groups = pads, groups
        shape = (*window, channels // groups, filters)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape))
        if use_bias:
            self.bias = nnx.Param(bias_init(rngs.params(), (filters,)))

    def __call__(self, x):
        rank = x.ndim - 2
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel.shape)]
        space = "DHW"[3 - rank :]
        x = jax.lax.conv_general_dilated(
            x,
            jnp.flip(self.kernel[...], tuple(range(rank))),
            window_strides=(1,) * rank,
            padding=[(r - a, r - b) for r, (a, b) in zip(reach, self.pads)],
            lhs_dilation=self.strides,
            rhs_dilation=self.dilation,
            dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
            feature_group_count=self.groups,
        )
        return x + getattr(self, "bias", 0.0)
'''

TIED_DENSE = '''
class TiedDense(nnx.Module):
    """A linear layer whose kernel is the transpose of another layer's table."""

    def __init__(self, units, bias_init=nnx.initializers.zeros, *, rngs):
        self.bias = nnx.Param(bias_init(rngs.params(), (units,)))

    def __call__(self, x, table):
        return x @ table.T + self.bias
'''

PRELU = '''
class PReLU(nnx.Module):
    """x where x > 0, else slope * x, with a learned slope for each channel (He et al. 2015)."""

    def __init__(self, channels, init, *, rngs):
        self.slope = nnx.Param(init(rngs.params(), (channels,)))

    def __call__(self, x):
        return jnp.where(x > 0, x, self.slope * x)
'''

SCALE = '''
class Scale(nnx.Module):
    """Each channel times a learned number (LayerScale, Touvron et al. 2021)."""

    def __init__(self, channels, init, *, rngs):
        self.scale = nnx.Param(init(rngs.params(), (channels,)))

    def __call__(self, x):
        return x * self.scale
'''

LEARNED = '''
class Learned(nnx.Module):
    """A tensor that is learned, the same for every example."""

    def __init__(self, shape, init, *, rngs):
        self.value = nnx.Param(init(rngs.params(), shape))

    def __call__(self, batch):
        return jnp.broadcast_to(self.value[...], (batch, *self.value.shape))
'''

GAUSSIAN_NOISE = '''
class GaussianNoise(nnx.Module):
    """Adds normal numbers in training."""

    def __init__(self, stddev, *, rngs):
        self.stddev, self.deterministic = stddev, False
        self.rngs = rngs.fork()

    def __call__(self, x):
        if self.deterministic:
            return x
        return x + self.stddev * jax.random.normal(self.rngs.dropout(), x.shape, x.dtype)
'''

RANDOM_NUMBERS = '''
class RandomNumbers(nnx.Module):
    """Random numbers of a shape, new ones at every call."""

    def __init__(self, distribution, *, rngs):
        self.draw = {"normal": jax.random.normal, "uniform": jax.random.uniform}[distribution]
        self.rngs = rngs.fork()

    def __call__(self, shape):
        return self.draw(self.rngs.dropout(), shape)
'''

FROZEN = '''
class Frozen(nnx.Variable):
    """A parameter that is not trained."""
'''

FREEZE = '''
def frozen(module):
    """The module with every parameter fixed, the statistics of its batch norms too."""
    for _, owner in nnx.iter_modules(module):
        for name, value in list(vars(owner).items()):
            if isinstance(value, nnx.Param):
                setattr(owner, name, Frozen(value[...]))
        if hasattr(owner, "frozen"):
            owner.frozen = True
    return module
'''

CARRIED = '''
class Carried(nnx.Variable):
    """The state (batch, channels) that recurrent layers ended the last batch with."""
'''

REMAT = '''
def remat(module, *inputs):
    """Run a module, and again in the backward pass, in place of keeping what it makes."""
    return nnx.remat(lambda module, *inputs: module(*inputs))(module, *inputs)
'''

# -- attention ---------------------------------------------------------------------------------

PLACES = '''
def places(x):
    """(batch, axes..., channels) as (batch, places, channels)."""
    return x.reshape(len(x), -1, x.shape[-1])
'''

WEIGHTS_OF = '''
def weights_of(scores, real=None):
    """Softmax over the last axis; what is not real gets 0, also where nothing is."""
    if real is None:
        return jax.nn.softmax(scores)
    scores = jnp.where(real, scores, -jnp.inf)
    largest = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    weights = jnp.where(real, jnp.exp(jnp.where(real, scores - largest, 0)), 0)
    total = weights.sum(-1, keepdims=True)
    return weights / jnp.where(total == 0, 1, total)
'''

ATTEND = '''
def attend(query, memory, real=None, scores=None, scaled=False):  #? !shown
def attend(query, memory, real=None, scores=None, scaled=False, shown=False):  #? shown
    """The mean of a memory's places, weighted by how well each goes with the query.

    `real` (batch, places) tells which places of the memory count; scores are (batch, queries,
    places), products of query and memory where not given.
    With `shown` the weights come with it: (batch, queries..., places).  #? shown
    """
    q, m = places(query), places(memory)
    if scores is None:
        scores = q @ m.swapaxes(1, 2)
    if scaled:
        scores = scores / math.sqrt(q.shape[-1])
    if real is not None:  #? mask
        m, real = jnp.where(real[..., None], m, 0), real[:, None]  #? mask
    weights = weights_of(scores, real)
    result = (weights @ m).reshape(*query.shape[:-1], m.shape[-1])
    if shown:  #? shown
        return result, weights.reshape(*query.shape[:-1], m.shape[1])  #? shown
    return result
'''

GENERAL_ATTENTION = '''
class GeneralAttention(nnx.Module):
    """Attention with scores q W m (Luong et al. 2015)."""

    def __init__(
        self, channels, seen, *, scaled=False, kernel_init=nnx.initializers.lecun_normal(), rngs
    ):
        self.scaled = scaled
        self.kernel = nnx.Param(kernel_init(rngs.params(), (channels, seen)))

    def __call__(self, query, memory, real=None):  #? !shown
    def __call__(self, query, memory, real=None, **shown):  #? shown
        scores = places(query) @ self.kernel @ places(memory).swapaxes(1, 2)
        if self.scaled:
            scores = scores / math.sqrt(query.shape[-1])
        return attend(query, memory, real, scores)  #? !shown
        return attend(query, memory, real, scores, **shown)  #? shown
'''

ADDITIVE_ATTENTION = '''
class AdditiveAttention(nnx.Module):
    """Attention with scores v tanh(q W + m U) (Bahdanau et al. 2015)."""

    def __init__(
        self,
        channels,
        seen,
        units,
        *,
        scaled=False,
        kernel_init=nnx.initializers.lecun_normal(),
        rngs,
    ):
        self.scaled = scaled
        self.query_kernel = nnx.Param(kernel_init(rngs.params(), (channels, units)))
        self.memory_kernel = nnx.Param(kernel_init(rngs.params(), (seen, units)))
        self.score_kernel = nnx.Param(kernel_init(rngs.params(), (units, 1)))

    def __call__(self, query, memory, real=None):  #? !shown
    def __call__(self, query, memory, real=None, **shown):  #? shown
        q, m = places(query) @ self.query_kernel, places(memory) @ self.memory_kernel
        scores = (jnp.tanh(q[:, :, None] + m[:, None]) @ self.score_kernel)[..., 0]
        return attend(query, memory, real, scores, self.scaled)  #? !shown
        return attend(query, memory, real, scores, self.scaled, **shown)  #? shown
'''

MULTI_HEAD_ATTENTION = '''
class MultiHeadAttention(nnx.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017)."""

    def __init__(
        self,
        channels,
        seen,
        units,
        heads,
        *,
        causal=False,  #? causal
        dropout=0.0,  #? dropout
        use_bias=True,
        kernel_init=nnx.initializers.glorot_uniform(),
        rngs,
    ):
        self.heads = heads
        self.causal = causal  #? causal
        self.dropout = nnx.Dropout(dropout, rngs=rngs)  #? dropout
        shapes = {
            "query": (channels, units),
            "key": (seen, units),
            "value": (seen, units),
            "output": (units, channels),
        }
        for name, shape in shapes.items():
            setattr(self, f"{name}_kernel", nnx.Param(kernel_init(rngs.params(), shape)))
            if use_bias:
                setattr(self, f"{name}_bias", nnx.Param(jnp.zeros(shape[-1])))

    def project(self, x, name):
        """One of the four linear maps."""
        return x @ getattr(self, f"{name}_kernel") + getattr(self, f"{name}_bias", 0.0)

    def __call__(self, query, memory, real=None):
        """`real` (batch, places) tells which places of the memory count."""
        seen = places(memory)
        if real is not None:
            seen, real = jnp.where(real[..., None], seen, 0), real[:, None, None]
        maps = ((places(query), "query"), (seen, "key"), (seen, "value"))
        q, k, v = (self.project(x, n).reshape(*x.shape[:2], self.heads, -1) for x, n in maps)
        scores = jnp.einsum("bqhc,bmhc->bhqm", q / math.sqrt(q.shape[-1]), k)
        if self.causal:  #? causal
            before = jnp.tri(*scores.shape[-2:], dtype=bool)  #? causal
            real = before if real is None else real & before  #? causal
        weights = weights_of(scores, real)
        weights = self.dropout(weights)  #? dropout
        mixed = jnp.einsum("bhqm,bmhc->bqhc", weights, v)
        result = self.project(mixed.reshape(*mixed.shape[:2], -1), "output")
        return result.reshape(query.shape)
'''

LEARNED_POSITIONS = '''
class LearnedPositions(nnx.Module):
    """A learned vector for each place of a sequence."""

    def __init__(self, length, channels, init=nnx.initializers.normal(0.02), *, rngs):
        self.embedding = nnx.Param(init(rngs.params(), (length, channels)))

    def __call__(self, steps):
        return self.embedding[:steps]
'''

SINUSOIDS = '''
def sinusoids(steps, channels):
    """The encoding of places by Vaswani et al. (2017): (steps, channels)."""
    angles = jnp.arange(steps)[:, None] / 10000 ** (jnp.arange(0, channels, 2) / channels)
    both = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return both.reshape(steps, -1)[:, :channels]
'''
