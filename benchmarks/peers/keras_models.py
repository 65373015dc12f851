"""The models as Keras's documentation writes them: functional, defaults throughout."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from benchmarks.peers.plan import INCEPTION  # noqa: E402


class Builder:
    """Calls layers, and remembers those with weights in the order of their making."""

    def __init__(self):
        self.made = []

    def __call__(self, layer, *inputs, **more):
        self.made.append(layer)
        return layer(*inputs, **more)

    def conv_bn(self, x, filters, kernel, stride=1, epsilon=1e-5):
        if stride > 1 and kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2)(x)
        x = self(layers.Conv2D(filters, kernel, stride, "same" if stride == 1 else "valid",
                               use_bias=False), x)
        return self(layers.BatchNormalization(momentum=0.9, epsilon=epsilon), x)


def vgg(build, x, depths, grid, hidden, classes):
    for depth, width in zip(depths, [64, 128, 256, 512, 512]):
        for _ in range(depth):
            x = build(layers.Conv2D(width, 3, padding="same", activation="relu"), x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = build(layers.Dense(hidden, activation="relu"), x)
    x = build(layers.Dense(hidden, activation="relu"), x)
    return build(layers.Dense(classes), x)


def unit(build, x, filters, stride, basic, shortcut):
    out = filters if basic else 4 * filters
    fan_in = x.shape[-1]
    plan = [(filters, 3, stride), (out, 3, 1)] if basic else [
        (filters, 1, 1), (filters, 3, stride), (out, 1, 1)]
    y = x
    for number, (width, kernel, step) in enumerate(plan):
        y = build.conv_bn(y, width, kernel, step)
        if number < len(plan) - 1:
            y = layers.ReLU()(y)
    if stride > 1 or out != fan_in:
        if shortcut == "pad":
            half = (out - fan_in) // 2
            x = keras.ops.pad(x[:, ::stride, ::stride], ((0, 0),) * 3 + ((half, half),))
        else:
            x = build.conv_bn(x, out, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def resnet(build, x, depths, basic, stem, classes, width=64, shortcut="project"):
    x = layers.ReLU()(build.conv_bn(x, width, stem[0], stem[1]))
    if stem[1] > 1:
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # no number below 0 there
    for stage, depth in enumerate(depths):
        for number in range(depth):
            stride = 2 if stage and not number else 1
            x = unit(build, x, width * 2**stage, stride, basic, shortcut)
    return build(layers.Dense(classes), layers.GlobalAveragePooling2D()(x))


def googlenet(build, x, classes):
    def conv(x, filters, kernel, stride=1):
        return layers.ReLU()(build.conv_bn(x, filters, kernel, stride, 1e-3))

    x = layers.MaxPooling2D(3, 2, "same")(conv(x, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, "same")(conv(conv(x, 64, 1), 192, 3))
    for n in INCEPTION:
        if isinstance(n, int):
            x = layers.MaxPooling2D(n, 2, "same")(x)
            continue
        branches = [conv(x, n[0], 1), conv(conv(x, n[1], 1), n[2], 3),
                    conv(conv(x, n[3], 1), n[4], 3)]
        branches.append(conv(layers.MaxPooling2D(3, 1, "same")(x), n[5], 1))
        x = layers.Concatenate()(branches)
    return build(layers.Dense(classes), layers.GlobalAveragePooling2D()(x))


def recurrent(build, x, lengths, cell, units, layers_, bidirectional, classes):
    kind = {"lstm": layers.LSTM, "gru": layers.GRU}[cell]
    mask = None
    if lengths is not None:
        steps = keras.ops.arange(x.shape[1], dtype="int32")
        mask = keras.ops.less(steps, keras.ops.expand_dims(lengths, 1))
    for number in range(layers_):
        rnn = kind(units, return_sequences=number < layers_ - 1)
        rnn = layers.Bidirectional(rnn) if bidirectional else rnn
        x = build(rnn, x, mask=mask)
    return build(layers.Dense(classes), x)


def language_model(build, x, units, layers_, classes):
    x = build(layers.Embedding(classes, units), x)
    for _ in range(layers_):
        x = build(layers.LSTM(units, return_sequences=True), x)
    return build(layers.Dense(classes), x)


def dense(build, x, layers_, width, classes):
    for _ in range(layers_ - 1):
        x = build(layers.Dense(width, activation="relu"), x)
    return build(layers.Dense(classes), x)


def build(row):
    """The model of a row, and its layers with weights in order."""
    builder, s, classes = Builder(), dict(row.settings), row.classes
    if "layers" in s:
        s["layers_"] = s.pop("layers")
    x = keras.Input(row.input, batch_size=row.batch, dtype="int32" if row.tokens else "float32")
    inputs = [x]
    match row.family:
        case "vgg":
            out = vgg(builder, x, **s, classes=classes)
        case "resnet":
            out = resnet(builder, x, **s, classes=classes)
        case "googlenet":
            out = googlenet(builder, x, classes)
        case "recurrent":
            lengths = keras.Input((), batch_size=row.batch, dtype="int32") if row.lengths else None
            inputs += [] if lengths is None else [lengths]
            out = recurrent(builder, x, lengths, **s, classes=classes)
        case "dense":
            out = dense(builder, x, **s, classes=classes)
        case _:
            out = language_model(builder, x, **s, classes=classes)
    return keras.Model(inputs if row.lengths else x, out), builder.made


def set_weights(made, weights) -> None:
    """Give every layer flaxspec's initial weights, in the order of the layers."""
    for layer in made:
        match layer:
            case layers.Bidirectional():
                set_weights([layer.forward_layer, layer.backward_layer], weights)
            case layers.LSTM():
                layer.set_weights([weights.take(w.shape) for w in layer.weights[:3]])
            case layers.GRU():
                # Gates in another order, and a second bias that begins at 0.
                kernel, recurrent = (
                    _gates(weights.take(w.shape)) for w in layer.weights[:2])
                bias = _gates(weights.take(kernel.shape[-1:]))
                layer.set_weights([kernel, recurrent, np.stack([bias, np.zeros_like(bias)])])
            case layers.BatchNormalization():
                given = [weights.take(layer.gamma.shape), weights.take(layer.beta.shape)]
                layer.set_weights([*given, *layer.get_weights()[2:]])
            case _:
                layer.set_weights([weights.take(w.shape) for w in layer.weights])


def _gates(array):
    """From the order reset, update, new to Keras's update, reset, new."""
    reset, update, new = np.split(array, 3, axis=-1)
    return np.concatenate([update, reset, new], axis=-1)
