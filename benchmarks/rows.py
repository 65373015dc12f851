"""The work that is compared: one row for each model, input and batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One model on one shape.

    Attributes:
        spec: the model of flaxspec's zoo, or a file beside this one.
        params: its parameters.
        family: which hand-written model the peers build: "vgg", "googlenet", "resnet",
            "recurrent", "language_model" or "dense".
        batch: examples in a step.
        input: the shape of one example, without the batch.
        classes: how many classes the labels name; the vocabulary of a language model.
        settings: what the peers' builders are told.
        tokens: the inputs are integers below `classes`, and every step has a label.
        lengths: rows of a batch have different lengths.
        learning_rate: of all peers: small enough that rounding does not grow in twenty steps.
    """

    spec: str
    params: dict[str, Any]
    family: str
    batch: int
    input: tuple[int, ...]
    classes: int
    settings: dict[str, Any] = field(default_factory=dict)
    tokens: bool = False
    lengths: bool = False
    learning_rate: float = 0.01


def _vgg(name: str, depths: list[int], size: int, batch: int) -> Row:
    classes = 10 if size == 32 else 1000
    grid, hidden = (1, 512) if size == 32 else (7, 4096)
    params = {"image": [size, size, 3], "classes": classes, "grid": grid, "hidden": hidden,
              "dropout": 0.0}
    settings = {"depths": depths, "grid": grid, "hidden": hidden}
    return Row(name, params, "vgg", batch, (size, size, 3), classes, settings)


def _resnet(depth: int, size: int, batch: int) -> Row:
    classes = 10 if size == 32 else 1000
    depths = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}[depth]
    stem = [3, 1] if size == 32 else [7, 2]
    params = {"image": [size, size, 3], "classes": classes, "stem": stem}
    settings = {"depths": depths, "basic": depth == 18, "stem": stem}
    return Row(f"resnet{depth}", params, "resnet", batch, (size, size, 3), classes, settings,
               learning_rate=0.01 if depth == 18 else 0.001)


def _recurrent(cell: str, batch: int, steps: int, features: int, units: int, **more: Any) -> Row:
    # One bias a gate, as Flax's cells have it, so that all peers do the same.
    params = {"sequence": [steps, features], "units": units, "biases": 1}
    settings = {"cell": cell, "units": units, "layers": 1, "bidirectional": False}
    if more.get("bidirectional"):
        params |= {"layers": 2, "bidirectional": True}
        settings |= {"layers": 2, "bidirectional": True}
    return Row(f"{cell}_classifier", params, "recurrent", batch, (steps, features), 10, settings,
               lengths=more.get("lengths", False))


# In the order of what they tell, so that a run that is cut short has seen the most.
ROWS: dict[str, Row] = {
    "resnet18-32-b64": _resnet(18, 32, 64),
    "resnet50-224-b16": _resnet(50, 224, 16),
    "lstm-128-256": _recurrent("lstm", 64, 128, 128, 256),
    "gru-128-256": _recurrent("gru", 64, 128, 128, 256),
    "vgg11-32-b64": _vgg("vgg11", [1, 1, 2, 2, 2], 32, 64),
    "googlenet-224-b16": Row(
        "googlenet", {"dropout": 0.0}, "googlenet", 16, (224, 224, 3), 1000),
    "lstm-650-650": _recurrent("lstm", 128, 35, 650, 650),
    "lstm-1-128": _recurrent("lstm", 32, 784, 1, 128),
    "gru-650-650": _recurrent("gru", 128, 35, 650, 650),
    "gru-1-128": _recurrent("gru", 32, 784, 1, 128),
    "bilstm-lengths": _recurrent("lstm", 64, 128, 128, 256, bidirectional=True, lengths=True),
    "zaremba-medium": Row(
        "zaremba_medium", {"dropout": 0.0}, "language_model", 20, (35,), 10000,
        {"units": 650, "layers": 2}, tokens=True),
    "vgg16-32-b64": _vgg("vgg16", [2, 2, 3, 3, 3], 32, 64),
    "dense50-b32": Row(str(Path(__file__).with_name("dense50.yaml")), {}, "dense", 32, (64,), 10,
                       {"layers": 50, "width": 64}),
    "resnet18-32-b128": _resnet(18, 32, 128),
    "vgg11-224-b8": _vgg("vgg11", [1, 1, 2, 2, 2], 224, 8),
    "vgg16-224-b8": _vgg("vgg16", [2, 2, 3, 3, 3], 224, 8),
    "digits-resnet-b128": Row(
        "resnet20", {"classes": 10, "image": [8, 8, 1]}, "resnet", 128, (8, 8, 1),
        10, {"depths": [3, 3, 3], "basic": True, "stem": [3, 1], "width": 16, "shortcut": "pad"}),
}

# Behind a row's name: the same layers on two small examples, to see that a peer runs at all.
TINY = "~tiny"


def row_named(name: str) -> Row:
    """A row, or its tiny form: "vgg16-224-b8~tiny"."""
    row = ROWS[name.removesuffix(TINY)]
    return tiny(row) if name.endswith(TINY) else row


def tiny(row: Row) -> Row:
    """The same layers, on two examples as small as they allow."""
    match row.family:
        case "recurrent":
            params = row.params | {"sequence": [5, 3], "units": 8}
            return replace(row, batch=2, input=(5, 3), params=params,
                           settings=row.settings | {"units": 8})
        case "language_model":
            params = row.params | {"vocabulary": 20, "length": 5, "units": 8}
            return replace(row, batch=2, input=(5,), params=params, classes=20,
                           settings=row.settings | {"units": 8})
        case "dense":
            return replace(row, batch=2)
    size = 64 if row.input[0] == 224 and row.family != "vgg" else min(32, row.input[0])
    image = (size, size, row.input[-1])
    params, settings = row.params | {"image": list(image), "classes": 10}, row.settings
    if row.family == "vgg":
        smaller = {"grid": 1, "hidden": 16}
        params, settings = params | smaller, settings | smaller
    return replace(row, batch=2, input=image, classes=10, params=params, settings=settings)
