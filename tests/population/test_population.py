"""What is averaged and how, against the definition computed from all elements at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, Population, batch_normalize, mark_moments, mark_statistic
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading
from engine import tensor as at
from engine import until

POOLINGS = ["edge", "reached", "moments"]
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

# ---- any statistics, without a graph

Batch = dict[str, Reading]


@st.composite
def ragged_batches(draw: st.DrawFn) -> list[Batch]:
    """Draw batches of a mean and a variance, of any depth, with steps that nothing reached."""
    depth = draw(st.integers(0, 3))
    units = draw(st.sampled_from([(), (2,), (1, 3)]))
    lengths = st.tuples(*[st.integers(1, 4)] * depth)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return [_batch(rng, n, units) for n in draw(st.lists(lengths, min_size=1, max_size=6))]


def _batch(rng: np.random.Generator, lengths: tuple[int, ...], units: tuple[int, ...]) -> Batch:
    count = rng.integers(0, 4, size=lengths)
    count[(0,) * len(lengths)] += 1
    weights = count.reshape(lengths + (1,) * len(units)).astype(float)
    mean, variance = rng.normal(1000, 1, size=(2, *lengths, *units)) * (weights > 0)
    return {
        "mean": Reading(np.asarray(mean), np.asarray(count > 0), weights),
        "variance": Reading(np.square(variance), np.asarray(count > 0), weights),
    }


def estimated(batches: list[Batch], pooling: Any) -> Population:
    dtypes = dict.fromkeys(batches[0], "float64")
    tallies = Tallies(dtypes, {"mean": "variance"})
    for batch in batches:
        tallies.add(batch)
    return Population(tallies, pooling)


def assert_same(one: Population, other: Population) -> None:
    assert list(one) == list(other)
    assert (one.n_batches, one.pooling) == (other.n_batches, other.pooling)
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert_allclose(one[name], other[name], rtol=1e-9)
        assert_allclose(one.spread[name], other.spread[name], rtol=1e-6, atol=1e-9)
        assert_allclose(one.standard_error[name], other.standard_error[name], rtol=1e-6, atol=1e-9)
        assert one.coverage[name].tolist() == other.coverage[name].tolist()
        assert name not in one.count or (one.count[name] == other.count[name]).all()


@quick
@given(ragged_batches(), st.sampled_from(POOLINGS), st.data())
def test_merging_estimates_of_parts_is_the_estimate_of_the_whole(
    batches: list[Batch], pooling: str, data: st.DataObject
) -> None:
    whole = estimated(batches, pooling)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batches)), min_size=2, max_size=2)))
    parts = [batches[: cuts[0]], batches[cuts[0] : cuts[1]], batches[cuts[1] :]]
    populations = [estimated(part, pooling) for part in parts if part]
    merged = populations[0]
    for population in populations[1:]:
        merged = merged.merge(population)
    assert_same(merged, whole)
    assert_same(populations[0], estimated(next(part for part in parts if part), pooling))


@quick
@given(ragged_batches(), ragged_batches(), st.sampled_from(POOLINGS))
def test_merging_is_commutative_and_associative(
    batches: list[Batch], others: list[Batch], pooling: str
) -> None:
    a, b = estimated(batches[:1], pooling), estimated(batches[-1:], pooling)
    c = estimated(batches, pooling)
    assert_same(a.merge(b), b.merge(a))
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))


@quick
@given(ragged_batches())
def test_edge_is_the_mean_over_batches_that_repeat_their_last_step(batches: list[Batch]) -> None:
    population = estimated(batches, "edge")
    steps = population["mean"].shape[: population.coverage["mean"].ndim]
    for step in np.ndindex(*steps):
        held = [
            b["mean"].value[
                tuple(min(i, n - 1) for i, n in zip(step, b["mean"].reached.shape, strict=True))
            ]
            for b in batches
        ]
        assert_allclose(population["mean"][step], np.mean(held, axis=0), rtol=1e-12)


@quick
@given(ragged_batches())
def test_moments_are_those_of_all_elements_at_once(batches: list[Batch]) -> None:
    population = estimated(batches, "moments")
    steps = population["mean"].shape[: population.coverage["mean"].ndim]
    for step in np.ndindex(*steps):
        there = [
            (b["mean"].count[step].item(), b["mean"].value[step], b["variance"].value[step])
            for b in batches
            if all(i < n for i, n in zip(step, b["mean"].reached.shape, strict=True))
        ]
        n = sum(count for count, _, _ in there)
        assert population.count["mean"][step] == n
        if n:
            mean = sum(count * m for count, m, _ in there) / n
            variance = sum(count * (v + (m - mean) ** 2) for count, m, v in there) / n
            assert_allclose(population["mean"][step], mean, rtol=1e-12)
            assert_allclose(population["variance"][step], variance, rtol=1e-9)


@quick
@given(ragged_batches())
def test_reached_is_the_mean_over_the_batches_that_got_there(batches: list[Batch]) -> None:
    population = estimated(batches, "reached")
    steps = population["mean"].shape[: population.coverage["mean"].ndim]
    for step in np.ndindex(*steps):
        there = [
            b["mean"].value[step]
            for b in batches
            if all(i < n for i, n in zip(step, b["mean"].reached.shape, strict=True))
            and b["mean"].reached[step]
        ]
        assert population.coverage["mean"][step] == len(there)
        if there:
            assert_allclose(population["mean"][step], np.mean(there, axis=0), rtol=1e-12)
        if len(there) > 1:
            spread = np.std(there, axis=0, ddof=1)
            assert_allclose(population.spread["mean"][step], spread, rtol=1e-6, atol=1e-9)
            error = spread / np.sqrt(len(there))
            assert_allclose(population.standard_error["mean"][step], error, rtol=1e-6, atol=1e-9)
        else:
            assert np.isnan(population.spread["mean"][step]).all()


def test_moments_are_stable_far_from_zero() -> None:
    values = 1e8 + np.random.default_rng(0).normal(size=1000)
    batches = [
        {
            "mean": Reading(np.asarray(part.mean()), np.asarray(True), np.asarray(1.0 * len(part))),
            "variance": Reading(
                np.asarray(part.var()), np.asarray(True), np.asarray(1.0 * len(part))
            ),
        }
        for part in np.split(values, [1, 5, 300])
    ]
    population = estimated(batches, "moments")
    assert_allclose(population["variance"], values.var(), rtol=1e-7)


# ---- from graphs


def sequences(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw padded sequences (time, examples, units) and their mask (time, examples)."""
    lengths = rng.integers(2, 7, size=n)
    x = rng.normal(3, 2, size=(lengths.max(), n, 2))
    return x, (np.arange(lengths.max())[:, None] < lengths).astype(float)


