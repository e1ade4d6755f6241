"""Shards are merged in order while few of them are alive, and the estimator is sent seldom."""

import itertools
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from functools import partial, reduce
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import engine
from bnrewrite import (
    EstimateError,
    EstimateInterrupted,
    InferenceGraph,
    Population,
    ShardError,
    mark_statistic,
)
from engine import tensor as at
from executors import InlineExecutor, LateExecutor, SeveralWorkers, at_random
from interrupts import interruptions
from shards import fails_first, noise_free_batches

N_SHARDS = 40


def shards_of(n: int) -> list[Any]:
    """Shards of batches of all lengths, whose sums are not the same in every order."""
    rng = np.random.default_rng(0)
    return [partial(noise_free_batches, rng.integers(1, 30, size=2).tolist()) for _ in range(n)]


SHARDS = shards_of(N_SHARDS)


def assert_equal(one: Population, other: Population) -> None:
    """To the last bit, in all there is to be known."""
    assert (one.n_batches, list(one)) == (other.n_batches, list(other))
    for name in one:
        for of in (lambda p: p, lambda p: p.coverage, lambda p: p.count, lambda p: p.spread):
            assert_array_equal(of(one).get(name, ()), of(other).get(name, ()))


def in_order(graph: InferenceGraph, shards: list[Any]) -> Population:
    """The merged estimates of the shards one after the other."""
    population = graph.estimate(shards[0]())
    for shard in shards[1:]:
        population = population.merge(graph.estimate(shard()))
    return population


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("window", [1, 2, 7, None])
def test_sums_are_those_of_merging_in_order_whatever_is_first(
    graph: InferenceGraph, seed: int, window: int | None
) -> None:
    with LateExecutor(at_random(seed)) as executor:
        population = graph.estimate_shards(SHARDS, executor, window=window)
    assert_equal(population, in_order(graph, SHARDS))


def test_the_order_of_merging_shows_in_the_sums(graph: InferenceGraph) -> None:
    # If it did not, the test above would show nothing.
    there, back = in_order(graph, SHARDS), in_order(graph, SHARDS[::-1])
    assert any((there[name] != back[name]).any() for name in there)


@pytest.mark.parametrize("n_shards", [20, 200])
@pytest.mark.parametrize("window", [1, 5, 12])
@pytest.mark.parametrize("choose", [min, max, at_random(0)], ids=["first", "last", "any"])
def test_few_results_are_alive_however_many_shards_there_are(
    graph: InferenceGraph, n_shards: int, window: int, choose: Any
) -> None:
    shards = [partial(noise_free_batches, (2,))] * n_shards
    with LateExecutor(choose) as executor:
        population = graph.estimate_shards(shards, executor, window=window)
    assert population.n_batches == n_shards
    assert executor.most_alive <= window + 2  # the sums, and those to which one is added
    begun: set[int] = set()
    for number, _ in executor.sent:
        begun.add(number)
        assert number < len(begun) + window


def test_estimator_goes_once_to_each_worker(graph: InferenceGraph) -> None:
    executor = SeveralWorkers(3, lambda n: n % 3)
    assert_equal(graph.estimate_shards(SHARDS, executor), in_order(graph, SHARDS))
    assert [with_estimator for *_, with_estimator in executor.sent] == [True] * 3 + [False] * 37


