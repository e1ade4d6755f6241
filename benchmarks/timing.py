"""Medians of functions that take turns in one process."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Functions = Mapping[str, Callable[[], Any]]
# Ratios by the name of a figure, and medians in milliseconds by the name of a function.
Figures = dict[str, float]

REPETITIONS = 31
LONGEST = float("inf")  # seconds, after which no further round begins


def medians(functions: Functions, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Milliseconds that each function takes: they take turns, each round in another order.

    One that has been timed elsewhere returns its milliseconds, and others None or anything else.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    names, order = list(functions), random.Random(0)
    for function in functions.values():
        function()
    gc.collect()
    end = time.perf_counter() + LONGEST
    for turn in range(repetitions):
        if turn and time.perf_counter() > end:
            break
        for name in names:
            begin = time.perf_counter()
            elsewhere = functions[name]()
            here = 1000 * (time.perf_counter() - begin)
            times[name].append(elsewhere if isinstance(elsewhere, float) else here)
        order.shuffle(names)
    return {name: statistics.median(values) for name, values in times.items()}


def ratios(times: Mapping[str, float], pairs: Mapping[str, tuple[str, str]]) -> Figures:
    """Figures, each the ratio of one time to another, and the times behind them."""
    figures = {name: times[a] / times[b] for name, (a, b) in pairs.items()}
    return figures | {f"{name} (ms)": time for name, time in times.items()}
