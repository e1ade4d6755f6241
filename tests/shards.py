"""What the workers of test_shards run: functions that other processes can import."""

from collections.abc import Iterator, Sequence

import numpy as np


def noise_free_batches(lengths: Sequence[int], n_time_axes: int = 2) -> Iterator[tuple[np.ndarray]]:
    """Arrays of (steps, examples, units), or without units, of each of the `lengths`."""
    for n in lengths:
        shape = (n, 4, 2)[: n_time_axes + 1]
        yield (np.random.default_rng(n).normal(size=shape),)


def broken() -> Iterator[tuple[np.ndarray]]:
    """Fail in the middle."""
    yield (np.ones((2, 4, 2)),)
    raise OSError("no such disk")
