"""The recurrent layers and cells of an ejected file, as templates.

A line that ends with `#? a b` is kept where one of the features a, b is used, `#? !a` where it
is not; `#? a & b` where both are.
"""

# ruff: noqa: E501 (the mark of a line is no part of the file that it goes to)

OUTCOME = '''
class Outcome(NamedTuple):
    """What recurrent layers give: every step's output, the last one, the state of all layers."""

    sequence: jax.Array
    last: jax.Array
    state: jax.Array
'''

BY_GATE = '''
def by_gate(init, gates):
    """An initialiser that draws each gate by itself; they stand side by side in the array."""

    def draw(key, shape, *more):
        part = (*shape[:-1], shape[-1] // gates)
        return jnp.concatenate([init(k, part, *more) for k in jax.random.split(key, gates)], -1)

    return draw
'''

CUT_STATE = '''
def cut_state(state, sizes):
    """A state (batch, ..., channels) in parts of these sizes; what it lacks of them is 0.

    A state may hold the outputs h alone: then every second part, a cell c, is left out.
    """
    if state.shape[-1] < sum(sizes):
        outputs = jnp.split(state, len(sizes) // 2, axis=-1)
        cells = [jnp.zeros((*state.shape[:-1], size), state.dtype) for size in sizes[1::2]]
        return [part for pair in zip(outputs, cells) for part in pair]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return jnp.split(state, ends, axis=-1)
'''

