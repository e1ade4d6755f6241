"""A population is told from that of other parameters, where something is made of it."""

import pickle
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, StaleStatistics, batch_normalize
from engine import tensor as at
from executors import InlineExecutor

RNG = np.random.default_rng(0)
BATCHES = [{"x": RNG.normal(size=(4, 5, 3))} for _ in range(2)]
U, V = (engine.shared(np.eye(3), name=name) for name in "UV")
STALE = r"estimated when \['U'\] had other values.* Call `estimate` again"


def load() -> list[dict[str, np.ndarray]]:
    return BATCHES


@pytest.fixture
def graph() -> InferenceGraph:
    U.set_value(np.eye(3) / 2)
    V.set_value(np.eye(3))
    x = at.dtensor3("x")
    h = engine.scan(
        lambda x_t, h: at.tanh(x_t + batch_normalize(h @ U, 1.0, 0.0)), [x], [at.zeros_like(x[0])]
    )
    return InferenceGraph([x], h @ V)


def use(graph: InferenceGraph, tmp_path: Path) -> None:
    graph.verify(BATCHES[0])
    graph.verify()
    graph.save(tmp_path / "model.npz")
    pickle.dumps(graph.compile())


@pytest.mark.parametrize("in_place", [False, True])
def test_parameters_that_were_trained_on_are_told(
    graph: InferenceGraph, tmp_path: Path, in_place: bool
) -> None:
    graph.estimate(BATCHES)
    use(graph, tmp_path)  # warnings are errors
    if in_place:
        U.get_value(borrow=True)[0, 1] = 0.1
    else:
        U.set_value(np.eye(3) / 3)
    for used in (
        partial(graph.verify, BATCHES[0]),
        graph.verify,
        partial(graph.save, tmp_path / "model.npz"),
        partial(pickle.dumps, graph.compile()),
    ):
        with pytest.warns(StaleStatistics, match=STALE):
            used()
    graph.estimate(BATCHES)
    use(graph, tmp_path)


def test_shards_are_estimated_with_parameters_too(graph: InferenceGraph) -> None:
    graph.estimate_shards([load], InlineExecutor())
    graph.verify()
    U.set_value(np.eye(3) / 3)
    with pytest.warns(StaleStatistics, match=STALE):
        graph.verify()


def test_what_no_statistic_is_computed_from_may_change(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    graph.estimate(BATCHES)
    V.set_value(2 * np.eye(3))
    use(graph, tmp_path)


def test_nothing_is_said_of_values_that_were_assigned(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    population = graph.estimate(BATCHES)
    U.set_value(np.eye(3) / 3)
    graph.assign(population)
    use(graph, tmp_path)


def test_values_that_are_given_do_not_count(graph: InferenceGraph, tmp_path: Path) -> None:
    graph.estimate(BATCHES)
    U.set_value(np.eye(3) / 3)
    givens = {U: at.constant(np.eye(3) / 2)}
    graph.save(tmp_path / "model.npz", givens=givens)
    pickle.dumps(pickle.loads(pickle.dumps(graph.compile(givens=givens))))


def test_an_error_keeps_what_was_known(graph: InferenceGraph) -> None:
    graph.estimate(BATCHES)
    U.set_value(np.eye(3) / 3)
    with pytest.raises(ValueError, match="does not fit"), warnings.catch_warnings():
        graph.estimate([{"y": 1.0}])
    with pytest.warns(StaleStatistics, match=STALE):
        graph.verify()
