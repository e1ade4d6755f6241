"""What it costs to build and to compile, and how building grows with the graph."""

from __future__ import annotations

import gc
import time

import numpy as np

import growth
import models
from bnrewrite import InferenceGraph, export_statistics
from bnrewrite.estimation.estimator import Estimator
from models import Variable, at, engine
from timing import Figures, medians, ratios

PAIRS = {
    "build / compile forward": ("build", "compile forward"),
    "compile both / compile forward twice": ("compile both", "compile forward twice"),
}
SIZES = {
    growth.abreast: (31, 62, 125, 250),
    growth.stacked: (25, 50, 100, 200),
    growth.nested: (2, 4, 8, 16),
    growth.deep: (2, 4, 8, 16),
}


def measure(dtype: str) -> Figures:
    """Time building and compiling with a warm cache, the median of 15 runs each."""
    x = at.TensorType(dtype, (None, None, None))("x")
    h = models.bn_lstm(x, models.share(models.draw_parameters(dtype)))
    graph, exported = InferenceGraph([x], h), export_statistics(h)

    def compile_both() -> None:
        Estimator([x], exported, mode=None)
        engine.function([x], graph.outputs)

    functions = {
        "build": lambda: InferenceGraph([x], h),
        "compile forward": lambda: engine.function([x], h),
        "compile forward twice": lambda: [engine.function([x], h) for _ in range(2)],
        "compile both": compile_both,
    }
    return ratios(medians(functions, 15), PAIRS)


def measure_growth(dtype: str) -> Figures:
    """How much more each further node costs in the largest graphs than in the smallest.

    1 if the work grows linearly, more than 2 if it grows with the square of the size.
    """
    figures: Figures = {}
    for kind, sizes in SIZES.items():
        name = kind.__name__
        nodes, calls, seconds, built = np.array([_work(*kind(n)) for n in sizes]).T
        for unit, work in (("calls", calls), ("time", seconds), ("edges built", built)):
            first, last = ((work[j] - work[i]) / (nodes[j] - nodes[i]) for i, j in ((0, 2), (2, 3)))
            figures[f"growth, {name}, {unit}: last / first slope"] = float(last / first)
        figures[f"{name} (nodes)"] = float(nodes[-1])
        figures[f"{name} (ms)"] = 1000 * float(seconds[-1])
    return figures


def _work(x: Variable, y: Variable) -> tuple[int, int, float, int]:
    """Nodes of a training graph; calls and seconds to build its inference graph, and its edges."""
    seconds = []
    gc.disable()  # it takes longer the more there is, in whatever code
    for _ in range(5):
        begin = time.process_time()
        graph = InferenceGraph([x], y)
        seconds.append(time.process_time() - begin)
        gc.collect()
    gc.enable()
    n_calls, n_built = (
        growth.n_calls(lambda: InferenceGraph([x], y)),
        growth.n_edges([graph.outputs]),
    )
    return growth.n_nodes([y]), n_calls, min(seconds), n_built
