"""One peer in a process of its own: it takes steps when the driver says so.

The driver writes a line, such as `train 3` or `stop`; the worker answers with a line of JSON.
Between two answers it does nothing, and the driver stops it as a shell's Ctrl-Z would.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import row_named

PEERS = {
    "flaxspec": ("flaxspec_peer", "Peer"),
    "reference": ("flaxspec_peer", "Reference"),
    "flax": ("flax_peer", "Peer"),
    "keras": ("keras_peer", "Peer"),
    "torch": ("torch_peer", "Peer"),
    "torch-last": ("torch_peer", "ChannelsLast"),
    "torch-compile": ("torch_peer", "Compiled"),
    "torch-compile-last": ("torch_peer", "CompiledChannelsLast"),
}


def main(peer: str, row: str, weights: str) -> None:
    """Serve one peer on one row."""
    end_with_parent()
    begun = time.perf_counter()
    module, name = PEERS[peer]
    library = importlib.import_module(f"benchmarks.peers.{module}")
    worker = getattr(library, name)(row_named(row), Path(weights))
    phase, losses = "train", [worker.finish(worker.begin())]
    reply(losses=losses, first=time.perf_counter() - begun)
    for line in sys.stdin:
        command, *more = line.split()
        if command in ("train", "infer") and command != phase:
            phase = command
            worker.phase(phase)
        match command:
            case "losses":
                reply(losses=[worker.finish(worker.begin()) for _ in range(int(more[0]))])
            case "train" | "infer":
                reply(**_timed(worker, command, int(more[0])))
            case "describe":
                reply(**worker.describe())
            case "fed":
                reply(waiting=worker.fed(int(more[0])))
            case "memory":
                used = resource.getrusage(resource.RUSAGE_SELF)
                reply(high_water=used.ru_maxrss * 1024)
            case _:
                break


def _timed(worker: Any, command: str, count: int) -> dict[str, list[float]]:
    """The seconds of each of some steps: on the clock, of the processor, to the call's return."""
    seconds, processor, dispatch = [], [], []
    for _ in range(count):
        begun, used = time.perf_counter(), time.process_time()
        if command == "train":
            started = worker.begin()
            dispatch.append(time.perf_counter() - begun)
            worker.finish(started)
        else:
            worker.infer()
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    return {"seconds": seconds, "processor": processor, "dispatch": dispatch}


def reply(**values: Any) -> None:
    """Send an answer to the driver."""
    print("REPLY " + json.dumps(values), flush=True)


def end_with_parent() -> None:
    """Have Linux end this process when the driver is gone, even while it is stopped."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() == 1:
            raise SystemExit


if __name__ == "__main__":
    main(*sys.argv[1:])