@pytest.fixture(scope="module")
def masked() -> InferenceGraph:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")

    def step(x_t: Any, m_t: Any) -> Any:
        return batch_normalize(x_t, 1.0, 0.0, mask=m_t, label="bn")

    y = engine.scan(step, sequences=[x, mask], name="loop")
    return InferenceGraph([x, mask], y)


def test_moments_do_not_depend_on_how_the_data_are_split(masked: InferenceGraph) -> None:
    x, mask = sequences(np.random.default_rng(0), 12)
    populations = []
    for cuts in ([6], [1, 2, 9], [5, 10], []):
        parts = zip(np.split(x, cuts, axis=1), np.split(mask, cuts, axis=1), strict=True)
        cropped = [(p[: int(m.sum(0).max())], m[: int(m.sum(0).max())]) for p, m in parts]
        populations.append(masked.estimate(cropped, pooling="moments", min_count=0))
    for t in range(len(x)):
        elements = x[t, mask[t] > 0]
        for population in populations:
            assert_allclose(population["loop/bn.mean"][t], elements.mean(axis=0))
            assert_allclose(population["loop/bn.variance"][t], elements.var(axis=0))
            assert population.count["loop/bn.mean"][t] == len(elements)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_step_in_between_that_a_mask_left_empty_holds_the_one_before(
    masked: InferenceGraph, pooling: str
) -> None:
    rng = np.random.default_rng(0)
    gap, full = rng.normal(3, 2, size=(2, 3, 4, 2))
    mask = np.ones((3, 4))
    mask[1] = 0
    population = masked.estimate([(gap, mask), (full, np.ones((3, 4)))], pooling=pooling)
    expected = full[1].mean(axis=0)
    if pooling == "edge":
        expected = (gap[0].mean(axis=0) + expected) / 2
    assert_allclose(population["loop/bn.mean"][1], expected)
    assert population.coverage["loop/bn.mean"].tolist() == [2, 1, 2]


