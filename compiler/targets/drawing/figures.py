"""How large a number is, in the width of a box."""

from __future__ import annotations


def short(number: int, unit: str = "") -> str:
    """"4.09 G", "118 M", "512": three digits, with a prefix for the unit."""
    for prefix, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        # From 999.5 on, three digits round up to the next prefix.
        if number >= 0.9995 * size:
            scaled = number / size
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {prefix}{unit}"
    return f"{number} {unit}".rstrip()


def costs(params: int, macs: int) -> str:
    """"9.41 k params · 118 M MACs"; what is zero is left out."""
    return " · ".join(filter(None, [
        f"{short(params)} params" if params else "", f"{short(macs)} MACs" if macs else ""]))
