"""flaxspec beside hand-written Flax, PyTorch and Keras: whole steps, interleaved, as ratios.

    python -m benchmarks.run --rows resnet18-32-b64 lstm-128-256 --peers ~/peers/bin/python

README.md beside this file says how the peers are installed and what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import table, variants
from benchmarks.driver import Gone, Place, Worker, start_all, workers
from benchmarks.peak import peaks
from benchmarks.rounds import Pace, interval, ratios, take_turns
from benchmarks.rows import ROWS, TINY, row_named
from runtime.cli.process import SETTINGS

Trials = dict[str, dict[str, float]]
# Steps of a row whose batches come from the runtime's pipeline.
FED = 6


def main() -> None:
    """Read the options, measure, print, write."""
    options = _options()
    place = Place({"own": sys.executable, "peers": options.peers}, options.cache, options.patience)
    known: dict[str, Trials] = {}
    if options.chosen and options.chosen.exists():
        known = json.loads(options.chosen.read_text())
    about: dict[str, Any] = {
        "machine": table.machine(), "cores": os.cpu_count(), "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"), "settings": SETTINGS, "options": _plain(options),
        "rows": []}
    about["peaks"] = {}
    if not (options.check or options.choose or options.quick):
        about["peaks"] = peaks(place)
        print(table.peak_line(about["peaks"]), flush=True)
    begun = time.monotonic()
    for name in options.rows:
        minutes = (time.monotonic() - begun) / 60
        if options.minutes and minutes > options.minutes:
            print(f"{name} and what follows is left out: {minutes:.0f} minutes are over")
            break
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.npz"
            if options.check:
                result = check(name, place, weights, options)
            else:
                trials = known.setdefault(name, {})
                if options.choose or not (trials or options.quick):
                    choose(name, place, weights, options, trials, known)
                if options.choose:
                    continue
                try:
                    result = compare(name, place, weights, options, trials)
                except Gone as gone:  # the rows after it are still worth their time
                    print(f"\n{name}: {gone}", flush=True)
                    continue
        about["rows"].append(result)
        print("\n".join(table.check_lines(result) if options.check
                        else table.row_lines(result, about["peaks"])), flush=True)
        if options.json:
            options.json.write_text(json.dumps(about, indent=1))
    if about["rows"] and not (options.check or options.choose):
        about["peaks_after"] = {} if options.quick else peaks(place)
        if options.json:
            options.json.write_text(json.dumps(about, indent=1))
        print("\n" + "\n".join(table.markdown(about)))


def choose(
    name: str, place: Place, weights: Path, options: argparse.Namespace, trials: Trials,
    known: dict[str, Trials],
) -> None:
    """Try every variant of every family for a few steps; fills `trials` and its file."""
    print(f"\n{name}: which variants are compared", flush=True)

    def trial(variant: str) -> float:
        if variant in trials:
            return trials[variant].get("train", float("inf"))
        with workers() as alive:
            failed = start_all(alive, place, [variant], name, weights)
            found: dict[str, float] = {}
            try:
                if variant in alive:
                    for phase in options.phases:
                        alive[variant].ask(f"{phase} 1")
                        found[phase] = min(alive[variant].ask(f"{phase} 3")["seconds"])
            except Gone as gone:
                failed[variant] = str(gone)
        if variant in failed:
            print(f"  {failed[variant]}", flush=True)
        trials[variant] = found
        shown = "  ".join(f"{phase} {1000 * s:8.1f} ms" for phase, s in found.items())
        print(f"  {variant:38} {shown}", flush=True)
        if options.chosen:
            options.chosen.write_text(json.dumps(known, indent=1))
        return found.get("train", float("inf"))

    for kind in options.families:
        if place.runs(kind):
            variants.search(row_named(name), kind, trial, compiled=not options.no_compile)


def plain(name: str, kind: str) -> list[str]:
    """The variant of a family that is taken where none was tried."""
    layout = "-last" if kind == "torch" and len(row_named(name).input) == 3 else ""
    return [f"{kind}{layout}{'' if kind == 'torch' else '+memory'}"]


def compare(
    name: str, place: Place, weights: Path, options: argparse.Namespace, trials: Trials,
) -> dict[str, Any]:
    """One row: flaxspec and the best of each family, in turns."""
    result: dict[str, Any] = {"row": name, "trials": trials, "failed": {}, "peers": {},
                              "idle": 0.0, "steps": {}}
    with workers() as alive:
        for phase in options.phases:
            wanted = ["flaxspec"]
            for kind in options.families:
                if place.runs(kind):
                    wanted += variants.best(trials, kind, phase) or plain(name, kind)
            for left in [other for other in alive if other not in wanted]:
                _farewell(alive.pop(left), result)
            result["failed"] |= start_all(alive, place, wanted, name, weights)
            ordered = {variant: alive[variant] for variant in wanted if variant in alive}
            if "flaxspec" not in ordered:
                return result
            share = {"train": 0.7, "infer": 0.3}[phase] if len(options.phases) > 1 else 1.0
            pace = Pace(options.pairs, options.fewer, options.turn, options.seconds * share,
                        os.cpu_count() or 1)
            _record(result, phase, take_turns(ordered, phase, pace), ordered)
        if not options.quick:
            _describe(result, alive)
        for worker in alive.values():
            _farewell(worker, result, close=False)
    return result


def _record(
    result: dict[str, Any], phase: str, found: dict[str, Any], alive: dict[str, Worker],
) -> None:
    turns = found["turns"]
    result["idle"] = max(result["idle"], found["idle"])
    result["steps"][phase] = found["steps"]
    for name, did in turns.items():
        known = result["peers"].setdefault(name, {"family": variants.family(name)})
        known |= {"losses": alive[name].begun["losses"], "first_step_s": alive[name].begun["first"]}
        times = ratios(did, turns["flaxspec"])
        low, high, sure = interval(times)
        known[phase] = {
            "median_s": statistics.median(did.seconds), "processor_s": min(did.processor),
            "ratio": statistics.median(times), "interval": [low, high], "sure": sure,
            "pairs": len(times), "turns": asdict(did)}
        if did.dispatch:
            known[phase]["dispatch_s"] = statistics.median(did.dispatch)


def _describe(result: dict[str, Any], alive: dict[str, Worker]) -> None:
    """Multiplications and XLA's memory of a training step, and how long flaxspec waits for data."""
    asked = {}
    for worker in alive.values():
        if variants.family(worker.name) in ("flaxspec", "flax"):
            asked.setdefault(variants.family(worker.name), worker)
    try:
        for worker in asked.values():
            worker.send("describe")
        for kind, worker in asked.items():
            result.setdefault("program", {})[kind] = worker.hear()
        result["waiting"] = alive["flaxspec"].ask(f"fed {FED}")["waiting"]
    except Gone as gone:
        result["failed"]["describe"] = str(gone)


