"""Order and batches: every example once, whatever the batch size."""

import jax.numpy as jnp
import numpy as np
import pytest

from runtime.batch import Ratio
from runtime.data.dataset import Part
from runtime.data.pipeline import DeviceArrays, batch_indices, batches_in, epoch_order
from runtime.meter import Meter


@pytest.mark.parametrize("size, batch_size", [(10, 3), (10, 5), (10, 10), (10, 64), (1, 1)])
def test_batches_hold_every_example_once(size, batch_size):
    batches = list(batch_indices(np.arange(size)[::-1], batch_size))
    assert len(batches) == batches_in(size, batch_size)
    assert all(len(indices) == len(rows) == batch_size for indices, rows in batches)
    seen = np.concatenate([indices[rows] for indices, rows in batches])
    assert seen.tolist() == list(range(size))[::-1]


def test_dropping_the_last_batch_leaves_only_full_ones():
    batches = list(batch_indices(np.arange(10), 4, drop_last=True))
    assert [indices.tolist() for indices, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert all(rows.all() for _, rows in batches)


def test_seed_and_epoch_decide_the_order():
    first = epoch_order(100, seed=3, epoch=1)
    assert sorted(first) == list(range(100))
    np.testing.assert_array_equal(first, epoch_order(100, seed=3, epoch=1))
    assert not np.array_equal(first, epoch_order(100, seed=3, epoch=2))
    assert not np.array_equal(first, epoch_order(100, seed=4, epoch=1))


def test_a_batch_has_the_examples_and_lengths_of_its_indices():
    part = Part({"text": np.arange(12).reshape(4, 3)}, {"text": np.array([3, 1, 2, 3])})
    batch = DeviceArrays(part).batch(np.array([2, 0]), np.array([True, False]))
    assert batch.arrays["text"].tolist() == [[6, 7, 8], [0, 1, 2]]
    assert batch.lengths["text"].tolist() == [2, 3]
    assert batch.rows.tolist() == [True, False]


def test_the_meter_adds_in_float64_what_float32_would_lose():
    meter = Meter()
    meter.add({"loss": Ratio(jnp.float32(2**24), jnp.float32(1))})
    for _ in range(4):
        meter.add({"loss": Ratio(jnp.float32(1), jnp.float32(0))})
    assert meter.means()["loss"] == 2**24 + 4


def test_the_meter_weighs_batches_by_what_counts_in_them():
    meter = Meter()
    meter.add({"loss": Ratio(jnp.float32(3), jnp.float32(3))})
    meter.add({"loss": Ratio(jnp.float32(9), jnp.float32(1))})
    assert meter.means()["loss"] == 3.0
    assert meter.ready()["loss"] == 3.0


def test_a_meter_without_batches_has_no_means():
    assert Meter().ready() == {} and Meter().means() == {}