@pytest.mark.parametrize("seed", range(3))
def test_estimator_goes_to_workers_that_lack_it(graph: InferenceGraph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    executor = SeveralWorkers(3, lambda n: int(rng.integers(3)) if n > 6 else 0)
    assert_equal(graph.estimate_shards(SHARDS, executor), in_order(graph, SHARDS))
    assert {worker for worker, *_ in executor.sent} == {0, 1, 2}
    assert sum(with_estimator for *_, with_estimator in executor.sent) < N_SHARDS / 2
    asked = [number for _, number, _ in executor.sent]
    for number in set(asked):
        assert asked.count(number) <= 2


def test_worker_that_is_new_each_time_is_sent_it_each_time(graph: InferenceGraph) -> None:
    executor = SeveralWorkers(1, lambda n: executor.restart(0) or 0)
    assert_equal(graph.estimate_shards(SHARDS, executor), in_order(graph, SHARDS))


def test_graphs_can_take_turns_on_the_same_workers(graph: InferenceGraph) -> None:
    x = at.dtensor3("x")
    others = [InferenceGraph([x], x - mark_statistic(k * x.mean(axis=(0, 1)))) for k in (1, 2, 3)]
    executor = SeveralWorkers(2, lambda n: n % 2)
    for _ in range(2):
        for each in (graph, *others):
            assert_equal(each.estimate_shards(SHARDS, executor), in_order(each, SHARDS))


def test_parameters_are_those_of_the_time_of_the_call() -> None:
    x, scale = at.dtensor3("x"), engine.shared(1.0)
    graph = InferenceGraph([x], x - mark_statistic(scale * x.mean(axis=(0, 1)), "mean"))
    executor = SeveralWorkers(2, lambda n: n % 2)
    one = graph.estimate_shards(SHARDS, executor)
    scale.set_value(2.0)
    two = graph.estimate_shards(SHARDS, executor)
    np.testing.assert_allclose(two["mean"], 2 * one["mean"])


# ---- what goes wrong


def test_failed_shards_are_listed_to_be_run_again(graph: InferenceGraph, tmp_path: Any) -> None:
    failing = {3: partial(fails_first, str(tmp_path), 99, (4, 2)), 7: partial(len, ())}
    shards = [failing.get(i, shard) for i, shard in enumerate(SHARDS)]
    message = r"2 shards failed\. The 76 batches"
    with LateExecutor(at_random(0)) as late, pytest.raises(ShardError, match=message) as caught:
        graph.estimate_shards(shards, late, window=9)
    error = caught.value
    assert list(error.failed) == [3, 7]
    assert error.again == list(failing.values())
    assert isinstance(error, EstimateError)
    assert error.batch is None
    assert error.population is not None
    assert_equal(error.population, in_order(graph, [s for s in shards if s not in error.again]))
    rest = [SHARDS[i] for i in error.failed]
    resumed = graph.estimate_shards(rest, InlineExecutor(), resume=error.population)
    reordered = [s for i, s in enumerate(SHARDS) if i not in failing] + rest
    assert_equal(resumed, in_order(graph, reordered))


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_retries_try_a_shard_again_before_it_fails(
    graph: InferenceGraph, retries: int, tmp_path: Any
) -> None:
    flaky = partial(fails_first, str(tmp_path), 2, (4, 2))
    shards = [*SHARDS[:3], flaky, *SHARDS[3:]]
    with LateExecutor(at_random(retries)) as executor:
        if retries < 2:
            with pytest.raises(ShardError, match=r"1 shards failed.*\n  shard 3: .*no such disk"):
                graph.estimate_shards(shards, executor, retries=retries)
        else:
            whole = graph.estimate_shards(shards, executor, retries=retries)
            steady = partial(noise_free_batches, (4, 2))
            assert_equal(whole, in_order(graph, [*SHARDS[:3], steady, *SHARDS[3:]]))
    assert [number for number, _ in executor.sent].count(3) == retries + 1


def test_shard_of_another_shape_fails_alone(graph: InferenceGraph) -> None:
    def of_three_units() -> Iterator[tuple[np.ndarray]]:
        yield (np.ones((2, 4, 3)),)

    shards = [*SHARDS[:5], of_three_units, *SHARDS[5:]]
    message = r"shard 5: ValueError: .* can't be merged:\n  of different shape: loop/bn.mean"
    with LateExecutor(at_random(0)) as late, pytest.raises(ShardError, match=message) as caught:
        graph.estimate_shards(shards, late)
    assert caught.value.again == [of_three_units]
    assert caught.value.population is not None
    assert_equal(caught.value.population, in_order(graph, SHARDS))


def test_long_lists_of_failures_are_cut_short(graph: InferenceGraph) -> None:
    with pytest.raises(ShardError, match=r"30 shards failed\. No other was done") as caught:
        graph.estimate_shards([list] * 30, InlineExecutor())
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-1].strip() == "and 20 more, see `failed`"
    assert list(caught.value.failed) == list(range(30))


