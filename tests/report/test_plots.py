"""Pictures show the numbers of the population, and nothing is written unless asked."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from bnrewrite import Population
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading
from bnrewrite.report.plots import plot_population

SPREAD = "standard deviation between batches"
Array = NDArray[Any]


def estimated(batches: list[Mapping[str, tuple[Array, Array]]], **keywords: Any) -> Population:
    """Average values, given with the steps that were reached."""
    pooling, dtype = keywords.pop("pooling", "reached"), keywords.pop("dtype", "float64")
    tallies = Tallies(dict.fromkeys(batches[0], dtype), {})
    for batch in batches:
        readings = {n: Reading(np.asarray(v, float), r, None) for n, (v, r) in batch.items()}
        tallies.add(readings)
    return Population(tallies, pooling, **keywords)


def random(
    lengths: list[tuple[int, ...]], units: tuple[int, ...], names: Any = ("h",), **keywords: Any
) -> Population:
    """Draw a batch for each of `lengths`."""
    rng = np.random.default_rng(0)
    batches: list[Any] = [
        {name: (rng.normal(size=(*n, *units)), np.ones(n, bool)) for name in names} for n in lengths
    ]
    return estimated(batches, **keywords)


def figure_of(population: Population, name: str = "h") -> Figure:
    return plot_population(population).by_name[name]


def band(ax: Axes, n: int = 0) -> tuple[Array, Array, Array]:
    """Steps, lower and upper edge of a band."""
    x, y = ax.collections[n].get_paths()[0].vertices.T
    steps = np.unique(x)
    edges = [(y[x == t].min(), y[x == t].max()) for t in steps]
    return steps, *np.transpose(edges)


def image(ax: Axes) -> Array:
    """What a heat map shows, with NaN where it is blank."""
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def legend(ax: Axes) -> list[str]:
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    return texts


# ---- in a loop


@pytest.mark.parametrize("units", [(), (3,), (2, 3)])
def test_few_units_have_a_line_each_with_a_band_of_the_spread(units: tuple[int, ...]) -> None:
    population = random([(5,), (7,), (4,)], units)
    above, _ = figure_of(population).axes
    value = population["h"].reshape(7, -1)
    spread = population.spread["h"].reshape(7, -1)
    assert len(above.lines) == value.shape[1]
    for unit, line in enumerate(above.lines):
        assert_allclose(line.get_xdata(), np.arange(7))
        assert_allclose(line.get_ydata(), value[:, unit])
        steps, low, high = band(above, unit)
        assert steps.tolist() == [0, 1, 2, 3, 4]  # further on there is one batch
        assert_allclose(low, (value - spread)[:5, unit])
        assert_allclose(high, (value + spread)[:5, unit])
    assert above.get_ylabel().split() == f"value ± {SPREAD}".split()


def test_lines_differ_in_colour_and_in_style_and_have_a_legend() -> None:
    above, _ = figure_of(random([(5,)] * 2, (6,))).axes
    assert len({line.get_color() for line in above.lines}) == 6
    assert len({str((line._dash_pattern, line.get_linestyle())) for line in above.lines}) == 6  # type: ignore[attr-defined]
    assert legend(above) == [f"unit {n}" for n in range(6)]
    above, _ = figure_of(random([(5,)] * 2, (2, 2))).axes
    assert legend(above) == ["unit (0, 0)", "unit (0, 1)", "unit (1, 0)", "unit (1, 1)"]


@pytest.mark.parametrize("units", [3, 30])
def test_coverage_is_below_on_the_same_steps(units: int) -> None:
    population = random([(5,), (7,), (4,)], (units,))
    axes = [ax for ax in figure_of(population).axes if ax.get_label() != "<colorbar>"]
    below = axes[-1]
    (stairs,) = below.patches
    values, edges, baseline = stairs.get_data()  # type: ignore[attr-defined]
    assert values.tolist() == population.coverage["h"].tolist() == [3, 3, 3, 3, 2, 1, 1]
    assert_allclose(edges, np.arange(8) - 0.5)
    assert baseline == below.get_ylim()[0] == 0
    assert (below.get_xlabel(), below.get_ylabel()) == ("step", "batches")
    assert {ax.get_xlim() for ax in axes} == {(-0.5, 6.5)}


@pytest.mark.parametrize("units", [(30,), (3, 4)])
def test_many_units_are_a_heat_map_below_their_quantiles(units: tuple[int, ...]) -> None:
    population = random([(5,), (7,), (4,)], units)
    above, middle, _, bar = figure_of(population).axes
    value, spread = population["h"].reshape(7, -1), population.spread["h"].reshape(7, -1)
    assert_allclose(image(middle), value.T)
    assert middle.get_ylabel() == ("unit" if len(units) == 1 else "unit (flattened 3 x 4)")
    assert bar.get_ylabel() == "value"
    (line,) = above.lines
    assert_allclose(line.get_ydata(), np.median(value, axis=1))
    steps, low, high = band(above, 0)
    assert len(steps) == 7
    assert_allclose([low, high], np.quantile(value, [0.05, 0.95], axis=1))
    steps, low, high = band(above, 1)
    assert len(steps) == 5
    assert_allclose((low + high) / 2, np.median(value, axis=1)[:5])
    assert_allclose((high - low) / 2, spread.mean(axis=1)[:5])
    assert legend(above) == ["5 to 95 % of units", "median of units", f"± {SPREAD}"]


def test_colours_are_centred_on_zero_only_for_values_of_both_signs() -> None:
    values = np.linspace(-1, 3, 40).reshape(4, 10)
    reached = np.ones(4, bool)
    population = estimated([{"mean": (values, reached), "variance": (values + 1, reached)}] * 2)
    mean = figure_of(population, "mean").axes[1].images[0]
    variance = figure_of(population, "variance").axes[1].images[0]
    assert (mean.get_cmap().name, mean.get_clim()) == ("RdBu_r", (-3, 3))
    assert (variance.get_cmap().name, variance.get_clim()) == ("viridis", (0, 4))


def test_extreme_values_do_not_take_the_contrast_and_the_colour_bar_points_to_them() -> None:
    values = np.random.default_rng(0).random((20, 50))
    values[3, 7] = 1e6
    figure = figure_of(estimated([{"h": (values, np.ones(20, bool))}] * 2))
    shown = figure.axes[1].images[0]
    assert shown.get_clim()[1] < 1
    assert shown.colorbar is not None
    assert shown.colorbar.extend == "both"


def test_steps_that_no_batch_reached_are_left_out() -> None:
    reached = np.array([True, False, True])
    values = np.random.default_rng(0).normal(size=(3, 10))
    population = estimated([{"few": (values[:, :2], reached), "many": (values, reached)}] * 2)
    few, many = (figure_of(population, name).axes for name in ("few", "many"))
    assert np.isnan(few[0].lines[0].get_ydata()).tolist() == [False, True, False]
    assert np.isnan(image(many[1])).all(axis=0).tolist() == [False, True, False]


# ---- outside of loops


def test_vector_outside_loops_is_a_histogram_over_the_spread_of_units() -> None:
    population = random([()] * 4, (100,))
    above, below = figure_of(population).axes
    counts, edges = np.histogram(population["h"], bins=10)
    assert counts.sum() == 100
    assert [bar.get_height() for bar in above.patches] == counts.tolist()  # type: ignore[attr-defined]
    assert_allclose([bar.get_x() for bar in above.patches], edges[:-1])  # type: ignore[attr-defined]
    assert_allclose(below.lines[0].get_xdata(), population["h"])
    assert_allclose(below.lines[0].get_ydata(), population.spread["h"])
    assert (above.get_ylabel(), below.get_xlabel()) == ("units", "value")
    assert below.get_ylabel().split() == SPREAD.split()


def test_scalar_outside_loops_is_a_point_with_its_spread() -> None:
    population = random([()] * 4, ())
    figure = figure_of(population)
    (ax,) = figure.axes
    ((point, _, (bar,)),) = ax.containers
    assert point.get_xdata().tolist() == [population["h"]]
    low, high = bar.get_segments()[0][:, 0]
    assert_allclose([low, high], population["h"] + population.spread["h"] * np.array([-1, 1]))
    assert ax.get_xlabel() == f"value ± {SPREAD}"
    assert "4 batches, pooling 'reached', coverage 4" in figure.get_suptitle()


# ---- nested loops


@pytest.mark.parametrize("units", [(), (4,)])
def test_two_loops_are_heat_maps_of_value_spread_and_coverage(units: tuple[int, ...]) -> None:
    population = random([(2, 5), (3, 4), (1, 5)], units)
    axes = figure_of(population).axes[:3]
    assert_allclose(
        image(axes[1])[:2, :4], population.spread["h"].reshape(3, 5, -1).mean(-1)[:2, :4]
    )
    value = population["h"].reshape(3, 5, -1).mean(axis=-1)
    coverage = population.coverage["h"].astype(float)
    reached = coverage > 0
    assert reached.tolist() == [[True] * 5, [True] * 5, [True] * 4 + [False]]
    assert_allclose(image(axes[0]), np.where(reached, value, np.nan))
    assert_allclose(image(axes[2]), np.where(reached, coverage, np.nan))
    assert np.isnan(image(axes[1])).tolist() == (coverage < 2).tolist()
    assert [ax.get_title().split("\n")[0] for ax in axes] == ["value", SPREAD, "batches"]
    assert [ax.get_xlabel() for ax in axes] == ["inner step"] * 3
    assert axes[0].get_ylabel() == "outer step"


def test_three_loops_have_rows_in_order_that_say_which_steps_they_are() -> None:
    population = random([(2, 3, 4)] * 2, (5,))
    ax = figure_of(population).axes[0]
    assert_allclose(image(ax), population["h"].mean(axis=-1).reshape(6, 4))
    label = ax.yaxis.get_major_formatter()
    assert [label(row) for row in (0, 1, 2, 3, 5)] == [
        "(0, 0)",
        "(0, 1)",
        "(0, 2)",
        "(1, 0)",
        "(1, 2)",
    ]
    assert label(0.5) == label(6) == ""
    assert ax.get_ylabel() == "steps of the 2 outer loops"


# ---- all on one page


@pytest.mark.parametrize("n", [1, 3, 12, 50])
def test_overview_has_a_panel_for_each_statistic_in_order(n: int) -> None:
    names = [f"loop {i}/h" for i in range(n)]
    figure = plot_population(random([(4,)] * 2, (3,), names)).overview
    assert [ax.get_title() for ax in figure.axes] == names
    width, height = figure.get_size_inches()
    assert width <= 17
    assert height / np.ceil(n / 6) >= 2
    sizes = [text.get_fontsize() for ax in figure.axes for text in (ax.title, ax.xaxis.label)]
    assert min(sizes) >= 8


def test_overview_shows_quantiles_histograms_and_heat_maps() -> None:
    rng = np.random.default_rng(0)
    values = {"outside": rng.normal(size=9), "loop": rng.normal(size=(4, 9))}
    values |= {"nested": rng.normal(size=(2, 4, 9)), "scalar": np.float64(1)}
    depths = {"outside": 0, "loop": 1, "nested": 2, "scalar": 0}
    batch = {n: (v, np.ones(v.shape[: depths[n]], bool)) for n, v in values.items()}
    outside, loop, nested, scalar, *_ = plot_population(estimated([batch])).overview.axes
    assert sum(p.get_height() for p in outside.patches) == 9  # type: ignore[attr-defined]
    assert_allclose(loop.lines[0].get_ydata(), np.median(values["loop"], axis=1))
    assert_allclose(band(loop)[1], np.quantile(values["loop"], 0.05, axis=1))
    assert_allclose(image(nested), values["nested"].mean(axis=-1))
    assert scalar.lines[0].get_xdata().tolist() == [1]  # type: ignore[union-attr]


def test_long_names_are_wrapped_and_shortened_in_the_middle() -> None:
    name = "/".join(["a_rather_long_name_of_a_loop"] * 6) + "/recurrent.variance"
    figures = plot_population(random([(4,)] * 2, (3,), [name]))
    title = figures.overview.axes[0].get_title()
    assert max(map(len, title.split("\n"))) <= 32
    assert "…" in title
    assert title.replace("\n", "").endswith("loop/recurrent.variance")
    assert list(figures.by_name) == [name]


# ---- files


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plot_population(random([(4,)] * 2, (3,)))
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_into_a_directory_that_is_made(tmp_path: Path) -> None:
    names = ["encoder/recurrent.mean", "recurrent.variance"]
    plot_population(random([(4,)] * 2, (3,), names), tmp_path / "new" / "pictures")
    files = sorted((tmp_path / "new" / "pictures").iterdir())
    expected = ["encoder.recurrent.mean.png", "overview.png", "recurrent.variance.png"]
    assert [file.name for file in files] == expected
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    plot_population(random([(4,)] * 2, (3,), names), str(tmp_path / "new" / "pictures"))
    assert len(list((tmp_path / "new" / "pictures").iterdir())) == 3


def test_files_have_safe_names_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a.b", "A.b", "a.b-2", "overview", "../../up", "...", "x" * 300, "x" * 301]
    names += ["ß" * 300, "ss", "ﬁ", "fi", 'c:\\d*?"<>|\n\0']
    plot_population(random([()] * 2, (), names), tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    files = [path.name for path in (tmp_path / "here").iterdir()]
    assert len(files) == len({file.casefold() for file in files}) == len(names) + 1
    assert {"a.b.png", "a.b-2.png", "overview.png", "overview-2.png", "up.png"} <= {*files}
    assert not any(set(file) & set('/\\:*?"<>|\n\0 ') for file in files)


# ---- whatever comes


def test_pyplot_is_not_touched_and_matplotlib_is_imported_only_to_draw(tmp_path: Path) -> None:
    code = """
