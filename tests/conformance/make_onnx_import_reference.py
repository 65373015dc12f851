"""Make imports/*.onnx and onnx.npz: small PyTorch models as ONNX graphs, and what they give.

    python tests/conformance/make_onnx_import_reference.py

Written with PyTorch 2.13.0, its older exporter (TorchScript) and, for the names ending in _new,
its newer one (onnxscript 0.7.2).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

FOLDER = Path(__file__).parent / "imports"


class Unit(nn.Module):
    def __init__(self, inner: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width))
        self.short = nn.Identity() if stride == 1 and inner == 2 * width else nn.Sequential(
            nn.Conv2d(inner, 2 * width, 1, stride, bias=False), nn.BatchNorm2d(2 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.short(x))


def resnet() -> nn.Module:
    units, inner = [], 4
    for stage, width in enumerate((2, 3, 4)):
        for number in range(3):
            units.append(Unit(inner, width, 2 if stage and not number else 1))
            inner = 2 * width
    return nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.MaxPool2d(3, 2, 1), *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(inner, 5))


class Mixed(nn.Module):
    def __init__(self, inner: int, a: int, b: int, c: int, d: int) -> None:
        super().__init__()

        def conv(i: int, o: int, kernel: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False),
                                 nn.BatchNorm2d(o, eps=0.001), nn.ReLU())

        self.ways = nn.ModuleList([
            conv(inner, a, 1), nn.Sequential(conv(inner, b, 1), conv(b, c, 3)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inner, d, 1))])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x) for way in self.ways], 1)


def googlenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), Mixed(6, 2, 3, 4, 2),
        Mixed(8, 4, 3, 6, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Mixed(12, 3, 4, 5, 4),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 4))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    inner = 3
    for width, count in ((3, 1), (4, 2), (6, 2)):
        for _ in range(count):
            layers += [nn.Conv2d(inner, width, 3, padding=1), nn.ReLU()]
            inner = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 3 * 2, 8), nn.BatchNorm1d(8),
                         nn.ReLU(), nn.Dropout(), nn.Linear(8, 4), nn.Softmax(1))


class Gated(nn.Module):
    """Depthwise convolutions, gates of channels, and activations written as formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, (2, 1), bias=False)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.down, self.up = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.spread = nn.Conv2d(6, 12, (3, 1), padding=(2, 0), dilation=(2, 1), groups=3)
        self.grow = nn.ConvTranspose2d(12, 5, 3, 2, 1, output_padding=1)
        self.norm = nn.InstanceNorm2d(5, affine=True)
        self.slope = nn.PReLU(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(x, (1, 2, 0, 1))
        x = nn.functional.silu(self.stem(x))
        x = nn.functional.hardswish(self.depthwise(x))
        gate = nn.functional.adaptive_avg_pool2d(x, 1)
        x = x * torch.sigmoid(self.up(torch.relu(self.down(gate))))
        x = nn.functional.gelu(self.spread(x))
        x = nn.functional.elu(nn.functional.leaky_relu(x, 0.1)) / 2 + 1
        x = self.slope(self.norm(self.grow(nn.functional.avg_pool2d(x, 2, 2))))
        x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        return nn.functional.log_softmax(x.mean((2, 3)), 1)


class Recurrent(nn.Module):
    """Two layers in both directions, then one, on indices of words."""

    def __init__(self, cell: type[nn.Module]) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 5)
        self.cells = cell(5, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.last = cell(8, 3, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        x, _ = self.cells(self.table(text))
        x, _ = self.last(x)
        return self.head(x[:, -1])


class Sequence(nn.Module):
    """Convolutions over time, a norm of steps, dense layers on every step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 3, padding=1)
        self.norm, self.wide, self.back = nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool1d(torch.tanh(self.conv(x)), 2).transpose(1, 2)
        x = x + self.back(nn.functional.gelu(self.wide(self.norm(x))))
        return x.mean(1)


def lean(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without remarks of the exporter, which take more than the model."""
    del model.graph.value_info[:], model.metadata_props[:], model.functions[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model


IMAGE = (2, 3, 24, 20)
MODELS = {
    "resnet": (resnet, IMAGE), "googlenet": (googlenet, IMAGE), "vgg": (vgg, IMAGE),
    "gated": (Gated, (2, 2, 11, 9)), "lstm": (lambda: Recurrent(nn.LSTM), (2, 7)),
    "gru": (lambda: Recurrent(nn.GRU), (2, 7)), "sequence": (Sequence, (2, 3, 12)),
    "lstm_new": (lambda: Recurrent(nn.LSTM), (2, 7))}


def main() -> None:
    warnings.filterwarnings("ignore")
    FOLDER.mkdir(exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for name, (make, shape) in MODELS.items():
        torch.manual_seed(3)
        model = make().eval()
        for key, value in model.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.dtype.is_floating_point:
                value.normal_(0, 0.4)
        x = torch.randn(shape) if len(shape) > 2 else torch.randint(0, 20, shape)
        out = FOLDER / f"{name}.onnx"
        word = "text" if len(shape) == 2 else "image" if len(shape) == 4 else "past"
        if name.endswith("_new"):
            torch.onnx.export(model, (x,), out, dynamo=True, external_data=False,
                              input_names=[word], dynamic_shapes=({0: torch.export.Dim("n")},))
        else:
            open_axes = {0: "n", 1: "steps"} if len(shape) == 2 else {0: "n"}
            # One keeps its norms; the exporter folds those of the others into convolutions.
            norms = {"training": torch.onnx.TrainingMode.PRESERVE,
                     "do_constant_folding": False} if name == "googlenet" else {}
            torch.onnx.export(model, (x,), out, dynamo=False, input_names=[word], **norms,
                              output_names=["scores"], dynamic_axes={word: open_axes})
        onnx.save(lean(onnx.load(out)), out)
        arrays[f"{name}/input"] = x.numpy()
        arrays[f"{name}/output"] = model(x).detach().numpy()
        arrays[f"{name}/params"] = np.array(sum(p.numel() for p in model.parameters()))
    np.savez_compressed(FOLDER / "onnx.npz", **arrays)


if __name__ == "__main__":
    main()
