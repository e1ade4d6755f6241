"""Plots: pictures of a population, of values and how sure they are, step by step.

Matplotlib is imported here and in `panels` only, and not before something is drawn. Figures are
made without pyplot: they need no display, they are not kept alive by anyone else, and no setting of
the caller's is changed. Nothing is written unless a directory is given.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnrewrite.population.options import checked_path
from bnrewrite.population.population import Population
from bnrewrite.report import panels
from bnrewrite.report.drawn import (
    Drawn,
    amount_of,
    file_names,
    read,
    shorten,
    source_of,
    unit_label,
)
from bnrewrite.report.panels import SPREAD

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PopulationFigures(NamedTuple):
    """What `plot_population` returns: a figure for each statistic, and one page with all."""

    by_name: dict[str, Figure]
    overview: Figure


def plot_population(
    population: Population, directory: str | os.PathLike[str] | None = None
) -> PopulationFigures:
    """Draw each statistic with the spread between batches and the coverage, and all on one page.

    Steps and units are counted from 0, as in the arrays. The axes of a statistic are flattened to
    units. Steps that no batch reached are left blank, though the population has a value there.
    Where a colour bar ends in an arrow, up to 1 % of the values are beyond.

    =============  ===============================================================================
    outside loops  A histogram over units, above the spread of each unit; a scalar is one point.
    in a loop      A line for each of up to 6 units, with a band of the spread. More units are a
                   heat map, below their median and quantiles. Coverage is at the bottom, with the
                   numbers of elements where they are known.
    nested loops   Heat maps of value and spread (means over units), of coverage and of elements,
                   with a column for each step of the innermost loop and a row for each step around
                   it. Of three loops or more, the rows are in order, and labelled (outermost, ...,
                   inner).
    =============  ===============================================================================

    Parameters
    ----------
    population : Population
        What to draw.
    directory : path, optional
        Where to write PNG files, such as ``encoder.recurrent.mean.png`` and ``overview.png``. It is
        made if it is missing. Without it, nothing is written.

    Returns
    -------
    by_name : dict of str to Figure
        Matplotlib figures that pyplot does not know: they need no display, and no closing.
    overview : Figure
        A small panel for each statistic.

    Examples
    --------
    >>> import pytensor.tensor as pt, numpy as np
    >>> from bnrewrite import InferenceGraph, batch_normalize, plot_population
    >>> x = pt.dmatrix("x")
    >>> graph = InferenceGraph([x], batch_normalize(x, 1.0, 0.0, label="input"))
    >>> population = graph.estimate([(np.eye(3),), (np.ones((2, 3)),)])
    >>> list(plot_population(population).by_name)
    ['input.mean', 'input.variance']
    """
    drawn = read(population)
    if directory is not None:
        checked_path(directory)
    source = source_of(population)
    overview = _plot_overview(drawn.values(), source)
    figures = {name: _plot(d, source) for name, d in drawn.items()}
    if directory is not None:
        os.makedirs(directory, exist_ok=True)
        files = file_names(["overview", *drawn])
        for file, figure in zip(files, [overview, *figures.values()], strict=True):
            figure.savefig(Path(directory) / file, dpi=120)
    return PopulationFigures(figures, overview)


def _figure(width: float, height: float, title: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium", parse_math=False, usetex=False)
    return figure


def _plot(drawn: Drawn, source: str) -> Figure:
    title = f"{shorten(drawn.name, 80)}\n{source}"
    if drawn.coverage.ndim == 0:
        return _plot_outside(drawn, title)
    return _plot_loop(drawn, title) if drawn.coverage.ndim == 1 else _plot_nested(drawn, title)


def _plot_outside(drawn: Drawn, title: str) -> Figure:
    is_known = bool(np.isfinite(drawn.spread).any())
    is_scalar, is_two = drawn.values.size == 1, is_known and drawn.values.size > 1
    figure = _figure(7, 2.2 if is_scalar else 5, f"{title}, {amount_of(drawn)}")
    first, *others = figure.subplots(1 + is_two, sharex=True, squeeze=False).flat
    panels.draw_outside(first, drawn)
    if is_scalar and is_known:
        first.set_xlabel(f"value ± {SPREAD}")
    for ax in others:
        first.set_xlabel("")
        panels.draw_spread(ax, drawn)
    return figure


def _plot_loop(drawn: Drawn, title: str) -> Figure:
    is_wide = drawn.values.shape[1] > len(panels.COLOURS)
    figure = _figure(9, 8 if is_wide else 5, title)
    heights = [3, 4, 1.5] if is_wide else [3, 1.2]
    first, *others, last = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    if is_wide:
        panels.draw_quantiles(first, drawn)
        panels.draw_typical_spread(first, drawn)
        panels.draw_image(others[0], drawn.values.T, label="value")
        others[0].set_ylabel(unit_label(drawn))
    else:
        panels.draw_lines(first, drawn)
    if is_wide or drawn.values.shape[1] > 1:
        n_columns = 3 if is_wide else 6
        first.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=n_columns, frameon=False)
    panels.draw_coverage(last, drawn)
    return figure


def _plot_nested(drawn: Drawn, title: str) -> Figure:
    of_units = "\n(mean over units)" if drawn.values.shape[-1] > 1 else ""
    batches = np.where(drawn.coverage > 0, drawn.coverage, np.nan)
    images = [
        (f"value{of_units}", drawn.values.mean(axis=-1), "viridis"),
        (f"{SPREAD}{of_units}", panels.known_mean(drawn.spread), "viridis"),
        ("batches\n(grey: none)", batches, "cividis"),
    ]
    if drawn.elements is not None:
        elements = np.where(drawn.elements > 0, drawn.elements, np.nan)
        images.append(("elements\n(grey: none)", elements, "cividis"))
    images = [image for image in images if np.isfinite(image[1]).any()]
    figure = _figure(1 + 4 * len(images), 4.8, title)
    grid = figure.subplots(1, len(images), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (label, image, colours) in zip(grid, images, strict=True):
        panels.draw_steps(ax, image, colours)
        ax.set_title(label, fontsize="medium")
    for ax in grid[1:]:
        ax.set_ylabel("")
    return figure


def _plot_overview(statistics: Collection[Drawn], source: str) -> Figure:
    """Panels in the order of the population; as columns are even, a mean is beside its variance."""
    n_columns = 2 if len(statistics) <= 6 else 4 if len(statistics) <= 24 else 6
    n_rows = -(-len(statistics) // n_columns)
    legend = "in loops: median and 5 to 95 % of units; nested: mean over units; outside: histogram"
    title = "\n".join(textwrap.fill(line, 36 * n_columns) for line in (source, legend))
    figure = _figure(2.8 * n_columns, 0.8 + 2.1 * n_rows, title)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for drawn, ax in zip(statistics, grid, strict=False):
        panels.draw_panel(ax, drawn)
        name = shorten(drawn.name, 84).replace("/", "/ ")  # lines break at spaces
        name = textwrap.fill(name, 32).replace("/ ", "/")
        ax.set_title(name, fontsize=8, parse_math=False, usetex=False)
    for ax in grid:
        ax.remove()
    for ax in figure.axes:
        ax.tick_params(labelsize=8)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontsize(8)
            axis.offsetText.set_fontsize(8)
    return figure
