"""What the command does so that the first step comes sooner; nothing of it changes the step."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable, Mapping

from runtime.cli.process import SETTINGS
from runtime.memory import available
from runtime.report.listener import Figures, Listener, Stage

# Of the bytes that the plan says a step keeps; XLA takes 0.8 to 3.1 times as many.
SHARE = 0.8
# What JAX, its tracing and the compiled program take beside it.
OTHERS = 2**29
# It takes no more than this part of the memory that is free; of a step of less than LEAST nothing.
FREE, LEAST = 0.25, 2**28
# The heap is made so many times as large, so that nobody has to wait for it to grow meanwhile.
ROOM = 2
# Linux's MADV_POPULATE_WRITE, and bytes for each call of it: nobody maps memory meanwhile.
POPULATE, PIECE = 23, 2**24


class Sooner(Listener):
    """Readies memory when the processor turns out to be what the run is on; tidies up later.

    Python's collector of garbage is still until the second step: what a start makes is kept, and
    looking through it again and again took a second of ResNet-50's.
    """

    def __init__(self, kept: int, held: int):
        """Begin.

        Args:
            kept: bytes that a step keeps, as the plan says.
            held: bytes that weights, gradients and the optimiser take.
        """
        gc.disable()
        self._kept, self._held, self._steps = kept, held, 0

    def stage(self, stage: Stage) -> None:
        """JAX is there: as it goes on alone, the kernel can use another core."""
        if (stage.name, stage.note) == ("start", "cpu") and stage.seconds is not None:
            size = touched(self._kept, self._held, os.environ, available())
            if size:
                threading.Thread(target=touch, args=(size,), daemon=True).start()

    def step(self, step: int, so_far: Callable[[], Figures]) -> None:
        """From the second step on all is as ever."""
        self._steps += 1
        if self._steps == 2:
            gc.enable()

    def close(self) -> None:
        """The run may not have come so far."""
        gc.enable()


def touched(kept: int, held: int, environment: Mapping[str, str], free: int) -> int:
    """How many bytes to ready: none where a freed block would go back to the system.

    Args:
        kept: bytes that a step keeps, as the plan says.
        held: bytes that weights, gradients and the optimiser take; a run begins with a copy.
        environment: has the settings that keep what is freed, or not.
        free: bytes that the machine has left.
    """
    stays = all(environment.get(name) == value for name, value in SETTINGS.items())
    if not stays or SHARE * kept < LEAST:
        return 0
    return int(min(SHARE * kept + 2 * held + OTHERS, FREE * free))


def touch(size: int) -> None:
    """Have the kernel zero memory of the heap now that the first step will take.

    The heap grows by a block that is free again at once, and stays in the heap; its pages come
    while others may use them already, for what is in them is not changed. Where the system
    knows no such call nothing is lost but the time that it would save.

    Args:
        size: bytes.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = libc.malloc(ROOM * size)
    libc.free(block)
    page = os.sysconf("SC_PAGE_SIZE")
    for at in range(block + -block % page, block + size, PIECE) if block else ():
        if libc.madvise(at, PIECE, POPULATE):
            break
