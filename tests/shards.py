"""What the workers of test_shards run: functions that other processes can import."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

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


def first_time(folder: str, name: str) -> bool:
    """Whether nobody has asked this before, in any process."""
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def fails_first(folder: str, times: int, lengths: Sequence[int]) -> Iterator[tuple[np.ndarray]]:
    """Fail in the middle, as many times; then give the batches of `noise_free_batches`."""
    for i, batch in enumerate(noise_free_batches(lengths)):
        if i == len(lengths) - 1 and any(first_time(folder, f"fail {n}") for n in range(times)):
            raise OSError("no such disk")
        yield batch


def dies_first(folder: str, times: int, lengths: Sequence[int]) -> Iterator[tuple[np.ndarray]]:
    """Take the whole process down in the middle, as many times."""
    for i, batch in enumerate(noise_free_batches(lengths)):
        if i == len(lengths) - 1 and any(first_time(folder, f"die {n}") for n in range(times)):
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch


def waits_for(folder: str, lengths: Sequence[int]) -> Iterator[tuple[np.ndarray]]:
    """Say in a file that this waits for another; then give those of `noise_free_batches`."""
    (Path(folder) / "waiting").touch()
    while not (Path(folder) / "go on").exists():
        time.sleep(0.01)
    yield from noise_free_batches(lengths)
