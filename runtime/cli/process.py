"""Settings of the process that must stand before it starts, and how the command comes by them.

XLA takes the memory of a step's temporaries from the allocator anew for each step and gives it
back. With glibc's defaults the kernel then zeroes gigabytes of small pages at every step. glibc
reads its settings once, when a process begins, so `compile-and-train` starts itself again with
them: the same program, arguments and process number, before anything heavy is imported.
Whoever imports flaxspec as a library keeps their process as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

# Huge pages where the system allows them; large blocks stay in the heap, which is never trimmed.
# One arena for all threads: the heaps of others go back to the system as soon as they are empty.
SETTINGS = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
}
# "0" in the environment keeps the process as it is; "done" says that it was started again.
SWITCH = "FLAXSPEC_RESTART"


def missing(environment: Mapping[str, str], platform: str = sys.platform) -> dict[str, str]:
    """The settings to start again with; none where the user chose any, or on another system."""
    if environment.get(SWITCH) in ("0", "done") or not platform.startswith("linux"):
        return {}
    return {} if any(name in environment for name in SETTINGS) else dict(SETTINGS)


def restart() -> None:
    """Start this very command again with the settings; returns where there is no need to."""
    added = missing(os.environ)
    if not added or not sys.executable or not sys.orig_argv:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]],
                  {**os.environ, **added, SWITCH: "done"})
    except OSError:
        return  # Slower, but no reason not to train.


def described(environment: Mapping[str, str] = os.environ) -> str:
    """How the process was set up, for `--verbose`."""
    stands = " ".join(f"{name}={environment[name]}" for name in SETTINGS if name in environment)
    match environment.get(SWITCH):
        case "done":
            return f"started again with {stands} (off with {SWITCH}=0)"
        case "0":
            return f"not started again: {SWITCH}=0"
        case _:
            return f"as it was: {stands or 'no settings of its own'}"


def compile_and_train() -> None:
    """The command, in a process set up for it."""
    restart()
    from runtime.cli.train import main

    main()
