"""A language model: texts that it goes on with."""

from __future__ import annotations

from html import escape

from runtime.report.evidence.seen import Seen
from runtime.report.samples import continuations


def texts(seen: Seen) -> str:
    """Texts that the model goes on with, from the beginnings of real ones."""
    parts = []
    for prompt, told in continuations(seen.trained, seen.part):
        bodies = "".join(
            f'<p class="dim">temperature {temperature:g}</p><pre class="text"><b>'
            f"{escape(prompt)}</b>{escape(text)}</pre>" for temperature, text in told)
        parts.append(bodies)
    if not parts:
        return ""
    return ('<p class="dim">In bold the beginning of a text of that part, then what the model '
            "goes on with. A low temperature keeps to what is likely.</p>" + "".join(parts))
