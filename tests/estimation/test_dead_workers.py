"""Workers are killed on purpose, and nothing is lost: in process pools, and on Dask."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bnrewrite import (
    EstimateInterrupted,
    InferenceGraph,
    Population,
    ShardError,
)
from executors import InlineExecutor
from shards import dies_first, noise_free_batches, waits_for

# Dask leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
LENGTHS = [(4, 3, 5), (2, 6), (1,), (3, 3), (5, 2), (7,), (2, 2), (6, 1)]
SHARDS = [partial(noise_free_batches, lengths) for lengths in LENGTHS]
Pool = partial(ProcessPoolExecutor, 2, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def whole(graph: InferenceGraph) -> Population:
    return graph.estimate_shards(SHARDS, InlineExecutor())


@contextmanager
def cluster() -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(silence_logs=50, **options) as local, Client(local) as client:
        client.wait_for_workers(2, timeout=120)  # or else say so: work without workers waits
        yield client.get_executor()


@pytest.fixture(scope="module")
def dask() -> Iterator[Executor]:
    with cluster() as executor:
        yield executor


@pytest.fixture(scope="module")
def strict_dask() -> Iterator[Executor]:
    """Gives a task up when one worker has died of it."""
    import dask
    import distributed  # noqa: F401  (or else `set` takes its defaults away with its own value)

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), cluster() as executor:
        yield executor


def assert_equal(one: Population, other: Population) -> None:
    """To the last bit."""
    assert (one.n_batches, list(one)) == (other.n_batches, list(other))
    for name in one:
        assert_array_equal(one[name], other[name])
        assert_array_equal(one.spread[name], other.spread[name])


def assert_same(one: Population, other: Population) -> None:
    """Up to rounding."""
    assert (one.n_batches, list(one)) == (other.n_batches, list(other))
    for name in one:
        assert_allclose(one[name], other[name], rtol=1e-12)
        assert one.coverage[name].tolist() == other.coverage[name].tolist()


def deadly(folder: Path, times: int, place: int = 4) -> list[Any]:
    """The shards, one of which kills its worker so many times."""
    killer = partial(dies_first, str(folder), times, LENGTHS[place])
    return [killer if i == place else shard for i, shard in enumerate(SHARDS)]


def test_pool_whose_worker_dies_leaves_what_was_done_and_the_rest_to_be_run_again(
    graph: InferenceGraph, whole: Population, tmp_path: Path
) -> None:
    before = graph.population
    shards = deadly(tmp_path, 1)
    message = r"shard 4: BrokenProcessPool: (?s:.*)the executor can't be used any more"
    with Pool() as pool, pytest.raises(ShardError, match=message) as caught:
        graph.estimate_shards(shards, pool, window=2)
    error = caught.value
    assert isinstance(error.__cause__, BrokenExecutor)
    assert graph.population is before
    assert error.population is not None
    assert set(error.failed) <= {3, 4, 5}
    assert shards[4] in error.again
    assert error.again[-2:] == shards[-2:]
    done = [shard for shard in shards if shard not in error.again]
    assert_equal(error.population, graph.estimate_shards(done, InlineExecutor()))
    with Pool() as pool:
        resumed = graph.estimate_shards(error.again, pool, resume=error.population)
    assert_same(resumed, whole)


@pytest.mark.exhaustive
def test_function_that_makes_pools_outlives_dead_workers(
    graph: InferenceGraph, whole: Population, tmp_path: Path
) -> None:
    shards = deadly(tmp_path, 2)
    assert_equal(graph.estimate_shards(shards, Pool, retries=2), whole)


@pytest.mark.exhaustive
def test_shard_that_kills_each_worker_fails_in_the_end(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    shards = deadly(tmp_path, 99, place=7)
    with pytest.raises(ShardError, match=r"shard 7: BrokenProcessPool") as caught:
        graph.estimate_shards(shards, Pool, retries=1, window=1)
    assert caught.value.again == [shards[7]]
    assert caught.value.population is not None
    expected = graph.estimate_shards(SHARDS[:7], InlineExecutor())
    assert_equal(caught.value.population, expected)


def test_dask_worker_that_dies_is_outlived(
    graph: InferenceGraph, whole: Population, dask: Executor, tmp_path: Path
) -> None:
    assert_equal(graph.estimate_shards(deadly(tmp_path, 1), dask), whole)


@pytest.mark.exhaustive
def test_shard_that_kills_workers_of_dask_fails_alone(
    graph: InferenceGraph, whole: Population, strict_dask: Executor, tmp_path: Path
) -> None:
    shards = deadly(tmp_path, 1)
    with pytest.raises(ShardError, match=r"1 shards failed(?s:.*)shard 4: KilledWorker") as caught:
        graph.estimate_shards(shards, strict_dask, window=1)
    assert caught.value.again == [shards[4]]
    assert caught.value.population is not None
    resumed = graph.estimate_shards(caught.value.again, strict_dask, resume=caught.value.population)
    assert_same(resumed, whole)


@pytest.mark.exhaustive
def test_retries_are_for_shards_that_dask_gave_up(
    graph: InferenceGraph, whole: Population, strict_dask: Executor, tmp_path: Path
) -> None:
    assert_equal(graph.estimate_shards(deadly(tmp_path, 1), strict_dask, retries=2), whole)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
@pytest.mark.parametrize("executor", ["pool", "dask"])
def test_ctrl_c_while_workers_are_busy_holds_what_was_done(
    graph: InferenceGraph,
    whole: Population,
    executor: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    waiting = [partial(waits_for, str(tmp_path), lengths) for lengths in LENGTHS[6:]]
    shards = [*SHARDS[:6], *waiting]
    workers = Pool() if executor == "pool" else request.getfixturevalue("dask")

    def interrupt() -> None:
        while not (tmp_path / "waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        while not is_over.wait(timeout=20):  # an interrupt is lost if it comes in a destructor
            os.kill(os.getpid(), signal.SIGINT)

    is_over = threading.Event()
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(EstimateInterrupted, match="shards still to be done") as caught:
            graph.estimate_shards(shards, workers, window=2)
    finally:
        is_over.set()
        (tmp_path / "go on").touch()
        if executor == "pool":
            workers.shutdown()
    again, kept = caught.value.again, caught.value.population
    assert again[-2:] == waiting
    assert len(again) <= 3  # two were ahead of the one that was awaited, at most
    assert kept is not None
    assert_equal(kept, graph.estimate_shards(shards[: -len(again)], InlineExecutor()))
    assert_equal(graph.estimate_shards(again, InlineExecutor(), resume=kept), whole)


ON_A_TERMINAL = """
import multiprocessing, os, signal, threading, time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
import engine
from bnrewrite import EstimateInterrupted, InferenceGraph, mark_statistic
from engine import tensor as at
from shards import noise_free_batches, waits_for

