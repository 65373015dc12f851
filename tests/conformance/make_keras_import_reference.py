"""Make imports/*.json and keras.npz: small Keras models, and what they give.

    KERAS_BACKEND=torch python tests/conformance/make_keras_import_reference.py

Written with Keras 3.15.1 on PyTorch 2.13.0. The files ending in _2.json hold the same models in
Keras 2's form, which differs in how layers name what they read.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers as L

FOLDER = Path(__file__).parent / "imports"


def resnet() -> keras.Model:
    def unit(x, filters, stride, name):
        short = x
        if stride > 1 or x.shape[-1] != filters:
            short = L.Conv2D(filters, 1, strides=stride, name=f"{name}_0_conv")(x)
            short = L.BatchNormalization(name=f"{name}_0_bn")(short)
        y = L.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False,
                     name=f"{name}_1_conv")(x)
        y = L.BatchNormalization(name=f"{name}_1_bn")(y)
        y = L.Activation("relu")(y)
        y = L.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
        y = L.BatchNormalization(name=f"{name}_2_bn")(y)
        return L.ReLU()(L.Add()([short, y]))

    image = keras.Input((16, 16, 3), name="image")
    x = L.ZeroPadding2D(1)(image)
    x = L.Conv2D(4, 3, name="stem")(x)
    for stage, filters in enumerate((4, 6)):
        for number in range(3):
            x = unit(x, filters, 2 if stage and not number else 1, f"s{stage}_u{number}")
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(5, activation="softmax", name="predictions")(x),
                       name="small_resnet")


def inception() -> keras.Model:
    def conv(x, filters, kernel):
        x = L.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
        return L.Activation("relu")(L.BatchNormalization(scale=False)(x))

    def block(x, a, b, c):
        pooled = L.AveragePooling2D(3, strides=1, padding="same")(x)
        return L.Concatenate()([conv(x, a, 1), conv(conv(x, b, 1), a, 3), conv(pooled, c, 1)])

    image = keras.Input((12, 12, 2))
    x = conv(L.Rescaling(1 / 127.5, offset=-1)(image), 4, 3)
    x = block(x, 3, 2, 4)
    x = L.MaxPooling2D(3, strides=2, padding="same")(x)
    x = block(x, 5, 3, 2)
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = L.Dense(int(x.shape[-1]), activation="sigmoid")(gate)
    x = L.Multiply()([x, gate])
    return keras.Model(image, L.Dense(3)(L.Flatten()(x)), name="Small-Inception")


def mobile() -> keras.Model:
    return keras.Sequential([
        keras.Input((15, 13, 3)),
        L.Conv2D(6, 3, strides=2, padding="same"), L.ReLU(6.0),
        L.DepthwiseConv2D(3, padding="same"), L.LeakyReLU(negative_slope=0.1),
        L.SeparableConv2D(8, 3, strides=2, padding="same", activation="swish"),
        L.DepthwiseConv2D((3, 2), depth_multiplier=2), L.PReLU(shared_axes=[1, 2]),
        L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="elu"),
        L.Cropping2D(((1, 0), (0, 1))), L.UpSampling2D(2, interpolation="bilinear"),
        L.LayerNormalization(), L.SpatialDropout2D(0.2), L.GroupNormalization(2),
        L.Activation("hard_sigmoid"), L.GlobalMaxPooling2D(), L.Dropout(0.5),
        L.Dense(4, activation="selu")], name="mobile")


def text() -> keras.Model:
    return keras.Sequential([
        keras.Input((None,), dtype="int32", name="words"),
        L.Embedding(50, 6), L.Bidirectional(L.LSTM(5, return_sequences=True)),
        L.GRU(4, return_sequences=True), L.GRU(4, reset_after=False, return_sequences=True),
        L.SimpleRNN(4, go_backwards=True), L.Dense(1, activation="sigmoid")], name="text")


def sequence() -> keras.Model:
    past = keras.Input((20, 3), name="past")
    x = past
    for dilation in (1, 2, 4):
        y = L.Conv1D(4, 3, padding="causal", dilation_rate=dilation, activation="tanh")(x)
        x = L.Concatenate()([x, y])
    x = L.MaxPooling1D(2)(x)
    x = L.TimeDistributed(L.Dense(3, activation="gelu"))(x)
    x = L.Permute((2, 1))(x)
    x = L.Reshape((6, 5))(x)
    x = L.Bidirectional(L.LSTM(3), merge_mode="sum")(x)
    return keras.Model(past, L.Dense(2)(x), name="sequence")


def several() -> keras.Model:
    """Two inputs, two outputs, a shared layer, a model in the model."""
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    twin = L.Dense(5, activation="relu", name="twin")
    inner_in = keras.Input((5,))
    inner = keras.Model(inner_in, L.Dense(3)(L.Dense(4, activation="tanh")(inner_in)),
                        name="inner")
    a, b = inner(twin(left)), twin(right)
    joined = L.Concatenate()([a, b])
    return keras.Model([left, right], [L.Dense(2, name="score")(joined), L.Subtract()(
        [L.Dense(3, name="high")(joined), a])], name="several")


def video() -> keras.Model:
    clip = keras.Input((4, 8, 8, 2))
    x = L.TimeDistributed(L.Conv2D(3, 3, padding="same"))(clip)
    x = L.TimeDistributed(L.MaxPooling2D(2))(x)
    x = L.TimeDistributed(L.Flatten())(x)
    return keras.Model(clip, L.LSTM(4)(x), name="video")


def as_keras_2(found: dict) -> dict:
    """A Keras 3 JSON in the form that Keras 2 wrote."""
    config = found["config"]
    for layer in config["layers"]:
        settings = layer["config"]
        if "batch_shape" in settings:
            settings["batch_input_shape"] = settings.pop("batch_shape")
        for key in ("module", "registered_name", "build_config"):
            layer.pop(key, None)
        settings["dtype"] = "float32" if layer["class_name"] != "InputLayer" else \
            settings.get("dtype", "float32")
        nodes = []
        for node in layer.get("inbound_nodes", ()):
            args = node["args"][0]
            args = args if isinstance(args, list) else [args]
            nodes.append([[*a["config"]["keras_history"], {}] for a in args])
        if "inbound_nodes" in layer:
            layer["inbound_nodes"] = nodes
    for key in ("input_layers", "output_layers"):
        if key in config and config[key] and isinstance(config[key][0], str):
            config[key] = [config[key]]
    return {"class_name": found["class_name"], "config": config, "keras_version": "2.15.0",
            "backend": "tensorflow"}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    keras.utils.set_random_seed(7)
    draw = np.random.default_rng(7)
    arrays: dict[str, np.ndarray] = {}
    for make in (resnet, inception, mobile, text, sequence, several, video):
        model = make()
        for variable in model.variables:
            if "seed" in variable.path:
                continue
            value = draw.normal(0, 0.4, variable.shape)
            if variable.path.endswith(("variance", "gamma")):
                value = 0.5 + draw.random(variable.shape)
            variable.assign(value.astype("float32"))
        found = json.loads(model.to_json())
        (FOLDER / f"{make.__name__}.json").write_text(json.dumps(found))
        if make in (resnet, text, several):
            (FOLDER / f"{make.__name__}_2.json").write_text(json.dumps(as_keras_2(found)))
        # What its file of weights holds; the groups of HDF5 take more than the numbers.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            model.save_weights(path)
            with h5py.File(path) as file:
                file["layers"].visititems(lambda name, found, at=make.__name__: arrays.update(
                    {f"{at}/weights/{name}": np.asarray(found)}
                    if isinstance(found, h5py.Dataset) and "seed" not in name else {}))
        inputs = []
        for i, tensor in enumerate(model.inputs):
            shape = [2, *(n or 9 for n in tensor.shape[1:])]
            inputs.append(draw.integers(0, 50, shape).astype("int32") if "int" in tensor.dtype
                          else draw.normal(0, 1, shape).astype("float32"))
            arrays[f"{make.__name__}/input{i}"] = inputs[-1]
        given = model(inputs if len(inputs) > 1 else inputs[0], training=False)
        for i, output in enumerate(given if isinstance(given, list) else [given]):
            arrays[f"{make.__name__}/output{i}"] = keras.ops.convert_to_numpy(output)
        arrays[f"{make.__name__}/params"] = np.array(model.count_params())
    np.savez_compressed(FOLDER / "keras.npz", **arrays)


if __name__ == "__main__":
    main()
