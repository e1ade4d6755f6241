"""Averages over arrays of different lengths, against NumPy on padded arrays."""

import pickle
from copy import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from bnrewrite.population.moments import Moments
from bnrewrite.population.padded import PaddedMoments
from bnrewrite.population.ragged import fill_forward, length

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@st.composite
def arrays_of_different_lengths(draw: st.DrawFn) -> tuple[int, list[np.ndarray]]:
    """Draw a number of time axes, and arrays with that many leading axes, of any lengths."""
    depth = draw(st.integers(0, 3))
    shape = draw(st.sampled_from([(), (2,), (1, 3)]))
    lengths = st.tuples(*[st.integers(1, 4)] * depth)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    drawn = draw(st.lists(lengths, min_size=1, max_size=5))
    return depth, [np.asarray(rng.normal(size=n + shape)) for n in drawn]


def padded(arrays: list[np.ndarray], depth: int, mode: str) -> list[np.ndarray]:
    """Bring the leading axes of all arrays to common lengths, by `np.pad`."""
    longest = [max(a.shape[i] for a in arrays) for i in range(depth)]
    widths = [
        [(0, longest[i] - a.shape[i]) if i < depth else (0, 0) for i in range(a.ndim)]
        for a in arrays
    ]
    return [np.pad(a, w, mode=mode) if a.ndim else a for a, w in zip(arrays, widths, strict=True)]


def reached_in(array: np.ndarray, depth: int, number: int) -> np.ndarray:
    """Weights of 0 and 1, the same for the same `number`; all 1 for some."""
    rng = np.random.default_rng(number)
    shape = array.shape[:depth] + (1,) * (array.ndim - depth)
    return rng.integers(number % 2, 2, size=shape).astype(float)


def padded_of(arrays: list[np.ndarray], depth: int, numbers: range) -> PaddedMoments:
    """Moments of the arrays of these numbers, the steps reached being those of `reached_in`."""
    weight = np.zeros(arrays[0].shape[:depth] + (1,) * (arrays[0].ndim - depth))
    moments = PaddedMoments.empty(depth, weight, arrays[0])
    for number in numbers:
        moments.add(reached_in(arrays[number], depth, number), arrays[number])
    return moments


def in_two_parts(arrays: list[np.ndarray], depth: int, cut: int) -> PaddedMoments:
    """Moments of all arrays, of which the first `cut` were added apart from the others."""
    moments = padded_of(arrays, depth, range(len(arrays))[:cut])
    moments.merge(padded_of(arrays, depth, range(len(arrays))[cut:]))
    return moments


def weights_of(array: np.ndarray, depth: int, rng: np.random.Generator) -> np.ndarray:
    shape = array.shape[:depth] + (1,) * (array.ndim - depth)
    return rng.integers(0, 4, size=shape).astype(float)


@quick
@given(arrays_of_different_lengths(), st.integers(0, 5))
def test_padded_mean_is_the_mean_of_edge_padded_arrays(
    drawn: tuple[int, list[np.ndarray]], cut: int
) -> None:
    depth, arrays = drawn
    moments = in_two_parts(arrays, depth, cut)
    assert moments.n == len(arrays)
    assert_allclose(moments.padded_mean, np.mean(padded(arrays, depth, "edge"), axis=0), atol=1e-12)


def there_in(array: np.ndarray, depth: int, number: int) -> np.ndarray | None:
    """Steps at which an array is there; for every third at all, and not said."""
    if number % 3 == 0:
        return None
    return reached_in(array, depth, 7 * number) > 0


def partly(arrays: list[np.ndarray], depth: int, numbers: range) -> PaddedMoments:
    """Moments of the arrays of these numbers, at the steps where they are there."""
    weight = np.zeros(arrays[0].shape[:depth] + (1,) * (arrays[0].ndim - depth))
    moments = PaddedMoments.empty(depth, weight, arrays[0])
    for number in numbers:
        array, there = arrays[number], there_in(arrays[number], depth, number)
        reached = reached_in(array, depth, number)
        moments.add(reached if there is None else reached * there, array, there=there)
    return moments


