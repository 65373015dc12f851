"""Streams of text for states that are carried across batches."""

import numpy as np
import pytest

from runtime.streams import EVALUATION_STREAMS, stream_batches, stream_order


@pytest.mark.parametrize("size, streams", [(12, 3), (13, 3), (14, 3), (5, 5), (7, 1)])
def test_each_row_goes_on_where_it_was(size, streams):
    batches = stream_order(size, streams).reshape(-1, streams)
    assert len(batches) == size // streams
    assert (np.diff(batches, axis=0) == 1).all()
    assert sorted(batches.reshape(-1)) == list(range(size - size % streams))


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 23, 100])
def test_evaluation_reads_every_chunk_once_and_in_order(size):
    before, seen = {}, []
    for indices, rows in stream_batches(size):
        assert len(indices) == min(EVALUATION_STREAMS, size)
        for row, index in enumerate(indices):
            if rows[row]:
                assert row not in before or before[row] == index - 1
                before[row] = index
                seen.append(index)
    assert sorted(seen) == list(range(size))
