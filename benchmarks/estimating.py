"""What an estimate costs over many batches: time beside the estimator's calls, and peak memory."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path

import models
from bnrewrite import FewElements, export_statistics
from bnrewrite.estimation.estimator import Estimator
from models import at
from timing import Figures, medians, ratios

N_BATCHES = 100
N_OF_ONE, TURNS = 1_000, 10


def make_estimator(dtype: str) -> Estimator:
    x = at.TensorType(dtype, (None, None, None))("x")
    h = models.bn_lstm(x, models.share(models.draw_parameters(dtype)))
    return Estimator([x], export_statistics(h), mode=None)


def measure(dtype: str) -> Figures:
    """Time `estimate` with each pooling, and as many calls of what it calls.

    The estimate from batches of one example goes on where it stopped, at each of its turns.
    """
    estimator = make_estimator(dtype)
    equal = [[models.draw_batch(dtype)]] * N_BATCHES
    ragged = list(draw_batches(dtype, N_BATCHES))

    def calls(batches: list[list[models.Array]]) -> None:
        for (x,) in batches:
            estimator._function(x)

    functions = {
        "calls": lambda: calls(equal),
        "edge": lambda: estimator.estimate(equal, pooling="edge"),
        "moments": lambda: estimator.estimate(equal, pooling="moments"),
        "calls, ragged": lambda: calls(ragged),
        "edge, ragged": lambda: estimator.estimate(ragged, pooling="edge"),
    }
    pairs = {
        "estimate, edge / calls": ("edge", "calls"),
        "estimate, moments / calls": ("moments", "calls"),
        "estimate, edge, 81 to 100 steps / calls": ("edge, ragged", "calls, ragged"),
    }
    one = [[models.draw_batch(dtype, batch=1)]] * N_OF_ONE
    last = None

    def go_on() -> None:
        nonlocal last
        last = estimator.estimate(one, pooling="edge", min_count=0, resume=last)

    of_one = {"calls, of one": lambda: calls(one), "edge, of one": go_on}
    pair = {"estimate, 10,000 batches of one example / calls": ("edge, of one", "calls, of one")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewElements)
        times = medians(of_one, TURNS)
    return ratios(medians(functions, 15), pairs) | ratios(times, pair)


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
