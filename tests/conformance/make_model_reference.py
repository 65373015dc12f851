"""Makes model_reference.npz: a small VGG, GoogLeNet and ResNet in PyTorch, with what they compute.

    pip install torch==2.13.0 && python tests/conformance/make_model_reference.py

PyTorch is no dependency of the project: the tests read the file. Each model is written here by
hand as torchvision writes it, in PyTorch's own layout; `names` says which of its parameters is
which of ours. Per model the file holds the weights (float32 values), the input (float16 values),
and, after one training step's forward and backward in float64, the output, the gradient of the
mean squared output by every parameter (the ResNet's also by the input), and the running
statistics; and for each of these the relative error that PyTorch itself makes in float32. One sum
may be exact by luck, so the error is the largest over every order of the examples, which changes
no exact value, and over both memory layouts.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent


class ConvRelu(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, inputs: int, n: list[int]):
        super().__init__()
        self.one = ConvRelu(inputs, n[0])
        self.three = nn.Sequential(ConvRelu(inputs, n[1]), ConvRelu(n[1], n[2], 3))
        self.five = nn.Sequential(ConvRelu(inputs, n[3]), ConvRelu(n[3], n[4], 3))
        self.pool = ConvRelu(inputs, n[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(x, 3, 1, 1, ceil_mode=True)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(pooled)], 1)


TABLE = [
    [64, 96, 128, 16, 32, 32],
    [128, 128, 192, 32, 96, 64],
    [192, 96, 208, 16, 48, 64],
    [160, 112, 224, 24, 64, 64],
    [128, 128, 256, 24, 64, 64],
    [112, 144, 288, 32, 64, 64],
    [256, 160, 320, 32, 128, 128],
    [256, 160, 320, 32, 128, 128],
    [384, 192, 384, 48, 128, 128],
]


class GoogLeNet(nn.Module):
    """torchvision's, every width divided by 16."""

    def __init__(self, classes: int):
        super().__init__()
        self.stem = nn.ModuleList([ConvRelu(3, 4, 7, 2), ConvRelu(4, 4), ConvRelu(4, 12, 3)])
        inputs, blocks = 12, []
        for row in TABLE:
            n = [f // 16 for f in row]
            blocks.append(Inception(inputs, n))
            inputs = n[0] + n[2] + n[4] + n[5]
        self.blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        pool = nn.functional.max_pool2d
        x = pool(self.stem[0](x), 3, 2, ceil_mode=True)
        x = pool(self.stem[2](self.stem[1](x)), 3, 2, ceil_mode=True)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 1:
                x = pool(x, 3, 2, ceil_mode=True)
            if i == 6:
                x = pool(x, 2, 2, ceil_mode=True)
        return self.fc(x.mean((2, 3)))

    def names(self) -> dict[str, str]:
        found = {f"stem.{i}": f"conv_relu_{i + 1}" for i in range(3)}
        for i in range(9):
            ours = f"inception_{i + 1}"
            for branch in ("one", "pool"):
                found[f"blocks.{i}.{branch}"] = f"{ours}.{branch}.conv_relu_1"
            for branch in ("three", "five"):
                for j in range(2):
                    found[f"blocks.{i}.{branch}.{j}"] = f"{ours}.{branch}.conv_relu_{j + 1}"
        found = {
            f"{k}.{t}": f"{v}.{o}"
            for k, v in found.items()
            for t, o in (("conv", "conv_1"), ("bn", "batch_norm_1"))
        }
        return {**found, "fc": "dense_1"}


class VGG(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        widths = [4, 6, 8, 8, 8]
        self.convs = nn.ModuleList(
            [nn.Conv2d(i, o, 3, padding=1) for i, o in zip([3, *widths], widths)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(o) for o in widths])
        self.dense = nn.ModuleList(
            [nn.Linear(8 * 2 * 2, 16), nn.Linear(16, 16), nn.Linear(16, classes)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms):
            x = nn.functional.max_pool2d(torch.relu(norm(conv(x))), 2, 2)
        x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 2), 1)
        for layer in self.dense[:2]:
            x = torch.relu(layer(x))
        return self.dense[2](x)

    def names(self) -> dict[str, str]:
        found = {}
        for i in range(5):
            found[f"convs.{i}"] = f"stage{i}.unit0.conv_1"
            found[f"norms.{i}"] = f"stage{i}.unit0.batch_norm_1"
        return {
            **found,
            "dense.0": "hidden_layer0.dense_1",
            "dense.1": "hidden_layer1.dense_1",
            "dense.2": "dense_1",
        }


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        out = 4 * width
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(inputs, width, 1, bias=False),
                nn.Conv2d(width, width, 3, stride, 1, bias=False),
                nn.Conv2d(width, out, 1, bias=False),
            ]
        )
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(width), nn.BatchNorm2d(width), nn.BatchNorm2d(out)]
        )
        self.shortcut = None
        if stride != 1 or inputs != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(3):
            y = self.norms[i](self.convs[i](y))
            y = torch.relu(y) if i < 2 else y
        return torch.relu(y + (self.shortcut(x) if self.shortcut is not None else x))


