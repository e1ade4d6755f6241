"""How two populations differ, against differences and standard errors computed by hand."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnrewrite import Population
from bnrewrite.population.difference import difference_of
from bnrewrite.population.origin import Origin
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading


def population(batches: dict[str, list[Any]], depth: int = 1, **options: Any) -> Population:
    """The average of the arrays of each name, of which leading axes are those of time."""
    dtype, origin = options.pop("dtype", "float64"), options.pop("origin", Origin())
    tallies = Tallies(dict.fromkeys(batches, dtype), {}, origin=origin)
    for values in zip(*batches.values(), strict=True):
        arrays = [np.asarray(v, float) for v in values]
        readings = [Reading(a, np.ones(a.shape[:depth], bool), None) for a in arrays]
        tallies.add(dict(zip(batches, readings, strict=True)))
    return Population(tallies, options.pop("pooling", "reached"), **options)


def draws(seed: int, n: int, *shape: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(n, *shape)))


@pytest.mark.parametrize(("shape", "depth"), [((), 0), ((3,), 0), ((4, 3), 1), ((2, 4, 3), 2)])
def test_differences_are_in_units_of_their_standard_error(
    shape: tuple[int, ...], depth: int
) -> None:
    one, other = draws(0, 9, *shape), draws(1, 6, *shape)
    found = difference_of(*(population({"h": b}, depth) for b in (one, other)))
    difference = np.mean(one, axis=0) - np.mean(other, axis=0)
    error = np.sqrt(np.var(one, axis=0, ddof=1) / 9 + np.var(other, axis=0, ddof=1) / 6)
    (row,) = found.rows
    assert_allclose(row.difference, difference)
    assert_allclose(row.in_errors, difference / error)
    assert found.notes == ()
    cells = re.split(" {2,}", repr(found).splitlines()[1])
    size, in_errors = np.abs(difference), np.abs(difference / error)
    numbers = [np.sqrt(np.mean(size**2)), size.max(), np.sqrt(np.mean(in_errors**2))]
    assert [cells[0], *cells[2:6]] == [
        "h",
        *(f"{n:.3g}" for n in [*numbers, in_errors.max()]),
    ]
    place = [str(i) for i in np.unravel_index(in_errors.argmax(), shape)]
    expected = [f"step {' '.join(place[:depth])}"] * bool(depth)
    expected += [f"unit {' '.join(place[depth:])}"] * (len(shape) > depth)
    assert cells[6:] == [", ".join(expected) or "-", "0"]


def test_estimates_of_the_same_differ_by_about_one_standard_error() -> None:
    one, other = (population({"h": draws(seed, 50, 20, 30)}) for seed in (0, 1))
    (row,) = difference_of(one, other).rows
    assert 0.9 < np.sqrt(np.mean(row.in_errors**2)) < 1.15
    moved = population({"h": [v + 3 for v in draws(1, 50, 20, 30)]})
    (row,) = difference_of(one, moved).rows
    assert 13 < np.sqrt(np.mean(row.in_errors**2)) < 17  # 3 / sqrt(2 / 50) = 15


def test_differences_without_a_standard_error_are_counted() -> None:
    # A unit that differs, one that does not, and one that always has the value that it has.
    one = population({"h": [[[0.0, 5.0, 1.0]], [[2.0, 5.0, 1.0]]]})
    other = population({"h": [[[4.0, 5.0, 7.0]], [[6.0, 5.0, 7.0]]]})
    (row,) = difference_of(one, other).rows
    assert_allclose(row.in_errors, [[-4 / np.sqrt(2), 0, np.nan]])
    (cells,) = (
        re.split(" {2,}", line) for line in repr(difference_of(one, other)).splitlines()[1:]
    )
    assert cells[3:] == ["6", "2", "2.83", "step 0, unit 0", "1"]


def test_where_no_standard_error_is_known_differences_are_plain() -> None:
    one, other = (population({"h": [[[1.0, 2.0, 3.0]]]}), population({"h": [[[1.5, 2.5, 9.0]]]}))
    cells = re.split(" {2,}", repr(difference_of(one, other)).splitlines()[1])
    assert cells[3:] == ["6", "unknown", "unknown", "step 0, unit 2", "3"]


@pytest.mark.parametrize("n", [1, 3])
def test_a_population_does_not_differ_from_itself(n: int) -> None:
    one = population({"h": draws(0, n, 4, 3)}, dtype="float32")
    (row,) = difference_of(one, one).rows
    assert (row.in_errors == 0).all()
    assert row.cells()[2:] == ["0", "0", "0", "0", "-", "0"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_no_difference(dtype: str) -> None:
    values = [v + 1000 for v in draws(0, 20, 5, 3)]
    one, other = (population({"h": b}, dtype=dtype) for b in (values, values[::-1]))
    (row,) = difference_of(one, other).rows
    assert (row.in_errors == 0).all()


def test_steps_that_one_has_more_are_not_compared() -> None:
    one, other = population({"h": draws(0, 4, 5, 3)}), population({"h": draws(1, 4, 3, 3)})
    for pair, shapes in (((one, other), "5 x 3 and 3 x 3"), ((other, one), "3 x 3 and 5 x 3")):
        found = difference_of(*pair)
        assert found.rows[0].difference.shape == (3, 3)
        assert found.notes == (f"compared at the steps that both have, of shapes {shapes}: h",)


def test_what_can_not_be_compared_is_said() -> None:
    origins = [Origin("engine 1", {"same": definition}) for definition in "ab"]
    same = draws(0, 2, 4, 3)
    one = population({"same": same, "mine": same, "units": same}, origin=origins[0])
    other = population(
        {"same": same, "yours": same, "units": draws(0, 2, 4, 2)},
        pooling="edge",
        min_coverage=1,
        origin=origins[1],
    )
    found = difference_of(one, other)
    assert [row.name for row in found.rows] == ["same"]
    assert found.notes == (
        "pooling: 'reached' in the first, 'edge' in the second",
        "min_coverage: 0 in the first, 1 in the second",
        "only in the first: mine",
        "only in the second: yours",
        "of different graphs, computed in another way: same",
        "not compared, of shapes 4 x 3 and 4 x 2: units",
    )
    assert repr(found).splitlines()[2:] == list(found.notes)


def test_a_loop_more_around_a_statistic_is_another_shape() -> None:
    one, other = population({"h": draws(0, 2, 4, 3)}), population({"h": draws(0, 2, 4, 3)}, 2)
    assert difference_of(one, other).notes == ("not compared, of shapes 4 x 3 and 4 x 3: h",)
    assert repr(difference_of(one, other)).startswith("no statistic can be compared\n")


def test_large_values_and_names_of_any_kind_are_compared() -> None:
    values = [1e100 * v for v in draws(0, 3, 2, 2)]
    other = [-v for v in values]
    found = difference_of(population({"\n\ud800": values}), population({"\n\ud800": other}))
    expected = np.abs(np.mean(values, axis=0) * 2 / 1e100)
    cells = re.split(" {2,}", repr(found).splitlines()[1])
    assert cells[:2] == [r"\n\ud800", "2 x 2"]
    assert_allclose(float(cells[2]) / 1e100, np.sqrt(np.mean(expected**2)), rtol=1e-2)
