"""Pages: how the panels of a statistic, or of all statistics, are laid out as a figure.

Up to as many units as there are colours have a line each; of more, quantiles are drawn, and all of
them as an image. Inner steps have a picture for each kind of number, as none fits over another.

Figures are made without pyplot, on a canvas of their own: pyplot would keep them alive, and needs a
display where the caller's settings say so. Names are never read as formulas, whatever is in them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from bnrewrite.report import panels
from bnrewrite.report.drawn import Drawn, amount_of, shorten, unit_label
from bnrewrite.report.images import draw_image, draw_steps
from bnrewrite.report.panels import SPREAD

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _figure(width: float, height: float, title: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium", parse_math=False, usetex=False)
    return figure


def page_of(drawn: Drawn, source: str) -> Figure:
    """A statistic with all that is known of it; `source` is what was averaged."""
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
        draw_image(others[0], drawn.values.T, label="value")
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
        draw_steps(ax, image, colours)
        ax.set_title(label, fontsize="medium")
    for ax in grid[1:]:
        ax.set_ylabel("")
    return figure


def overview_of(statistics: Collection[Drawn], source: str) -> Figure:
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
