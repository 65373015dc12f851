"""What was measured, for people: a block of lines for a row, and Markdown for all.

    python -m benchmarks.table out.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.variants import FAMILIES

WORDS = {"flax": "Flax", "torch": "PyTorch", "keras": "Keras"}


def machine() -> str:
    """The class of the processor, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {name.strip(): value.strip() for name, value in said.items()}
    flags = told.get("flags", "").split()
    sets = [name for name in ("avx2", "avx512f", "amx_tile") if name in flags]
    return f"{told.get('model name', 'unknown')} ({', '.join(sets) or 'no AVX2'})"


def best_peak(peaks: dict[str, dict[str, float]]) -> float:
    """The highest rate of any library and size, in operations a second."""
    return max((rate for sizes in peaks.values() for rate in sizes.values()), default=0.0)


def peak_line(peaks: dict[str, dict[str, float]]) -> str:
    """Each library's best."""
    parts = []
    for library, sizes in peaks.items():
        size, rate = max(sizes.items(), key=lambda item: item[1])
        parts.append(f"{library} {rate / 1e9:.0f} (of {size})")
    return f"matrix product, GFLOP/s: {', '.join(parts)}"


def fastest(result: dict[str, Any], kind: str, phase: str) -> tuple[str, dict[str, Any]] | None:
    """The variant of a family that took the least, and its figures."""
    able = [(name, peer[phase]) for name, peer in result["peers"].items()
            if peer["family"] == kind and phase in peer]
    return min(able, key=lambda item: item[1]["ratio"], default=None)


def row_lines(result: dict[str, Any], peaks: dict[str, dict[str, float]]) -> list[str]:
    """A row as it is told when it is done."""
    lines = [f"\n{result['row']}"]
    for name, peer in result["peers"].items():
        parts = [f"  {name:34}"]
        for phase in ("train", "infer"):
            if phase not in peer:
                parts.append(" " * 39)
                continue
            f = peer[phase]
            parts.append(f"{phase} {1000 * f['median_s']:8.1f} ms {_ratio(f):>20} "
                         f"{f['pairs']:2}")
        parts.append(f"{peer.get('high_water', 0) / 2**20:6.0f} MiB")
        parts.append(f"loss {peer['losses'][0]:.5f}")
        lines.append("  ".join(parts))
    lines += [f"  {why}" for why in result["failed"].values()]
    facts = []
    if (shares := peak_shares(result, peaks)) is not None:
        facts.append("of the matrix product's peak {:.0%}, direct {:.0%}".format(*shares))
    if (memory := _memory(result)) is not None:
        facts.append(f"XLA's bytes {memory:.2f} of Flax's")
    if "waiting" in result:
        facts.append(f"waiting for input {result['waiting']:.2%}")
    if "flaxspec" in result["peers"] and "train" in result["peers"]["flaxspec"]:
        facts.append(f"dispatch {_dispatch(result)}")
    facts.append(f"others had {_foreign(result):.0%} of the machine, sleepers {result['idle']:.1%}")
    return [*lines, f"  {'; '.join(facts)}"]


def _ratio(f: dict[str, Any]) -> str:
    low, high = f["interval"]
    mark = "" if f["sure"] >= 0.95 else "?"
    return f"{f['ratio']:.2f}× ({low:.2f}–{high:.2f}{mark})"


def peak_shares(
    result: dict[str, Any], peaks: dict[str, dict[str, float]],
) -> tuple[float, float] | None:
    """Rates of flaxspec's training step over the peak: as multiplied, and as if direct."""
    program, peak = result.get("program", {}), best_peak(peaks)
    step = result["peers"].get("flaxspec", {}).get("train")
    if "flaxspec" not in program or "flax" not in program or not peak or step is None:
        return None
    done, direct = (2 * program[kind]["macs"] / step["median_s"] / peak
                    for kind in ("flaxspec", "flax"))
    return done, direct


def _memory(result: dict[str, Any]) -> float | None:
    program = result.get("program", {})
    if "flaxspec" not in program or "flax" not in program:
        return None
    ours, theirs = (program[kind]["argument_bytes"] + program[kind]["temporary_bytes"]
                    for kind in ("flaxspec", "flax"))
    return ours / theirs


