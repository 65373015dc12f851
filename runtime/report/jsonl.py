"""metrics.jsonl: a line of JSON for each epoch; the same on standard output for `--log json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from runtime.folder import finite
from runtime.report.listener import Beginning, Epoch, Listener, Result


class JsonLines(Listener):
    """Writes a line as each epoch ends, so that a run cut off has its history."""

    def __init__(self, target: Path | TextIO):
        """Write to a file, opened anew for each line, or to a stream."""
        self._target = target

    def begin(self, beginning: Beginning) -> None:
        record = {"event": "begin", "name": beginning.name, "params": beginning.parameters,
                  "examples": dict(beginning.examples), "epochs": beginning.epochs,
                  "steps": beginning.steps, "device": beginning.device}
        if beginning.done and isinstance(self._target, Path):
            # The run goes on, perhaps for longer than its file says.
            # What became of the file is no reason to lose the run.
            before = self._target.read_bytes() if self._target.exists() else b""
            partial = self._target.with_name(f"{self._target.name}.partial")
            partial.write_bytes(b"".join([
                _line(record).encode(), *before.splitlines(keepends=True)[1:]]))
            partial.replace(self._target)
        else:
            self.write(record)

    def epoch(self, epoch: Epoch) -> None:
        self.write({"event": "epoch", "epoch": epoch.epoch, "step": epoch.step,
                    "seconds": round(epoch.seconds, 3), "learning_rate": epoch.learning_rate,
                    "examples_per_second": None if epoch.rate is None else round(epoch.rate, 1),
                    "memory": epoch.memory,
                    "train": dict(epoch.train), "validation": dict(epoch.validation),
                    **({"validation_raw": dict(epoch.raw)} if epoch.raw else {})})

    def end(self, result: Result) -> None:
        self.write({"event": "end", **result.as_json()})

    def write(self, record: dict[str, Any]) -> None:
        """Write one record as a line."""
        line = _line(record)
        if isinstance(self._target, Path):
            with self._target.open("a", encoding="utf-8") as file:
                file.write(line)
        else:
            self._target.write(line)
            self._target.flush()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(finite(record)) + "\n"


def read_events(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; those that were cut off are left out."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events
