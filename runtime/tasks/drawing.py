"""What a task draws of a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.diagnostics import SpecError, diagnostic

if TYPE_CHECKING:
    from runtime.tasks.task import Task


@dataclass(frozen=True)
class Drawing:
    """A prediction as a picture or a page.

    Attributes:
        suffix: what its file's name ends in: ".png", ".svg", ".html".
        content: the file.
    """

    suffix: str
    content: bytes


def nothing_to_draw(task: Task, why: str = "") -> SpecError:
    """The error that a task draws nothing at all: F0690.

    Args:
        task: the task.
        why: what about the model or the data is the reason, where it is not the task.
    """
    return SpecError([diagnostic(
        "F0690", f"{task.title} draws nothing", notes=[why] if why else (),
        help="leave out `--draw`: what the model says stands in the lines all the same")])