class ClosedExecutor(InlineExecutor):
    """Takes so many, and no more."""

    def __init__(self, n: int) -> None:
        self.left = n

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.left:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.left -= 1
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_executor_that_takes_no_more_leaves_what_was_done(graph: InferenceGraph, n: int) -> None:
    message = rf"1 shards failed(?s:.*)shard {n}: RuntimeError: cannot schedule new(?s:.*)not begun"
    with pytest.raises(ShardError, match=message) as caught:
        graph.estimate_shards(SHARDS, ClosedExecutor(n))
    assert "after shutdown" in str(caught.value.__cause__)
    assert caught.value.again == SHARDS[n:]
    if n:
        assert caught.value.population is not None
        assert_equal(caught.value.population, in_order(graph, SHARDS[:n]))
    again = graph.estimate_shards(
        caught.value.again, InlineExecutor(), resume=caught.value.population
    )
    assert_equal(again, in_order(graph, SHARDS))


def test_function_that_makes_executors_makes_another(graph: InferenceGraph) -> None:
    made = []

    def make() -> Executor:
        made.append(ClosedExecutor(15))
        return made[-1]

    assert_equal(graph.estimate_shards(SHARDS, make), in_order(graph, SHARDS))
    assert len(made) == 3


def test_function_that_makes_executors_that_take_nothing_is_not_called_for_ever(
    graph: InferenceGraph,
) -> None:
    made = []

    def make() -> Executor:
        made.append(ClosedExecutor(3 if not made else 0))
        return made[-1]

    with pytest.raises(ShardError, match=r"executor can't be used any more") as caught:
        graph.estimate_shards(SHARDS, make)
    assert len(made) == 2
    assert caught.value.again == SHARDS[3:]


