"""Order and batches: every example once, whatever the batch size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from runtime.batch import Ratio
from runtime.data.dataset import Part
from runtime.data.pipeline import (
    BatchIndices,
    DeviceArrays,
    HostArrays,
    Shard,
    batches_in,
    epoch_order,
    examples,
)
from runtime.meter import Meter


@pytest.mark.parametrize("size, batch_size", [(10, 3), (10, 5), (10, 10), (10, 64), (1, 1)])
def test_batches_hold_every_example_once(size, batch_size):
    batches = list(BatchIndices(np.arange(size)[::-1], batch_size))
    assert len(batches) == batches_in(size, batch_size)
    assert all(len(indices) == len(rows) == batch_size for indices, rows in batches)
    seen = np.concatenate([indices[rows] for indices, rows in batches])
    assert seen.tolist() == list(range(size))[::-1]


def test_dropping_the_last_batch_leaves_only_full_ones():
    batches = list(BatchIndices(np.arange(10), 4, drop_last=True))
    assert [indices.tolist() for indices, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert all(rows.all() for _, rows in batches)


def test_seed_and_epoch_decide_the_order():
    first = list(epoch_order(100, seed=3, epoch=1))
    assert sorted(first) == list(range(100)) != first
    assert first == list(epoch_order(100, seed=3, epoch=1))
    assert first != list(epoch_order(100, seed=3, epoch=2))
    assert first != list(epoch_order(100, seed=4, epoch=1))


PART = Part({"x": np.arange(40, dtype=np.uint8).reshape(10, 4), "y": np.arange(10)},
            {"x": np.arange(1, 11)})


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_device_and_the_host_give_the_same_batches(drop_last):
    order = epoch_order(10, seed=0, epoch=1)
    ways = [kind(PART).batches(order, 3, drop_last=drop_last)
            for kind in (DeviceArrays, HostArrays)]
    count = 0
    for one, other in zip(*ways, strict=True):
        count += 1
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert count == batches_in(10, 3, drop_last=drop_last)


@pytest.mark.parametrize("kind", [DeviceArrays, HostArrays])
def test_an_epoch_goes_on_at_any_batch(kind):
    data, order = kind(PART), epoch_order(10, seed=1, epoch=2)
    whole = [batch.arrays["y"].tolist() for batch in data.batches(order, 3)]
    for start in range(5):
        rest = [batch.arrays["y"].tolist() for batch in data.batches(order, 3, start=start)]
        assert rest == whole[start:]


@pytest.mark.parametrize("kind", [DeviceArrays, HostArrays])
def test_processes_gather_their_stretches_of_every_batch(kind):
    order = epoch_order(10, seed=1, epoch=1)
    whole = list(kind(PART).batches(order, 4))
    halves = [list(kind(PART, Shard(index, 2)).batches(order, 4)) for index in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        both = np.concatenate([first.arrays["y"], second.arrays["y"]])
        np.testing.assert_array_equal(batch.arrays["y"], both)
        np.testing.assert_array_equal(batch.rows, np.concatenate([first.rows, second.rows]))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_example_is_read_by_one_process_once_however_batches_are_parted(count):
    order = epoch_order(10, seed=1, epoch=1)
    shards = [list(DeviceArrays(PART, Shard(index, count)).batches(order, 5))
              for index in range(count)]
    assert len({len(batch.rows) for batches in shards for batch in batches}) == 1
    read = [y for batches in shards for batch in batches
            for y, counts in zip(batch.arrays["y"].tolist(), batch.rows) if counts]
    assert sorted(read) == sorted(PART.arrays["y"][:].tolist())


def test_bytes_are_fractions_and_whole_numbers_stay():
    part = Part({"a": np.array([0, 255], np.uint8), "b": np.array([-32768, 16384], np.int16),
                 "c": np.array([7, 8], np.int32)})
    for kind in (DeviceArrays, HostArrays):
        batch = kind(part).batch(np.arange(2), np.ones(2, bool))
        assert batch.arrays["a"].tolist() == [0.0, 1.0]
        assert batch.arrays["b"].tolist() == [-1.0, 0.5]
        assert batch.arrays["c"].dtype == jnp.int32


def test_what_is_large_stays_on_the_host():
    assert isinstance(examples(PART), DeviceArrays)
    assert isinstance(examples(PART, on_device=100), HostArrays)


def test_what_goes_wrong_while_reading_ahead_is_not_swallowed():
    class Broken:
        shape, dtype, nbytes = (10, 4), np.dtype(np.uint8), 40

        def __getitem__(self, indices):
            raise KeyError("broken")

        def __len__(self):
            return 10

    part = Part({"x": Broken(), "y": np.arange(10)})
    assert isinstance(examples(part), HostArrays)
    with pytest.raises(KeyError):
        list(examples(part).batches(np.arange(10), 3))


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
