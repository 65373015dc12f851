"""A run that is asked to stop: it saves, and ends with the status that shells expect."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """A wish to stop, looked at between steps.

    Attributes:
        signal: the number of the signal that asked; None while nobody has.
    """

    signal: int | None = None


class Stopped(Exception):
    """A run has stopped because it was asked to.

    Attributes:
        signal: the number of the signal that asked.
        step: how many steps were made.
        saved: whether a checkpoint holds them.
    """

    def __init__(self, signal: int, step: int, saved: bool):
        super().__init__(f"stopped after step {step}")
        self.signal, self.step, self.saved = signal, step, saved

    @property
    def status(self) -> int:
        """The exit status: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal

    @property
    def name(self) -> str:
        """"SIGTERM"."""
        return signal.Signals(self.signal).name


@contextmanager
def on_signals() -> Iterator[Stop]:
    """Turn SIGINT (Ctrl-C) and SIGTERM into a wish to stop; a second one ends at once.

    Outside the main thread, where Python takes no signals, nobody ever wishes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def wish(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None:
            raise KeyboardInterrupt
        stop.signal = number

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
