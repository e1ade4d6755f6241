"""Random programs with random marks, as a graph and as plain NumPy loops.

A program is a tuple of layers that keep the shape (*time axes, batch, units) of what goes in:
``"norm"`` and ``"var"`` use a marked mean and a marked variance over all axes but the last,
``"plain"`` a mean without a mark, ``"squash"`` none; ``(kind, program)`` has a program inside, the
body of a loop over the first axis or of an `OpFromGraph`. BNREWRITE_EXAMPLES runs other programs in
each run, as many as it says, and looks for the simplest that fails (in five minutes at the most):
``BNREWRITE_EXAMPLES=5000 pytest -n 2 tests/test_random_graphs.py``.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import engine
import oracle
from bnrewrite import InferenceGraph, Population, UnmarkedStatistic, mark_statistic
from engine import Mode, OpFromGraph, Variable, ancestors, until
from engine import tensor as at
from oracle import Array, Statistics

LENGTHS = [(2, 3, 2), (3, 1, 2), (1, 2, 4)]
LONGER = (4, 4, 5)
UNOPTIMIZED = Mode("py", None)  # compiles five times faster
KINDS = ("map", "recurrent", "backwards", "reduce", "until", "op")
Program = tuple[Any, ...]

SEARCH = "BNREWRITE_EXAMPLES" in os.environ
N_EXAMPLES = -(-int(os.environ.get("BNREWRITE_EXAMPLES", "300")) // len(KINDS))
SETTINGS = settings(
    phases=(Phase.generate, Phase.shrink) if SEARCH else (Phase.generate,),
    derandomize=not SEARCH,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def programs(depth: int) -> st.SearchStrategy[Program]:
    layers = st.sampled_from(["norm", "var", "plain", "squash"])
    if depth:
        nested = st.tuples(st.sampled_from(KINDS), programs(depth - 1))
        layers = layers | nested | nested
    return st.lists(layers, min_size=1, max_size=2).map(tuple)


def is_marked(program: Program) -> bool:
    return "norm" in str(program) or "var" in str(program)


def numbered(program: Program, numbers: Iterator[int]) -> Program:
    """Give each statistic a number, which makes it a label."""
    return tuple(
        (layer[0], numbered(layer[1], numbers))
        if isinstance(layer, tuple)
        else f"{layer} {next(numbers)}"
        for layer in program
    )


def apply(layer: str, x: Any, mark: Callable[[Any, str], Any]) -> Any:
    """Apply a layer to a variable or to an array."""
    if layer.startswith("squash"):
        return x / (1 + x * x)
    axes, is_variance = tuple(range(x.ndim - 1)), layer.startswith("var")
    statistic = x.var(axis=axes) if is_variance else x.mean(axis=axes)
    statistic = statistic if layer.startswith("plain") else mark(statistic, layer)
    return x / (1 + statistic) ** 0.5 if is_variance else x - statistic


# ---- a program as a graph


def build(program: Program, x: Variable, mode: Any) -> Variable:
    for layer in program:
        nested = isinstance(layer, tuple)
        x = build_nested(*layer, x, mode) if nested else apply(layer, x, mark_statistic)
    return x


def build_nested(kind: str, body: Program, x: Variable, mode: Any) -> Variable:
    options = {"mode": mode} if engine.AESARA else {}  # PyTensor takes that of the function
    if kind == "op":
        v = x.type()
        return OpFromGraph([v], [build(body, v, mode)])(x)
    if kind == "map":
        return engine.scan(lambda x_t: build(body, x_t, mode), sequences=[x], **options)

    def step(x_t: Variable, t: Variable, h: Variable) -> Any:
        h = at.tanh(build(body, x_t + h, mode))
        return (h, until(t >= 1)) if kind == "until" else h

    sequences, initial = [x, at.arange(x.shape[0])], [at.zeros_like(x[0])]
    backwards = kind == "backwards"
    steps = engine.scan(step, sequences, initial, go_backwards=backwards, **options)
    return x + steps[-1] if kind in ("reduce", "until") else steps


# ---- a program as NumPy


def run(program: Program, x: Array, statistics: Statistics) -> Array:
    for layer in program:
        if isinstance(layer, tuple):
            x = run_nested(*layer, x, statistics)
        else:
            x = apply(layer, x, lambda value, label: statistics(label, value))
    return x


def run_nested(kind: str, body: Program, x: Array, statistics: Statistics) -> Array:
    if kind == "op":
        return run(body, x, statistics)
    taken = {"backwards": x[::-1], "until": x[:2]}.get(kind, x)
    h, steps = np.zeros_like(x[0]), []
    for t in statistics.steps(len(taken)):
        h = run(body, taken[t] if kind == "map" else taken[t] + h, statistics)
        h = h if kind == "map" else np.tanh(h)
        steps.append(h)
    return x + h if kind in ("reduce", "until") else np.stack(steps)


def truth(program: Program, x: Array, population: oracle.Named | None = None) -> oracle.Result:
    return oracle.run(lambda s, x: [run(program, x, s)], 0, {"x": x}, population)


# ---- the checks


def draw(seed: int, lengths: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).normal(size=(*lengths, 4, 2))


def marks(outputs: list[Variable]) -> Iterator[Variable]:
    for variable in ancestors(outputs):
        if getattr(variable.tag, "bn_statistic", False):
            yield variable
        if variable.owner and hasattr(variable.owner.op, "fgraph"):
            yield from marks(variable.owner.op.fgraph.outputs)


def assert_close(actual: Array, desired: Array) -> None:
    assert actual.shape == desired.shape
    assert_allclose(actual, desired, rtol=1e-9, atol=1e-9)


def assert_average(
    graph: InferenceGraph, population: Population, results: list[oracle.Result]
) -> None:
    average, coverage = oracle.average(results), oracle.coverage(results)
    assert {s.label: s.depth for s in graph.statistics} == results[0].depths
    for statistic in graph.statistics:
        assert_close(population[statistic.name], average[statistic.label])
        assert_close(population.coverage[statistic.name], coverage[statistic.label])


def check(program: Program, compiled: bool) -> None:
    program = numbered(program, count())
    x = at.TensorType("float64", (None,) * (len(LONGER) + 2))("x")
    y = build(program, x, None if compiled else UNOPTIMIZED)
    batches = [draw(i, lengths) for i, lengths in enumerate(LENGTHS)]
    results = [truth(program, batch) for batch in batches]
    if compiled:
        assert_close(engine.function([x], y)(batches[0]), results[0].outputs[0])
    with warnings.catch_warnings():
        if "plain" in str(program):  # which has sums without a mark
            warnings.simplefilter("ignore", UnmarkedStatistic)
        graph = InferenceGraph([x], y, mode=UNOPTIMIZED)
    assert not list(marks([graph.outputs]))
    evaluate = engine.function([x], graph.outputs, mode=UNOPTIMIZED)

    assert_average(graph, graph.estimate([(batches[0],)]), results[:1])
    assert_close(evaluate(batches[0]), results[0].outputs[0])

    assert_average(graph, graph.estimate([(batch,) for batch in batches]), results)
    longer, other = draw(3, LONGER), draw(4, LONGER)
    evaluated = evaluate(longer)
    assert_close(evaluated, truth(program, longer, oracle.average(results)).outputs[0])
    if "plain" not in str(program):
        other[..., 0, :] = longer[..., 0, :]
        assert_close(evaluate(other)[..., 0, :], evaluated[..., 0, :])


@pytest.mark.parametrize(
    "kind",
    ["until", *(pytest.param(k, marks=pytest.mark.exhaustive) for k in KINDS if k != "until")],
)
def test_random_program_is_rewritten_right(kind: str, repeats: Callable[[int], int]) -> None:
    examples = settings(SETTINGS, max_examples=N_EXAMPLES if SEARCH else repeats(N_EXAMPLES))
    first = st.tuples(st.just(kind), programs(len(LONGER) - 1))
    program = st.builds(lambda first, others: (first, *others), first, programs(1))
    examples(given(program.filter(is_marked), st.sampled_from([False, False, True]))(check))()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "program",
    [
        (("map", (("map", (("recurrent", ("norm",)),)), ("map", (("map", ("norm",)),)))),),
        (("until", ("norm", ("recurrent", ("norm",)))),),
        (("recurrent", (("op", ("norm",)), ("map", ("var",)))),),
    ],
)
def test_program_that_was_rewritten_wrong_is_right(program: Program, compiled: bool) -> None:
    check(program, compiled)
