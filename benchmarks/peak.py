"""The most multiply-adds a second of a matrix product here, by JAX, NumPy or PyTorch.

    python -m benchmarks.peak jax        prints a JSON object: size -> operations a second
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.driver import ROOT, Place

SIZES = (512, 1024, 2048, 4096)
SECONDS = 1.0  # for each size
PATIENCE = 60.0  # for a library; on a machine so busy its peak tells nothing


def peaks(place: Place) -> dict[str, dict[str, float]]:
    """Operations a second, two for a multiply-add, by library and size."""
    found = {}
    for library, variant in (("jax", "flaxspec"), ("numpy", "flaxspec"), ("torch", "torch")):
        if not place.runs(variant):
            continue
        python = place.command(variant, "", ROOT)[0]
        try:
            done = subprocess.run(
                [python, "-m", "benchmarks.peak", library], env=place.environment(variant),
                cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            found[library] = json.loads(done.stdout.splitlines()[-1])
    return found


def _product(library: str, size: int) -> Any:
    """A function that multiplies two matrices and waits for the product."""
    match library:
        case "jax":
            import jax
            import jax.numpy as jnp

            a, product = jnp.ones((size, size)), jax.jit(jnp.matmul)
            return lambda: product(a, a).block_until_ready()
        case "numpy":
            import numpy as np

            b = np.ones((size, size), np.float32)
            return lambda: b @ b
        case _:
            import importlib

            torch = importlib.import_module("torch")  # only the peers' Python has it
            c = torch.ones(size, size)
            return lambda: c @ c


def main(library: str) -> None:
    """Measure one library."""
    found = {}
    for size in SIZES:
        product = _product(library, size)
        product()
        until, best = time.perf_counter() + SECONDS, float("inf")
        while time.perf_counter() < until:
            begun = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - begun)
        found[str(size)] = 2 * size**3 / best
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
