"""The models as torchvision and PyTorch's tutorials write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers.plan import INCEPTION


class ConvBN(nn.Sequential):
    def __init__(self, fan_in, out, kernel, stride=1, epsilon=1e-5):
        super().__init__(nn.Conv2d(fan_in, out, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(out, eps=epsilon))


class VGG(nn.Module):
    def __init__(self, depths, grid, hidden, classes):
        super().__init__()
        layers, fan_in = [], 3
        for depth, width in zip(depths, [64, 128, 256, 512, 512]):
            for _ in range(depth):
                layers += [nn.Conv2d(fan_in, width, 3, padding=1), nn.ReLU(inplace=True)]
                fan_in = width
            layers.append(nn.MaxPool2d(2))
        self.features, self.grid = nn.Sequential(*layers), grid
        self.classifier = nn.Sequential(
            nn.Linear(fan_in * grid * grid, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, classes))

    def forward(self, x):
        # Height, width, channels, as flaxspec's weights have it.
        x = self.features(x).permute(0, 2, 3, 1)
        return self.classifier(x.flatten(1))


class Unit(nn.Module):
    def __init__(self, fan_in, filters, stride, basic, shortcut):
        super().__init__()
        out = filters if basic else 4 * filters
        if basic:
            self.body = nn.Sequential(ConvBN(fan_in, filters, 3, stride), nn.ReLU(inplace=True),
                                      ConvBN(filters, out, 3))
        else:
            self.body = nn.Sequential(ConvBN(fan_in, filters, 1), nn.ReLU(inplace=True),
                                      ConvBN(filters, filters, 3, stride), nn.ReLU(inplace=True),
                                      ConvBN(filters, out, 1))
        self.stride, self.missing = stride, out - fan_in
        changes = stride > 1 or out != fan_in
        self.pads = changes and shortcut == "pad"
        self.shortcut = ConvBN(fan_in, out, 1, stride) if changes and not self.pads else None

    def forward(self, x):
        y = self.body(x)
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.pads:
            half = self.missing // 2
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, half, half))
        return F.relu(x + y, inplace=True)


class ResNet(nn.Module):
    def __init__(self, depths, basic, stem, classes, channels=3, width=64, shortcut="project"):
        super().__init__()
        self.stem = ConvBN(channels, width, stem[0], stem[1])
        self.pool = stem[1] > 1
        units, fan_in = [], width
        for stage, depth in enumerate(depths):
            for number in range(depth):
                filters = width * 2**stage
                stride = 2 if stage and not number else 1
                units.append(Unit(fan_in, filters, stride, basic, shortcut))
                fan_in = filters if basic else 4 * filters
        self.units = nn.Sequential(*units)
        self.dense = nn.Linear(fan_in, classes)

    def forward(self, x):
        x = F.relu(self.stem(x), inplace=True)
        if self.pool:
            x = F.max_pool2d(x, 3, 2, 1)
        return self.dense(self.units(x).mean((2, 3)))


class Inception(nn.Module):
    def __init__(self, fan_in, n):
        super().__init__()
        self.one = _unit(fan_in, n[0], 1)
        self.three = nn.Sequential(_unit(fan_in, n[1], 1), _unit(n[1], n[2], 3))
        self.five = nn.Sequential(_unit(fan_in, n[3], 1), _unit(n[3], n[4], 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), _unit(fan_in, n[5], 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def _unit(fan_in, out, kernel, stride=1):
    return nn.Sequential(ConvBN(fan_in, out, kernel, stride, 1e-3), nn.ReLU(inplace=True))


class GoogLeNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        layers = [_unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), _unit(64, 64, 1),
                  _unit(64, 192, 3), nn.MaxPool2d(3, 2, ceil_mode=True)]
        fan_in = 192
        for n in INCEPTION:
            if isinstance(n, int):
                layers.append(nn.MaxPool2d(n, 2, ceil_mode=True))
                continue
            layers.append(Inception(fan_in, n))
            fan_in = n[0] + n[2] + n[4] + n[5]
        self.body, self.dense = nn.Sequential(*layers), nn.Linear(fan_in, classes)

    def forward(self, x):
        return self.dense(self.body(x).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, cell, units, layers, bidirectional, classes, features):
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.rnn = kind(features, units, layers, batch_first=True, bidirectional=bidirectional)
        self.directions = 2 if bidirectional else 1
        self.dense = nn.Linear(units * self.directions, classes)

    def forward(self, x, lengths=None):
        if lengths is not None:
            x = nn.utils.rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        return self.dense(torch.cat(tuple(h[-self.directions:]), -1))


class LanguageModel(nn.Module):
    def __init__(self, units, layers, classes):
        super().__init__()
        self.embed = nn.Embedding(classes, units)
        self.rnn = nn.LSTM(units, units, layers, batch_first=True)
        self.dense = nn.Linear(units, classes)

    def forward(self, x):
        return self.dense(self.rnn(self.embed(x))[0])


class Dense(nn.Sequential):
    def __init__(self, layers, width, classes):
        body = []
        for _ in range(layers - 1):
            body += [nn.Linear(width, width), nn.ReLU(inplace=True)]
        super().__init__(*body, nn.Linear(width, classes))


def build(row) -> nn.Module:
    """The model of a row."""
    s = row.settings
    match row.family:
        case "vgg":
            return VGG(**s, classes=row.classes)
        case "resnet":
            return ResNet(**s, classes=row.classes, channels=row.input[-1])
        case "googlenet":
            return GoogLeNet(row.classes)
        case "recurrent":
            return Recurrent(**s, classes=row.classes, features=row.input[-1])
        case "dense":
            return Dense(**s, classes=row.classes)
        case _:
            return LanguageModel(**s, classes=row.classes)


@torch.no_grad()
def set_weights(model: nn.Module, weights) -> None:
    """Give every layer flaxspec's initial weights, in the order of the layers."""
    def put(parameter, axes=None):
        inverse = range(parameter.ndim) if axes is None else sorted(
            range(len(axes)), key=axes.__getitem__)
        shape = tuple(parameter.shape[i] for i in inverse)
        array = torch.from_numpy(weights.take(shape).copy())
        parameter.copy_(array if axes is None else array.permute(axes))

    for layer in model.modules():
        match layer:
            case nn.Conv2d():
                put(layer.weight, (3, 2, 0, 1))
                if layer.bias is not None:
                    put(layer.bias)
            case nn.Linear():
                put(layer.weight, (1, 0))
                put(layer.bias)
            case nn.Embedding():
                put(layer.weight)
            case nn.BatchNorm2d():
                put(layer.weight)
                put(layer.bias)
            case nn.LSTM() | nn.GRU():
                for names in layer._all_weights:
                    for name in names[:2]:
                        put(getattr(layer, name), (1, 0))
                    put(getattr(layer, names[2]))
                    # PyTorch's second bias of a gate, which the others do not have.
                    getattr(layer, names[3]).requires_grad_(False).zero_()
    weights.done()
