"""How long it takes to begin: the first step of ResNet-50, and `check` and `plan`.

    python -m benchmarks.startup --json startup.json

Each program is started anew, and read line by line with a clock beside it. Cold is without,
warm with what XLA kept of the start before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver import ROOT
from benchmarks.rows import ROWS
from benchmarks.table import machine
from runtime.startup import SWITCH

RECIPE = """\
flaxspec: 1
name: first-step
model: {use: resnet50}
data:
  arrays: data.npz
  contents: {image: {array: x, shape: [224, 224, 3]}, label: {array: y, classes: 1000}}
  validation: 0
  test: 0
task: classification
train:
  epochs: 2
  batch_size: 16
  optimizer: {sgd: {learning_rate: 0.01, momentum: 0.9}}
"""
COMMANDS = (["check", "resnet152"], ["plan", "resnet152"])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="starts of each kind")
    parser.add_argument("--patience", type=float, default=300, help="seconds for a start")
    parser.add_argument("--json", type=Path, help="a file for every figure")
    options = parser.parse_args()
    about: dict[str, Any] = {"machine": machine(), "cores": os.cpu_count(),
                             "date": time.strftime("%Y-%m-%d"), "verbs": {}, "first_step": {}}

    def keep() -> None:
        if options.json:
            options.json.write_text(json.dumps(about, indent=1))

    for command in COMMANDS:
        name = f"flaxspec {' '.join(command)}"
        seconds = [_verb(command) for _ in range(2 * options.times + 1)][1:]
        about["verbs"][name] = seconds
        print(f"{name}: {statistics.median(seconds):.2f} s, the median of {len(seconds)}",
              flush=True)
        keep()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_recipe(place)
        for who, start in (("flaxspec", _flaxspec), ("Flax", _flax)):
            for state in ("cold", "warm"):
                runs = []
                # A cold start leaves what makes the next ones warm.
                times = options.times if state == "warm" else max(1, options.times - 1)
                for number in range(times):
                    cache = place / f"{who}-cache-{number if state == 'cold' else 0}"
                    runs.append(start(place, cache, options.patience))
                about["first_step"][f"{who}, {state}"] = runs
                print("\n".join(_lines(f"{who}, {state}", runs)), flush=True)
                keep()


def _write_recipe(place: Path) -> None:
    row, rng = ROWS["resnet50-224-b16"], np.random.default_rng(0)
    np.savez(place / "data.npz", y=rng.integers(0, 1000, row.batch).astype(np.int32),
             x=rng.standard_normal((row.batch, *row.input)).astype(np.float32))
    (place / "recipe.yaml").write_text(RECIPE)


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def _command(verb: str, *arguments: str) -> list[str]:
    """A command as its installed script would begin it."""
    name = verb.replace("-", "_")
    code = f"import sys; sys.argv[0] = {verb!r}; from flaxspec_commands import {name}; {name}()"
    return [sys.executable, "-c", code, *arguments]


def _verb(arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(_command("flaxspec", *arguments), env=_environment(), cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _flaxspec(place: Path, cache: Path, patience: float) -> dict[str, float]:
    """From the command to the end of the first step, which is the first epoch here."""
    out = tempfile.mkdtemp(dir=place)
    command = _command("compile-and-train", str(place / "recipe.yaml"), "--log", "json",
                       "--out", f"{out}/run")
    found: dict[str, float] = {}
    last = 0.0
    for when, line in _told(command, _environment(**{SWITCH: str(cache)}), patience):
        said = json.loads(line)
        if said.get("event") == "stage":
            # What lies between two stages is the later one's imports.
            found[f"before {said['name']}"] = max(0.0, when - last - said["seconds"])
            found[said["name"]] = said["seconds"]
            last = when
        if said.get("event") == "epoch":
            return {**found, "first step": when - last, "all": when}
    raise SystemExit("the first step was never made")


def _flax(place: Path, cache: Path, patience: float) -> dict[str, float]:
    """The same of the hand-written program, with JAX's cache in a folder."""
    environment = _environment(JAX_COMPILATION_CACHE_DIR=str(cache))
    found, last = {}, 0.0
    command = [sys.executable, "-m", "benchmarks.peers.first_step"]
    for when, line in _told(command, environment, patience):
        if line.startswith("STAGE "):
            found[line[6:].partition(", loss")[0].strip()] = when - last
            last = when
    return {**found, "all": last}


def _told(command: list[str], environment: dict[str, str], patience: float) -> Any:
    """The lines of a program, each with the seconds since its start; it ends with the reader."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            yield time.perf_counter() - begun, line
            if time.perf_counter() - begun > patience:
                break
    finally:
        process.kill()
        process.wait()


def _lines(name: str, runs: list[dict[str, float]]) -> list[str]:
    """The stages of the start that took the least in all."""
    best = min(runs, key=lambda run: run["all"])
    stages = "  ".join(f"{stage} {s:.2f}" for stage, s in best.items() if stage != "all")
    everything = ", ".join(f"{run['all']:.1f}" for run in runs)
    return [f"first step of ResNet-50, {name}: {best['all']:.1f} s (of {everything})",
            f"  {stages}"]


if __name__ == "__main__":
    main()