def test_statistic_of_a_unit_without_elements_may_be_nan() -> None:
    x, known = at.dmatrix("x"), at.dmatrix("known")
    count = known.sum(axis=0)
    share = at.switch(at.eq(count, 0), np.nan, known / at.maximum(count, 1))
    mean = (x * share).sum(axis=0)
    variance = (at.square(x - mean) * share).sum(axis=0)
    mean, variance = mark_moments(mean, variance, count, "bn")
    graph = InferenceGraph([x, known], (x - mean) / variance)
    values = np.random.default_rng(0).normal(size=(5, 2))
    weights = np.ones((5, 2))
    weights[:2, 0] = 0
    batches = [(values[:2], weights[:2]), (values[2:], weights[2:])]
    population = graph.estimate(batches, pooling="moments")
    expected = [values[2:, 0], values[:, 1]]
    assert_allclose(population["bn.mean"], [unit.mean() for unit in expected])
    assert_allclose(population["bn.variance"], [unit.var() for unit in expected])


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_moments_are_exact_at_any_depth(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def body(x_t: Any) -> Any:
        return batch_normalize(x_t, 1.0, 0.0, label="bn")

    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, sequences=[x_t]))(body)
    graph = InferenceGraph([x], body(x))
    rng = np.random.default_rng(0)
    whole = rng.normal(1, 2, size=(3,) * depth + (9, 2))
    batches = [(part,) for part in np.split(whole, [2, 3], axis=-2)]
    population = graph.estimate(batches, pooling="moments")
    mean, variance = (population[s.name] for s in graph.statistics)
    assert_allclose(mean, whole.mean(axis=-2))
    assert_allclose(variance, whole.var(axis=-2))


def test_each_unit_may_have_a_count_of_its_own() -> None:
    x, weights = at.dmatrix("x"), at.dmatrix("weights")
    count = weights.sum(axis=0)
    mean = (x * weights).sum(axis=0) / at.maximum(count, 1)
    variance = (at.square(x - mean) * weights).sum(axis=0) / at.maximum(count, 1)
    mean, variance = mark_moments(mean, variance, count, "bn")
    graph = InferenceGraph([x, weights], (x - mean) / variance)
    rng = np.random.default_rng(0)
    values, known = rng.normal(size=(7, 3)), (rng.random((7, 3)) < 0.5).astype(float)
    known[:2, 0] = 0
    batches = list(zip(np.split(values, [2, 5]), np.split(known, [2, 5]), strict=True))
    population = graph.estimate(batches, pooling="moments")
    for unit in range(3):
        elements = values[known[:, unit] > 0, unit]
        assert_allclose(population["bn.mean"][unit], elements.mean())
        assert_allclose(population["bn.variance"][unit], elements.var())
    with pytest.raises(ValueError, match=r"'bn.mean' in batch 1 is zero for some .* \"?.*moments"):
        graph.estimate(batches)
    known[:, 0] = 0
    with pytest.raises(ValueError, match=r"'bn.mean' .* all its elements, by at least 1 .*: 0 is"):
        graph.estimate([(values, known)], pooling="moments")