@quick
@given(arrays_of_different_lengths(), st.integers(0, 5))
def test_padded_mean_leaves_out_the_steps_at_which_an_array_is_not_there(
    drawn: tuple[int, list[np.ndarray]], cut: int
) -> None:
    depth, arrays = drawn
    moments = partly(arrays, depth, range(len(arrays))[:cut])
    moments.merge(partly(arrays, depth, range(len(arrays))[cut:]))
    moments = PaddedMoments.from_arrays(moments.to_arrays())
    everywhere = [np.ones(a.shape[:depth] + (1,) * (a.ndim - depth)) for a in arrays]
    there = [there_in(a, depth, i) for i, a in enumerate(arrays)]
    masks = [e if t is None else t.astype(float) for e, t in zip(everywhere, there, strict=True)]
    n = np.sum(padded(masks, depth, "edge"), axis=0)
    total = np.sum(
        padded([a * m for a, m in zip(arrays, masks, strict=True)], depth, "edge"), axis=0
    )
    assert_array_equal(moments.is_there(), n.reshape(n.shape[:depth]) > 0)
    counted = np.broadcast_to(n > 0, total.shape)
    mean = moments.padded_mean
    assert_allclose(mean[counted], (total / np.maximum(n, 1))[counted], atol=1e-12)


@quick
@given(arrays_of_different_lengths(), st.integers(0, 5))
def test_padded_moments_are_those_of_the_steps_that_were_reached(
    drawn: tuple[int, list[np.ndarray]], cut: int
) -> None:
    depth, arrays = drawn
    moments = in_two_parts(arrays, depth, cut)
    parts = [(reached_in(a, depth, i), a, np.zeros_like(a)) for i, a in enumerate(arrays)]
    expected = moments_of(parts, depth, arrays[0])
    assert_array_equal(moments.weight, expected.weight)
    assert_allclose(moments.mean * (moments.weight > 0), expected.mean * (expected.weight > 0))
    assert_allclose(moments.variance, expected.variance, atol=1e-12)


def test_padded_mean_is_the_mean_to_the_last_bit_if_nothing_is_held() -> None:
    arrays = list(np.random.default_rng(0).normal(size=(100, 4, 3)))
    moments = padded_of(arrays, 1, range(1, 100, 2))
    assert_array_equal(moments.padded_mean, moments.mean)


def test_adding_leaves_the_arrays_of_the_caller_alone() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n, 3)) for n in (2, 2, 4, 3)]
    given = [np.zeros((3, 1)), *rng.normal(size=(3, 3, 3))]
    before = [a.copy() for a in (*given, *arrays)]
    moments = PaddedMoments(1, *given, 1)
    for array in arrays:
        moments.add(np.ones((len(array), 1)), array)
    moments.merge(padded_of(arrays, 1, range(4)))
    for array, as_it_was in zip((*given, *arrays), before, strict=True):
        assert_array_equal(array, as_it_was)


def moments_of(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], depth: int, like: np.ndarray
) -> Moments:
    weight = np.zeros(like.shape[:depth] + (1,) * (like.ndim - depth))
    moments = Moments.empty(depth, weight, like)
    for part in parts:
        moments.add(*part)
    return moments


