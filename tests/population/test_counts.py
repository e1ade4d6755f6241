"""How many elements are behind a step, how many are enough, and what is said if they are not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import engine
from bnrewrite import (
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
from bnrewrite.population.tallies import POOLINGS, Tallies
from bnrewrite.population.tally import Reading
from engine import tensor as at
from looped import looped

quick = settings(max_examples=150, deadline=None, derandomize=True, database=None)

# ---- the rule, against loops over batches and steps

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # counts, means and variances of steps


@st.composite
def ragged_batches(draw: st.DrawFn) -> list[Batch]:
    depth = draw(st.integers(0, 2))
    lengths = st.tuples(*[st.integers(1, 4)] * depth)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    most = draw(st.sampled_from([3, 7, 40]))

    def batch(n: tuple[int, ...]) -> Batch:
        counts = np.asarray(rng.integers(0, most + 1, size=n))
        counts[(rng.integers(n[0]),) * depth if depth == 1 else (0,) * depth] = most
        return counts, rng.normal(size=(*n, 2)), rng.random(size=(*n, 2))

    return [batch(n) for n in draw(st.lists(lengths, min_size=1, max_size=5))]


def tallied(batches: list[Batch], min_count: Any) -> Tallies:
    dtypes = {"mean": "float64", "variance": "float64"}
    tallies = Tallies(dtypes, {"mean": "variance"}, min_count)
    for counts, *moments in batches:
        reached = np.asarray(counts > 0)
        count = counts.reshape(*counts.shape, 1).astype(float)
        values = (held_values(m, reached) for m in moments)
        readings = (Reading(v, reached, count) for v in values)
        tallies.add(dict(zip(dtypes, readings, strict=True)))
    return tallies


def place(enough: np.ndarray, step: tuple[int, ...]) -> tuple[int, ...]:
    """Which step is held at `step`: the last one with enough, in the last row that has any."""
    if not step:
        return ()
    rows = [i for i, row in enumerate(enough) if row.any()]
    row = max((i for i in rows if i <= step[0]), default=rows[0])
    return (row, *place(enough[row], step[1:]))


def held_values(values: np.ndarray, enough: np.ndarray) -> np.ndarray:
    places = [place(enough, step) for step in np.ndindex(*enough.shape)]
    return np.array([values[p] for p in places]).reshape(values.shape)


def threshold(counts: np.ndarray, min_count: Any, auto: int) -> float:
    """Eight, or half of the most; but two if there are two, and one if there is one."""
    if min_count != "auto":
        return float(min_count)
    most = counts.max()
    return float(auto if most >= 2 * auto else max(-(-most // 2), min(2, most)))


def expected(batches: list[Batch], pooling: str, min_count: Any) -> dict[str, np.ndarray]:
    steps = tuple(np.max([counts.shape for counts, *_ in batches], axis=0, initial=0).astype(int))
    steps = steps if batches[0][0].ndim else ()
    values: dict[str, Any] = {"mean": {}, "variance": {}, "n": {}}
    total = np.zeros(steps)
    for counts, *_ in batches:
        total[tuple(map(slice, counts.shape))] += counts
    for step in np.ndindex(*steps):
        per_batch = list(at_step(batches, step, pooling, min_count))
        values["n"][step] = len(per_batch)
        if not per_batch:
            values["mean"][step] = values["variance"][step] = np.full(2, np.nan)
            continue
        counts = np.array([c for c, *_ in per_batch])[:, None]
        means, variances = (np.array([b[i] for b in per_batch]) for i in (1, 2))
        if pooling != "moments":
            values["mean"][step], values["variance"][step] = means.mean(0), variances.mean(0)
            continue
        mean = (counts * means).sum(0) / counts.sum()
        values["mean"][step] = mean
        values["variance"][step] = (counts * (variances + (means - mean) ** 2)).sum(
            0
        ) / counts.sum()
    arrays = {k: np.array(list(v.values())).reshape(*steps, -1) for k, v in values.items()}
    enough = arrays.pop("n")[..., 0] > 0
    if pooling == "moments":
        enough &= total >= threshold(total, min_count, 32)
    return {k: held_values(v, enough) for k, v in arrays.items()}


def at_step(batches: list[Batch], step: Any, pooling: str, min_count: Any) -> Iterator[Any]:
    """Counts, means and variances of the batches that are averaged at a step."""
    for counts, mean, variance in batches:
        enough = (counts > 0) & (counts >= threshold(counts, min_count, 8))
        is_there = all(i < n for i, n in zip(step, counts.shape, strict=True))
        if pooling == "moments":
            if is_there and counts[step] > 0:
                yield counts[step], mean[step], variance[step]
        elif pooling == "reached":
            if is_there and enough[step]:
                yield counts[step], mean[step], variance[step]
        elif enough.any():
            last = tuple(min(i, n - 1) for i, n in zip(step, counts.shape, strict=True))
            held = place(enough, last)
            yield counts[held], mean[held], variance[held]


@quick
@given(
    ragged_batches(),
    st.sampled_from(POOLINGS),
    st.sampled_from([0, 1, 2, 3, "auto"]),
    st.integers(0, 5),
)
def test_batch_counts_at_steps_with_enough_elements_and_elsewhere_holds_the_last_of_them(
    batches: list[Batch], pooling: Any, min_count: Any, cut: int
) -> None:
    truth = expected(batches, pooling, min_count)
    whole = [tallied(batches, min_count)]
    if 0 < cut < len(batches):
        parts = tallied(batches[:cut], min_count), tallied(batches[cut:], min_count)
        whole += [parts[0].merged(parts[1]), parts[1].merged(parts[0])]
    for tallies in whole:
        population = Population(tallies, pooling)
        for name in truth:
            assert_allclose(population[name], truth[name], rtol=1e-7, atol=1e-12)


@quick
@given(ragged_batches(), st.sampled_from([0, 2, 5, "auto"]))
def test_coverage_counts_the_batches_that_count_and_fewest_is_their_smallest_number(
    batches: list[Batch], min_count: Any
) -> None:
    population = Population(tallied(batches, min_count), "moments", min_count=0)
    every, counted = population.coverage["mean"], population.coverage
    counted = Population(tallied(batches, min_count), "reached").coverage if min_count != 5 else {}
    for step in np.ndindex(*every.shape):
        there = [(c, s) for c, s in ((b[0], step) for b in batches) if inside(s, c)]
        enough = [c[s] for c, s in there if c[s] and c[s] >= threshold(c, min_count, 8)]
        assert every[step] == sum(c[s] > 0 for c, s in there)
        assert population.count["mean"][step] == sum(c[s] for c, s in there)
        assert population.fewest["mean"][step] == min(enough, default=np.inf)
        assert not counted or counted["mean"][step] == len(enough)


def inside(step: tuple[int, ...], array: np.ndarray) -> bool:
    return all(i < n for i, n in zip(step, array.shape, strict=True))


# ---- from graphs


@pytest.fixture(scope="module")
def graphs() -> list[InferenceGraph]:
    return [looped(depth) for depth in range(3)]


def batch_of(counts: Any, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A batch of `n` examples, of which as many take part in each step as `counts` says."""
    counts = np.asarray(counts)
    x = np.random.default_rng(seed).normal(3, 2, size=(*counts.shape, n, 2))
    return x, (np.arange(n) < counts[..., None]).astype(float)


