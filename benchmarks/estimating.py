"""What an estimate costs over many batches: time beside the estimator's calls, and peak memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import aesara.tensor as at

import models
from bnrewrite import export_statistics
from bnrewrite.accumulators import Pooling
from bnrewrite.estimate import Estimator
from timing import Figures, medians, ratios

N_BATCHES = 100


def make_estimator(dtype: str) -> Estimator:
    x = at.TensorType(dtype, (None, None, None))("x")
    h = models.bn_lstm(x, models.share(models.draw_parameters(dtype)))
    return Estimator([x], export_statistics(h), mode=None)


def measure(dtype: str) -> Figures:
    """Time `estimate` with each pooling, and as many calls of what it calls."""
    estimator, batch = make_estimator(dtype), models.draw_batch(dtype)
    batches = [[batch]] * N_BATCHES

    def calls() -> None:
        for (x,) in batches:
            estimator._function(x)

    poolings: tuple[Pooling, ...] = ("edge", "moments")
    functions = {p: lambda p=p: estimator.estimate(batches, pooling=p) for p in poolings}
    pairs = {f"estimate, {p} / calls": (p, "calls") for p in poolings}
    return ratios(medians({"calls": calls, **functions}, 25), pairs)


def draw_batches(dtype: str, n: int) -> Iterator[list[models.Array]]:
    """Batches of 81 to 100 steps, none of which is kept."""
    for i in range(n):
        yield [models.draw_batch(dtype, models.STEPS - 7 * i % 20, seed=i)]


def measure_memory(dtype: str) -> Figures:
    """Peak memory during an estimate, in MB: of the process, and of what Python allocates."""
    estimator = make_estimator(dtype)
    estimator.estimate(draw_batches(dtype, 20))
    figures: Figures = {}
    tracemalloc.start()
    for n in (10, 100, 1000):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the process so far
        tracemalloc.reset_peak()
        estimator.estimate(draw_batches(dtype, n))
        status = Path("/proc/self/status").read_text()
        figures[f"peak, {n} batches (MB)"] = tracemalloc.get_traced_memory()[1] / 1e6
        figures[f"process, {n} batches (MB)"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    few, many = (figures[f"peak, {n} batches (MB)"] for n in (10, 1000))
    return {"memory: 1000 / 10 batches": many / few, **figures}
