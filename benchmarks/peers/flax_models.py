"""The models as Flax's documentation would write them: nnx layers, defaults throughout."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.peers.plan import INCEPTION


class ConvBN(nnx.Module):
    def __init__(self, fan_in, out, kernel, stride=1, epsilon=1e-5, *, rngs):
        pad = kernel // 2
        self.conv = nnx.Conv(fan_in, out, (kernel, kernel), (stride, stride),
                             padding=((pad, pad), (pad, pad)), use_bias=False, rngs=rngs)
        self.bn = nnx.BatchNorm(out, momentum=0.9, epsilon=epsilon, rngs=rngs)

    def __call__(self, x):
        return self.bn(self.conv(x))


class VGG(nnx.Module):
    def __init__(self, depths, grid, hidden, classes, *, rngs):
        layers, fan_in = [], 3
        for depth, width in zip(depths, [64, 128, 256, 512, 512]):
            for _ in range(depth):
                layers.append(nnx.Conv(fan_in, width, (3, 3), padding=1, rngs=rngs))
                layers.append(nnx.relu)
                fan_in = width
            layers.append(partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2)))
        self.features = nnx.Sequential(*layers)
        self.dense1 = nnx.Linear(fan_in * grid * grid, hidden, rngs=rngs)
        self.dense2 = nnx.Linear(hidden, hidden, rngs=rngs)
        self.dense3 = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, x):
        x = self.features(x)
        x = nnx.relu(self.dense1(x.reshape(len(x), -1)))
        return self.dense3(nnx.relu(self.dense2(x)))


class Unit(nnx.Module):
    def __init__(self, fan_in, filters, stride, basic, shortcut, *, rngs):
        out = filters if basic else 4 * filters
        if basic:
            self.body = nnx.List([ConvBN(fan_in, filters, 3, stride, rngs=rngs),
                                  ConvBN(filters, out, 3, rngs=rngs)])
        else:
            self.body = nnx.List([ConvBN(fan_in, filters, 1, rngs=rngs),
                                  ConvBN(filters, filters, 3, stride, rngs=rngs),
                                  ConvBN(filters, out, 1, rngs=rngs)])
        self.stride, self.missing, self.pad = stride, out - fan_in, shortcut == "pad"
        changes = stride > 1 or out != fan_in
        self.shortcut = (ConvBN(fan_in, out, 1, stride, rngs=rngs)
                         if changes and not self.pad else None)

    def __call__(self, x):
        y = x
        for layer in self.body[:-1]:
            y = nnx.relu(layer(y))
        y = self.body[-1](y)
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.stride > 1:
            half = self.missing // 2
            x = jnp.pad(x[:, ::self.stride, ::self.stride], ((0, 0),) * 3 + ((half, half),))
        return nnx.relu(x + y)


class ResNet(nnx.Module):
    def __init__(self, depths, basic, stem, classes, *, rngs, channels=3, width=64,
                 shortcut="project"):
        self.stem = ConvBN(channels, width, stem[0], stem[1], rngs=rngs)
        self.pool = stem[1] > 1
        units, fan_in = [], width
        for stage, depth in enumerate(depths):
            for number in range(depth):
                filters = width * 2**stage
                stride = 2 if stage and not number else 1
                units.append(Unit(fan_in, filters, stride, basic, shortcut, rngs=rngs))
                fan_in = filters if basic else 4 * filters
        self.units = nnx.List(units)
        self.dense = nnx.Linear(fan_in, classes, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.stem(x))
        if self.pool:
            x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for unit in self.units:
            x = unit(x)
        return self.dense(x.mean((1, 2)))


class Inception(nnx.Module):
    def __init__(self, fan_in, n, *, rngs):
        unit = partial(ConvBN, epsilon=1e-3, rngs=rngs)
        self.one = unit(fan_in, n[0], 1)
        self.three = nnx.List([unit(fan_in, n[1], 1), unit(n[1], n[2], 3)])
        self.five = nnx.List([unit(fan_in, n[3], 1), unit(n[3], n[4], 3)])
        self.pool = unit(fan_in, n[5], 1)

    def __call__(self, x):
        pooled = nnx.max_pool(x, (3, 3), padding=((1, 1), (1, 1)))
        three = nnx.relu(self.three[1](nnx.relu(self.three[0](x))))
        five = nnx.relu(self.five[1](nnx.relu(self.five[0](x))))
        return jnp.concatenate(
            [nnx.relu(self.one(x)), three, five, nnx.relu(self.pool(pooled))], axis=-1)


class GoogLeNet(nnx.Module):
    def __init__(self, classes, *, rngs):
        unit = partial(ConvBN, epsilon=1e-3, rngs=rngs)
        self.stem = nnx.List([unit(3, 64, 7, 2), unit(64, 64, 1), unit(64, 192, 3)])
        layers, fan_in = [], 192
        for n in INCEPTION:
            if isinstance(n, int):
                layers.append(partial(shrink, window=n))
                continue
            layers.append(Inception(fan_in, n, rngs=rngs))
            fan_in = n[0] + n[2] + n[4] + n[5]
        self.body = nnx.Sequential(*layers)
        self.dense = nnx.Linear(fan_in, classes, rngs=rngs)

    def __call__(self, x):
        x = shrink(nnx.relu(self.stem[0](x)))
        x = nnx.relu(self.stem[2](nnx.relu(self.stem[1](x))))
        return self.dense(self.body(shrink(x)).mean((1, 2)))


def shrink(x, window=3):
    """A max pool of stride 2 that keeps an overhanging last window."""
    end = 0 if window == 2 else 1
    return nnx.max_pool(x, (window, window), (2, 2), padding=((0, end), (0, end)))


class Recurrent(nnx.Module):
    def __init__(self, cell, units, layers, bidirectional, classes, features, *, rngs):
        kind = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}[cell]
        stack = []
        for _ in range(layers):
            forward = nnx.RNN(kind(features, units, rngs=rngs), return_carry=True)
            if bidirectional:
                backward = nnx.RNN(kind(features, units, rngs=rngs), return_carry=True,
                                   reverse=True, keep_order=True)
                stack.append(nnx.List([forward, backward]))
            else:
                stack.append(nnx.List([forward]))
            features = units * (2 if bidirectional else 1)
        self.stack = nnx.List(stack)
        self.dense = nnx.Linear(features, classes, rngs=rngs)

    def __call__(self, x, lengths=None):
        last = []
        for directions in self.stack:
            ran = [rnn(x, seq_lengths=lengths) for rnn in directions]
            last = [carry[1] if isinstance(carry, tuple) else carry for carry, _ in ran]
            x = jnp.concatenate([sequence for _, sequence in ran], axis=-1)
        return self.dense(jnp.concatenate(last, axis=-1))


class LanguageModel(nnx.Module):
    def __init__(self, units, layers, classes, *, rngs):
        self.embed = nnx.Embed(classes, units, rngs=rngs)
        self.stack = nnx.List(
            [nnx.RNN(nnx.OptimizedLSTMCell(units, units, rngs=rngs)) for _ in range(layers)])
        self.dense = nnx.Linear(units, classes, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        for rnn in self.stack:
            x = rnn(x)
        return self.dense(x)


class Dense(nnx.Module):
    def __init__(self, layers, width, classes, *, rngs):
        widths = [*[width] * layers, classes]
        self.layers = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in zip(widths, widths[1:])])

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def build(row) -> nnx.Module:
    """The model of a row."""
    rngs, s = nnx.Rngs(0), row.settings
    match row.family:
        case "vgg":
            return VGG(**s, classes=row.classes, rngs=rngs)
        case "resnet":
            return ResNet(**s, classes=row.classes, channels=row.input[-1], rngs=rngs)
        case "googlenet":
            return GoogLeNet(row.classes, rngs=rngs)
        case "recurrent":
            return Recurrent(**s, classes=row.classes, features=row.input[-1], rngs=rngs)
        case "dense":
            return Dense(**s, classes=row.classes, rngs=rngs)
        case _:
            return LanguageModel(**s, classes=row.classes, rngs=rngs)


def initialised(row, weights) -> nnx.Module:
    """The model of a row with flaxspec's initial weights, in the order of the layers."""
    order = []

    @nnx.jit  # what it draws is replaced at once: no time for drawing it one by one
    def create():
        model = build(row)
        order.extend(paths_of(model))
        return model

    model = create()
    for path in order:
        layer = model
        for step in path:
            layer = layer[step] if isinstance(step, int) else getattr(layer, step)
        match layer:
            case nnx.OptimizedLSTMCell() | nnx.GRUCell():
                kernel = weights.take(layer.dense_i.kernel.shape)
                recurrent = weights.take(layer.dense_h.kernel.shape)
                bias = weights.take(kernel.shape[-1:])
                layer.dense_i.kernel[...], layer.dense_h.kernel[...] = kernel, recurrent
                lstm = isinstance(layer, nnx.OptimizedLSTMCell)
                (layer.dense_h if lstm else layer.dense_i).bias[...] = bias
            case nnx.Embed():
                layer.embedding[...] = weights.take(layer.embedding.shape)
            case nnx.BatchNorm():
                layer.scale[...] = weights.take(layer.scale.shape)
                layer.bias[...] = weights.take(layer.bias.shape)
            case nnx.Conv() | nnx.Linear():
                layer.kernel[...] = weights.take(layer.kernel.shape)
                if layer.bias is not None:
                    layer.bias[...] = weights.take(layer.bias.shape)
    weights.done()
    return model


def paths_of(module, path=()):
    """The paths of layers with weights, in the order in which they were made."""
    leaves = (nnx.Conv, nnx.Linear, nnx.BatchNorm, nnx.Embed, nnx.OptimizedLSTMCell, nnx.GRUCell)
    if isinstance(module, leaves):
        yield path
    elif isinstance(module, nnx.List | list | tuple):
        for number, item in enumerate(module):
            yield from paths_of(item, (*path, number))
    elif isinstance(module, nnx.Module):
        for name, value in vars(module).items():
            if not name.startswith("_"):
                yield from paths_of(value, (*path, name))


def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean cross entropy."""
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
