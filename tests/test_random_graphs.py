"""Random programs of nested and stacked loops with random marks, as a graph and as plain NumPy.

A program is a tuple of layers: ``"norm"`` (a marked mean, subtracted), ``"plain"`` (one without
a mark), ``"square"``, or ``(kind, program)`` for a loop over the first axis with a program as its
body. Set BNREWRITE_EXAMPLES to run more of them: ``BNREWRITE_EXAMPLES=5000 pytest
tests/test_random_graphs.py``.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import aesara
import aesara.tensor as at
import numpy as np
from aesara.graph.basic import Variable, ancestors
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from bnrewrite import InferenceGraph, mark_statistic

N_TIME_AXES = 3
N_EXAMPLES = int(os.environ.get("BNREWRITE_EXAMPLES", "60"))
Program = tuple[Any, ...]


def programs(n_time_axes: int) -> st.SearchStrategy[Program]:
    layers = st.sampled_from(["norm", "plain", "square"])
    if n_time_axes:
        loops = st.tuples(st.sampled_from(["map", "recurrent"]), programs(n_time_axes - 1))
        layers = layers | loops | loops
    return st.lists(layers, min_size=1, max_size=2).map(tuple)


def numbered(program: Program, numbers: Iterator[int]) -> Program:
    """Give each mark a number, which is its label."""
    return tuple(
        (layer[0], numbered(layer[1], numbers))
        if isinstance(layer, tuple)
        else f"{layer} {next(numbers)}"
        for layer in program
    )


def build(program: Program, x: Variable) -> Variable:
    for layer in program:
        if isinstance(layer, tuple):
            x = build_loop(*layer, x)
        elif layer.startswith("square"):
            x = at.square(x) / 2
        else:
            mean = x.mean(axis=-2)
            mean = mark_statistic(mean, layer) if layer.startswith("norm") else mean
            x = x - mean.dimshuffle(*range(x.ndim - 2), "x", x.ndim - 2)
    return x


def build_loop(kind: str, body: Program, x: Variable) -> Variable:
    if kind == "map":
        return aesara.scan(lambda x_t: build(body, x_t), sequences=[x])[0]
    step = lambda x_t, h: at.tanh(build(body, x_t + h))  # noqa: E731
    return aesara.scan(step, sequences=[x], outputs_info=[at.zeros_like(x[0])])[0]


def run(program: Program, x: np.ndarray, seen: dict[str, list[np.ndarray]]) -> np.ndarray:
    for layer in program:
        if isinstance(layer, tuple):
            kind, body = layer
            h, steps = np.zeros_like(x[0]), []
            for x_t in x:
                h = run(body, x_t, seen) if kind == "map" else np.tanh(run(body, x_t + h, seen))
                steps.append(h)
            x = np.stack(steps)
        elif layer.startswith("square"):
            x = np.square(x) / 2
        else:
            seen[layer].append(x.mean(axis=-2))
            x = x - x.mean(axis=-2, keepdims=True)
    return x


def marks(outputs: list[Variable]) -> Iterator[Variable]:
    for variable in ancestors(outputs):
        if getattr(variable.tag, "bn_statistic", False):
            yield variable
        if variable.owner and hasattr(variable.owner.op, "fgraph"):
            yield from marks(variable.owner.op.fgraph.outputs)


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize="BNREWRITE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(programs(N_TIME_AXES), st.booleans())
def test_random_program_is_exported_and_replaced(program: Program, compiled: bool) -> None:
    assume("norm" in str(program))
    program = numbered(program, count())
    x = at.TensorType("float64", (None,) * (N_TIME_AXES + 2))("x")
    y = build(program, x)
    batch = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 2))
    seen: dict[str, list[np.ndarray]] = defaultdict(list)
    expected = run(program, batch, seen)
    if compiled:
        assert_allclose(aesara.function([x], y)(batch), expected, rtol=1e-9, atol=1e-9)
    graph = InferenceGraph([x], y)
    population = graph.estimate([(batch,)])
    assert_allclose(aesara.function([x], graph.outputs)(batch), expected, rtol=1e-9, atol=1e-9)
    assert not list(marks([graph.outputs]))
    assert {s.label for s in graph.statistics} == {k for k in seen if k.startswith("norm")}
    for statistic in graph.statistics:
        value = population[statistic.name]
        steps = np.stack(seen[statistic.label]).reshape(value.shape)
        assert value.shape[: statistic.depth] == batch.shape[: statistic.depth]
        assert_allclose(value, steps, rtol=1e-9, atol=1e-9)
