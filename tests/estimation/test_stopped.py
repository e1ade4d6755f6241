"""Whatever stops an estimate, what it had is in the error, and goes on to be the whole estimate."""

import asyncio
import itertools
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import engine
from bnrewrite import (
    EstimateError,
    EstimateInterrupted,
    FewElements,
    InferenceGraph,
    Population,
    batch_normalize,
    estimate_population,
    export_statistics,
    get_inference_graph,
    mark_moments,
    mark_statistic,
)
from engine import Variable
from engine import tensor as at
from interrupts import interruptions

POOLINGS = ["edge", "reached", "moments"]
Batch = tuple[np.ndarray]


def model(depth: int) -> tuple[Variable, Variable]:
    """A batch normalization inside of loops."""
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def body(x_t: Any) -> Any:
        return batch_normalize(x_t, 1.0, 0.0, label="bn")

    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
    return x, body(x)


@pytest.fixture(scope="module", params=[0, 1, 2])
def deep(request: pytest.FixtureRequest) -> tuple[InferenceGraph, list[Batch]]:
    """A graph of that depth, and batches of different lengths for it."""
    x, y = model(request.param)
    rng = np.random.default_rng(0)
    lengths = [(2, 3), (3, 1), (1, 4), (3, 3), (2, 2)]
    sizes = [(*n[: request.param], 4 + i, 2) for i, n in enumerate(lengths)]
    return InferenceGraph([x], y), [(rng.normal(size=size),) for size in sizes]


@pytest.fixture
def graph() -> InferenceGraph:
    x, y = model(1)
    return InferenceGraph([x], y)


def batch(n_steps: int) -> Batch:
    return (np.random.default_rng(n_steps).normal(size=(n_steps, 4, 2)),)


def assert_equal(one: Population, other: Population) -> None:
    """To the last bit, in all there is to be known."""
    assert one.n_batches == other.n_batches
    assert list(one) == list(other)
    for name in one:
        for of in (lambda p: p, lambda p: p.coverage, lambda p: p.count, lambda p: p.spread):
            assert_array_equal(of(one).get(name, ()), of(other).get(name, ()))


def failing(batches: list[Batch], error: BaseException) -> Iterator[Batch]:
    yield from batches
    raise error


STOPS = {
    "disk": (OSError("disk"), RuntimeError, EstimateError),
    "value": (ValueError("of the iterator"), RuntimeError, EstimateError),
    "interrupt": (KeyboardInterrupt(), KeyboardInterrupt, EstimateInterrupted),
}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("done", [0, 1, 3])
def test_stopped_estimate_goes_on_to_be_the_whole_one(
    deep: tuple[InferenceGraph, list[Batch]], stop: str, pooling: Any, done: int
) -> None:
    graph, batches = deep
    error, builtin, ours = STOPS[stop]
    before = graph.population
    with pytest.raises(builtin, match=f"after {done} batches") as caught:
        graph.estimate(failing(batches[:done], error), pooling=pooling)
    assert isinstance(caught.value, ours)
    assert graph.population is before
    kept = caught.value.population
    assert caught.value.batch == done + 1
    if kept is None:
        assert done == 0
    else:
        assert_equal(kept, graph.estimate(batches[:done], pooling=pooling))
    whole = graph.estimate(batches, pooling=pooling)
    resumed = graph.estimate(batches[done:], pooling=pooling, resume=kept)
    assert_equal(resumed, whole)
    assert graph.population is resumed
    if kept is not None:
        merged = kept.merge(graph.estimate(batches[done:], pooling=pooling))
        for name in whole:
            np.testing.assert_allclose(merged[name], whole[name], rtol=1e-12)
        assert_equal(kept, graph.estimate(batches[:done], pooling=pooling))


BAD = [(np.zeros((2, 4, 3)),), (1, 2), "x", (np.full((2, 4, 2), np.nan),), (np.zeros((0, 4, 2)),)]


