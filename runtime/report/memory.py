"""How much memory a run uses, as far as the system says."""

from __future__ import annotations

import sys
from pathlib import Path


def memory_in_use() -> int | None:
    """Bytes on the first device, where it has a memory of its own, else of this process.

    Returns:
        None where the system does not say.
    """
    import jax

    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_in_use" in stats:
        return stats["bytes_in_use"]
    return _process()


def _process() -> int | None:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        import resource

        return pages * resource.getpagesize()
    if sys.platform == "darwin":
        import resource

        # The most there was; macOS tells no current size without another package.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
