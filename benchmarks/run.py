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
from benchmarks.driver import Gone, Place, Worker, memory_left, start_all, workers
from benchmarks.peak import peaks
from benchmarks.rounds import Pace, interval, ratios, take_turns
from benchmarks.rows import ROWS, TINY, row_named
from runtime.cli.process import SETTINGS

# Steps of a row whose batches come from the runtime's pipeline.
FED = 6
# Bytes that stay free when a worker is started.
RESERVE = 2**30
# Seconds that the trial of a variant in a phase takes; two steps at least.
TRIAL = 1.0


def main() -> None:
    """Read the options, measure, print, write."""
    options = _options()
    place = Place({"own": sys.executable, "peers": options.peers}, options.cache, options.patience)
    about: dict[str, Any] = {
        "machine": table.machine(), "cores": os.cpu_count(), "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"), "settings": SETTINGS, "options": _plain(options),
        "peaks": {}, "rows": []}
    timed = not (options.check or options.warm)
    if timed and not options.quick:
        about["peaks"] = peaks(place)
        print(table.peak_line(about["peaks"]), flush=True)
    begun = time.monotonic()
    for name in options.rows:
        minutes = (time.monotonic() - begun) / 60
        if options.minutes and minutes > options.minutes:
            print(f"{name} and what follows is left out: {minutes:.0f} minutes are over")
            break
        try:
            result = _row(name, place, options)
        except Gone as gone:  # the rows after it are still worth their time
            print(f"\n{name}: {gone}", flush=True)
            continue
        about["rows"].append(result)
        print("\n".join(table.row_lines(result, about["peaks"]) if timed
                        else table.check_lines(result)), flush=True)
        if options.json:
            options.json.write_text(json.dumps(about, indent=1))
    if not timed or not about["rows"]:
        return
    about["peaks_after"] = {} if options.quick else peaks(place)
    if options.json:
        options.json.write_text(json.dumps(about, indent=1))
    print("\n" + "\n".join(table.markdown(about)))


def _row(name: str, place: Place, options: argparse.Namespace) -> dict[str, Any]:
    """What the options want of a row."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        if options.check or options.warm:
            return check(name, place, weights, options)
        return compare(name, place, weights, options)


def compare(
    name: str, place: Place, weights: Path, options: argparse.Namespace,
) -> dict[str, Any]:
    """One row: flaxspec and the best of each family, in turns."""
    result: dict[str, Any] = {"row": name, "trials": {}, "failed": {}, "peers": {}, "idle": 0.0,
                              "steps": {}}
    with workers() as alive:
        result["failed"] |= start_all(alive, place, ["flaxspec"], name, weights)
        if "flaxspec" not in alive:
            return result
        for kind in options.families:
            if place.runs(kind):
                _choose(name, kind, alive, place, weights, options, result)
        for phase in options.phases:
            wanted = ["flaxspec", *(variant for kind in options.families
                                    for variant in variants.best(result["trials"], kind, phase))]
            ordered = {variant: alive[variant] for variant in wanted if variant in alive}
            share = {"train": 0.7, "infer": 0.3}[phase] if len(options.phases) > 1 else 1.0
            pace = Pace(options.pairs, options.fewer, options.turn, options.seconds * share,
                        os.cpu_count() or 1)
            _record(result, phase, take_turns(ordered, phase, pace), ordered)
        if not options.quick:
            _describe(result, alive)
        for worker in alive.values():
            _note_memory(worker, result)
    return result


def _choose(
    name: str, kind: str, alive: dict[str, Worker], place: Place, weights: Path,
    options: argparse.Namespace, result: dict[str, Any],
) -> None:
    """Try a family's variants for a step or a few, and leave the best of each phase alive."""
    trials: dict[str, dict[str, float]] = result["trials"]
    # What a worker takes at most, by what flaxspec's took so far.
    each = 1.2 * alive["flaxspec"].ask("memory")["high_water"]

    def try_(wanted: list[str]) -> dict[str, float]:
        left = list(wanted)
        while left:
            fits = int((memory_left() - RESERVE) / each)
            if fits < 1:
                result["failed"] |= {variant: f"{variant}: no memory left" for variant in left}
                break
            together, left = left[:fits], left[fits:]
            result["failed"] |= start_all(alive, place, together, name, weights)
            _try(together, alive, trials, options.phases, result)
            best = {variant for phase in options.phases
                    for variant in variants.best(trials, kind, phase)}
            for variant in [other for other in alive if variants.family(other) == kind]:
                if variant not in best:
                    alive.pop(variant).close()
        first = options.phases[0]
        return {variant: trials.get(variant, {}).get(first, float("inf")) for variant in wanted}

    if options.quick:
        try_(plain(name, kind))
    else:
        variants.search(row_named(name), kind, try_, options.compile)


def _try(
    wanted: list[str], alive: dict[str, Worker], trials: dict[str, dict[str, float]],
    phases: list[str], result: dict[str, Any],
) -> None:
    for variant in wanted:
        if variant not in alive:
            continue
        try:
            trials[variant] = {phase: _briefly(alive[variant], phase) for phase in phases}
        except Gone as gone:
            result["failed"][variant] = str(gone)
            alive.pop(variant).close()


def _briefly(worker: Worker, phase: str) -> float:
    """Seconds of the fastest of a few steps, more of them where they are short."""
    if phase == "infer":  # the first one compiles
        worker.ask("infer 1")
    first, = worker.ask(f"{phase} 1")["seconds"]
    more = worker.ask(f"{phase} {max(1, min(10, int(TRIAL / first)))}")["seconds"]
    return min(first, *more)


def plain(name: str, kind: str) -> list[str]:
    """The variant of a family that is taken where none was tried."""
    layout = "-last" if kind == "torch" and len(row_named(name).input) == 3 else ""
    return [f"{kind}{layout}{'' if kind == 'torch' else '+memory'}"]


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


def _note_memory(worker: Worker, result: dict[str, Any]) -> None:
    try:
        result["peers"].get(worker.name, {}).update(worker.ask("memory"))
    except Gone as gone:
        result["failed"][worker.name] = str(gone)


def check(
    name: str, place: Place, weights: Path, options: argparse.Namespace,
) -> dict[str, Any]:
    """The losses of one row's first steps, for flaxspec and one variant of each family.

    Where only the caches are to be filled: of one step, and a prediction.
    """
    result: dict[str, Any] = {"row": name, "losses": {}, "failed": {}}
    wanted = ["flaxspec", *(v for kind in options.families if place.runs(kind)
                            for v in plain(name, kind))]
    with workers() as alive:
        result["failed"] = start_all(alive, place, wanted, name, weights)
        asked = "infer 1" if options.warm else f"losses {options.check - 1}"
        for worker in alive.values():
            worker.send(asked)
        for worker in alive.values():
            try:
                more = worker.hear().get("losses", [])
                result["losses"][worker.name] = [*worker.begun["losses"], *more]
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
    add("--compile", action="store_true",
        help="try torch.compile, too: a minute or two for a row with pictures")
    add("--warm", action="store_true",
        help="measure nothing, but fill the caches: the rows then begin sooner")
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
