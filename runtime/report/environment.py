"""environment.json: what a run ran on and with. No user, host, folder or secret is in it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from compiler.version import VERSION

PACKAGES = ("flax", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint", "safetensors")
# Settings that change numbers. Others may hold paths or keys and are not looked at.
SETTINGS = ("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DISABLE_JIT")


def environment() -> dict[str, Any]:
    """The versions, the platform and the devices, as JSON holds them."""
    import jax

    kinds: dict[str, int] = {}
    for device in jax.devices():
        kinds[device.device_kind] = kinds.get(device.device_kind, 0) + 1
    return {
        "flaxspec": VERSION,
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "platform": {"system": platform.system(), "release": platform.release(),
                     "machine": platform.machine(), "cores": os.cpu_count(),
                     "implementation": sys.implementation.name},
        "backend": jax.default_backend(),
        "devices": [{"kind": kind, "count": count} for kind, count in kinds.items()],
        "processes": jax.process_count(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
