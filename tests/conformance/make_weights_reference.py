"""Writes weights/: files as PyTorch, torchvision, timm and Keras write them, and what they compute.

Run by hand with PyTorch, torchvision, timm, safetensors, h5py and Keras (KERAS_BACKEND=torch);
the tests only read the files:

    python tests/conformance/make_weights_reference.py

The models are the libraries' own, with few channels. Their weights are random, running
statistics too, and rounded to float16 to keep the files small. `reference.npz` has, for each
file: `name/x`, real digits, channels last; `name/output`, computed from these weights in
float64; and `name/error`, how far PyTorch's own float32 is from it: max|a - b| / max|b|.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import timm.models.resnetv2  # type: ignore[import-not-found]
import timm.models.vgg  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
import torchvision  # type: ignore[import-not-found]
from safetensors.torch import save_file  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]
from torchvision.models.resnet import (  # type: ignore[import-not-found]
    BasicBlock,
    Bottleneck,
    ResNet,
)

FOLDER = Path(__file__).with_name("weights")
DIGITS = Path(__file__).parents[2] / "runtime" / "data" / "embedded" / "digits.npz"
CLASSES, HIDDEN = 3, 5


def digits(shape: tuple[int, ...]) -> np.ndarray:
    """Two handwritten digits (batch, *shape): enlarged and in colours, or a piece as a sequence."""
    with np.load(DIGITS) as file:
        images = file["images"][:2].reshape(2, 8, 8) / 16
    if len(shape) == 2:
        return images[:, :shape[0], :shape[1]]
    enlarged = images.repeat(shape[0] // 8, axis=1).repeat(shape[1] // 8, axis=2)
    return enlarged[..., None] * [1.0, 0.5, -0.25] - [0.25, 0.5, 0.0]


def narrowed(module: nn.Module, width: float) -> nn.Module:
    """A model of torchvision's with a part of its channels, three classes, two by two places."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            new: nn.Module = nn.LazyConv2d(
                int(child.out_channels * width), child.kernel_size, child.stride, child.padding,
                bias=child.bias is not None)
        elif isinstance(child, nn.BatchNorm2d):
            new = nn.LazyBatchNorm2d(eps=child.eps)
        elif isinstance(child, nn.Linear):
            new = nn.LazyLinear(CLASSES if child.out_features == 1000 else HIDDEN)
        elif isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size == (7, 7):
            new = nn.AdaptiveAvgPool2d(2)
        else:
            new = narrowed(child, width)
        setattr(module, name, new)
    return module


class Recurrent(nn.Module):
    """Two layers in both directions, and a linear layer on what they end with."""

    def __init__(self, kind: type[nn.Module]):
        super().__init__()
        self.rnn = kind(4, 5, 2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10, CLASSES)

    def forward(self, x):
        state = self.rnn(x)[1]
        h = state[0] if isinstance(state, tuple) else state
        return self.fc(torch.cat([h[-2], h[-1]], -1))


def vgg_of_timm() -> nn.Module:
    """timm's VGG-11 with few channels, whose classifier is of convolutions."""
    model = timm.models.vgg.VGG([2, "M", 4, "M", 4, 4, "M", 4, 4, "M", 4, 4, "M"])
    model.pre_logits = timm.models.vgg.ConvMlp(4, HIDDEN, kernel_size=2)
    model.head = timm.layers.ClassifierHead(HIDDEN, CLASSES)
    return model


def models() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """The models by the names of their files, with the shapes of their inputs."""
    image = (48, 48, 3)
    return {
        "torchvision_resnet.pth": (narrowed(ResNet(Bottleneck, [1, 1, 2, 1]), 1 / 32), image),
        "torchvision_basic_resnet.pth": (narrowed(ResNet(BasicBlock, [1, 2, 1, 1]), 1 / 32), image),
        "torchvision_vgg11_bn.pth": (
            narrowed(torchvision.models.vgg11_bn(init_weights=False), 1 / 32), (64, 64, 3)),
        "torchvision_googlenet.safetensors": (narrowed(torchvision.models.googlenet(
            aux_logits=False, transform_input=True, init_weights=False), 1 / 16), (64, 64, 3)),
        "timm_vgg.safetensors": (vgg_of_timm(), (64, 64, 3)),
        "timm_resnetv2.pth": (timm.models.resnetv2.ResNetV2(
            [2, 1], channels=(32, 64), num_classes=CLASSES, stem_chs=8,
            stem_type="", norm_layer=timm.layers.BatchNormAct2d,
            conv_layer=timm.layers.create_conv2d), image),
        "lstm.pth": (Recurrent(nn.LSTM), (6, 4)),
        "gru.pth": (Recurrent(nn.GRU), (6, 4)),
    }


def of_torch(found: dict[str, np.ndarray]) -> None:
    for file, (model, shape) in models().items():
        x = torch.tensor(digits(shape))
        given = x.permute(0, 3, 1, 2) if len(shape) == 3 else x
        model(given.float())  # what is lazy learns its shapes
        with torch.no_grad():
            for parameter in model.parameters():
                spread = 0.1 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
                parameter.copy_(spread * torch.randn(parameter.shape))
            for name, buffer in model.named_buffers():
                if name.endswith("running_mean"):
                    buffer.copy_(torch.randn(buffer.shape) / 10)
                elif name.endswith("running_var"):
                    buffer.copy_(torch.rand(buffer.shape) + 0.5)
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1 and name.endswith("weight"):
                    parameter.add_(1)
        model.half().eval()
        state = model.state_dict()
        if file.endswith(".pth"):
            torch.save(state, FOLDER / file)
        else:
            save_file(state, FOLDER / file)
        with torch.no_grad():
            exact, single = model.double()(given), model.float()(given.float())
        found[f"{file}/x"], found[f"{file}/output"] = x.numpy(), exact.numpy()
        found[f"{file}/error"] = ((single - exact).abs().max() / exact.abs().max()).numpy()


def of_keras(found: dict[str, np.ndarray]) -> None:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # type: ignore[import-not-found]

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    layers = keras.layers
    made = {
        "keras_image.weights.h5": keras.Sequential([
            layers.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(), layers.ReLU(), layers.DepthwiseConv2D(3),
            layers.Conv2D(6, 3, use_bias=False), layers.PReLU(shared_axes=[1, 2]),
            layers.Flatten(), layers.Dropout(0.5), layers.Dense(5), layers.Dense(CLASSES)]),
        "keras_sequence.weights.h5": keras.Sequential([
            layers.Input((6, 4)), layers.LSTM(5, return_sequences=True),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.SimpleRNN(3), layers.LayerNormalization(epsilon=1e-5), layers.Dense(CLASSES)]),
    }
    rng = np.random.default_rng(0)
    for file, model in made.items():
        model.set_weights([rng.uniform(0.2, 1, w.shape) if w.ndim == 1 else
                           rng.standard_normal(w.shape) / 2 for w in model.get_weights()])
        model.save_weights(FOLDER / file)
        x = digits(model.input_shape[1:])
        found[f"{file}/x"] = x
        found[f"{file}/output"] = np.asarray(model(x, training=False).detach().numpy())
        assert found[f"{file}/output"].dtype == np.float64


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    found: dict[str, np.ndarray] = {}
    of_torch(found)
    of_keras(found)
    np.savez_compressed(FOLDER / "reference.npz", **found)  # type: ignore[arg-type]
    for path in sorted(FOLDER.iterdir()):
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
