"""What a command sets before JAX is imported: the compilation cache, the kind of device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import startup

SHOW = """
import os, sys
from runtime import startup
startup.prepare(sys.argv[1])
assert "jax" not in sys.modules
print(os.environ.get("JAX_COMPILATION_CACHE_DIR"), os.environ.get("JAX_PLATFORMS"))
"""


def prepared(device="", **environment):
    """The cache folder and the platforms of a process after `prepare`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "FLAXSPEC_"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, device], capture_output=True, text=True, check=True,
        env=clean | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment)
    return done.stdout.split()


def test_the_cache_is_on_and_lies_where_caches_do(tmp_path):
    found, platforms = prepared(XDG_CACHE_HOME=str(tmp_path))
    assert platforms == "None"
    if sys.platform.startswith("linux"):
        assert found == str(tmp_path / "flaxspec" / "xla")
        assert Path(found).is_dir()


@pytest.mark.parametrize("variable, value, expected", [
    ("FLAXSPEC_CACHE", "off", "None"),
    ("JAX_COMPILATION_CACHE_DIR", "/elsewhere", "/elsewhere"),
    ("FLAXSPEC_CACHE", "/dev/null/cache", "None"),  # cannot be made
])
def test_the_cache_can_be_switched_off_or_moved(tmp_path, variable, value, expected):
    found, _ = prepared(XDG_CACHE_HOME=str(tmp_path), **{variable: value})
    assert found == expected
    assert not (tmp_path / "flaxspec").exists()


@pytest.mark.parametrize("device, expected", [
    ("cpu", "cpu"), ("cuda:1", "cuda,cpu"), ("tpu", "tpu,cpu"), ("fpga", "None")])
def test_only_the_kind_of_device_that_was_asked_for_is_started(device, expected):
    assert prepared(device, FLAXSPEC_CACHE="off") == ["None", expected]


def test_a_process_that_has_jax_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    startup.prepare("tpu")
    assert "JAX_PLATFORMS" not in os.environ


def test_importing_flaxspec_sets_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import os; before = dict(os.environ); import flaxspec; "
                               "assert before == dict(os.environ)"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, check=False)
    assert done.returncode == 0


def test_the_cache_is_bounded_and_what_was_used_last_stays(tmp_path):
    for number in range(5):
        file = tmp_path / f"{number}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (number, number))
    os.utime(tmp_path / "0-cache", (100, 0))  # written first, read last
    startup.trim(tmp_path, 250)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["0-cache", "4-cache"]
    startup.trim(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