def _farewell(worker: Worker, result: dict[str, Any], close: bool = True) -> None:
    """Note a worker's memory, and end it."""
    try:
        result["peers"].get(worker.name, {}).update(worker.ask("memory"))
    except Gone as gone:
        result["failed"][worker.name] = str(gone)
    if close:
        worker.close()


def check(
    name: str, place: Place, weights: Path, options: argparse.Namespace,
) -> dict[str, Any]:
    """The losses of one row's first steps, for flaxspec and one variant of each family."""
    result: dict[str, Any] = {"row": name, "losses": {}, "failed": {}}
    wanted = ["flaxspec", *(v for kind in options.families if place.runs(kind)
                            for v in plain(name, kind))]
    with workers() as alive:
        result["failed"] = start_all(alive, place, wanted, name, weights)
        for worker in alive.values():
            worker.send(f"losses {options.check - 1}")
        for worker in alive.values():
            try:
                result["losses"][worker.name] = [*worker.begun["losses"],
                                                 *worker.hear()["losses"]]
            except Gone as gone:
                result["failed"][worker.name] = str(gone)
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="ROW",
        help=f"what to measure, in this order: {', '.join(ROWS)}")
    add("--peers", default="", metavar="PYTHON", help="a Python that has PyTorch and Keras")
    add("--families", nargs="*", default=list(variants.FAMILIES), choices=variants.FAMILIES,
        help="beside whom")
    add("--phases", nargs="*", default=["train", "infer"], choices=["train", "infer"])
    add("--pairs", type=int, default=9, help="rounds of flaxspec and PyTorch")
    add("--fewer", type=int, default=6, help="rounds in which Flax and Keras take part, too")
    add("--turn", type=float, default=0.4, help="seconds that a turn of flaxspec takes")
    add("--seconds", type=float, default=60, help="for the rounds of a row, start-up not counted")
    add("--minutes", type=float, default=0, help="no row begins later; 0 for no limit")
    add("--patience", type=float, default=600, help="seconds until a silent peer is given up")
    add("--quick", action="store_true",
        help="a first look: the plain variants, three rounds, no peaks and programs")
    add("--tiny", action="store_true",
        help="two small examples in a batch, to see whether everything runs")
    add("--choose", action="store_true", help="only try the variants, and fill the caches")
    add("--chosen", type=Path, metavar="FILE",
        help="keeps what the trials found; rows that are in it are not tried again")
    add("--no-compile", action="store_true", help="without torch.compile")
    add("--check", type=int, nargs="?", const=20, default=0, metavar="STEPS",
        help="only compare the losses of the first steps (20)")
    add("--cache", type=Path, default=Path.home() / ".cache" / "flaxspec-benchmarks",
        help="where compiled programs are kept")
    add("--json", type=Path, help="a file for every figure, written after each row")
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.fewer = min(options.pairs, 3), min(options.fewer, 3)
    if options.tiny:
        options.rows = [name + TINY for name in options.rows]
    options.cache.mkdir(parents=True, exist_ok=True)
    return options


def _plain(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value if isinstance(value, int | float | list) else str(value)
            for name, value in vars(options).items() if name not in ("peers", "cache", "json")}


if __name__ == "__main__":
    main()
