"""flaxspec beside hand-written Flax and PyTorch: whole steps, interleaved, as ratios.

    python -m benchmarks.run --rows resnet18-32-b64 lstm-128-256 --torch ~/torch/bin/python

README.md beside this file says how the peers are installed and what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import ROWS
from runtime.cli.process import SETTINGS

ROOT = Path(__file__).parents[1]

JAX_PEERS = ("flaxspec", "reference", "flax")
DEFAULT = ["flaxspec", "flax", "torch", "torch-channels-last"]
# Between two turns, so that no spinning thread of one peer is in the way of the next.
PAUSE = 0.25


@dataclass
class Worker:
    """A peer's process.

    Attributes:
        name: the peer, with "+" behind it where it has flaxspec's process settings.
        process: what runs it.
        begun: what it said first: seconds to build, to the first step, the first loss.
    """

    name: str
    process: subprocess.Popen[str]
    begun: dict[str, Any]

    @classmethod
    def start(cls, name: str, row: str, weights: Path, python: str) -> Worker | None:
        """Start a peer; None where it cannot run, with its last words printed."""
        env = dict(os.environ)
        env["PYTHONPATH"] = str(ROOT)
        if name.endswith("+") or name in ("flaxspec", "reference"):
            env |= SETTINGS
        command = [python, "-m", "benchmarks.worker", name.rstrip("+"), row, str(weights)]
        errors = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=errors, text=True, env=env)
        worker = cls(name, process, {})
        try:
            worker.begun = worker._answer()
        except EOFError:
            errors.seek(0)
            print(f"  {name} does not run: {errors.read().strip().splitlines()[-1:]}")
            return None
        return worker

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line; the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("REPLY "):
                return json.loads(line[6:])
        raise EOFError(self.name)


def measure(row: str, peers: list[str], pythons: dict[str, str], options: argparse.Namespace,
            ) -> dict[str, Any]:
    """One row: every peer in turn, as many turns as there are pairs."""
    weights = Path(tempfile.mkdtemp()) / "weights.npz"
    workers: list[Worker] = []
    for name in peers:
        python = pythons["jax" if name.rstrip("+") in JAX_PEERS else "torch"]
        worker = Worker.start(name, row, weights, python)
        if worker is not None:
            workers.append(worker)
    result: dict[str, Any] = {"row": row, "peers": {}}
    if not workers:
        return result
    for worker in workers:
        losses = worker.begun["losses"]
        if options.losses > 1:
            losses = losses + worker.ask(f"losses {options.losses - 1}")["losses"]
        result["peers"][worker.name] = {
            "built_s": worker.begun["built"], "first_step_s": worker.begun["first"],
            "losses": losses}
    for phase in options.phases:
        times: dict[str, list[float]] = {worker.name: [] for worker in workers}
        processor: dict[str, list[float]] = {worker.name: [] for worker in workers}
        for worker in workers:
            worker.ask(f"{phase} 1")
        for pair in range(options.pairs):
            # Every other round backwards: what drifts falls on all alike.
            for worker in workers if pair % 2 == 0 else reversed(workers):
                time.sleep(PAUSE)
                answer = worker.ask(f"{phase} {options.steps}")
                times[worker.name].append(statistics.median(answer["seconds"]))
                processor[worker.name].append(statistics.median(answer["processor"]))
        base = times[workers[0].name]
        for name, rounds in times.items():
            ratios = sorted(m / b for m, b in zip(rounds, base))
            result["peers"][name][phase] = {
                "median_s": statistics.median(rounds), "rounds_s": rounds,
                "ratio": statistics.median(ratios), "ratio_interval": interval(ratios),
                "processor_s": min(processor[name])}
    for worker in workers:
        result["peers"][worker.name]["peak_flops"] = worker.ask("peak")["flops"]
        result["peers"][worker.name]["high_water_bytes"] = worker.ask("stop")["high_water"]
        worker.process.wait()
    return result


def interval(ratios: list[float]) -> list[float]:
    """The order statistics between which the median lies with about 95 %: a sign test's."""
    n = len(ratios)
    cut = max(0, int((n - 1.96 * n**0.5) / 2))
    return [ratios[cut], ratios[n - 1 - cut]]


def show(result: dict[str, Any], phases: list[str]) -> None:
    """Print a row."""
    print(f"\n{result['row']}")
    for name, figures in result["peers"].items():
        parts = [f"  {name:22}"]
        for phase in phases:
            f = figures[phase]
            low, high = f["ratio_interval"]
            parts.append(f"{phase} {f['median_s'] * 1000:9.1f} ms  "
                         f"{f['ratio']:5.2f}× ({low:.2f}-{high:.2f})  "
                         f"{f['processor_s']:6.2f} processor seconds")
        parts.append(f"first step {figures['first_step_s']:5.1f} s")
        parts.append(f"peak {figures['peak_flops'] / 1e9:4.0f} GFLOP/s")
        parts.append(f"{figures['high_water_bytes'] / 2**20:6.0f} MiB")
        parts.append(f"loss {figures['losses'][0]:.5f} → {figures['losses'][-1]:.5f}")
        print("  ".join(parts), flush=True)


def main() -> None:
    """Read the options, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--peers", nargs="*", default=DEFAULT,
                        help="a + behind a name gives it flaxspec's process settings")
    parser.add_argument("--phases", nargs="*", default=["train"], choices=["train", "infer"])
    parser.add_argument("--pairs", type=int, default=9, help="rounds of turns")
    parser.add_argument("--steps", type=int, default=1, help="steps in a turn")
    parser.add_argument("--losses", type=int, default=1, help="losses to compare first")
    parser.add_argument("--torch", default="", help="a Python that has PyTorch")
    parser.add_argument("--json", type=Path, help="a file for everything measured")
    options = parser.parse_args()
    peers = [p for p in options.peers if options.torch or not p.startswith("torch")]
    pythons = {"jax": sys.executable, "torch": options.torch}
    results = []
    for row in options.rows:
        results.append(measure(row, peers, pythons, options))
        show(results[-1], options.phases)
        if options.json:
            about = {"machine": platform.processor() or platform.machine(),
                     "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
                     "settings": SETTINGS, "rows": results}
            options.json.write_text(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