@quick
@given(arrays_of_different_lengths(), st.integers(0, 1000), st.integers(0, 5))
def test_moments_are_the_weighted_mean_and_variance_of_what_was_reached(
    drawn: tuple[int, list[np.ndarray]], seed: int, cut: int
) -> None:
    depth, arrays = drawn
    rng = np.random.default_rng(seed)
    arrays = [a + 1e3 for a in arrays]
    weights = [weights_of(a, depth, rng) for a in arrays]
    variances = [rng.uniform(size=a.shape) for a in arrays]
    parts = [(w, a, w * v) for w, a, v in zip(weights, arrays, variances, strict=True)]
    moments = moments_of(parts[:cut], depth, arrays[0])
    moments.merge(moments_of(parts[cut:], depth, arrays[0]))

    w = np.stack(np.broadcast_arrays(*padded(weights, depth, "constant")))
    x = np.stack(padded(arrays, depth, "constant"))
    v = np.stack(padded(variances, depth, "constant"))
    w = np.broadcast_to(w, x.shape)
    seen = w.sum(0) > 0
    total = np.where(seen, w.sum(0), 1)
    mean = (w * x).sum(0) / total
    variance = (w * (v + (x - mean) ** 2)).sum(0) / total
    assert_allclose(np.broadcast_to(moments.weight, x.shape[1:]), w.sum(0))
    assert_allclose(moments.mean[seen], mean[seen], rtol=1e-10)
    assert_allclose(moments.variance, np.where(seen, variance, 0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("at", [0, 50])
def test_moments_are_exact_if_one_value_is_far_from_all_others(at: int) -> None:
    values = np.random.default_rng(0).normal(size=(100, 3))
    values[at] = 1e6
    moments = moments_of([(np.ones(1), v, np.zeros(3)) for v in values], 0, np.zeros(3))
    assert_allclose(moments.mean, values.mean(0), rtol=1e-13)
    assert_allclose(moments.variance, values.var(0), rtol=1e-13)


def test_moments_of_large_values_that_hardly_differ() -> None:
    values = 1e8 + np.random.default_rng(0).normal(size=(1000, 3))
    moments = moments_of([(np.ones(1), v, np.zeros(3)) for v in values], 0, values[0])
    assert_allclose(moments.mean, values.mean(0), rtol=1e-14)
    assert_allclose(moments.variance, values.var(0), rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e25])
def test_moments_of_single_precision_are_as_exact_as_what_is_added(size: float) -> None:
    rng = np.random.default_rng(0)
    values = [((3 + rng.normal(size=(n, 2))) * size).astype("f4") for n in [3, 5, 4, 1] * 9]
    moments = PaddedMoments.empty(1, np.zeros((1, 1)), values[0])
    for number, value in enumerate(values):
        moments.add(np.ones((len(value), 1)), value)
        if number == 20:
            assert moments.mean.shape == (5, 2)  # what is read in between changes nothing
    for step in range(5):
        there = np.array([v[step] for v in values if len(v) > step], "f8")
        assert_allclose(moments.mean[step], there.mean(0), rtol=3e-7)
        assert_allclose(moments.variance[step], there.var(0), rtol=3e-6)
    edge = [np.pad(v.astype("f8"), [(0, 5 - len(v)), (0, 0)], "edge") for v in values]
    assert_allclose(moments.padded_mean, np.mean(edge, axis=0), rtol=3e-7)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_copy_is_not_changed_by_what_is_added_to_the_other(dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(30, 4, 3)).astype(dtype)
    for n_before in (0, 1, 3, 8, 13):
        moments = PaddedMoments.empty(1, np.zeros((4, 1)), values[0])
        for value in values[:n_before]:
            moments.add(np.ones((4, 1)), value)
        others = [copy(moments), pickle.loads(pickle.dumps(moments)), moments]
        for number, other in enumerate(others):
            for value in values[n_before + number :]:
                other.add(np.ones((4, 1)), value)
        for number, other in enumerate(others):
            added = np.concatenate([values[:n_before], values[n_before + number :]]).astype("f8")
            assert_array_equal(other.weight, np.full((4, 1), len(added)))
            assert_allclose(other.mean, added.mean(0), rtol=1e-5, atol=1e-6)
            assert_allclose(other.variance, added.var(0), rtol=1e-5)


def test_moments_are_exact_though_what_came_first_did_not_count() -> None:
    values = 1e8 + np.random.default_rng(0).normal(size=(1000, 2, 3))
    nothing = (np.zeros((2, 1)), np.zeros((2, 3)), np.zeros((2, 3)))
    parts = [nothing, *((np.ones((2, 1)), v, np.zeros((2, 3))) for v in values)]
    moments = moments_of(parts, 1, np.zeros((1, 3)))
    assert_allclose(moments.mean, values.mean(0), rtol=1e-14)
    assert_allclose(moments.variance, values.var(0), rtol=1e-6)


def test_variance_that_rounding_made_negative_is_zero() -> None:
    moments = moments_of([(np.ones(1), np.ones(2), np.array([-1e-9, 0.5]))], 0, np.zeros(2))
    assert_array_equal(moments.variance, [0, 0.5])


def test_weights_may_get_an_axis_of_the_units_later() -> None:
    rng = np.random.default_rng(0)
    weights = [np.full((2, 1), 2.0), np.array([[1.0, 2, 3], [0, 4, 0]]), np.full((1, 1), 3.0)]
    parts = [(w, rng.normal(size=(len(w), 3)), np.zeros((len(w), 3))) for w in weights]
    forth, back = (moments_of(order, 1, np.zeros((1, 3))) for order in (parts, parts[::-1]))
    merged = moments_of(parts[:1], 1, np.zeros((1, 3)))
    merged.merge(moments_of(parts[1:], 1, np.zeros((1, 3))))
    mean = sum(w[:2] * np.pad(x, [(0, 2 - len(x)), (0, 0)]) for w, x, _ in parts)
    for moments in (forth, back, merged):
        assert_array_equal(moments.weight, [[6, 7, 8], [2, 6, 2]])
        assert_allclose(moments.mean, mean / moments.weight)


def test_moments_of_groups_are_those_of_their_elements() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(loc=5, size=(n, 3)) for n in (2, 7, 1)]
    parts = [(np.full(1, float(len(g))), g.mean(0), len(g) * g.var(0)) for g in groups]
    moments = moments_of(parts, 0, np.zeros(3))
    assert_allclose(moments.mean, np.concatenate(groups).mean(0))
    assert_allclose(moments.variance, np.concatenate(groups).var(0))


