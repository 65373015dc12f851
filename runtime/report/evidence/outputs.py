"""Outputs that are pictures, of recipes that write their losses out."""

from __future__ import annotations

import numpy as np

from runtime.report.evidence.seen import SHOWN, Seen, picture
from runtime.report.png import as_pixels
from runtime.saved import BATCH

# Channels that a picture has: grey, or red, green and blue.
COLOURS = (1, 3)


def outputs(seen: Seen) -> str:
    """The first examples: what the model got, and every output that is a picture."""
    part = seen.part.take(np.arange(min(seen.part.size, SHOWN)))
    shots: list[str] = []
    for tensors, batch in seen.trained.outputs(part, BATCH):
        rows = np.flatnonzero(np.asarray(batch.rows))
        pictures = {
            name: np.asarray(tensor.array, np.float32) for name, tensor in tensors.items()
            if tensor.axes == ("height", "width", "channels")
            and tensor.array.shape[-1] in COLOURS}
        for i in rows if pictures else ():
            given = seen.image(len(shots))
            own = [picture(given, "input")] if given is not None else []
            own += [picture(as_pixels(array[i]), name) for name, array in pictures.items()]
            shots.append("".join(own))
    return f'<div class="shots">{"".join(shots)}</div>' if shots else ""