def _dispatch(result: dict[str, Any]) -> str:
    step = result["peers"]["flaxspec"]["train"]
    return f"{1000 * step['dispatch_s']:.1f} ms ({step['dispatch_s'] / step['median_s']:.1%})"


def _foreign(result: dict[str, Any]) -> float:
    shares = [share for peer in result["peers"].values() for phase in ("train", "infer")
              for share in peer.get(phase, {}).get("turns", {}).get("foreign", [])]
    return sum(shares) / len(shares) if shares else 0.0


def markdown(about: dict[str, Any]) -> list[str]:
    """All rows: steps and ratios, then what else was measured."""
    peaks = {**about["peaks"], **{f"{name} again": sizes for name, sizes in
                                  about.get("peaks_after", {}).items()}}
    lines = [f"{about['date']}; {about['cores']} cores, {about['machine']}; {peak_line(peaks)}"]
    for phase in ("train", "infer"):
        columns = [kind for kind in FAMILIES
                   if any(fastest(r, kind, phase) for r in about["rows"])]
        if not columns:
            continue
        step = {"train": "training step", "infer": "prediction"}[phase]
        lines += ["", f"| {step} | flaxspec, ms | " + " | ".join(
            f"against {WORDS[kind]}" for kind in columns) + " | the fastest PyTorch |",
            "|---" * (len(columns) + 3) + "|"]
        for result in about["rows"]:
            ours = result["peers"].get("flaxspec", {}).get(phase)
            if ours is None:
                continue
            found = {kind: fastest(result, kind, phase) for kind in columns}
            cells = [_ratio(f[1]) if f else "" for f in found.values()]
            rival = found.get("torch")
            lines.append(f"| {result['row']} | {1000 * ours['median_s']:.1f} | "
                         f"{' | '.join(cells)} | {rival[0] if rival else ''} |")
    described = [r for r in about["rows"] if "program" in r]
    if not described:
        return lines
    lines += ["", "| training step | of the peak, multiplied | of the peak, as if direct | XLA's "
              "bytes, MiB | of Flax's | high-water mark, MiB: flaxspec | Flax | PyTorch | waiting "
              "for input | dispatch | Flax's dispatch |", "|---" * 11 + "|"]
    return lines + [_costs(result, peaks) for result in described]


def _costs(result: dict[str, Any], peaks: dict[str, dict[str, float]]) -> str:
    shares, memory = peak_shares(result, peaks), _memory(result)
    program = result["program"]
    own = program.get("flaxspec", {})
    used = own.get("argument_bytes", 0) + own.get("temporary_bytes", 0)
    waters = []
    for kind in ("flaxspec", "flax", "torch"):
        found = fastest(result, kind, "train")
        water = result["peers"][found[0]].get("high_water") if found else None
        waters.append(f"{water / 2**20:.0f}" if water else "")
    theirs = fastest(result, "flax", "train")
    cells = [result["row"], *([f"{share:.0%}" for share in shares] if shares else ["", ""]),
             f"{used / 2**20:.0f}", "" if memory is None else f"{memory:.2f}", *waters,
             f"{result['waiting']:.2%}" if "waiting" in result else "",
             _dispatch(result) if "train" in result["peers"]["flaxspec"] else "",
             f"{1000 * theirs[1]['dispatch_s']:.1f} ms" if theirs else ""]
    return f"| {' | '.join(cells)} |"


def check_lines(result: dict[str, Any]) -> list[str]:
    """How far the losses of a row lie from flaxspec's, at most and after how many steps."""
    lines = [f"\n{result['row']}", *(f"  {why}" for why in result["failed"].values())]
    ours = result["losses"].get("flaxspec")
    if ours is None:
        return lines
    lines.append(f"  {'flaxspec':22} {ours[0]:.6f} → {ours[-1]:.6f} in {len(ours)} steps")
    for name, theirs in result["losses"].items():
        if name == "flaxspec":
            continue
        apart = [abs(a - b) for a, b in zip(ours, theirs)]
        equal = next((i for i, d in enumerate(apart) if not d <= 1e-4), len(apart))
        lines.append(f"  {name:22} at most {max(apart):.1e} apart, within 1e-4 for "
                     f"{equal} of {len(apart)} steps")
    return lines


if __name__ == "__main__":
    print("\n".join(markdown(json.loads(Path(sys.argv[1]).read_text()))))