@pytest.mark.parametrize("bad", BAD, ids=["units", "length", "kind", "nan", "empty"])
def test_bad_batch_is_an_error_that_holds_those_before(graph: InferenceGraph, bad: Any) -> None:
    batches = [batch(3), batch(5)]
    with pytest.raises(ValueError, match="batch 3") as caught, np.errstate(invalid="ignore"):
        graph.estimate([*batches, bad, batch(4)])
    error = caught.value
    assert isinstance(error, EstimateError)
    assert not isinstance(error, RuntimeError)
    assert error.batch == 3
    assert error.population is not None
    assert_equal(error.population, graph.estimate(batches))
    rest = graph.estimate([batch(4)], resume=error.population)
    assert_equal(rest, graph.estimate([*batches, batch(4)]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_coverage_that_is_not_met_holds_all_batches(graph: InferenceGraph, pooling: Any) -> None:
    batches = [batch(3), batch(5)]
    with pytest.raises(ValueError, match=r"by at least 3 of the batches: 2 is") as caught:
        graph.estimate(batches, pooling=pooling, min_coverage=3)
    error = caught.value
    assert isinstance(error, EstimateError)
    assert error.batch is None
    assert error.population is not None
    assert_equal(error.population, graph.estimate(batches, pooling=pooling))
    resumed = graph.estimate([batch(4)], pooling=pooling, min_coverage=3, resume=error.population)
    whole = graph.estimate([*batches, batch(4)], pooling=pooling, min_coverage=3)
    assert_equal(resumed, whole)
    assert resumed.min_coverage == 3


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_interrupt_at_any_moment_holds_whole_batches(depth: int) -> None:
    x, y = model(depth)
    graph = InferenceGraph([x], y)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(n,) * depth + (4, 2)),) for n in (2, 3, 1)]
    parts = [graph.estimate(batches[:n]) for n in (1, 2, 3)]
    counts = []
    calls = interruptions(lambda: graph.estimate(batches), "estimation/", "population/", stride=53)
    for error in calls:
        if isinstance(error, EstimateInterrupted):
            kept = error.population
            counts.append(kept.n_batches if kept else 0)
            if kept:
                assert_equal(kept, parts[kept.n_batches - 1])
        else:
            # At the edges, where nothing has begun or all is done.
            assert error is None or type(error) is KeyboardInterrupt
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_ctrl_c_in_the_middle_holds_whole_batches(graph: InferenceGraph) -> None:
    batches = [batch(n) for n in (3, 5, 2, 4)] * 500

    def interrupted(seconds: float) -> Iterator[Batch]:
        threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT]).start()
        yield from itertools.cycle(batches)

    graph.estimate(batches[:1])
    for n in range(1, 6):
        with pytest.raises(EstimateInterrupted) as caught:
            graph.estimate(interrupted(0.003 * n))
        kept = caught.value.population
        done = kept.n_batches if kept else 0
        if kept is not None:
            assert_equal(kept, graph.estimate(batches[:done]))
        rest = graph.estimate(batches[done : done + 3], resume=kept)
        assert_equal(rest, graph.estimate(batches[: done + 3]))


@pytest.mark.parametrize("noise", ["generator", "state"])
@pytest.mark.parametrize("done", [1, 2])
def test_resumed_estimate_draws_the_noise_that_the_whole_one_does(noise: str, done: int) -> None:
    if noise == "state" and not engine.AESARA:
        pytest.skip("PyTensor has no RandomState")
    x = at.dmatrix("x")
    stream = engine.stream(1) if noise == "generator" else engine.shared(np.random.RandomState(1))
    _, drawn = engine.normal(stream, x.shape)
    graph = InferenceGraph([x], x - mark_statistic((x + drawn).mean(axis=0), "mean"))
    batches = [(np.zeros((3, 2)),)] * 4
    part = graph.estimate(batches[:done])
    whole = graph.estimate(batches)
    assert (whole.spread["mean"] > 0).all()
    assert_equal(graph.estimate(batches[done:], resume=part), whole)


def test_resumed_from_a_file_is_the_whole_up_to_rounding(
    graph: InferenceGraph, tmp_path: Path
) -> None:
    batches = [batch(n) for n in (3, 5, 2, 4)]
    with pytest.raises(EstimateError) as caught:
        graph.estimate(failing(batches[:2], OSError("disk")))
    assert caught.value.population is not None
    caught.value.population.save(tmp_path / "part.npz")
    resumed = graph.estimate(batches[2:], resume=Population.load(tmp_path / "part.npz"))
    whole = graph.estimate(batches)
    for name in whole:
        np.testing.assert_allclose(resumed[name], whole[name], rtol=1e-12)
        assert resumed.coverage[name].tolist() == whole.coverage[name].tolist()


def test_every_way_to_estimate_can_go_on() -> None:
    x, y = model(1)
    batches = [batch(n) for n in (3, 5, 2)]
    graph = InferenceGraph([x], y)
    whole, part = graph.estimate(batches), graph.estimate(batches[:1])
    exported = export_statistics(y)
    alone = estimate_population([x], exported, batches[1:], resume=part)
    for name in whole:
        assert_array_equal(alone[name], whole[name])
    graph.assign(whole)
    expected = engine.function([x], graph.outputs)(*batch(4))
    outputs = get_inference_graph([x], y, batches[1:], resume=part)
    assert_array_equal(engine.function([x], outputs)(*batch(4)), expected)