import sys
import bnrewrite
import bnrewrite.report.plots
assert "matplotlib" not in sys.modules
import numpy as np
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading
tallies = Tallies({"h": "float64"}, {})
tallies.add({"h": Reading(np.ones((3, 9)), np.ones(3, bool), None)})
bnrewrite.plot_population(bnrewrite.Population(tallies), sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize("units", [(), (1,), (20,)])
@pytest.mark.parametrize("steps", [(), (1,), (4,), (2, 1, 3)])
def test_degenerate_statistics_are_drawn_without_warnings(
    n_batches: int, units: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    noise = abs(np.random.default_rng(0).normal(size=(*steps, *units)))
    values = {"zero": 0 * noise, "negative": -noise, "close": 1e6 + noise, "large": 1e30 * noise}
    values |= {"constant and large": np.full_like(noise, 1e30)}
    batch = {name: (value, np.ones(steps, bool)) for name, value in values.items()}
    population = estimated([batch] * n_batches, dtype="float32")
    figures = plot_population(population)
    figures.by_name["constant and large"].draw_without_rendering()
    figures.overview.draw_without_rendering()


def test_large_statistics_are_drawn_without_warnings() -> None:
    figure_of(random([(2000,), (1200,)], (300,), dtype="float32")).draw_without_rendering()
    figure_of(random([(9,), (8,)], (64, 64), dtype="float32")).draw_without_rendering()


def test_names_are_shown_as_they_are() -> None:
    names = ["$x_1", "$x^$", "100 %", r"\frac{", "β_γ²", "a\nb", "中"]
    figures = plot_population(random([(4,)] * 2, (3,), names))
    figures.overview.draw_without_rendering()
    for name, figure in figures.by_name.items():
        figure.draw_without_rendering()
        shown = name.replace("\n", r"\n").replace("中", r"\u4e2d")
        assert figure.get_suptitle().startswith(f"{shown}\n")


def test_titles_say_what_was_averaged_and_how() -> None:
    population = random([(5,), (4,)], (3,), pooling="edge", min_coverage=2)
    expected = "h\n2 batches, pooling 'edge', held where fewer than 2 batches reached"
    assert figure_of(population).get_suptitle() == expected
    assert figure_of(random([(5,)], (3,))).get_suptitle() == "h\n1 batch, pooling 'reached'"


def test_without_a_spread_there_is_no_band_and_no_empty_panel() -> None:
    above, _ = figure_of(random([(5,)], (3,))).axes
    assert (len(above.collections), above.get_ylabel()) == (0, "value")
    above, _, _, _ = figure_of(random([(5,)], (30,))).axes
    assert legend(above) == ["5 to 95 % of units", "median of units"]
    assert len(figure_of(random([()], (30,))).axes) == 1
    titles = [ax.get_title() for ax in figure_of(random([(2, 5)], ())).axes]
    assert titles == ["value", "batches\n(grey: none)", "", ""]


@pytest.mark.parametrize("length", [1, 2, 30, 1000])
def test_ticks_of_steps_are_whole_numbers(length: int) -> None:
    below = figure_of(random([(length,)] * 2, (3,))).axes[1]
    low, high = below.get_xlim()
    shown = [tick for tick in below.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick % 1 == 0 for tick in shown)


# ---- variances


def of_variances(spread: float, steps: tuple[int, ...], units: tuple[int, ...]) -> Population:
    """Two batches of means and variances, whose values are 1 and further apart than that."""
    tallies = Tallies(dict.fromkeys(["mean", "var"], "float64"), {"mean": "var"})
    for sign in (-1, 1):
        value = np.full((*steps, *units), 1 + sign * spread / np.sqrt(2))
        tallies.add(dict.fromkeys(["mean", "var"], Reading(value, np.ones(steps, bool), None)))
    return Population(tallies, "reached")


@pytest.mark.parametrize(("units", "n"), [((3,), 0), ((), 0), ((20,), 1)])
def test_band_of_a_variance_ends_at_zero_and_that_of_a_mean_does_not(
    units: tuple[int, ...], n: int
) -> None:
    for spread, lowest in ((3.0, 0.0), (0.5, 0.5)):
        population = of_variances(spread, (4,), units)
        assert_allclose(population.spread["var"], spread)
        for name, low in (("mean", 1 - spread), ("var", lowest)):
            _, found, high = band(figure_of(population, name).axes[0], n)
            assert_allclose(found, low)
            assert_allclose(high, 1 + spread)


@pytest.mark.parametrize("steps", [(), (1,)])
def test_error_bar_of_a_variance_ends_at_zero(steps: tuple[int, ...]) -> None:
    population = of_variances(3.0, steps, ())
    for name, low in (("mean", -2), ("var", 0)):
        ((_, _, (bar,)),) = figure_of(population, name).axes[0].containers
        ends = bar.get_segments()[0][:, len(steps)]
        assert_allclose(ends, [low, 4])


def test_units_of_a_single_step_stand_beside_each_other() -> None:
    population = random([(1,)] * 3, (3,))
    above, _ = figure_of(population).axes
    places, spread = [], population.spread["h"]
    for unit, (point, _, (bar,)) in enumerate(above.containers):
        places.append(float(point.get_xdata()[0]))
        assert point.get_ydata().tolist() == [population["h"][0, unit]]
        ends = population["h"][0, unit] + spread[0, unit] * np.array([-1, 1])
        assert_allclose(bar.get_segments()[0][:, 1], ends)
    assert places == sorted(set(places))
    assert -0.5 < min(places) < max(places) < 0.5
    assert legend(above) == ["unit 0", "unit 1", "unit 2"]


# ---- one statistic, axes of the caller's


def strip(ax: Axes) -> tuple[Array, Array]:
    """The coverage and the edges of steps, in the strip above a panel."""
    (above,) = ax.child_axes
    assert above.get_xlim() == ax.get_xlim()
    assert above.get_ylim()[0] == 0
    values, edges, _ = above.patches[0].get_data()  # type: ignore[attr-defined]
    return values, edges


@pytest.mark.parametrize("units", [(), (3,), (30,)])
def test_statistic_is_drawn_into_axes_of_the_caller(units: tuple[int, ...]) -> None:
    population = random([(5,), (7,), (4,)], units, ["h", "other"])
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_population(population, name="h", ax=left) is left
    assert figure.axes == [left, right]
    assert (len(right.lines), len(right.collections), right.get_title()) == (0, 0, "")
    assert left.get_title() == "h"
    value = population["h"].reshape(7, -1)
    expected = [np.median(value, axis=1)] if units == (30,) else list(value.T)
    assert_allclose([line.get_ydata() for line in left.lines], expected)
    assert_allclose(left.lines[0].get_xdata(), np.arange(7))
    covered, edges = strip(left)
    assert covered.tolist() == [3, 3, 3, 3, 2, 1, 1]
    assert_allclose(edges, np.arange(8) - 0.5)
    assert left.get_xlabel() == "step\nabove: coverage (grey, of 3 batches)"
    figure.draw_without_rendering()


def test_elements_are_in_the_strip_of_axes_of_the_caller() -> None:
    population = counted([[9, 5, 2], [9, 4, 3, 1]], "reached")
    ax = Figure().subplots()
    plot_population(population, name="mean", ax=ax)
    (above,) = ax.child_axes
    elements = above.patches[1].get_data()[0]
    assert_allclose(elements / elements.max() * 18, [18, 9, 5, 1])
    assert elements.max() == 2  # as high as two batches
    assert ax.get_xlabel().endswith("and elements (orange, up to 18)")


def test_statistics_of_any_depth_are_drawn_into_axes_of_the_caller() -> None:
    for steps, units in (((), ()), ((), (20,)), ((2, 4), (3,)), ((2, 3, 4), ()), ((1,), (3,))):
        population, figure = random([steps] * 2, units), Figure(layout="constrained")
        ax = plot_population(population, ax=figure.subplots())
        figure.draw_without_rendering()
        if len(steps) > 1:
            value = population["h"].reshape(*steps, -1).mean(axis=-1)
            assert_allclose(image(ax), value.reshape(-1, steps[-1]))
        elif not steps:
            assert ax.get_xlabel().endswith("\n(coverage 2)")


def test_one_statistic_by_name_has_the_figure_that_it_has_among_all(tmp_path: Path) -> None:
    names = ["a/b", "a.b", "overview"]
    population = random([(4,)] * 2, (3,), names)
    plot_population(population, tmp_path / "all")
    for name in names:
        figures = plot_population(population, tmp_path / "one", name=name)
        assert list(figures.by_name) == [name]
        assert [ax.get_title() for ax in figures.overview.axes] == [name]
    files = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    del files["overview.png"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == files


def test_overview_has_coverage_above_values_and_beside_those_outside_of_loops() -> None:
    figure = plot_population(random([(5,), (7,), (4,)], (3,))).overview
    covered, _ = strip(figure.axes[0])
    assert covered.tolist() == [3, 3, 3, 3, 2, 1, 1]
    assert figure.axes[0].get_xlabel() == "step (above: coverage, of 3 batches)"
    (ax,) = plot_population(counted([9, 5, 4], "edge"), name="var").overview.axes
    assert ax.get_xlabel() == "value (coverage 3, 18 elements)"


# ---- numbers of elements


def counted(counts: list[Any], pooling: Any, **keywords: Any) -> Population:
    """Draw a batch of mean and variance of three units for each of `counts`, one for each step."""
    rng = np.random.default_rng(0)
    tallies = Tallies(dict.fromkeys(["mean", "var"], "float64"), {"mean": "var"}, 3)
    for n in map(np.asarray, counts):
        count = n.reshape(*n.shape, 1).astype(float)
        values = (rng.random(size=(*n.shape, 3)) for _ in range(2))
        readings = (Reading(v, n > 0, count) for v in values)
        tallies.add(dict(zip(("mean", "var"), readings, strict=True)))
    return Population(tallies, pooling, **keywords)


def test_elements_are_beside_the_coverage() -> None:
    figure = figure_of(counted([[9, 5, 2], [9, 4, 3, 1]], "reached"), "mean")
    *_, below, beside = figure.axes
    (stairs,), (elements,) = below.patches, beside.patches
    assert stairs.get_data()[0].tolist() == [2, 2, 1, 0]  # type: ignore[attr-defined]
    assert elements.get_data()[0].tolist() == [18, 9, 5, 1]  # type: ignore[attr-defined]
    assert (beside.get_ylabel(), beside.get_ylim()[0]) == ("elements", 0)
    assert beside.get_ylim()[1] > 18


def test_elements_of_nested_loops_are_a_heat_map_of_their_own() -> None:
    figure = figure_of(counted([[[9, 5], [3, 0]], [[9, 5], [4, 0]]], "moments"), "mean")
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes]
    shown = image(figure.axes[titles.index("elements")])
    assert_allclose(shown, [[18, 10], [7, np.nan]])


def test_elements_outside_of_loops_are_in_the_title() -> None:
    title = figure_of(counted([9, 5, 4], "edge"), "var").get_suptitle()
    assert title == "var\n3 batches, pooling 'edge', min_count 3, coverage 3, 18 elements"
