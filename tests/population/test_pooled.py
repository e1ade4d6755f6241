"""A pooling is a way to read sums: any of them, after an estimate with any other."""

import json
import pickle
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from bnrewrite import InferenceGraph, Population, mark_moments, mark_statistic
from bnrewrite.population.tallies import POOLINGS, Tallies
from bnrewrite.population.tally import Reading
from engine import tensor as at
from looped import looped

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    mask = (rng.random(shape) < 0.7).astype(float)
    mask[..., :2] = 1
    return rng.normal(3, 2, size=(*shape, 2)), mask


def assert_same(one: Population, other: Population) -> None:
    assert (one.pooling, one.n_batches, list(one)) == (other.pooling, other.n_batches, list(other))
    for name in one:
        assert_allclose(one[name], other[name], rtol=1e-10)
        assert one.coverage[name].tolist() == other.coverage[name].tolist()


CASES = [(0, 0), (1, 0), (2, 0), (0, "auto"), (1, "auto"), (2, "auto"), (1, 2), (2, 3)]


@pytest.fixture(scope="module", params=CASES, ids=str)
def estimates(request: pytest.FixtureRequest) -> tuple[InferenceGraph, list[Any], list[Any]]:
    """A graph, batches of different lengths and masks, and an estimate with each pooling."""
    (depth, min_count), rng = request.param, np.random.default_rng(0)
    shapes = [(4, 2)[:depth], (2, 3)[:depth], (5, 1)[:depth]]
    batches = [draw(rng, (*shape, n)) for shape, n in zip(shapes, (5, 7, 3), strict=True)]
    graph = looped(depth)
    populations = [graph.estimate(batches, pooling=p, min_count=min_count) for p in POOLINGS]
    return graph, batches, populations


def arrays_of(population: Population) -> list[Any]:
    """Values, and all that is told about them."""
    names = ("coverage", "count", "fewest", "spread", "standard_error")
    told = [population, *(getattr(population, name) for name in names)]
    return [array for arrays in told for array in arrays.values()]


