"""Devices: what may be asked for, and that several give the numbers of one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import SpecError
from runtime.batch import Batch
from runtime.mesh import Placement, choose

CONVOLUTIONS = """\
flaxspec: 1
name: pictures
inputs:
  image: {shape: [8, 8, 1]}
model:
  - conv: {filters: 8, kernel: 3}
  - batch_norm
  - relu
  - residual:
      - conv: {filters: 8, kernel: 3}
      - batch_norm
  - dropout: 0.2
  - global_average_pool
  - dense: 10
data: {dataset: digits, augment: [{shift: 1}], validation: 0}
task: classification
train: {epochs: 1, batch_size: 64, optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}}
"""
# No batch can be cut evenly: each is filled up by two rows.
RECURRENT = """\
flaxspec: 1
name: rows
inputs:
  image: {shape: [8, 8, 1]}
model:
  - reshape: {axes: [time, channels], shape: [8, 8]}
  - gru: {units: 12, bidirectional: true, return: last}
  - dense: 10
data: {dataset: digits, validation: 0}
task: classification
train: {epochs: 1, batch_size: 54, optimizer: {sgd: 0.1}}
"""


@pytest.mark.slow
def test_four_devices_give_the_weights_statistics_and_figures_of_one():
    script = Path(__file__).with_name("four_devices.py")
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(script)], input=json.dumps(
        [CONVOLUTIONS, RECURRENT]), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for one, four in json.loads(done.stdout):
        assert four["cut"] == [4] and four["copies"] == 4
        assert one["weights"].keys() == four["weights"].keys()
        for name, array in one["weights"].items():
            np.testing.assert_allclose(four["weights"][name], array, atol=2e-5, err_msg=name)
        assert four["test"]["accuracy"] == pytest.approx(one["test"]["accuracy"], abs=1e-6)
        assert four["test"]["loss"] == pytest.approx(one["test"]["loss"], rel=1e-5)


# The last batch is not full, and none can be parted evenly.
SHARED = """\
flaxspec: 1
name: rows
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 8
  - batch_norm
  - relu
  - dense: 10
data: {dataset: digits, validation: 0}
task: classification
train: {epochs: 1, batch_size: 255, optimizer: {sgd: 0.1}}
"""


@pytest.mark.slow
def test_two_processes_read_every_example_once_and_give_the_weights_of_one():
    script = str(Path(__file__).with_name("two_processes.py"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "",
                                "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [subprocess.Popen(
        [sys.executable, script, address, str(count), str(number)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for count, number in ((2, 0), (2, 1), (1, 0))]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(SHARED)
        process.stdin.close()
        process.stdin = None
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    first, second, alone = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert (first["devices"], second["devices"], alone["devices"]) == (2, 2, 1)
    assert sorted(first["read"] + second["read"]) == sorted(alone["read"])
    assert min(len(first["read"]), len(second["read"])) > 0.4 * len(alone["read"])
    for name, array in alone["weights"].items():
        np.testing.assert_allclose(first["weights"][name], array, atol=2e-5, err_msg=name)
        np.testing.assert_array_equal(second["weights"][name], first["weights"][name])
    assert first["test"] == second["test"]
    assert first["test"]["accuracy"] == pytest.approx(alone["test"]["accuracy"], abs=1e-6)
    assert first["test"]["f1"] == pytest.approx(alone["test"]["f1"], abs=1e-6)


def test_one_device_changes_nothing():
    alone = choose()
    batch = Batch({"image": jnp.ones((3, 2))}, {}, jnp.ones(3, bool))
    assert alone.cut(batch) is batch and alone.described == jax.devices()[0].device_kind
    assert choose("cpu").devices == choose("cpu:0").devices == tuple(jax.devices("cpu")[:1])


@pytest.mark.parametrize("asked, told", [
    ("fpga", "`fpga` is not a device"),
    ("cpu:one", "is not a device"),
    ("cpu:99", "there is no `cpu:99`"),
])
def test_a_device_that_is_not_there_is_a_diagnostic(asked, told):
    with pytest.raises(SpecError, match=f"F0824(.|\n)*{told}"):
        choose(asked)


def test_a_missing_extra_is_named(monkeypatch):
    def none(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", none)
    monkeypatch.setattr("runtime.mesh._installed", lambda extra: False)
    with pytest.raises(SpecError, match=r"installed without cuda(.|\n)*'flaxspec\[cuda\]'"):
        choose("cuda")
    monkeypatch.setattr("runtime.mesh._installed", lambda extra: True)
    with pytest.raises(SpecError, match="finds no tpu device"):
        choose("tpu:0")


def test_a_run_that_goes_on_takes_as_many_devices_as_it_began_with(monkeypatch):
    monkeypatch.setattr(Placement, "over", lambda devices: list(devices))
    monkeypatch.setattr(jax, "local_devices", lambda backend=None: ["a", "b", "c"])
    assert choose("", 2) == choose("cuda", 2) == ["a", "b"]
    assert choose("", 5) == ["a", "b", "c"]