if __name__ == "__main__":
    folder = Path({folder!r})

    def interrupt():
        while not (folder / "waiting").exists():
            time.sleep(0.01)
        os.killpg(0, signal.SIGINT)

    x = at.dtensor3("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=(0, 1)), "mean"))
    shards = [partial(noise_free_batches, [n]) for n in (1, 2, 3, 4)]
    shards += [partial(waits_for, str(folder), [n]) for n in (5, 6)]
    threading.Thread(target=interrupt).start()
    context = multiprocessing.get_context("spawn")
    try:
        graph.estimate_shards(shards, ProcessPoolExecutor(2, mp_context=context), window=2)
    except EstimateInterrupted as error:
        print(error.population.n_batches + len(error.again), len(error.again) in (2, 3))
        (folder / "go on").touch()
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            whole = graph.estimate_shards(error.again, pool, resume=error.population)
            once = graph.estimate_shards(shards, pool)
        print((whole["mean"] == once["mean"]).all())
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_ctrl_c_on_a_terminal_interrupts_workers_too_and_nothing_is_lost(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ON_A_TERMINAL.replace("{folder!r}", repr(str(tmp_path))))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.stdout.split() == ["6", "True", "True"], done.stderr[-2000:]


@pytest.mark.exhaustive
def test_pool_of_processes_for_one_shard_each_will_do(
    graph: InferenceGraph, whole: Population
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("new in Python 3.11")
    with Pool(max_tasks_per_child=1) as pool:
        population = graph.estimate_shards(SHARDS[:4], pool)
    assert_equal(population, graph.estimate_shards(SHARDS[:4], InlineExecutor()))


@pytest.mark.exhaustive
@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_sums_do_not_depend_on_the_number_of_workers(
    graph: InferenceGraph, whole: Population, n_workers: int
) -> None:
    with ProcessPoolExecutor(n_workers, mp_context=Pool.keywords["mp_context"]) as pool:
        assert_equal(graph.estimate_shards(SHARDS, pool), whole)