TAILS = {1: [30, 30, 12, 8, 7, 2, 1], 2: [[30, 20, 8], [30, 9, 2], [1, 1, 1]]}
LAST = {1: [0, 1, 2, 3, 3, 3, 3], 2: [[(0, 0), (0, 1), (0, 2)], [(1, 0), (1, 1), (1, 1)]]}


@pytest.mark.parametrize("pooling", ["edge", "reached"])
@pytest.mark.parametrize("depth", [1, 2])
def test_variances_do_not_fall_where_masks_leave_few_elements(
    graphs: list[InferenceGraph], depth: int, pooling: Any
) -> None:
    graph, (x, mask) = graphs[depth], batch_of(TAILS[depth], 30)
    population = graph.estimate([(x, mask)], pooling=pooling)
    name = "loop/" * depth + "bn.variance"
    last = LAST[depth] if depth == 1 else [*LAST[2], LAST[2][1]]
    for step in np.ndindex(*mask.shape[:-1]):
        held = np.array(last)[step]
        elements = x[tuple(np.atleast_1d(held))][mask[tuple(np.atleast_1d(held))] > 0]
        assert_allclose(population[name][step], elements.var(axis=0))
    assert population[name].min() > 0.5
    with pytest.warns(FewElements):
        seed = graph.estimate([(x, mask)], pooling=pooling, min_count=0)
    assert seed[name][(-1,) * depth].tolist() == [0, 0]