@pytest.mark.parametrize("pooling", ["reached", "moments"])
@pytest.mark.parametrize("weights", [[[2], [0], [4]], [[2, 3], [0, 1], [4, 2]]])
def test_step_without_any_element_of_a_unit_takes_the_last_one_before(
    pooling: Any, weights: list[list[float]]
) -> None:
    count = np.array(weights, dtype=float)
    reached = count.any(axis=1)
    mean, variance = np.array([[1, 2], [99, 98], [5, 6]]), np.array([[3, 4], [97, 96], [7, 8]])
    batch = {
        "mean": Reading(mean, reached, count),
        "variance": Reading(variance, reached, count),
    }
    population = estimated([batch, batch], pooling)
    assert_allclose(population["mean"], [[1, 2], [1, 2], [5, 6]])
    assert_allclose(population["variance"], [[3, 4], [3, 4], [7, 8]])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_count_may_be_that_of_all_units_in_one_batch_and_of_each_in_another(
    pooling: Any, order: int
) -> None:
    x, weights = at.dmatrix("x"), at.dmatrix("weights")
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), weights.sum(axis=0), "bn")
    graph = InferenceGraph([x, weights], (x - mean) / variance)
    values = np.random.default_rng(0).normal(size=(6, 3))
    batches = [(values[:4], np.ones((4, 1))), (values[4:], np.ones((2, 3)))][::order]
    population = graph.estimate(batches, pooling=pooling)
    merged = graph.estimate(batches[:1], pooling=pooling).merge(
        graph.estimate(batches[1:], pooling=pooling)
    )
    means = [b.mean(axis=0) for b, _ in batches]
    expected = values.mean(axis=0) if pooling == "moments" else np.mean(means, axis=0)
    assert_allclose(population["bn.mean"], expected)
    assert_allclose(merged["bn.mean"], expected)
    assert population.count["bn.mean"].tolist() == merged.count["bn.mean"].tolist() == [6, 6, 6]


def test_moments_without_a_count_weigh_batches_the_same() -> None:
    x = at.dmatrix("x")
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), label="bn")
    graph = InferenceGraph([x], (x - mean) / variance)
    batches = [np.random.default_rng(n).normal(size=(n, 3)) for n in (2, 5)]
    population = graph.estimate([(b,) for b in batches], pooling="moments")
    means = np.array([b.mean(axis=0) for b in batches])
    within = np.mean([b.var(axis=0) for b in batches], axis=0)
    assert_allclose(population["bn.mean"], means.mean(axis=0))
    assert_allclose(population["bn.variance"], within + means.var(axis=0))
    assert population.count == {}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_steps_that_an_inner_while_loop_did_not_take_do_not_count(pooling: Any) -> None:
    x, last = at.dtensor4("x"), at.lvector("last")

    def inner(x_t: Any, t: Any, last_s: Any) -> Any:
        return batch_normalize(x_t, 1.0, 0.0, label="bn"), until(t >= last_s)

    def outer(x_s: Any, last_s: Any) -> Any:
        steps = at.arange(x_s.shape[0])
        return engine.scan(inner, [x_s, steps], non_sequences=[last_s], name="inner")[-1]

    y = engine.scan(outer, [x, last], name="outer")
    graph = InferenceGraph([x, last], y)
    rng = np.random.default_rng(0)
    lasts = [np.array([2, 0, 3]), np.array([1, 3, 3])]
    batches = [(rng.normal(size=(3, 5, n, 2)), last) for n, last in zip((2, 6), lasts, strict=True)]
    population = graph.estimate(batches, pooling=pooling, min_count=0)
    name = "outer/inner/bn.mean"
    taken = [np.arange(4) <= last[:, None] for last in lasts]
    assert population.coverage[name].tolist() == np.sum(taken, axis=0).tolist()
    assert population.count[name].tolist() == (2 * taken[0] + 6 * taken[1]).tolist()
    for s, t in np.argwhere(taken[0] & taken[1]):
        parts = [values[s, t] for values, _ in batches]
        means = np.mean([part.mean(axis=0) for part in parts], axis=0)
        pooled = np.concatenate(parts).mean(axis=0)
        expected = pooled if pooling == "moments" else means
        assert_allclose(population[name][s, t], expected)
    if pooling != "edge":
        assert_allclose(population[name][0, 2], batches[0][0][0, 2].mean(axis=0))
        assert_allclose(population[name][1, 3], batches[1][0][1, 3].mean(axis=0))


