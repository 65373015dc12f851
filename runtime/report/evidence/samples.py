"""What a model draws: the sheets that were written while it was trained, and how it can vary."""

from __future__ import annotations

import numpy as np

from runtime.report.evidence.outputs import outputs
from runtime.report.evidence.seen import Seen, picture
from runtime.report.sheets import COLUMNS, FOLDER, laid_out, sheet
from runtime.sampling import Sampler

# So many sheets of the training are shown, and so many ways from one picture to another.
FRAMES, WAYS = 6, 4


def samples(seen: Seen) -> str:
    return f"{_drawn(seen)}{_film(seen)}<h3>Of the data</h3>{outputs(seen)}"


def _drawn(seen: Seen) -> str:
    """New samples, and rows that go over from one sample to another."""
    trained, sampler = seen.trained, Sampler.of(seen.trained)
    latents, classes = laid_out(sampler, seed=1)
    ends = sampler.latent.drawn(2 * WAYS, seed=2)
    ways = np.concatenate([sampler.latent.between(ends[2 * i], ends[2 * i + 1], COLUMNS)
                           for i in range(WAYS)])
    kinds = np.repeat(np.arange(WAYS) % sampler.classes, COLUMNS) if sampler.classes else None

    def drawn(given: np.ndarray, asked: np.ndarray | None) -> np.ndarray:
        return sheet(sampler.pictures(trained.params, trained.rest, given, asked), COLUMNS)

    told = "samples; a row for each class, a latent for each column" if sampler.classes else (
        "samples")
    return (f'<h3>Samples</h3><div class="shots">{picture(drawn(latents, classes), told)}'
            f"{picture(drawn(ways, kinds), 'from the latent on the left to that on the right')}"
            "</div>")


def _film(seen: Seen) -> str:
    """The sheets of the training, in order."""
    folder = seen.trained.folder
    files = sorted((folder / FOLDER).glob("epoch-*.png")) if folder is not None else []
    if not files:
        return ""
    import base64

    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), FRAMES)).astype(int))
    frames = [f'<figure><img src="data:image/png;base64,'
              f'{base64.b64encode(files[i].read_bytes()).decode("ascii")}" alt="">'
              f"<figcaption>epoch {int(files[i].stem.partition('-')[2])}</figcaption></figure>"
              for i in chosen]
    return f'<h3>While it was trained</h3><div class="shots">{"".join(frames)}</div>'