# GATES and STATE are filled in for each kind of cell; so are the lines of its step.
LAYERS = '''
class NAME(nnx.Module):
    """TITLE

    It reads (batch, time, features). A step behind a row's end changes nothing: the state is
    carried past it, and the sequence is 0 there.
    """

    def __init__(
        self,
        features,
        units,
        *,
        layers=1,
        projection=None,  #? projection
        bidirectional=False,  #? bidirectional
        merge="concat",  #? sum
        reverse=False,  #? reverse
        biases=1,  #? bias
        reset="after",  #? before
        activation=jnp.tanh,  #? relu
        dropout=0.0,  #? dropout
        recurrent_dropout=0.0,  #? recurrent_dropout
        forget_bias=1.0,  #? lstm & bias & !bias_init
        kernel_init=KERNEL_INIT,
        recurrent_init=RECURRENT_INIT,
        bias_init=nnx.initializers.zeros,  #? bias_init
        recurrent_bias_init=nnx.initializers.zeros,  #? recurrent_bias_init
        projection_init=nnx.initializers.lecun_normal(),  #? projection
        rngs,
    ):
        self.units, self.layers = units, layers  #? !projection
        self.units, self.width, self.layers = units, projection or units, layers  #? projection
        self.ends = ("", "_backward") if bidirectional else ("",)  #? bidirectional
        self.merge = merge  #? sum
        self.reverse = reverse  #? reverse
        self.reset = reset  #? before
        self.activation = activation  #? relu
        self.dropout = nnx.Dropout(dropout, rngs=rngs)  #? dropout
        self.kept = 1 - recurrent_dropout  #? recurrent_dropout
        self.deterministic = False  #? recurrent_dropout
        self.rngs = rngs.fork()  #? recurrent_dropout
        for name in self.names():
            shapes = {
                f"kernel_{name}": (kernel_init, (features, GATES * units)),
                f"recurrent_kernel_{name}": (recurrent_init, (WIDTH, GATES * units)),
            }
            if projection:  #? projection
                shapes[f"projection_{name}"] = (projection_init, (units, projection))  #? projection
            if biases:  #? bias & bias_init
                shapes[f"bias_{name}"] = (bias_init, (GATES * units,))  #? bias & bias_init
            if biases:  #? bias & !bias_init & !lstm
                zeros = nnx.initializers.zeros  #? bias & !bias_init & !lstm
                shapes[f"bias_{name}"] = (zeros, (GATES * units,))  #? bias & !bias_init & !lstm
            if biases == 2:  #? two
                init = nnx.initializers.zeros  #? two & !recurrent_bias_init
                init = recurrent_bias_init  #? two & recurrent_bias_init
                shapes[f"recurrent_bias_{name}"] = (init, (GATES * units,))  #? two
            for key, (init, shape) in shapes.items():
                setattr(self, key, nnx.Param(init(rngs.params(), shape)))
            if biases:  #? bias & !bias_init & lstm
                bias = jnp.zeros(4 * units).at[units : 2 * units].set(forget_bias)  #? bias & !bias_init & lstm
                setattr(self, f"bias_{name}", nnx.Param(bias))  #? bias & !bias_init & lstm
            if name.endswith(self.ends[-1]):  #? bidirectional
                features = WIDTH * (1 if merge == "sum" else len(self.ends))  #? bidirectional & sum
                features = WIDTH * len(self.ends)  #? bidirectional & !sum
            features = WIDTH  #? !bidirectional

    def names(self):
        """What the names of each cell's arrays end with."""
        return [f"{n}{end}" for n in range(self.layers) for end in self.ends]  #? bidirectional
        return [str(n) for n in range(self.layers)]  #? !bidirectional

    def begin(self, rows):  #? carry
        """Start to carry states from call to call, for batches of so many rows."""  #? carry
        self.carried = Carried(jnp.zeros((rows, SIZE * len(self.names()))))  #? carry
  #? carry
    def __call__(self, x, lengths=None, initial=None):  #? initial
    def __call__(self, x, lengths=None):  #? !initial
        batch, time = x.shape[:2]
        real = jnp.arange(time)[:, None] < (time if lengths is None else lengths)
        names = self.names()
        initial = None  #? carry & !initial
        carries = hasattr(self, "carried") and len(self.carried[...]) == batch  #? carry
        if carries:  #? carry
            initial = jax.lax.stop_gradient(self.carried[...])  #? carry
        sizes = (SIZES) * len(names)
        if initial is None:  #? initial carry
            first = [jnp.zeros((batch, size), x.dtype) for size in sizes]  #? initial carry
        else:  #? initial carry
            first = cut_state(initial, sizes)  #? initial carry
        first = [jnp.zeros((batch, size), x.dtype) for size in sizes]  #? !initial & !carry
        states = []
        for n in range(self.layers):
            if n > 0:  #? dropout
                x = self.dropout(x)  #? dropout
            sequences, ends = [], []  #? bidirectional
            for end in self.ends:  #? bidirectional
                start = [first.pop(0) for _ in range(PARTS)]  #? bidirectional
                sequence, *ended = self.scan(x, f"{n}{end}", real, *start, BACKWARD)  #? bidirectional
                sequences.append(sequence)  #? bidirectional
                ends.append(ended[0])  #? bidirectional
                states += ended  #? bidirectional
            x, last = (self.merged(parts) for parts in (sequences, ends))  #? bidirectional & sum
            x, last = (jnp.concatenate(parts, axis=-1) for parts in (sequences, ends))  #? bidirectional & !sum
            start = [first.pop(0) for _ in range(PARTS)]  #? !bidirectional
            x, *ended = self.scan(x, str(n), real, *start)  #? !bidirectional & !reverse
            x, *ended = self.scan(x, str(n), real, *start, self.reverse)  #? !bidirectional & reverse
            last = ended[0]  #? !bidirectional
            states += ended  #? !bidirectional
        state = jnp.concatenate(states, axis=-1)
        if carries:  #? carry
            self.carried[...] = jax.lax.stop_gradient(state)  #? carry
        return Outcome(x, last, state)

    def merged(self, parts):  #? bidirectional & sum
        """Both directions as one array."""  #? bidirectional & sum
        return sum(parts) if self.merge == "sum" else jnp.concatenate(parts, axis=-1)  #? bidirectional & sum
  #? bidirectional & sum
    def scan(self, x, name, real, STATE, reverse=False):  #? bidirectional reverse
    def scan(self, x, name, real, STATE):  #? !bidirectional & !reverse
        """One layer in one direction: its sequence, and the state it ends with."""  #? bidirectional reverse
        """One layer: its sequence, and the state it ends with."""  #? !bidirectional & !reverse
        kernel = getattr(self, f"recurrent_kernel_{name}")[...]
        projection = getattr(self, f"projection_{name}", None)  #? projection
        bias = getattr(self, f"bias_{name}", 0.0)  #? bias
        inner = getattr(self, f"recurrent_bias_{name}", jnp.zeros(GATES * self.units))[...]  #? two & gru
        outer = getattr(self, f"recurrent_bias_{name}", 0.0)  #? two & !gru
        x = jnp.where(real[..., None], jnp.swapaxes(x, 0, 1), 0)
        products = x @ getattr(self, f"kernel_{name}")  #? !bias
        products = x @ getattr(self, f"kernel_{name}") + bias  #? bias & !two
        products = x @ getattr(self, f"kernel_{name}") + bias + outer  #? two & !gru
        products = x @ getattr(self, f"kernel_{name}") + bias  #? two & gru
        mask = jnp.ones_like(h)  #? recurrent_dropout
        if self.kept < 1 and not self.deterministic:  #? recurrent_dropout
            drawn = jax.random.bernoulli(self.rngs.dropout(), self.kept, h.shape)  #? recurrent_dropout
            mask = drawn.astype(x.dtype) / self.kept  #? recurrent_dropout

        def step(before, now):
            (STATE_TUPLE), (z, real) = before, now
STEP
            after = tuple(jnp.where(real[:, None], new, old) for new, old in zip(AFTER, before))
            return after, jnp.where(real[:, None], after[0], 0)

        state, sequence = jax.lax.scan(step, INITIAL, (products, real), reverse=reverse)  #? bidirectional reverse
        state, sequence = jax.lax.scan(step, INITIAL, (products, real))  #? !bidirectional & !reverse
        return jnp.swapaxes(sequence, 0, 1), *state
'''