def test_what_can_not_be_gone_on_from_is_refused(graph: InferenceGraph) -> None:
    part = graph.estimate([batch(3)])
    for wrong in ({"bn.mean": 1}, "population.npz", 3):
        with pytest.raises(TypeError, match=rf"`resume` is a Population.* {type(wrong).__name__}"):
            graph.estimate([batch(3)], resume=wrong)  # type: ignore[arg-type]
    message = r"go on from this population:\n  it has pooling='edge', and this estimate 'moments'"
    with pytest.raises(ValueError, match=message):
        graph.estimate([batch(3)], pooling="moments", resume=part)
    x = at.dmatrix("x")
    other = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    with pytest.raises(ValueError, match=r"only in one: loop/bn.mean\n  .*\n  only in one: mean"):
        other.estimate([(np.ones((2, 2)),)], resume=part)
    with pytest.raises(ValueError, match=r"'loop/bn.mean' has shape \(3,\) in batch 2.*\(2,\)"):
        graph.estimate([(np.zeros((2, 4, 3)),)], resume=part)
    assert graph.population is part


def test_nothing_to_go_on_with_is_refused_and_nothing_is_lost(graph: InferenceGraph) -> None:
    part = graph.estimate([batch(3)])
    with pytest.raises(ValueError, match=r"no batches .* after the 1 that `resume` has") as caught:
        graph.estimate([], resume=part)
    assert isinstance(caught.value, EstimateError)
    assert caught.value.population is not None
    assert_equal(caught.value.population, part)
    with pytest.raises(ValueError, match=r"no batches to estimate from\. An iterator") as caught:
        graph.estimate([])
    assert caught.value.population is None


@pytest.mark.parametrize("stop", STOPS)
def test_errors_can_be_pickled(graph: InferenceGraph, stop: str) -> None:
    with pytest.raises(STOPS[stop][1]) as caught:
        graph.estimate(failing([batch(3)], STOPS[stop][0]))
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is type(caught.value)
    assert (str(error), error.batch) == (str(caught.value), 2)
    assert_equal(error.population, caught.value.population)


def test_cause_of_what_the_iterator_raised_is_chained(graph: InferenceGraph) -> None:
    disk = OSError("disk")
    with pytest.raises(RuntimeError, match="OSError: disk") as caught:
        graph.estimate(failing([batch(3)], disk))
    assert caught.value.__cause__ is disk


def test_sums_that_have_no_value_yet_are_kept() -> None:
    x, known = at.dmatrix("x"), at.dmatrix("known")
    count = known.sum(axis=0)
    mean = (x * known).sum(axis=0) / at.maximum(count, 1)
    variance = (at.square(x - mean) * known).sum(axis=0) / at.maximum(count, 1)
    mean, variance = mark_moments(mean, variance, count, "bn")
    graph = InferenceGraph([x, known], (x - mean) / variance)
    values, half = np.random.default_rng(0).normal(size=(4, 2)), np.ones((4, 2))
    half[:, 0] = 0
    batches = [(values, half), (values + 1, np.ones((4, 2)))]
    with pytest.raises(EstimateInterrupted) as caught:
        graph.estimate(failing(batches[:1], KeyboardInterrupt()), pooling="moments")
    kept = caught.value.population
    assert kept is not None
    assert (kept.n_batches, list(kept)) == (1, ["bn.mean", "bn.variance"])
    with pytest.raises(ValueError, match=r"'bn\.mean' was reached, with all its elements"):
        kept["bn.mean"]
    whole = graph.estimate(batches, pooling="moments")
    assert_equal(graph.estimate(batches[1:], pooling="moments", resume=kept), whole)
    merged = kept.merge(graph.estimate(batches[1:], pooling="moments"))
    np.testing.assert_allclose(merged["bn.mean"], whole["bn.mean"])
    expected = [(values + 1)[:, 0].mean(), np.mean([values[:, 1], values[:, 1] + 1])]
    np.testing.assert_allclose(whole["bn.mean"], expected)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_ends_a_program_stays_what_it_is_and_has_the_population(
    graph: InferenceGraph, kind: type[BaseException]
) -> None:
    def batches() -> Iterator[Batch]:
        yield from [batch(3), batch(2)]
        raise kind

    with pytest.raises(kind) as caught:
        graph.estimate(batches())
    assert caught.value.population.n_batches == 2  # type: ignore[attr-defined]


def test_estimate_is_not_lost_to_a_warning_that_is_an_error() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], batch_normalize(x, 1.0, 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FewElements)
        with pytest.raises(EstimateError, match="too few elements") as caught:
            graph.estimate([[np.ones((1, 3))], [np.ones((1, 3))]])
    assert caught.value.population is not None
    assert caught.value.population.n_batches == 2