def test_outside_of_loops_all_batches_count(graphs: list[InferenceGraph]) -> None:
    batches = [batch_of(n, n, seed=n) for n in (30, 2, 7)]
    population = graphs[0].estimate(batches)
    assert population.coverage["bn.mean"] == 3
    assert_allclose(population["bn.variance"], np.mean([x.var(axis=0) for x, _ in batches], axis=0))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_batch_that_never_has_as_many_elements_as_asked_for_is_left_out(
    graphs: list[InferenceGraph], depth: int
) -> None:
    graph, shapes = graphs[depth], [(3, 2)[:depth], (4, 3)[:depth]]
    small = batch_of(np.full(shapes[1], 4), 4)
    large = batch_of(np.full(shapes[0], 20), 20)
    alone = graph.estimate([large], min_count=5)
    for batches in ([large, small], [small, large]):
        both = graph.estimate(batches, min_count=5)
        assert both.n_batches == 2
        for name in both:
            steps = tuple(map(slice, shapes[0]))
            assert_allclose(both[name][steps], alone[name])
            assert both.coverage[name].max() == 1
            assert both.count[name].max() == 24
    with pytest.raises(
        ValueError, match=r"'.*bn.mean' .* at least 21 elements, by at least 1 .* 0"
    ):
        graph.estimate([large, small], min_count=21)
    assert graph.population is both


def test_total_of_all_batches_decides_under_moments(graphs: list[InferenceGraph]) -> None:
    batches = [batch_of([10, n, m], 10, seed=n) for n, m in ((5, 1), (9, 2), (10, 1))]
    x, mask = (np.concatenate([b[i] for b in batches], axis=1) for i in (0, 1))
    for min_count, last in ((4, 2), (5, 1), (24, 1), (25, 0), ("auto", 1)):
        population = graphs[1].estimate(batches, pooling="moments", min_count=min_count)
        elements = x[last][mask[last] > 0]
        assert_allclose(population["loop/bn.variance"][2], elements.var(axis=0))
    with pytest.raises(
        ValueError, match=r"has 31 elements in all batches together: 30 is the most"
    ):
        graphs[1].estimate(batches).pooled("moments", min_count=31)


def test_all_ways_to_an_estimate_have_the_same_rule(graphs: list[InferenceGraph]) -> None:
    graph, batch = graphs[1], batch_of([9, 8, 4, 3], 9)
    inputs, output = graph._inputs, graph._batch_outputs[0]
    exported = export_statistics(output)
    for how in ({}, {"min_count": 4}, {"min_count": 9}):
        expected = graph.estimate([batch], **how)
        population = estimate_population(inputs, exported, [batch], **how)
        outputs = get_inference_graph(inputs, output, [batch], **how)
        predict = engine.function(inputs, [outputs, graph.outputs], on_unused_input="ignore")
        assert population.min_count == expected.min_count == how.get("min_count", "auto")
        for name in expected:
            assert (population[name] == expected[name]).all()
        one, other = predict(*batch)
        assert (one == other).all()


