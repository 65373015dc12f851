"""What a run starts from: the weights of a file, or of another run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Graph
from runtime import folder as files
from runtime.freezing import drawn_anew
from runtime.recipe import Train
from runtime.share.reference import names_bundle

if TYPE_CHECKING:
    from compiler.lower.module import Model
    from compiler.weights.load import Loaded


@dataclass(frozen=True)
class Start:
    """What a run began with.

    Attributes:
        path: the file of weights.
        loaded: what it gave.
        sha256: of the file.
    """

    path: Path
    loaded: Loaded
    sha256: str

    def as_json(self, train: Train) -> dict[str, Any]:
        """For the run's folder."""
        return {"from": str(self.path), "sha256": self.sha256,
                "names": self.loaded.whose.rstrip(","), "arrays": len(self.loaded.arrays),
                "numbers": self.loaded.numbers, "drawn_anew": list(self.loaded.drawn),
                "left_over": list(self.loaded.left), "freeze": train.freeze}

    def told(self) -> str:
        """"267 arrays from resnet50.pth, drawn anew: dense_1"."""
        layers = dict.fromkeys(path.rpartition(".")[0] for path in self.loaded.drawn)
        anew = f", drawn anew: {_few(list(layers))}" if layers else ""
        left = dict.fromkeys(name.rpartition(".")[0] for name in self.loaded.left)
        unused = f", not used: {_few(list(left))}" if left else ""
        return f"{len(self.loaded.arrays):,} arrays from {self.path}{anew}{unused}"


def weights_file(reference: str) -> Path:
    """The file of weights that `from` names: a file, the folder of a run, or a bundle's.

    Raises:
        SpecError: F0805 there is none, F0810 the run has no weights yet; those of bundles.
    """
    if names_bundle(reference):
        from runtime.share.opening import opened

        return opened(reference).folder / files.WEIGHTS
    path = Path(reference)
    if not path.is_dir():
        if not path.exists():
            raise SpecError([diagnostic(
                "F0805", f"there is no file of weights `{path}`",
                help="`from` in `train` takes a file of weights, the folder of a run, or a "
                     "bundle")])
        return path
    if not (path / files.WEIGHTS).exists():
        raise SpecError([diagnostic(
            "F0810", f"the run in `{path}` is not finished: it has no `{files.WEIGHTS}`",
            help="finish it with `--resume`, or name a file of weights")])
    return path / files.WEIGHTS


def start_from(model: Model, graph: Graph, train: Train) -> Start | None:
    """Put the weights that a recipe starts from into its model; None where it starts afresh.

    Args:
        model: the model, whose arrays were drawn.
        graph: what it runs.
        train: the recipe's section.

    Raises:
        SpecError: F0805, F0880 the file cannot be read, F0806 it does not fit.
    """
    if train.from_ is None:
        return None
    from compiler.lower.weights import load_weights

    path = weights_file(train.from_)
    loaded = load_weights(model, path, graph, drawn=drawn_anew(graph, train.replace))
    with open(path, "rb") as file:
        return Start(path, loaded, hashlib.file_digest(file, "sha256").hexdigest())


def _few(names: list[str]) -> str:
    """"stem, stage0, and 4 more"."""
    more = f", and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more