RNN_STEP = """
            h = jnp.tanh(z + SEEN @ kernel)  #? !relu
            h = self.activation(z + SEEN @ kernel)  #? relu
"""

LSTM_STEP = """
            i, f, g, o = jnp.split(z + SEEN @ kernel, 4, axis=-1)
            c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
            h = nnx.sigmoid(o) * jnp.tanh(c)
            h = h if projection is None else h @ projection[...]  #? projection
"""

GRU_STEP = """
            x_r, x_z, x_n = jnp.split(z, 3, axis=-1)
            h_r, h_z, h_n = jnp.split(SEEN @ kernel + inner, 3, axis=-1)  #? two
            h_r, h_z, h_n = jnp.split(SEEN @ kernel, 3, axis=-1)  #? !two
            r, z = nnx.sigmoid(x_r + h_r), nnx.sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + r * h_n)  #? !before
            if self.reset == "before":  #? before
                units = self.units  #? before
                h_n = (r * SEEN) @ kernel[:, 2 * units :]  #? before & !two
                h_n = (r * SEEN) @ kernel[:, 2 * units :] + inner[2 * units :]  #? before & two
                n = jnp.tanh(x_n + h_n)  #? before
            else:  #? before
                n = jnp.tanh(x_n + r * h_n)  #? before
            h = (1 - z) * n + z * h
"""

CELL = '''
class NAMECell(nnx.Module):
    """TITLE"""

    def __init__(
        self,
        features,
        units,
        *,
        projection=None,  #? projection
        biases=1,
        reset="after",  #? gru
        activation=jnp.tanh,  #? rnn
        forget_bias=1.0,  #? lstm & !bias_init
        kernel_init=KERNEL_INIT,
        recurrent_init=RECURRENT_INIT,
        bias_init=nnx.initializers.zeros,  #? bias_init !lstm
        recurrent_bias_init=nnx.initializers.zeros,
        projection_init=nnx.initializers.lecun_normal(),  #? projection
        rngs,
    ):
        self.units = units
        self.reset = reset  #? gru
        self.activation = activation  #? rnn
        self.width = WIDTH
        columns = GATES * units
        self.kernel = nnx.Param(kernel_init(rngs.params(), (features, columns)))
        self.recurrent_kernel = nnx.Param(recurrent_init(rngs.params(), (self.width, columns)))
        if biases:
            self.bias = nnx.Param(bias_init(rngs.params(), (columns,)))  #? bias_init !lstm
            bias = jnp.zeros(columns).at[units : 2 * units].set(forget_bias)  #? lstm & !bias_init
            self.bias = nnx.Param(bias)  #? lstm & !bias_init
        if biases == 2:
            self.recurrent_bias = nnx.Param(recurrent_bias_init(rngs.params(), (columns,)))
        if projection:  #? projection
            self.projection = nnx.Param(projection_init(rngs.params(), (units, projection)))  #? projection

    def __call__(self, x, state=None):
        """x (batch, features) and the state before -> the output and the state after."""
        zeros = jnp.zeros((len(x), SIZE), x.dtype)
        STATE_LIST = cut_state(zeros if state is None else state, (SIZES))  #? lstm
        h = zeros if state is None else state  #? !lstm
        kernel = self.recurrent_kernel[...]
        projection = getattr(self, "projection", None)  #? projection
        inner = getattr(self, "recurrent_bias", jnp.zeros(GATES * self.units))[...]
        z = x @ self.kernel + getattr(self, "bias", 0.0)
STEP
        return h, RESULT
'''