def test_min_count_is_kept_in_files_and_has_to_be_the_same_in_merges(
    graphs: list[InferenceGraph], tmp_path: Path
) -> None:
    batches = [batch_of([9, 8, 4, 3], 9, seed=seed) for seed in range(3)]
    population = graphs[1].estimate(batches, min_count=4)
    read = population.pooled("moments", min_count=12)
    for one in (population, read):
        one.save(tmp_path / "population.npz")
        loaded = Population.load(tmp_path / "population.npz")
        assert loaded.min_count == one.min_count
        assert loaded.pooled("edge", min_count=4)["loop/bn.mean"].tolist() == (
            population["loop/bn.mean"].tolist()
        )
        assert all((loaded[name] == one[name]).all() for name in one)
    with pytest.raises(ValueError, match="one has min_count=4, the other 'auto'"):
        population.merge(graphs[1].estimate(batches))
    with pytest.raises(ValueError, match=r"another min_count: 4 and 'auto'"):
        read.merge(graphs[1].estimate(batches).pooled("moments", min_count=12))
    with pytest.raises(ValueError, match=r"'edge' with min_count=2 can't be read .* min_count=4"):
        population.pooled("edge", min_count=2)


def test_each_value_of_a_step_needs_enough_elements_of_its_own() -> None:
    x, weights = at.dtensor3("x"), at.dtensor3("weights")

    def step(x_t: Any, w_t: Any) -> Any:
        count = w_t.sum(axis=0)
        mean = (x_t * w_t).sum(axis=0) / count
        variance = (at.square(x_t - mean) * w_t).sum(axis=0) / count
        mean, variance = mark_moments(mean, variance, count, "bn")
        return (x_t - mean) / variance

    graph = InferenceGraph([x, weights], engine.scan(step, [x, weights], name="loop"))
    values, known = np.random.default_rng(0).normal(size=(3, 9, 2)), np.ones((3, 9, 2))
    known[1, :6, 0] = 0
    known[2, :2] = 0
    for pooling in POOLINGS:
        population = graph.estimate([(values, known)], pooling=pooling, min_count=4)
        steps = population["loop/bn.mean"]
        assert_allclose(steps[0], values[0].mean(axis=0))
        assert_allclose(steps[1], values[0].mean(axis=0))
        assert_allclose(steps[2], values[2, 2:].mean(axis=0))


# ---- what is said


def warning_of(call: Any) -> str:
    with pytest.warns(FewElements) as caught:
        call()
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("depth", "counts", "where"),
    [
        (0, 1, ""),
        (1, [1, 1], " at step 0, 1"),
        (1, [4, 1, 2, 1], " at step 1, 3"),
        (1, [4, 1, 1, 1, 1, 1], " at step 1, 2, 3 and 2 more"),
        (2, [[4, 4, 1], [1, 4, 4]], r" at step \(0, 2\), \(1, 0\)"),
    ],
)
def test_variance_of_fewer_than_two_elements_is_named_with_its_steps(
    graphs: list[InferenceGraph], depth: int, counts: Any, where: str, pooling: Any
) -> None:
    message = warning_of(
        lambda: graphs[depth].estimate([batch_of(counts, 4)], pooling=pooling, min_count=0)
    )
    place = "in all batches together" if pooling == "moments" else "in some batch"
    lines = message.splitlines()
    expected = f"  '{'loop/' * depth}bn.variance' rests on fewer than 2 elements {place}"
    counted = " (counted from 0)" if depth else ""
    assert lines[1] == expected + where.replace("\\", "") + counted
    assert len(lines) == 3
    assert "`min_count` of 2 or more" in lines[2]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_nothing_is_said_of_steps_that_hold_others(
    graphs: list[InferenceGraph], pooling: Any
) -> None:
    for depth, counts in TAILS.items():
        graphs[depth].estimate([batch_of(counts, 30)], pooling=pooling)
        graphs[depth].estimate([batch_of(counts, 30)], pooling=pooling, min_count=2)


