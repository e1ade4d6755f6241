"""A population is told from that of other parameters, where something is made of it."""

import pickle
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, Population, StaleStatistics, batch_normalize
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


def test_population_that_is_assigned_or_loaded_is_told_too(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    population, path = graph.estimate(BATCHES), tmp_path / "population.npz"
    population.save(path)
    U.set_value(np.eye(3) / 3)
    for same in (population, Population.load(path), pickle.loads(pickle.dumps(population))):
        graph.assign(same)
        with pytest.warns(StaleStatistics, match=STALE):
            graph.verify()
    U.set_value(np.eye(3) / 2)
    use(graph, tmp_path)


def test_nothing_is_said_of_arrays_that_were_assigned(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    population = graph.estimate(BATCHES)
    U.set_value(np.eye(3) / 3)
    graph.assign(dict(population))
    use(graph, tmp_path)
    graph.assign(population, only=list(population)[:1])  # which is no whole population
    use(graph, tmp_path)


@pytest.mark.parametrize("shards", [False, True])
def test_populations_of_different_parameters_are_not_added_up_without_a_word(
    graph: InferenceGraph, tmp_path: Path, shards: bool
) -> None:
    before = graph.estimate(BATCHES)
    assert before.merge(graph.estimate(BATCHES, resume=before)).n_batches == 6
    U.set_value(np.eye(3) / 3)
    after = graph.estimate(BATCHES)
    for one, other in ((before, after), (after, before)):
        with pytest.warns(StaleStatistics, match=r"with different values of \['U'\].* no model"):
            mixed = one.merge(other)
    go_on = (
        partial(graph.estimate_shards, [load, load], InlineExecutor())
        if shards
        else partial(graph.estimate, BATCHES)
    )
    with pytest.warns(StaleStatistics, match=r"\['U'\].* without `resume`") as told:
        resumed = go_on(resume=before)
    assert len(told) == 1
    # Whatever the parameters are, what was mixed is not theirs.
    for value in (np.eye(3) / 3, np.eye(3) / 2):
        U.set_value(value)
        for wrong in (mixed, resumed, mixed.merge(before)):
            graph.assign(wrong)
            with pytest.warns(StaleStatistics, match=STALE):
                graph.save(tmp_path / "model.npz")


def test_parameters_of_equal_names_are_told_by_their_values() -> None:
    x = at.dmatrix("x")
    one, other = (engine.shared(np.eye(3) * k, name="W") for k in (1, 2))
    graph = InferenceGraph([x], batch_normalize(x @ one @ other, 1.0, 0.0))
    graph.estimate([{"x": RNG.normal(size=(4, 3))}])
    graph.verify()
    other.set_value(np.eye(3))
    with pytest.warns(StaleStatistics, match=r"\['W'\]"):
        graph.verify()


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