def test_function_that_can_make_no_other_executor_leaves_what_was_done(
    graph: InferenceGraph,
) -> None:
    makes = iter([ClosedExecutor(3)])
    with pytest.raises(ShardError, match=r"not begun: the executor can't be used") as caught:
        graph.estimate_shards(SHARDS, lambda: next(makes))
    assert caught.value.population is not None
    assert_equal(caught.value.population, in_order(graph, SHARDS[:3]))


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
@pytest.mark.parametrize("done", [0, 1, 8])
def test_ctrl_c_while_waiting_holds_the_shards_that_are_done(
    graph: InferenceGraph, done: int
) -> None:
    class Stuck(InlineExecutor):
        """Answers `done` times, and then never."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if next(calls) < done:
                return super().submit(fn, *args, **kwargs)
            if next(calls) == done + 1:
                threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            return Future()

    calls, before = itertools.count(), graph.population
    with pytest.raises(EstimateInterrupted, match=f"{N_SHARDS - done} shards still") as caught:
        graph.estimate_shards(SHARDS, Stuck(), window=done + 3)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert graph.population is before
    assert caught.value.again == SHARDS[done:]
    kept = caught.value.population
    assert (kept is None) == (done == 0)
    if kept is not None:
        assert_equal(kept, in_order(graph, SHARDS[:done]))
    again = graph.estimate_shards(caught.value.again, InlineExecutor(), resume=kept)
    assert_equal(again, in_order(graph, SHARDS))


def test_interrupt_at_any_moment_counts_each_shard_once(graph: InferenceGraph) -> None:
    shards = SHARDS[:6]
    numbers = {id(shard): i for i, shard in enumerate(shards)}
    alone = [graph.estimate(shard()) for shard in shards]
    states = set()
    files = ("estimation/dispatch.py", "estimation/in_order.py", "estimation/crew.py")
    for error in interruptions(lambda: estimate_late(graph, shards), *files, stride=53):
        if not isinstance(error, EstimateInterrupted):
            assert error is None or type(error) is KeyboardInterrupt
            continue
        left = [numbers[id(shard)] for shard in error.again]
        done = [i for i in range(6) if i not in left]
        states.add(len(done))
        if done:
            assert_equal(error.population, reduce(Population.merge, [alone[i] for i in done]))
        else:
            assert error.population is None
    assert states >= {0, 6}
    assert len(states) > 4  # the stride may leave one out


def estimate_late(graph: InferenceGraph, shards: list[Any]) -> None:
    with LateExecutor(at_random(0)) as executor:
        graph.estimate_shards(shards, executor, window=3)


def test_shards_that_came_before_their_turn_are_in_the_error(graph: InferenceGraph) -> None:
    class WithoutTheFirst(InlineExecutor):
        """Answers all but the first, and is interrupted at the sixth."""

        def submit(self, fn: Any, /, task: Any, *args: Any) -> Future[Any]:
            if task.number == 5:
                raise KeyboardInterrupt
            return super().submit(fn, task, *args) if task.number else Future()

    with pytest.raises(EstimateInterrupted) as caught:
        graph.estimate_shards(SHARDS, WithoutTheFirst())
    assert caught.value.population is not None
    assert_equal(caught.value.population, in_order(graph, SHARDS[1:5]))
    assert caught.value.again == [SHARDS[0], *SHARDS[5:]]


def test_coverage_that_is_not_met_holds_all_shards(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"by at least 999 of the batches") as caught:
        graph.estimate_shards(SHARDS, InlineExecutor(), min_coverage=999)
    assert isinstance(caught.value, EstimateError)
    assert caught.value.population is not None
    assert_equal(caught.value.population, in_order(graph, SHARDS))


def test_shard_without_batches_is_named(graph: InferenceGraph) -> None:
    with pytest.raises(ShardError, match=r"shard 1: ValueError: there are no batches"):
        graph.estimate_shards([SHARDS[0], list], InlineExecutor())


def test_resumed_shards_draw_noise_that_was_not_drawn_before() -> None:
    x = at.dmatrix("x")
    _, noise = engine.normal(engine.stream(1), x.shape)
    graph = InferenceGraph([x], x - mark_statistic((x + noise).mean(axis=0), "mean"))
    shard = partial(noise_free_batches, (3,), 1)
    one = graph.estimate_shards([shard], InlineExecutor())
    two = graph.estimate_shards([shard], InlineExecutor(), resume=one)
    assert (two.spread["mean"] > 0).all()
    # A shard that is tried again draws what it would have drawn at first.
    whole = graph.estimate_shards([shard] * 5, InlineExecutor())

    class FailsOnce(InlineExecutor):
        def submit(self, fn: Any, /, task: Any, *args: Any) -> Future[Any]:
            if task.number in seen:
                return super().submit(fn, task, *args)
            seen.append(task.number)
            return super().submit(len, 0)

    seen: list[int] = []
    assert_equal(graph.estimate_shards([shard] * 5, FailsOnce(), retries=1), whole)


def test_errors_can_be_pickled(graph: InferenceGraph) -> None:
    with pytest.raises(ShardError) as caught:
        graph.estimate_shards([*SHARDS[:2], list], InlineExecutor())
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), len(error.again)) == (str(caught.value), 1)
    assert_equal(error.population, caught.value.population)


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"window": 0}])
def test_numbers_that_make_no_sense_are_refused(graph: InferenceGraph, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"retries must be 0 or more, and window 1 or more"):
        graph.estimate_shards(SHARDS, InlineExecutor(), **wrong)


def test_what_is_no_executor_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(TypeError, match=r"is an executor .* or a function .* got 4 of type int"):
        graph.estimate_shards(SHARDS, 4)  # type: ignore[arg-type]