def test_under_moments_it_is_the_total_that_counts(graphs: list[InferenceGraph]) -> None:
    batches = [batch_of([4, 1], 4, seed=seed) for seed in (0, 1)]
    population = graphs[1].estimate(batches, pooling="moments", min_count=0)
    assert "in some batch at step 1" in warning_of(lambda: population.pooled("edge"))
    assert "in some batch at step 1" in warning_of(lambda: population.pooled("reached"))


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_variance_that_is_zero_is_named(depth: int, counted: bool) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def body(x_t: Any) -> Any:
        count = x_t.shape[0] if counted else None
        mean, variance = mark_moments(x_t.mean(axis=0), x_t.var(axis=0), count, "bn")
        return (x_t - mean) / at.sqrt(variance + 1)

    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
    graph = InferenceGraph([x], body(x))
    values = np.random.default_rng(0).normal(size=(*(4, 4)[:depth], 5, 2))
    constant = (2, 1)[2 - depth :]
    values[constant] = 7
    message = warning_of(lambda: graph.estimate([(values,)]))
    step = {0: "", 1: " at step 1 (counted from 0)", 2: " at step (2, 1) (counted from 0)"}[depth]
    assert message.splitlines()[1] == f"  '{'loop/' * depth}bn.variance' is 0 for all units{step}"


def test_state_that_a_loop_begins_in_is_no_reason_to_warn() -> None:
    x = at.dtensor3("x")

    def step(x_t: Any, h: Any) -> Any:
        return at.tanh(x_t + batch_normalize(h, 1.0, 0.0, label="bn"))

    h = engine.scan(step, [x], at.zeros_like(x[0]), name="loop")
    graph = InferenceGraph([x], h)
    values = np.random.default_rng(0).normal(size=(3, 5, 2))
    for batches in ([(values,)], [(values,), (values + 1,)]):
        population = graph.estimate(batches)
        assert population["loop/bn.variance"][0].tolist() == [0, 0]


def test_state_that_loops_begin_in_is_none_further_outside_either() -> None:
    x, memory = at.dtensor3("x"), at.dtensor3("memory")

    def read(memory_t: Any, h: Any, state: Any) -> Any:
        return h + at.tanh(batch_normalize(state, 1.0, 0.5, label="bn")) * memory_t

    def step(x_t: Any, state: Any) -> Any:
        h = engine.scan(read, [memory], at.zeros_like(state), [state], name="read")
        return at.tanh(h[-1] + x_t)

    h = engine.scan(step, [x], at.zeros_like(x[0]), name="loop")
    values = np.random.default_rng(0).normal(size=(2, 4, 5, 2))
    population = InferenceGraph([x, memory], h).estimate([tuple(values), tuple(values + 1)])
    (variance,) = (population[name] for name in population if name.endswith("variance"))
    assert (variance[0] == 0).all()
    assert (variance[1:] > 0).all()


def test_first_step_that_differs_between_batches_but_not_within_is_named() -> None:
    x = at.dtensor3("x")
    y = engine.scan(lambda x_t: batch_normalize(x_t, 1.0, 0.0, label="bn"), [x], name="loop")
    values = np.random.default_rng(0).normal(size=(3, 5, 2))
    values[0] = 1
    message = warning_of(lambda: InferenceGraph([x], y).estimate([(values,), (values + 1,)]))
    assert "'loop/bn.variance' is 0 for all units at step 0 (" in message


def test_one_unit_that_is_constant_is_no_reason_to_warn() -> None:
    x = at.dmatrix("x")
    values = np.random.default_rng(0).normal(size=(5, 2)) * [1, 0]
    InferenceGraph([x], batch_normalize(x, 1.0, 0.0)).estimate([(values,)])


def test_statistics_without_a_count_know_no_rule() -> None:
    x = at.dtensor3("x")
    y = engine.scan(lambda x_t: x_t - mark_statistic(x_t.mean(axis=0), "mean"), [x], name="loop")
    values = np.random.default_rng(0).normal(size=(3, 5, 2))
    population = InferenceGraph([x], y).estimate([(values,)], min_count=10)
    assert_allclose(population["loop/mean"], values.mean(axis=1))
    assert population.fewest == {}
