"""Plots: pictures of a population, of values and how sure they are, step by step.

Matplotlib is not imported before something is drawn. Figures are made without pyplot (`pages`):
they need no display, they are not kept alive by anyone else, and no setting of the caller's is
changed. Nothing is written unless a directory is given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from bnrewrite.cautions import shown
from bnrewrite.population.options import checked_path
from bnrewrite.population.population import Population
from bnrewrite.report.drawn import Drawn, file_names, read, source_of
from bnrewrite.report.pages import overview_of, page_of
from bnrewrite.report.panels import draw_alone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class PopulationFigures(NamedTuple):
    """What `plot_population` returns: a figure for each statistic, and one page with all."""

    by_name: dict[str, Figure]
    overview: Figure


@overload
def plot_population(
    population: Population,
    directory: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    ax: None = None,
) -> PopulationFigures: ...


@overload
def plot_population(population: Population, *, name: str | None = None, ax: Axes) -> Axes: ...


def plot_population(
    population: Population,
    directory: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    ax: Axes | None = None,
) -> PopulationFigures | Axes:
    """Draw each statistic with the spread between batches and the coverage, and all on one page.

    Steps and units are counted from 0, as in the arrays. The axes of a statistic are flattened to
    units. Steps that no batch reached are left blank, though the population has a value there.
    The band about a variance ends at 0. Where a colour bar ends in an arrow, up to 1 % of the
    values are beyond.

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
    name : str, optional
        Draw this statistic only. Then no overview is written.
    ax : matplotlib Axes, optional
        Draw one statistic into it: values with their spread, and coverage and elements in a strip
        above. Of several, `name` says which. A heat map of nested loops has a colour bar beside it.

    Returns
    -------
    by_name : dict of str to Figure
        Matplotlib figures that pyplot does not know: they need no display, and no closing.
    overview : Figure
        A small panel for each statistic.
    Axes
        Instead of these, `ax` if it was given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be, or `ax` is given and not which statistic to draw.

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
    drawn = read(population, name)
    if ax is not None:
        return _drawn_into(ax, drawn, directory)
    if directory is not None:
        checked_path(directory)
    source = source_of(population)
    figures = {name: page_of(d, source) for name, d in drawn.items()}
    found = PopulationFigures(figures, overview_of(drawn.values(), source))
    if directory is not None:
        _write(found, directory, list(population), with_overview=name is None)
    return found


def _drawn_into(ax: Any, drawn: dict[str, Drawn], directory: object) -> Axes:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be Axes of Matplotlib, got {shown(ax)}.")
    if directory is not None:
        raise ValueError("ax belongs to a figure of yours: save that, and leave `directory` out.")
    if len(drawn) != 1:
        raise ValueError(f"ax takes one statistic: say by name which of {list(drawn)}.")
    draw_alone(ax, *drawn.values())
    return ax


def _write(
    figures: PopulationFigures,
    directory: str | os.PathLike[str],
    names: list[str],
    *,
    with_overview: bool,
) -> None:
    """Write figures to files, which are called alike whether all are written or one."""
    os.makedirs(directory, exist_ok=True)
    overview, *files = file_names(["overview", *names])
    by_file = {file: figures.by_name.get(name) for name, file in zip(names, files, strict=True)}
    by_file |= {overview: figures.overview if with_overview else None}
    for file, figure in by_file.items():
        if figure is not None:
            figure.savefig(Path(directory) / file, dpi=120)
