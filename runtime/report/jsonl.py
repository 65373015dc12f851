"""metrics.jsonl: a line of JSON for each epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.report.listener import Beginning, Epoch, Figures, Result


class JsonLines:
    """Writes a line as each epoch ends, so that a run cut off has its history."""

    def __init__(self, path: Path):
        self._path = path

    def begin(self, beginning: Beginning) -> None:
        self._write({"event": "begin", "name": beginning.name, "params": beginning.parameters,
                     "examples": dict(beginning.examples), "epochs": beginning.epochs,
                     "steps": beginning.steps, "device": beginning.device})

    def step(self, step: int, so_far: Callable[[], Figures]) -> None:
        """Steps leave no line."""

    def epoch(self, epoch: Epoch) -> None:
        self._write({"event": "epoch", "epoch": epoch.epoch, "step": epoch.step,
                     "seconds": round(epoch.seconds, 3), "learning_rate": epoch.learning_rate,
                     "train": dict(epoch.train), "validation": dict(epoch.validation)})

    def end(self, result: Result) -> None:
        self._write({"event": "end", **result.as_json()})

    def _write(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(record)) + "\n")


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
