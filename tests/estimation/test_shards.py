"""Estimates in several processes equal one estimate, and nothing is lost when a shard fails."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, Population, ShardError, batch_normalize, mark_statistic
from engine import tensor as at
from shards import broken, noise_free_batches

# Dask leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
LENGTHS = [(4, 3, 5), (2, 6), (1,)]
SHARDS = [partial(noise_free_batches, lengths) for lengths in LENGTHS]


def build() -> InferenceGraph:
    x = at.dtensor3("x")
    y = engine.scan(lambda x_t: batch_normalize(x_t, 1.0, 0.0, label="bn"), sequences=[x])
    return InferenceGraph([x], y)


@pytest.fixture(scope="module")
def graph() -> InferenceGraph:
    return build()


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask() -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.wait_for_workers(2, timeout=120)  # or else say so: work without workers waits
        yield client.get_executor()


def assert_same(one: Population, other: Population) -> None:
    assert list(one) == list(other)
    assert one.n_batches == other.n_batches
    for name in one:
        assert_allclose(one[name], other[name], rtol=1e-12)
        assert_allclose(one.spread[name], other.spread[name], rtol=1e-9)
        assert one.coverage[name].tolist() == other.coverage[name].tolist()
        assert one.count[name].tolist() == other.count[name].tolist()


@pytest.mark.parametrize("pooling", ["edge", "reached", "moments"])
@pytest.mark.parametrize("executor", ["pool", "dask"])
def test_shards_give_the_estimate_of_one_process(
    graph: InferenceGraph, executor: str, pooling: Any, request: pytest.FixtureRequest
) -> None:
    batches = [batch for shard in SHARDS for batch in shard()]
    expected = graph.estimate(batches, pooling=pooling, min_coverage=2)
    graph.assign({name: value + 1 for name, value in expected.items()})
    workers = request.getfixturevalue(executor)
    population = graph.estimate_shards(SHARDS, workers, pooling=pooling, min_coverage=2)
    assert_same(population, expected)
    assert graph.population is population


def test_failed_shard_is_named_and_the_others_are_kept(
    graph: InferenceGraph, pool: Executor
) -> None:
    before = graph.estimate(SHARDS[0]())
    with pytest.raises(ShardError, match=r"1 shards failed.*\n  shard 1: .*no such disk") as caught:
        graph.estimate_shards([SHARDS[0], broken, SHARDS[2]], pool)
    assert list(caught.value.failed) == [1]
    assert graph.population is before
    rest = caught.value.population
    assert rest is not None
    whole = rest.merge(graph.estimate_shards([SHARDS[1]], pool))
    assert_same(whole, graph.estimate([batch for shard in SHARDS for batch in shard()]))


def test_shards_that_all_fail_say_so(graph: InferenceGraph, pool: Executor) -> None:
    with pytest.raises(ShardError, match=r"2 shards failed\. No other was done") as caught:
        graph.estimate_shards([broken, broken], pool)
    assert caught.value.population is None


def test_each_shard_draws_noise_of_its_own(pool: Executor) -> None:
    x = at.dmatrix("x")
    _, noise = engine.normal(engine.stream(1), x.shape)
    graph = InferenceGraph([x], x - mark_statistic((x + noise).mean(axis=0), "mean"))
    batches = partial(noise_free_batches, (3,), 1)
    one, same, two = (graph.estimate_shards([batches] * n, pool) for n in (1, 1, 2))
    assert one["mean"].tolist() == same["mean"].tolist()
    assert (two.spread["mean"] > 0).all()


class InlineExecutor(Executor):
    """Runs at once, in the thread that calls."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_threads_are_refused(graph: InferenceGraph) -> None:
    with ThreadPoolExecutor() as threads:
        with pytest.raises(TypeError, match="can't be shared by threads"):
            graph.estimate_shards(SHARDS, threads)
        hidden = InlineExecutor()
        hidden.submit = threads.submit  # type: ignore[method-assign]
        with pytest.raises(ShardError, match="threads of the process that called it"):
            graph.estimate_shards(SHARDS, hidden)


def test_executor_may_run_in_the_thread_that_calls(graph: InferenceGraph) -> None:
    population = graph.estimate_shards(SHARDS, InlineExecutor())
    assert_same(population, graph.estimate([batch for shard in SHARDS for batch in shard()]))


def test_no_shards_are_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match="no shards"):
        graph.estimate_shards([], InlineExecutor())


def test_values_are_those_of_numpy(graph: InferenceGraph, pool: Executor) -> None:
    population = graph.estimate_shards(SHARDS, pool, pooling="reached")
    arrays = [x for shard in SHARDS for (x,) in shard()]
    for t in range(6):
        means = [x[t].mean(axis=0) for x in arrays if len(x) > t]
        (name,) = [name for name in population if name.endswith("mean")]
        assert_allclose(population[name][t], np.mean(means, axis=0))


@pytest.mark.exhaustive
def test_dask_estimates_what_one_process_does(graph: InferenceGraph) -> None:
    from distributed import Client

    shards = [partial(noise_free_batches, length) for length in LENGTHS]
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        population = graph.estimate_shards(shards, client.get_executor())
    assert_same(population, graph.estimate(b for shard in SHARDS for b in shard()))
