"""A run of Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from runtime.report.listener import Epoch, Listener, Result
from runtime.report.trackers import last_scalars, scalars

# The file in the run's folder by which a run that is taken up again finds its own.
ID = "wandb-id"


class WandbRun(Listener):
    """Sends epochs and the test figures; the spec is the run's config."""

    def __init__(
        self, folder: Path, spec: Mapping[str, Any], *, project: str, entity: str | None,
        mode: str,
    ):
        """Begin a run, or take up that of the folder.

        Raises:
            SpecError: F0812 it cannot begin, as where nobody is logged in.
        """
        wandb: Any = import_module("wandb")
        known = folder / ID
        name = known.read_text(encoding="utf-8").strip() if known.exists() else None
        try:
            self._run = wandb.init(
                project=project, entity=entity, mode=mode, name=folder.name, dir=str(folder),
                config=dict(spec), id=name, resume="allow" if name else None,
                settings=wandb.Settings(silent=True, console="off"))
        except Exception as error:  # whatever its network and its server come up with
            raise SpecError([diagnostic(
                "F0812", f"wandb cannot begin: {str(error).strip()}".partition("\n")[0],
                help="log in with `wandb login`, or keep the run here: "
                     "`log: [{wandb: {mode: offline}}]`")]) from None
        known.write_text(f"{self._run.id}\n", encoding="utf-8")
        self._finished = False

    def epoch(self, epoch: Epoch) -> None:
        self._run.log({"epoch": epoch.epoch, **scalars(epoch)}, step=epoch.step)

    def end(self, result: Result) -> None:
        self._run.summary.update(last_scalars(result))
        self._finished = True

    def close(self) -> None:
        self._run.finish(exit_code=0 if self._finished else 1)