def test_hold_repeats_the_last_step_before() -> None:
    values = np.arange(5.0)[:, None] * [1, 10]
    reached = np.array([True, False, True, False, False])
    assert_array_equal(fill_forward(values, reached)[:, 0], [0, 0, 2, 2, 2])
    assert_array_equal(fill_forward(values, reached)[:, 1], [0, 0, 20, 20, 20])


def test_hold_takes_the_first_step_behind_if_there_is_none_before() -> None:
    reached = np.array([False, False, True, False, True])
    assert_array_equal(fill_forward(np.arange(5.0), reached), [2, 2, 2, 2, 4])


def test_hold_takes_no_notice_of_values_that_were_not_reached() -> None:
    values = np.array([np.nan, 1, np.inf])
    assert_array_equal(fill_forward(values, np.array([False, True, False])), [1, 1, 1])


def test_hold_on_two_axes_fills_the_inner_one_first_and_then_whole_steps() -> None:
    values = np.arange(12.0).reshape(4, 3)
    reached = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=bool)
    expected = [[3, 3, 5], [3, 3, 5], [3, 3, 5], [10, 10, 10]]
    assert_array_equal(fill_forward(values, reached), expected)
    assert_array_equal(fill_forward(values[..., None], reached)[..., 0], expected)


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_hold_changes_nothing_if_all_steps_were_reached(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=(*shape, 2))
    assert_array_equal(fill_forward(values, np.ones(shape, dtype=bool)), values)


def test_length_is_up_to_the_last_step_reached_on_each_axis() -> None:
    reached = np.zeros((3, 4), dtype=bool)
    reached[0, 2] = reached[1, 0] = True
    assert [length(reached, axis) for axis in (0, 1)] == [2, 3]
    assert length(np.array([False, True, True, False]), 0) == 3
