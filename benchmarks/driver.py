"""Peers in processes of their own: started together, woken one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from benchmarks.variants import OWN, engine, environment

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Gone(Exception):
    """A worker that ended, or did not answer in time; with its last words."""


@dataclass(frozen=True)
class Place:
    """Where workers run.

    Attributes:
        pythons: the Python of flaxspec and Flax under "own", that of the others under "peers".
        cache: a folder for what compilers keep, so that the next start is short.
        patience: seconds until a worker that does not answer is given up.
    """

    pythons: dict[str, str]
    cache: Path
    patience: float = 600

    def runs(self, variant: str) -> bool:
        """Whether there is a Python for it."""
        return bool(self._python(variant))

    def _python(self, variant: str) -> str:
        return self.pythons["own" if engine(variant) in OWN else "peers"]

    def command(self, variant: str, row: str, weights: Path) -> list[str]:
        """What starts a worker."""
        return [self._python(variant), "-m", "benchmarks.worker", engine(variant), row,
                str(weights)]

    def environment(self, variant: str) -> dict[str, str]:
        """The environment of a worker."""
        return {**os.environ, "PYTHONPATH": str(ROOT),
                "JAX_COMPILATION_CACHE_DIR": str(self.cache / "xla"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
                "TORCHINDUCTOR_CACHE_DIR": str(self.cache / "inductor"),
                "TF_CPP_MIN_LOG_LEVEL": "3", **environment(variant)}


@dataclass
class Worker:
    """A peer's process, which sleeps unless it is asked.

    Attributes:
        name: the variant.
        begun: what it said first: the first loss, seconds to the end of the first step.
    """

    name: str
    patience: float
    process: subprocess.Popen[bytes]
    errors: BinaryIO
    begun: dict[str, Any] = field(default_factory=dict)
    _rest: bytes = b""

    @classmethod
    def start(cls, place: Place, variant: str, row: str, weights: Path) -> Worker:
        """Start a worker; it builds and makes its first step, and is to be heard with `hear`."""
        errors = cast(BinaryIO, tempfile.TemporaryFile())
        process = subprocess.Popen(
            place.command(variant, row, weights), env=place.environment(variant), cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        return cls(variant, place.patience, process, errors)

    def ask(self, line: str) -> dict[str, Any]:
        """Wake it, send a line, and have it sleep again; the answer."""
        self.send(line)
        return self.hear()

    def send(self, line: str) -> None:
        """Wake it and send a line."""
        assert self.process.stdin is not None
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._gone("it has ended") from None

    def hear(self) -> dict[str, Any]:
        """Its next answer, after which it sleeps."""
        assert self.process.stdout is not None
        until, pipe = time.monotonic() + self.patience, self.process.stdout.fileno()
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                if line.startswith(b"REPLY "):
                    self._signal(signal.SIGSTOP)
                    return json.loads(line[6:])
                continue
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise self._gone(f"no answer in {self.patience:.0f} s")
            chunk = os.read(pipe, 2**16)
            if not chunk:
                raise self._gone("it has ended")
            self._rest += chunk

    def close(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()

    def processor(self) -> float:
        """Processor seconds that it has had; 0 where the system does not say."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS

    def _signal(self, number: int) -> None:
        # The group: a compiler's helpers sleep along with their master.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _gone(self, why: str) -> Gone:
        self.errors.seek(0)
        said = [line for line in self.errors.read().decode(errors="replace").splitlines() if line]
        return Gone(f"{self.name}: {why}: {said[-1] if said else 'without a word'}")


@contextlib.contextmanager
def workers() -> Iterator[dict[str, Worker]]:
    """Workers by name, all of which end with the block."""
    alive: dict[str, Worker] = {}
    try:
        yield alive
    finally:
        for worker in alive.values():
            worker.close()


def start_all(
    alive: dict[str, Worker], place: Place, variants: Iterable[str], row: str, weights: Path,
) -> dict[str, str]:
    """Start what is not alive yet, side by side; why some do not run, by name.

    flaxspec goes first where the weights that the others begin with are not there.
    """
    wanted = [name for name in variants if name not in alive]
    failed: dict[str, str] = {}
    if not weights.exists():
        _start(alive, failed, place, ["flaxspec"], row, weights)
        wanted = [name for name in wanted if name != "flaxspec"]
    if weights.exists():
        _start(alive, failed, place, wanted, row, weights)
    return failed


def _start(
    alive: dict[str, Worker], failed: dict[str, str], place: Place, variants: list[str],
    row: str, weights: Path,
) -> None:
    for worker in [Worker.start(place, name, row, weights) for name in variants]:
        try:
            worker.begun = worker.hear()
            alive[worker.name] = worker
        except Gone as gone:
            failed[worker.name] = str(gone)
            worker.close()


def busy() -> float | None:
    """Processor seconds of the whole machine since it started; None where it does not say."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _, _, interrupts, soft, *_ = map(int, first[1:])
    return (user + nice + system + interrupts + soft) / TICKS


def memory_left() -> float:
    """Bytes that programs may still take; infinity where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    said = dict(line.split(":") for line in lines)
    return 1024.0 * int(said["MemAvailable"].split()[0])
