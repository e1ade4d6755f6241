"""Tables of pandas and datasets of xarray have what the population has, value by value."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal

from bnrewrite import Population
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading

HOSTILE = [
    "step",
    "unit",
    "value",
    "coverage",
    "",
    "a/b",
    "/",
    "..",
    "\ud800",
    "<b>\n\0",
    "x" * 300,
]
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((), (3,)),
    ((), (2, 3)),
    ((4,), ()),
    ((4,), (3,)),
    ((4,), (2, 3)),
    ((2, 4), (3,)),
    ((2, 4), ()),
    ((2, 1, 3), (2, 2)),
    ((1,), (1,)),
]


def population_of(
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
    counts: dict[str, Any] | None = None,
    n_batches: int = 3,
) -> Population:
    """Batches that get shorter by a step each; with numbers of elements where `counts` has them."""
    rng = np.random.default_rng(0)
    tallies = Tallies(dict.fromkeys(shapes, "float32"), {})
    for i in range(n_batches):
        readings = {}
        for name, (steps, units) in shapes.items():
            taken = tuple(max(1, n - i) for n in steps)
            count = None
            if counts and name in counts:
                count = rng.integers(1, 5, size=(*taken, *counts[name])).astype(float)
            value = np.asarray(rng.normal(size=(*taken, *units)))
            readings[name] = Reading(value, np.ones(taken, bool), count)
        tallies.add(readings)
    return Population(tallies, "reached")


def expected_rows(population: Population, name: str) -> list[tuple[Any, ...]]:
    """Step, unit, value, coverage, spread and standard error of each value, one by one."""
    rows = []
    depth = population.coverage[name].ndim
    for place in np.ndindex(population[name].shape):
        step, unit = place[:depth], place[depth:]
        known = population.spread[name][place], population.standard_error[name][place]
        value, coverage = population[name][place], population.coverage[name][step]
        rows.append((step, unit, value, coverage, *known))
    return rows


def whole(row: Any, columns: list[str]) -> tuple[int, ...]:
    return tuple(int(row[c]) for c in columns if row[c] is not pandas.NA)


STEPS, UNITS = ["step", "step_2", "step_3"], ["unit", "unit_2"]


def test_table_has_a_row_for_each_value() -> None:
    population = population_of({f"s{i}": shape for i, shape in enumerate(SHAPES)})
    table = population.to_dataframe()
    assert table.columns.tolist() == [
        "statistic", *STEPS, *UNITS, "value", "coverage", "count", "spread", "standard_error",
    ]  # fmt: skip
    assert list(dict.fromkeys(table["statistic"])) == list(population)
    assert table.index.tolist() == list(range(sum(v.size for v in population.values())))
    for name in population:
        rows = table[table["statistic"] == name]
        for (_, row), expected in zip(
            rows.iterrows(), expected_rows(population, name), strict=True
        ):
            assert (whole(row, STEPS), whole(row, UNITS)) == expected[:2]
            found = row[["value", "coverage", "spread", "standard_error"]].tolist()
            assert_array_equal(np.array(found, float), np.array(expected[2:], float))
    assert table["count"].isna().all()
    assert table["value"].dtype == "float32"
    assert table["coverage"].dtype == "int64"
    assert {str(table[c].dtype) for c in [*STEPS, *UNITS, "count"]} == {"Int64"}


def test_table_of_statistics_without_axes_has_the_same_columns() -> None:
    table = population_of({"scalar": ((), ())}).to_dataframe()
    assert table.columns.tolist()[:4] == ["statistic", "step", "unit", "value"]
    assert table[["step", "unit"]].isna().all(axis=None)
    assert table["coverage"].tolist() == [3]


def test_counts_are_those_of_the_step_or_of_the_value() -> None:
    shapes = {name: ((3,), (2, 2)) for name in ("no", "step", "value", "axis")}
    counts = {"step": (1, 1), "value": (2, 2), "axis": (1, 2)}
    population = population_of(shapes, counts)
    table = population.to_dataframe().set_index(["statistic", "step", "unit", "unit_2"])["count"]
    datasets = population.to_xarray()
    assert "count" not in datasets["no"]
    assert datasets["step"]["count"].dims == ("step",)
    assert datasets["axis"]["count"].dims == ("step", "unit", "unit_2")
    assert table["no"].isna().all()
    for name in counts:
        total = population.count[name]
        for t, i, j in np.ndindex(3, 2, 2):
            expected = {
                "step": lambda: total[t],  # noqa: B023
                "value": lambda: total[t, i, j],  # noqa: B023
                "axis": lambda: total[t, 0, j],  # noqa: B023
            }[name]()
            assert table[name, t, i, j] == expected
            place = {"step": t} if name == "step" else {"step": t, "unit": i, "unit_2": j}
            assert datasets[name]["count"].sel(place).item() == expected


@pytest.mark.parametrize(("steps", "units"), SHAPES)
def test_dataset_has_the_arrays_with_named_axes(
    steps: tuple[int, ...], units: tuple[int, ...]
) -> None:
    population = population_of({"h": (steps, units)})
    (dataset,) = population.to_xarray().values()
    dims = (*STEPS[: len(steps)], *UNITS[: len(units)])
    assert dict(dataset.sizes) == dict(zip(dims, steps + units, strict=True))
    for key in ("value", "spread", "standard_error"):
        assert dataset[key].dims == dims
    assert dataset["coverage"].dims == dims[: len(steps)]
    assert_array_equal(dataset["value"], population["h"])
    assert_array_equal(dataset["coverage"], population.coverage["h"])
    assert_array_equal(dataset["spread"], population.spread["h"])
    assert_array_equal(dataset["standard_error"], population.standard_error["h"])
    for dim, n in dataset.sizes.items():
        assert dataset[dim].values.tolist() == list(range(n))
    assert dataset["value"].dtype == population["h"].dtype
    assert dataset.attrs == {
        "statistic": "h",
        "n_batches": 3,
        "pooling": "reached",
        "min_coverage": 0,
        "min_count": 0,
    }


def test_names_may_be_anything() -> None:
    population = population_of(dict.fromkeys(HOSTILE, ((4,), (3,))))
    assert list(population.to_xarray()) == HOSTILE
    table = population.to_dataframe()
    assert table["statistic"].tolist() == [name for name in HOSTILE for _ in range(12)]
    for name, dataset in population.to_xarray().items():
        assert_array_equal(dataset["value"], population[name])
        is_it = [one == name for one in table["statistic"]]  # pandas itself overlooks "\\0"
        assert_array_equal(table[is_it]["value"], population[name].ravel())


def test_what_is_returned_belongs_to_the_caller() -> None:
    population = population_of({"h": ((4,), (3,))})
    before = population["h"].copy(), population.coverage["h"].copy(), population.spread["h"].copy()
    dataset, table = population.to_xarray()["h"], population.to_dataframe()
    for key in ("value", "coverage", "spread"):
        dataset[key][:] = -1
        table[key] *= -7
        table.loc[0, key] = -1
    after = population["h"], population.coverage["h"], population.spread["h"]
    for one, other in zip(before, after, strict=True):
        assert_array_equal(one, other)
    assert isinstance(population["h"], np.ndarray)


def test_values_without_a_spread_say_so() -> None:
    population = population_of({"h": ((2,), (2,))}, n_batches=1)
    assert population.to_dataframe()[["spread", "standard_error"]].isna().all(axis=None)
    assert np.isnan(population.to_xarray()["h"]["standard_error"]).all()


@pytest.mark.parametrize(
    ("package", "method"), [("pandas", "to_dataframe"), ("xarray", "to_xarray")]
)
def test_what_is_not_installed_is_named_with_the_way_to_get_it(
    package: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'`{method}` needs {package}.* pip install "bnrewrite\[tables\]" brings it'
    with pytest.raises(ImportError, match=message):
        getattr(population_of({"h": ((2,), (2,))}), method)()


def test_neither_is_imported_before_it_is_asked_for() -> None:
    code = """
import sys
import bnrewrite
before = {"pandas", "xarray"} & {*sys.modules}
import numpy as np
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading
tallies = Tallies({"h": "float64"}, {})
tallies.add({"h": Reading(np.ones((3, 9)), np.ones(3, bool), None)})
bnrewrite.Population(tallies).to_dataframe()
print(before, {"pandas", "xarray"} & {*sys.modules} - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.splitlines()[-1] == "set() {'pandas'}"