@pytest.mark.filterwarnings("ignore::bnrewrite.FewElements")
def test_steps_below_min_coverage_take_the_last_one_above(masked: InferenceGraph) -> None:
    batches = [sequences(np.random.default_rng(seed), 3) for seed in range(4)]
    plain = masked.estimate(batches, pooling="reached", min_count=0)
    covered = int((plain.coverage["loop/bn.mean"] >= 4).sum())
    assert 0 < covered < len(plain["loop/bn.mean"])
    for pooling in POOLINGS:
        every = masked.estimate(batches, pooling=pooling, min_count=0)
        enough = masked.estimate(batches, pooling=pooling, min_coverage=4, min_count=0)
        for name in every:
            assert (enough[name][:covered] == every[name][:covered]).all()
            assert (enough[name][covered:] == every[name][covered - 1]).all()


def test_more_coverage_than_there_are_batches_is_refused(masked: InferenceGraph) -> None:
    before = masked.estimate([sequences(np.random.default_rng(0), 3)])
    with pytest.raises(ValueError, match=r"'loop/bn.mean' .* at least 2 of the batches: 1 is"):
        masked.estimate([sequences(np.random.default_rng(0), 3)], min_coverage=2)
    assert masked.population is before


def test_plain_marks_have_no_exact_moments() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    with pytest.raises(ValueError, match=r"what \['mean'\] are. Mark them with `mark_moments"):
        graph.estimate([(np.ones((2, 2)),)], pooling="moments")
    with pytest.raises(ValueError, match=r"pooling is one of .*'edge'.* and not 'all'"):
        graph.estimate([(np.ones((2, 2)),)], pooling="all")  # type: ignore[arg-type]


def test_average_over_time_weighs_steps_by_coverage(masked: InferenceGraph) -> None:
    population = masked.estimate(
        [sequences(np.random.default_rng(s), 3) for s in range(3)], pooling="reached"
    )
    averaged = population.averaged_over_time()
    for name, value in population.items():
        expected = np.average(value, axis=0, weights=population.coverage[name])
        assert_allclose(averaged[name], expected[None])
    masked.assign(averaged)


def test_populations_that_do_not_fit_are_not_merged(masked: InferenceGraph) -> None:
    batch = sequences(np.random.default_rng(0), 3)
    one = masked.estimate([batch])
    with pytest.raises(ValueError, match="pooling='edge', the other 'moments'"):
        one.merge(masked.estimate([batch], pooling="moments"))
    x = at.dmatrix("x")
    other = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "loop/bn.mean"))
    with pytest.raises(
        ValueError, match=r"only in one: loop/bn.variance\n  of different shape: loo"
    ):
        one.merge(other.estimate([(np.ones((2, 2)),)]))


# ---- files


@pytest.mark.parametrize("pooling", POOLINGS)
def test_saved_population_can_be_loaded_merged_and_assigned(
    masked: InferenceGraph, pooling: Any, tmp_path: Path
) -> None:
    batches = [sequences(np.random.default_rng(seed), 3) for seed in range(4)]
    population = masked.estimate(batches[:2], pooling=pooling)
    population.save(tmp_path / "population.npz")
    loaded = Population.load(tmp_path / "population.npz")
    assert_same(loaded, population)
    assert_same(
        loaded.merge(masked.estimate(batches[2:], pooling=pooling)),
        masked.estimate(batches, pooling=pooling),
    )
    masked.assign(loaded)
    assert masked.population is loaded
    assert [path.name for path in tmp_path.iterdir()] == ["population.npz"]


def test_min_coverage_is_kept_in_files_and_merges(masked: InferenceGraph, tmp_path: Path) -> None:
    batches = [sequences(np.random.default_rng(seed), 3) for seed in range(4)]
    strict = masked.estimate(batches[:2], min_coverage=2)
    strict.save(tmp_path / "population.npz")
    loaded = Population.load(tmp_path / "population.npz")
    assert (loaded.min_coverage, strict.min_coverage) == (2, 2)
    assert_same(
        masked.estimate(batches[2:]).merge(loaded), masked.estimate(batches, min_coverage=2)
    )


