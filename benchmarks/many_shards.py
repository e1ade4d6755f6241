"""What estimating from many shards takes: peak memory, and how often the estimator travels.

    python benchmarks/many_shards.py

Estimates the statistics of a recurrent network of 64 units over 50 steps from 100, 1,000 and 10,000
shards of one batch each, on a process pool of two workers, and prints for each number the peak of
what Python allocates in the process that merges, how long it took, and the mean of what was sent
to the workers for a shard.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from bnrewrite import InferenceGraph, batch_normalize
from models import at, scan

N_STEPS, N_EXAMPLES, N_UNITS = 50, 4, 64


def make_graph() -> InferenceGraph:
    x = at.dtensor3("x")

    def step(x_t: Any, h: Any) -> Any:
        return at.tanh(x_t + batch_normalize(h, gamma=0.1, beta=0.0, label="h"))

    h = scan(step, sequences=[x], outputs_info=[at.zeros_like(x[0])], name="rnn")
    return InferenceGraph([x], h)


def one_batch(seed: int) -> Iterator[tuple[Any]]:
    """The batches of a shard."""
    yield (np.random.default_rng(seed).normal(size=(N_STEPS, N_EXAMPLES, N_UNITS)),)


class CountingPool(ProcessPoolExecutor):
    """A process pool that counts what is sent."""

    n_bytes, n_estimators = 0, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        size = len(pickle.dumps((fn, args)))
        self.n_bytes += size
        self.n_estimators += args[1] is not None
        return super().submit(fn, *args, **kwargs)


def main() -> None:
    """Print one line for each number of shards."""
    graph = make_graph()
    result = pickle.dumps(graph.estimate(one_batch(0)))
    print(f"the result of a shard is {len(result) / 1e6:.2f} MB")
    print(" shards  peak (MB)  seconds  sent a shard (kB)  estimators sent")
    for n in (100, 1_000, 10_000):
        with CountingPool(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            shards = [partial(one_batch, seed) for seed in range(n)]
            begin = time.perf_counter()
            tracemalloc.start()
            graph.estimate_shards(shards, pool)
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            seconds = time.perf_counter() - begin
            sent = pool.n_bytes / n / 1e3
            print(f"{n:>7}{peak:>11.1f}{seconds:>9.1f}{sent:>19.1f}{pool.n_estimators:>17}")


if __name__ == "__main__":
    main()