class ResNet(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.units = nn.ModuleList(
            [Bottleneck(4, 4, 1), Bottleneck(16, 4, 1), Bottleneck(16, 8, 2)]
        )
        self.fc = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 3, 2, 1)
        for unit in self.units:
            x = unit(x)
        return self.fc(x.mean((2, 3)))

    def names(self) -> dict[str, str]:
        found = {"conv": "conv_1", "norm": "batch_norm_1", "fc": "dense_1"}
        for i, place in enumerate(["stage0.unit0", "stage0.unit1", "stage1.unit0"]):
            for j in range(3):
                found[f"units.{i}.convs.{j}"] = f"{place}.unit_1.body.conv_{j + 1}"
                found[f"units.{i}.norms.{j}"] = f"{place}.unit_1.body.batch_norm_{j + 1}"
            if i != 1:
                found[f"units.{i}.shortcut.0"] = f"{place}.unit_1.shortcut.conv_1"
                found[f"units.{i}.shortcut.1"] = f"{place}.unit_1.shortcut.batch_norm_1"
        return found


LEAVES = {"running_mean": "mean", "running_var": "var"}


def ours(name: str, array: np.ndarray, model: nn.Module) -> tuple[str, np.ndarray]:
    """A PyTorch parameter under our path and in our layout."""
    owner, _, leaf = name.rpartition(".")
    path = model.names()[owner]  # type: ignore[operator]
    if leaf == "weight":
        leaf = "scale" if array.ndim == 1 else "kernel"
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif array.ndim == 2:
            array = array.T
            if isinstance(model, VGG) and path == "hidden_layer0.dense_1":
                # Flattened (channels, height, width) there, (height, width, channels) here.
                array = array.reshape(8, 2, 2, -1).transpose(1, 2, 0, 3).reshape(array.shape)
    return f"{path}.{LEAVES.get(leaf, leaf)}", array


def step(model: nn.Module, x: np.ndarray, layout=torch.contiguous_format) -> dict[str, np.ndarray]:
    """One forward and backward; everything it computes, in our names and layouts."""
    model.train()
    first = next(model.parameters())
    image = torch.tensor(x.transpose(0, 3, 1, 2), dtype=first.dtype)
    image = image.contiguous(memory_format=layout).requires_grad_()
    output = model(image)
    (output**2).mean().backward()
    assert image.grad is not None
    found = {"output": output.detach().numpy(), "input": image.grad.numpy().transpose(0, 2, 3, 1)}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        path, array = ours(name, parameter.grad.numpy(), model)
        found[f"gradient/{path}"] = array
    for name, buffer in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            path, array = ours(name, buffer.numpy(), model)
            found[f"statistic/{path}"] = array
    return found


def rounding(
    kind: type[nn.Module], initial: dict[str, Tensor], x: np.ndarray, exact: dict[str, np.ndarray]
) -> dict[str, np.float64]:
    """PyTorch's relative error in float32 for each tensor, over orders and layouts."""
    worst = dict.fromkeys(exact, np.float64(0))
    for order in map(list, permutations(range(len(x)))):
        for layout in (torch.contiguous_format, torch.channels_last):
            model = kind(5)
            model.load_state_dict(initial)
            found = step(model.to(memory_format=layout), x[order], layout)
            for key, value in exact.items():
                want = value[order] if key in ("output", "input") else value
                error = np.abs(found[key] - want).max() / np.abs(want).max()
                worst[key] = max(worst[key], error)
    return worst


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for seed, (name, kind) in enumerate(
        {"vgg": VGG, "googlenet": GoogLeNet, "resnet": ResNet}.items()
    ):
        torch.manual_seed(seed)
        model = kind(5).double()
        rng = np.random.default_rng(seed)
        for key, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            scale = 1.0 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[1:]))
            drawn = rng.standard_normal(shape) * scale * (0.2 if len(shape) == 1 else 1)
            if len(shape) == 1 and key.endswith("weight"):
                drawn += 1.0
            parameter.data = torch.tensor(drawn.astype(np.float32).astype(np.float64))
        # Large enough that a norm never sees only a few values, whose variance is all rounding.
        size = 96 if name == "googlenet" else 40
        x = rng.standard_normal((3, size, size, 3)).astype(np.float16).astype(np.float32)
        weights = dict(
            ours(n, p.detach().numpy().astype(np.float32), model)
            for n, p in model.named_parameters()
        )
        initial = {k: v.clone() for k, v in model.state_dict().items()}
        exact = step(model, x)
        rough = rounding(kind, initial, x, exact)
        arrays[f"{name}/x"] = x.astype(np.float16)
        arrays |= {f"{name}/weight/{k}": v for k, v in weights.items()}
        arrays |= {f"{name}/{k}": v for k, v in exact.items() if k != "input"}
        if name == "resnet":
            arrays[f"{name}/input"] = exact["input"]
        arrays |= {f"{name}/error/{k}": error for k, error in rough.items()}
    np.savez_compressed(HERE / "model_reference.npz", **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