# How both kinds of the convolutional LSTM begin.
_CONV_LSTM_BEGINS = '''\
    def __init__(
        self,
        features,
        filters,
        kernel,
        *,
        use_bias=True,
        forget_bias=1.0,
        kernel_init=by_gate(nnx.initializers.lecun_normal(), 4),
        recurrent_init=by_gate(nnx.initializers.orthogonal(), 4),
        rngs,
    ):
        self.filters = filters
        shape = (*kernel, features, 4 * filters)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape))
        shape = (*kernel, filters, 4 * filters)
        self.recurrent_kernel = nnx.Param(recurrent_init(rngs.params(), shape))
        if use_bias:
            bias = jnp.zeros(4 * filters).at[filters : 2 * filters].set(forget_bias)
            self.bias = nnx.Param(bias)

'''

CONV_LSTM = '''
class ConvLSTM(nnx.Module):
    """The convolutional LSTM of Shi et al. (2015): images over time, padded to keep their size.

    It reads (batch, time, space..., features). A step behind a row's end changes nothing.
    """

''' + _CONV_LSTM_BEGINS + '''    def __call__(self, x, lengths=None, initial=None):
        batch, time, *space, features = x.shape
        real = jnp.arange(time)[:, None] < (time if lengths is None else lengths)
        rank = len(space)
        real = real.reshape(*real.shape, *(1,) * (rank + 1))
        x = jnp.where(real, jnp.swapaxes(x, 0, 1), 0)
        products = same_convolution(x.reshape(-1, *space, features), self.kernel[...])
        products += getattr(self, "bias", 0.0)
        zeros = jnp.zeros((batch, *space, 2 * self.filters), x.dtype)
        first = cut_state(zeros if initial is None else initial, (self.filters,) * 2)

        def step(before, now):
            (h, c), (z, real) = before, now
            z += same_convolution(h, self.recurrent_kernel[...])
            i, f, g, o = jnp.split(z, 4, axis=-1)
            c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
            h = nnx.sigmoid(o) * jnp.tanh(c)
            after = tuple(jnp.where(real, new, old) for new, old in zip((h, c), before))
            return after, jnp.where(real, after[0], 0)

        products = products.reshape(time, batch, *space, -1)
        (h, c), sequence = jax.lax.scan(step, tuple(first), (products, real))
        return Outcome(jnp.swapaxes(sequence, 0, 1), h, jnp.concatenate([h, c], axis=-1))
'''

CONV_LSTM_CELL = '''
class ConvLSTMCell(nnx.Module):
    """One step of the convolutional LSTM; its state is the output h and the cell c."""

''' + _CONV_LSTM_BEGINS + '''    def __call__(self, x, state=None):
        """x (batch, space..., features) and the state before -> the output, the state after."""
        zeros = jnp.zeros((*x.shape[:-1], 2 * self.filters), x.dtype)
        h, c = cut_state(zeros if state is None else state, (self.filters,) * 2)
        z = same_convolution(x, self.kernel[...]) + getattr(self, "bias", 0.0)
        z += same_convolution(h, self.recurrent_kernel[...])
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
        h = nnx.sigmoid(o) * jnp.tanh(c)
        return h, jnp.concatenate([h, c], axis=-1)
'''

SAME_CONVOLUTION = '''
def same_convolution(x, kernel):
    """A convolution (batch, space..., in) -> (batch, space..., out) that keeps the size."""
    space = "DHW"[4 - kernel.ndim + 1 :]
    form = (f"N{space}C", f"{space}IO", f"N{space}C")
    strides = (1,) * len(space)
    return jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=form)
'''