def test_file_can_be_read_without_the_library(masked: InferenceGraph, tmp_path: Path) -> None:
    population = masked.estimate([sequences(np.random.default_rng(0), 3)], min_coverage=1)
    population.save(tmp_path / "population.npz")
    with np.load(tmp_path / "population.npz", allow_pickle=False) as file:
        assert all((file[name] == population[name]).all() for name in population)
        header = json.loads(str(file["#header"]))
    assert header["format"] == 3
    assert (header["pooling"], header["n_batches"]) == ("edge", 1)
    assert header["library"].startswith("bnrewrite ")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)


def _foreign(path: Path) -> None:
    np.savez(path, weights=np.ones(3))


def _array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


def _text(path: Path) -> None:
    path.write_text("not a population")


def _rewrite(path: Path, **arrays: Any) -> None:
    with np.load(path) as file:
        np.savez(path, **{**file, **arrays})


def _newer(path: Path) -> None:
    with np.load(path) as file:
        header = json.loads(str(file["#header"]))
    _rewrite(path, **{"#header": np.array(json.dumps({**header, "format": 4}))})


def _edited(path: Path) -> None:
    with np.load(path) as file:
        value = file["loop/bn.mean"] + 1
    _rewrite(path, **{"loop/bn.mean": value})


def _incomplete(path: Path) -> None:
    with np.load(path) as file:
        arrays = {key: file[key] for key in file if key != "loop/bn.mean#tally.mean"}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated, "not a population file, or not a whole one"),
        (_damaged, "not a population file, or not a whole one"),
        (_text, "not a population file, or not a whole one"),
        (_array, "not a population file, or not a whole one"),
        (_foreign, "was not written by `Population.save`"),
        (_newer, "has format 4, written by bnrewrite .* later release"),
        (_edited, "changed after it was saved: it has lost the digest"),
        (_incomplete, "changed after it was saved: it has lost the digest"),
    ],
)
def test_file_that_is_not_a_population_is_refused(
    masked: InferenceGraph, tmp_path: Path, spoil: Any, message: str
) -> None:
    path = tmp_path / "population.npz"
    masked.estimate([sequences(np.random.default_rng(0), 3)]).save(path)
    spoil(path)
    with pytest.raises(ValueError, match=message):
        Population.load(path)


def test_missing_file_and_folder_are_the_errors_of_the_system(
    masked: InferenceGraph, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        Population.load(tmp_path / "nothing.npz")
    population = masked.estimate([sequences(np.random.default_rng(0), 3)])
    with pytest.raises(FileNotFoundError):
        population.save(tmp_path / "no folder" / "population.npz")


def test_interrupted_save_leaves_the_old_file(
    masked: InferenceGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "population.npz"
    old = masked.estimate([sequences(np.random.default_rng(0), 3)])
    old.save(path)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        masked.estimate([sequences(np.random.default_rng(1), 3)]).save(path)
    assert_same(Population.load(path), old)
    assert [p.name for p in tmp_path.iterdir()] == ["population.npz"]


# ---- tables


def test_summary_has_a_line_for_each_statistic(
    masked: InferenceGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [sequences(np.random.default_rng(seed), 3) for seed in range(4)]
    population = masked.estimate(batches)
    population.summary()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "name",
        "shape",
        "depth",
        "batches",
        "at",
        "last",
        "step",
        "elements",
        "there",
        "fewest",
        "in",
        "a",
        "batch",
        "mean",
        "standard",
        "error",
    ]
    assert len({len(row) for row in (header, *rows)}) == 1
    for row, (name, value) in zip(rows, population.items(), strict=True):
        steps, units = value.shape
        last = population.coverage[name][-1]
        assert row.split()[:7] == [name, str(steps), "x", str(units), "1", "4", str(last)]
        lengths = [mask.sum(axis=1).astype(int) for _, mask in batches]
        assert int(row.split()[7]) == sum(n[-1] for n in lengths if len(n) == steps)
        assert int(row.split()[8]) == min(n[n >= 2].min() for n in lengths)
        assert float(row.split()[9]) == pytest.approx(value.mean(), rel=1e-3)
        error = np.nanmean(population.standard_error[name])
        assert float(row.split()[10]) == pytest.approx(error, rel=0.1)