@pytest.mark.parametrize("duplicate", [copy, deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_nothing_that_a_population_gives_can_be_written_to(estimates: Any, duplicate: Any) -> None:
    for population in estimates[2]:
        arrays = arrays_of(population)
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 99
        duplicates = arrays_of(duplicate(population))
        assert not any(array.flags.writeable for array in duplicates)
        for array, duplicated in zip(arrays, duplicates, strict=True):
            assert_array_equal(duplicated, array)


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("then", range(3))
def test_any_pooling_can_be_read_after_any_other(
    estimates: Any, first: int, then: int, tmp_path: Path
) -> None:
    graph, batches, populations = estimates
    population, expected = populations[first], populations[then]
    assert_same(population.pooled(POOLINGS[then]), expected)
    population.save(tmp_path / "population.npz")
    loaded = Population.load(tmp_path / "population.npz")
    assert_same(loaded.pooled(POOLINGS[then]), expected)
    how: Any = {"pooling": POOLINGS[first], "min_count": population.min_count}
    parts = [graph.estimate(part, **how) for part in (batches[:1], batches[1:])]
    assert_same(parts[0].merge(parts[1]).pooled(POOLINGS[then]), expected)
    assert_same(parts[1].merge(parts[0]).pooled(POOLINGS[then]), expected)


def test_moments_that_are_read_later_are_those_of_all_elements(estimates: Any) -> None:
    _, batches, (edge, *_) = estimates
    population = edge.pooled("moments", min_count=0)
    (mean, variance) = population
    coverage = population.coverage[mean]
    for step in np.ndindex(*coverage.shape):
        there = [
            x[step][m[step] > 0]
            for x, m in batches
            if all(i < n for i, n in zip(step, m.shape, strict=False))
        ]
        assert coverage[step] == sum(len(elements) > 0 for elements in there)
        if coverage[step]:
            elements = np.concatenate(there)
            assert_allclose(population[mean][step], elements.mean(axis=0))
            assert_allclose(population[variance][step], elements.var(axis=0))


@quick
@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([2, 2, 2, 5])), min_size=1, max_size=6),
    st.integers(0, 6),
    st.integers(0, 1000),
)
def test_moments_are_exact_whether_batches_are_of_one_size_or_not(
    sizes: list[tuple[int, int]], cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batches = [rng.normal(1e3, 1, size=(steps, n, 2)) for steps, n in sizes]

    def tallied(part: list[Any]) -> Tallies:
        tallies = Tallies({"mean": "float64", "variance": "float64"}, {"mean": "variance"})
        for x in part:
            reached, count = np.ones(len(x), bool), np.full((len(x), 1), float(x.shape[1]))
            moments = {"mean": x.mean(axis=1), "variance": x.var(axis=1)}
            tallies.add({k: Reading(v, reached, count) for k, v in moments.items()})
        return tallies

    whole = [tallied(batches)]
    if 0 < cut < len(batches):
        whole.append(tallied(batches[:cut]).merged(tallied(batches[cut:])))
    for tallies in whole:
        population = Population(tallies, "moments")
        for t in range(max(steps for steps, _ in sizes)):
            elements = np.concatenate([x[t] for x in batches if t < len(x)])
            assert_allclose(population["mean"][t], elements.mean(axis=0), rtol=1e-12)
            assert_allclose(population["variance"][t], elements.var(axis=0), rtol=1e-7, atol=1e-9)


def test_coverage_asked_for_is_kept_or_changed() -> None:
    graph, rng = looped(1), np.random.default_rng(0)
    batches = [draw(rng, (n, 5)) for n in (2, 4)]
    population = graph.estimate(batches, min_coverage=2)
    assert population.pooled("reached").min_coverage == 2
    reached = population.pooled("reached", min_coverage=1)
    assert reached.min_coverage == 1
    assert_same(reached, graph.estimate(batches, pooling="reached", min_coverage=1))
    with pytest.raises(ValueError, match="by at least 3 of the batches"):
        population.pooled("edge", min_coverage=3)


def test_pooling_that_the_marks_do_not_allow_is_refused() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    population = graph.estimate([(np.ones((2, 2)),)])
    with pytest.raises(ValueError, match=r"what \['mean'\] are. Mark them with `mark_moments"):
        population.pooled("moments")
    with pytest.raises(ValueError, match=r"pooling is one of .*'edge'.* and not 'all'"):
        population.pooled("all")  # type: ignore[arg-type]


@pytest.mark.parametrize("merged", [False, True])
def test_edge_can_not_be_read_where_some_units_of_a_step_had_no_element(merged: bool) -> None:
    x, weights = at.dmatrix("x"), at.dmatrix("weights")
    count = weights.sum(axis=0)
    mean = (x * weights).sum(axis=0) / at.maximum(count, 1)
    variance = (at.square(x - mean) * weights).sum(axis=0) / at.maximum(count, 1)
    mean, variance = mark_moments(mean, variance, count, "bn")
    graph = InferenceGraph([x, weights], (x - mean) / variance)
    values, every = np.random.default_rng(0).normal(size=(3, 2)), np.ones((3, 2))
    known = every * [1, 0]
    population = graph.estimate([(values, known), (values, every)], pooling="reached")
    if merged:
        population = graph.estimate([(values, every)], pooling="reached").merge(population)
    with pytest.raises(ValueError, match=r"'edge' can't be read .* zero for some units .*reached"):
        population.pooled("edge")
    assert_allclose(population.pooled("moments")["bn.mean"], values.mean(axis=0))


# ---- files of the first format


def in_format_1(path: Path, population: Population) -> None:
    """Write what the first release wrote: the sums of one pooling, under names of that time."""
    tallies, pooling = population._tallies, population.pooling
    arrays: dict[str, Any] = dict(population)
    for name, tally in tallies.by_name.items():
        old = tally.moments.to_arrays()
        if pooling != "edge":
            del old["held"], old["n"]
        arrays |= {f"{name}#reached.{key}": value for key, value in old.items()}
        arrays[f"{name}#counts.n_time_axes"] = old["n_time_axes"]
        arrays[f"{name}#counts.total"] = tally.counts.total
    if pooling == "moments":
        for name, elements in tallies.elements.items():
            old = elements.moments.to_arrays()
            arrays |= {f"{name}#elements.{key}": value for key, value in old.items()}
    header = {
        "format": 1,
        "library": "bnrewrite 0.1.0",
        "pooling": pooling,
        "min_coverage": population.min_coverage,
        "n_batches": population.n_batches,
        "dtypes": tallies.dtypes,
        "variances": tallies.variances,
    }
    np.savez(path, **arrays, **{"#header": np.array(json.dumps(header))})


@pytest.mark.parametrize("pooling", range(3))
def test_file_of_format_1_can_be_loaded_and_read_under_its_own_pooling(
    estimates: Any, pooling: int, tmp_path: Path
) -> None:
    graph, batches, _ = estimates
    populations = [graph.estimate(batches, pooling=p, min_count=0) for p in POOLINGS]
    in_format_1(tmp_path / "old.npz", populations[pooling])
    loaded = Population.load(tmp_path / "old.npz")
    assert_same(loaded, populations[pooling])
    assert_same(loaded.pooled("reached"), populations[1])
    twice = graph.estimate(batches * 2, pooling=POOLINGS[pooling], min_count=0)
    assert_same(loaded.merge(populations[pooling]), twice)
    for other in {"edge", "moments"} - {POOLINGS[pooling]}:
        with pytest.raises(ValueError, match=rf"{other!r} can't be read .* file of format 1"):
            loaded.pooled(other)  # type: ignore[arg-type]
