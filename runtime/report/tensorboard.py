"""TensorBoard's files, written by tensorboardX, which needs no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.report.listener import Beginning, Epoch, Listener, Result
from runtime.report.trackers import last_scalars, scalars


class TensorBoardFiles(Listener):
    """Writes `tensorboard/` in the run's folder; steps are those of the optimiser."""

    def __init__(self, folder: Path, spec: Mapping[str, Any]):
        """Write into a run's folder."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._spec = spec

    def begin(self, beginning: Beginning) -> None:
        text = json.dumps(self._spec, indent=2, ensure_ascii=False)
        # TensorBoard shows Markdown: four spaces keep it as it is.
        self._writer.add_text("spec", "\n".join(f"    {line}" for line in text.splitlines()),
                              beginning.done)

    def epoch(self, epoch: Epoch) -> None:
        for name, value in scalars(epoch).items():
            self._writer.add_scalar(name, value, epoch.step)
        self._writer.flush()

    def end(self, result: Result) -> None:
        for name, value in last_scalars(result).items():
            self._writer.add_scalar(name, value, result.steps)

    def close(self) -> None:
        self._writer.close()
