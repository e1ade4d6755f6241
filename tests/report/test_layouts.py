"""What verification is made of: layouts of outputs, variants of batches, tolerances."""

from itertools import product

import numpy as np
import pytest

from bnrewrite.report.layouts import EXAMPLES, Grown, Layout, growth, layouts
from bnrewrite.report.tolerance import differ, nudged, tolerance_of
from bnrewrite.report.variants import few_variants, variants
from bnrewrite.report.wholes import are_made_by_examples


@pytest.mark.parametrize(
    ("lengths", "grown"),
    [
        ({1: 7, 5: 7, 6: 7}, Grown(7, 0)),
        ({1: 1, 5: 5, 6: 6}, Grown(1, 1)),
        ({1: 3, 5: 15, 6: 18}, Grown(3, 1)),
        ({1: 1, 5: 25, 6: 36}, Grown(1, 2)),
        ({1: 2, 5: 50, 6: 72}, Grown(2, 2)),
        ({1: 2, 5: 6, 6: 7}, None),  # one element more than examples
        ({1: 0, 5: 10, 6: 15}, None),  # pairs of different examples
        ({1: 4, 5: 3, 6: 4}, None),
        ({1: 0, 5: 0, 6: 0}, Grown(0, 0)),
    ],
)
def test_growth_of_an_axis_says_what_is_in_it(lengths: dict[int, int], grown: Grown | None) -> None:
    assert growth(lengths) == grown


def test_layouts_are_all_ways_to_flatten() -> None:
    assert layouts([Grown(3, 0), Grown(7, 0)]) == []
    assert layouts([Grown(7, 0), Grown(1, 1)]) == [Layout(((7,), (EXAMPLES,)))]
    found = [layout.axes[0] for layout in layouts([Grown(6, 1)])]
    assert found == [(6, EXAMPLES), (3, EXAMPLES, 2), (2, EXAMPLES, 3), (EXAMPLES, 6)]
    assert layouts([Grown(1, 2)]) == [Layout(((EXAMPLES, EXAMPLES),))]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_one_of_the_layouts_takes_a_flattened_output_apart(order: tuple[int, int, int]) -> None:
    value = np.random.default_rng(0).normal(size=(3, 5, 4))  # time, examples, units
    flat = value.transpose(order).reshape(-1)
    example = order.index(1)
    fitting = [
        layout
        for layout in layouts([Grown(12, 1)])
        if np.array_equal(
            layout.apart(flat, 5).take([2], layout.example_axes[0]).ravel(),
            value.transpose(order).take([2], example).ravel(),
        )
    ]
    assert len(fitting) == 1
    assert fitting[0].apart(flat[:-1], 5) is None


def test_only_an_axis_without_examples_may_have_another_length() -> None:
    (layout,) = layouts([Grown(7, 0), Grown(1, 1), Grown(4, 0)])
    assert (layout.example_axes, layout.unit_axis) == ([1], 2)
    assert layout.apart(np.zeros((9, 5, 4)), 5).shape == (9, 5, 4)
    assert layout.apart(np.zeros((7, 6, 4)), 5) is None


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13, 64])
def test_of_any_two_places_one_keeps_its_example_and_the_other_gets_another(n: int) -> None:
    own_size = [v for v in variants(n) if len(v) == n]
    for keeping, other in product(range(n), repeat=2):
        if keeping != other:
            assert any(v[keeping] == keeping and v[other] != other for v in own_size)
    assert all(any(v[i] != i for v in own_size) for i in range(n))
    assert {len(v) for v in variants(n)} == {1, n, n + 1, 2 * n}
    assert [0] in variants(n)
    assert [n - 1] in variants(n)
    for v in variants(n) + few_variants(n):
        assert set(v) <= set(range(n))


def test_number_of_variants_grows_with_the_logarithm_of_the_batch() -> None:
    assert len(variants(1000)) < 40
    assert len(few_variants(1000)) < 10


SMALL = np.random.default_rng(1).normal(scale=1e-3, size=(6, 40, 5))  # time, examples, units


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("large", [1e9, -1e9, np.inf, -np.inf, np.nan])
def test_large_values_do_not_hide_differences_between_small_ones(large: float, dtype: str) -> None:
    value = SMALL.astype(dtype)
    value[:, ::2, 1] = large  # in a unit with others that are small
    value[..., 2] = large
    other = value.copy()
    other[3, 1, 1] *= 1.01
    allowed = tolerance_of(value, value, 2).allowed
    assert np.argwhere(differ(value, other, allowed)).tolist() == [[3, 1, 1]]
    assert not differ(value, value, allowed).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_no_difference_even_where_a_unit_is_near_zero(dtype: str) -> None:
    """The same sums, added up in two orders."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(200, 300)).astype(dtype), rng.normal(size=(300, 20)).astype(dtype)
    value, other = (
        (x @ w).astype(dtype),
        sum(x[:, k, None] * w[k] for k in range(300)).astype(dtype),
    )
    rounded = nudged(x, rng) @ w
    assert (value != other).any()
    assert not differ(value, other, tolerance_of(value, rounded, 1).allowed).any()


def test_infinities_and_nan_must_be_in_the_same_places() -> None:
    value = np.array([np.inf, -np.inf, np.nan, 1.0])
    allowed = tolerance_of(value, value, None).allowed
    for i, instead in product(range(4), (np.inf, -np.inf, np.nan, 1.0)):
        other = value.copy()
        other[i] = instead
        expected = not (value[i] == instead or (np.isnan(value[i]) and np.isnan(instead)))
        assert differ(value, other, allowed).tolist() == [
            expected if j == i else False for j in range(4)
        ]


def test_what_rounding_makes_much_of_is_unclear() -> None:
    value = np.ones((10, 10))
    rounded = value.copy()
    rounded[0, 0] += 0.01
    assert tolerance_of(value, rounded, 1).unclear is None  # one element
    rounded[:2] += 0.01
    assert "may change 20% of it" in str(tolerance_of(value, rounded, 1).unclear)
    assert tolerance_of(value, rounded, 1).allowed[5].max() < 1e-7
    whole, other = np.arange(1000), np.arange(1000)
    other[3] += 1
    assert tolerance_of(whole, whole, 0).n_excused == 0
    assert tolerance_of(whole, other, 0).n_excused == 10


def test_whole_numbers_are_not_nudged() -> None:
    rng = np.random.default_rng(3)
    value = np.array([0.0, 1.0, 0.5, np.inf, -3.0])
    changed = nudged(value, rng) != value
    assert changed.tolist() == [False, False, True, False, False]
    assert nudged(np.arange(3), rng).tolist() == [0, 1, 2]


def test_outputs_without_examples_are_made_by_them_or_not() -> None:
    x = np.random.default_rng(4).normal(size=(7, 3))

    def compute(variant: list[int]) -> list[np.ndarray]:
        rows = x[variant]
        return [
            rows.mean(),
            rows.sum(axis=0),
            np.square(rows).mean(axis=0),
            np.asarray(3),
            np.asarray(len(rows)),  # a sum of ones
            rows.max(),
            rows.std(),
            np.square(rows.mean(axis=0)),
            rows.sum() / np.sqrt(len(rows)),
            rows.T @ rows / len(rows) ** 2,
            np.asarray(np.nan),
        ]

    with np.errstate(all="ignore"):
        made = are_made_by_examples(7, compute)
    assert made == [True] * 5 + [False] * 6
