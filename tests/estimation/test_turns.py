"""Threads take turns on one graph: nothing crashes, and no result is that of another thread."""

import copy
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bnrewrite import InferenceGraph, mark_statistic
from engine import tensor as at

# In a process of its own: what it is about crashes the interpreter.
CROWDED = """
    import contextlib, io
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np
    import engine
    from bnrewrite import InferenceGraph, mark_statistic
    from engine import tensor as at

    x = at.TensorType("float64", (None,) * (2 + {depth}))("x")

    def centered(h):
        return h - mark_statistic(h.mean(axis=0), "mean")

    def rnn(x):
        initial = at.ones_like(x[0])
        return engine.scan(lambda x_t, h: at.tanh(x_t + centered(h)), [x], [initial], name="rnn")

    y = [centered, rnn, lambda x: engine.scan(lambda x_s: rnn(x_s)[-1], [x])][{depth}](x)
    graph = InferenceGraph([x], y)
    shape = (3,) * {depth} + (4, 50)
    rng = np.random.default_rng(0)
    data = [[(rng.normal(size=shape),) for _ in range(20)] for _ in range(2)]
    expected = [graph.estimate(batches) for batches in data]
    predict = engine.function([x], graph.outputs)

    def estimate(k):
        for _ in range({repeats}):
            for name, value in graph.estimate(data[k]).items():
                assert (value == expected[k][name]).all()

    def assign():
        for k in range(25 * {repeats}):
            graph.assign(expected[k % 2])

    def look():
        for _ in range({repeats}):
            graph.verify()
            graph.gap(data[0][0])

    with ThreadPoolExecutor(4) as pool, contextlib.redirect_stdout(io.StringIO()):
        jobs = [pool.submit(estimate, k) for k in (0, 1)] + [pool.submit(assign), pool.submit(look)]
        for job in jobs:
            job.result()
    (batch,) = data[0][0]
    after = predict(batch)
    graph.assign(graph.population)
    assert (predict(batch) == after).all()
    print("all as expected")
"""


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_calls_in_threads_give_what_they_give_one_after_the_other(
    depth: int, repeats: Callable[[int], int]
) -> None:
    code = textwrap.dedent(CROWDED).replace("{depth}", str(depth))
    code = code.replace("{repeats}", str(repeats(40)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "all as expected\n"), done.stderr[-2000:]


@pytest.fixture
def graph() -> InferenceGraph:
    x = at.dmatrix("x")
    return InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))


def batch(value: float) -> tuple[np.ndarray]:
    return (np.array([[value], [value + 1]]),)


CALLS: dict[str, Callable[[InferenceGraph], Any]] = {
    "estimate": lambda graph: graph.estimate([batch(5)]),
    "assign": lambda graph: graph.assign({"mean": np.ones(1)}),
    "verify": lambda graph: graph.verify(batch(5), (0,)),
    "gap": lambda graph: graph.gap(batch(5)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_waits_until_the_estimate_of_another_thread_is_done(
    graph: InferenceGraph, call: str
) -> None:
    graph.estimate([batch(0)])
    events = []

    def other() -> None:
        CALLS[call](graph)
        events.append("call")

    def batches() -> Iterator[tuple[np.ndarray]]:
        thread.start()
        thread.join(0.2)  # which is enough to be done, were it not waiting
        events.append("last batch")
        yield batch(1)

    thread = threading.Thread(target=other)
    graph.estimate(batches())
    thread.join()
    assert events == ["last batch", "call"]


@pytest.mark.parametrize("call", CALLS)
def test_an_iterator_may_call_the_graph_that_it_is_read_by(
    graph: InferenceGraph, call: str
) -> None:
    graph.estimate([batch(0)])

    def batches() -> Iterator[tuple[np.ndarray]]:
        for value in (1, 2):
            yield batch(value)
            CALLS[call](graph)

    assert graph.estimate(batches())["mean"].tolist() == [2.0]
    assert graph.population is not None
    assert graph.population["mean"].tolist() == [2.0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_copy_of_a_graph_has_turns_of_its_own(graph: InferenceGraph, duplicate: Any) -> None:
    other = duplicate(graph)

    def batches() -> Iterator[tuple[np.ndarray]]:
        thread = threading.Thread(target=other.estimate, args=[[batch(5)]])
        thread.start()
        thread.join()
        yield batch(1)

    graph.estimate(batches())
    assert (graph.population["mean"], other.population["mean"]) == (1.5, 5.5)
