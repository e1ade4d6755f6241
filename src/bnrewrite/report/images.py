"""Images: heat maps of steps and units, and ticks at whole numbers.

A few extreme values would take all contrast from the others, so colours end at the 1st and the 99th
percentile, and an arrow at the colour bar says that there is more. Values on both sides of 0 have
blue and red, with 0 in the middle. What is not known is grey, and no colour of a value.

Sharp edge: an image of more than 256 steps or units has more of them than pixels, and is smoothed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnrewrite.population.ragged import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def draw_steps(ax: Axes, image: Array, colours: str = "viridis", label: str = "") -> None:
    """A column for each step of the innermost loop, a row for each step of those around it."""
    *outer, inner = image.shape
    draw_image(ax, image.reshape(-1, inner), colours, label)
    ax.set(xlabel="inner step", ylabel="outer step")
    if len(outer) > 1:
        names = {float(row): str(step) for row, step in enumerate(np.ndindex(*outer))}
        ax.set_ylabel(f"steps of the {len(outer)} outer loops")
        ax.yaxis.set_major_formatter(lambda y, _: names.get(y, ""))


def draw_image(ax: Axes, image: Array, colours: str = "viridis", label: str = "") -> None:
    """A heat map: `colours` from low to high, or blue and red if there are values around 0."""
    known = image[np.isfinite(image)] if np.isfinite(image).any() else np.zeros(1)
    low = float(np.quantile(known, 0.01, method="lower"))
    high = float(np.quantile(known, 0.99, method="higher"))
    if known.min() < 0 < known.max():
        high = max(-low, high)
        low, colours = -high, "RdBu_r"
    ends = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    extend = ends[int(known.min() < low), int(known.max() > high)]
    how = "nearest" if max(image.shape) <= 256 else None  # else it is more than pixels: smooth it
    ax.set_facecolor("0.85")
    shown = ax.imshow(image, colours, aspect="auto", interpolation=how, interpolation_stage="data")
    shown.set_clim(low, high)
    bar = ax.figure.colorbar(shown, ax=ax, label=label, extend=extend)
    count(ax.xaxis, ax.yaxis, *[bar.ax.yaxis] * bool((known % 1 == 0).all()))


def count(*axes: Axis) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
