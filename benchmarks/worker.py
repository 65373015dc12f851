"""One peer in a process of its own: it takes steps when the driver says so.

The driver writes a line, `train 3`, `infer 3` or `stop`; the worker answers with the seconds
of every step. A worker that waits does nothing, so that the others have the machine.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
from pathlib import Path

from benchmarks.data import reply
from benchmarks.rows import ROWS

PEERS = {
    "flaxspec": ("flaxspec_peer", "Peer"),
    "reference": ("flaxspec_peer", "Reference"),
    "flax": ("flax_peer", "Peer"),
    "torch": ("torch_peer", "Peer"),
    "torch-channels-last": ("torch_peer", "ChannelsLast"),
    "torch-compile": ("torch_peer", "Compiled"),
}


def main(peer: str, row: str, weights: str) -> None:
    """Serve one peer on one row."""
    begun = time.perf_counter()
    module, name = PEERS[peer]
    library = importlib.import_module(f"benchmarks.peers.{module}")
    worker = getattr(library, name)(ROWS[row], Path(weights))
    built = time.perf_counter() - begun
    losses = [worker.train()]
    reply(built=built, first=time.perf_counter() - begun, losses=losses)
    evaluating = False
    for line in sys.stdin:
        match line.split():
            case ["losses", count]:
                reply(losses=[worker.train() for _ in range(int(count))])
            case ["train", count]:
                reply(**_timed(worker.train, int(count)))
            case ["infer", count]:
                if not evaluating:
                    worker.evaluate()
                    worker.infer()
                evaluating = True
                reply(**_timed(worker.infer, int(count)))
            case ["peak"]:
                reply(flops=library.peak())
            case _:
                break
    used = resource.getrusage(resource.RUSAGE_SELF)
    reply(high_water=used.ru_maxrss * 1024)


def _timed(step, count: int) -> dict[str, list[float]]:
    """The seconds of each of some steps, on the clock and of the processor."""
    seconds, processor = [], []
    for _ in range(count):
        begun, used = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    return {"seconds": seconds, "processor": processor}


if __name__ == "__main__":
    main(*sys.argv[1:])
