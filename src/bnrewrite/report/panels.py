"""Panels: one statistic drawn into one pair of Matplotlib axes.

`plots` lays panels out on pages; here each is drawn. All of them show the same things in the same
way: steps and units are counted from 0 as in the arrays, a band is the standard deviation between
batches, and what no batch reached is blank, though the population has a value there.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from bnrewrite.population.ragged import Array
from bnrewrite.report.drawn import Drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Of Okabe and Ito, those that stand out on white; each has a style too, for prints in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)))
SPREAD = "standard deviation between batches"


def draw_panel(ax: Axes, drawn: Drawn) -> None:
    """What fits a small panel: no coverage, and the spread of a scalar only."""
    if drawn.coverage.ndim == 0:
        draw_outside(ax, drawn)
    elif drawn.coverage.ndim == 1:
        draw_quantiles(ax, drawn)
        ax.set_xlabel("step")
        count(ax.xaxis)
    else:
        draw_steps(ax, drawn.values.mean(axis=-1))


def draw_outside(ax: Axes, drawn: Drawn) -> None:
    """A histogram over units, or a scalar with its spread."""
    if drawn.values.size == 1:
        spread = drawn.spread if np.isfinite(drawn.spread).all() else None
        ax.errorbar(drawn.values, [0], xerr=spread, fmt="o", color=COLOURS[0], capsize=5)
        ax.set(xlabel="value", yticks=[])
        return
    low, high = np.min(drawn.values), np.max(drawn.values)
    margin = (abs(low) or 1) / 2 if low == high else 0
    n_bins = int(np.clip(np.sqrt(drawn.values.size), 5, 40))
    ax.hist(
        drawn.values, list(np.linspace(low - margin, high + margin, n_bins + 1)), color=COLOURS[0]
    )
    ax.set(xlabel="value", ylabel="units")
    count(ax.yaxis)


def draw_spread(ax: Axes, drawn: Drawn) -> None:
    """The spread of each unit, over its value."""
    ax.plot(drawn.values, drawn.spread, "o", color=COLOURS[0], alpha=0.5, markeredgewidth=0)
    ax.set(xlabel="value", ylabel=textwrap.fill(SPREAD, 20))


def draw_lines(ax: Axes, drawn: Drawn) -> None:
    """A line for each unit, with a band of the spread."""
    units = np.ndindex(*drawn.axes)
    for value, spread, unit, colour, style in zip(
        drawn.values.T, drawn.spread.T, units, COLOURS, _STYLES, strict=False
    ):
        _draw_band(ax, value - spread, value + spread, colour)
        label = f"unit {unit if len(unit) > 1 else ''.join(map(str, unit))}"
        _draw_line(ax, value, colour, label=label, linestyle=style)
    is_known = np.isfinite(drawn.spread).any()
    ax.set_ylabel(f"value ± {textwrap.fill(SPREAD, 20)}" if is_known else "value")


def draw_quantiles(ax: Axes, drawn: Drawn) -> None:
    """The median of units, with a band of quantiles."""
    low, middle, high = np.quantile(drawn.values, [0.05, 0.5, 0.95], axis=1)
    _draw_band(ax, low, high, COLOURS[0], "5 to 95 % of units")
    _draw_line(ax, middle, COLOURS[0], label="median of units")
    ax.set_ylabel("value")


def draw_typical_spread(ax: Axes, drawn: Drawn) -> None:
    """A band about the median of units, of the spread in the mean over units."""
    middle, spread = np.median(drawn.values, axis=1), known_mean(drawn.spread)
    _draw_band(ax, middle - spread, middle + spread, COLOURS[1], f"± {SPREAD}", 0.6)


def known_mean(spread: Array) -> Array:
    """The mean over those units of a step whose spread is known; NaN where none is."""
    known = np.isfinite(spread)
    n = known.sum(axis=-1)
    total = np.where(known, spread, 0).sum(axis=-1)
    return np.asarray(np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0))


def _draw_line(ax: Axes, values: Array, colour: str, **style: Any) -> None:
    marker = "." if len(values) <= 40 else ""
    ax.plot(np.arange(len(values)), values, color=colour, marker=marker, markersize=5, **style)


def _draw_band(
    ax: Axes, low: Array, high: Array, colour: str, label: str = "", alpha: float = 0.25
) -> None:
    """Shade between `low` and `high`, where they are known. A single step gets some width."""
    if not np.isfinite(low).any():
        return
    steps = np.arange(len(low)) if len(low) > 1 else np.array([-0.25, 0.25])
    low, high = np.broadcast_to(low, steps.shape), np.broadcast_to(high, steps.shape)
    ax.fill_between(steps, low, high, color=colour, alpha=alpha, linewidth=0, label=label)


def draw_coverage(ax: Axes, drawn: Drawn) -> None:
    """How many batches reached each step, and how many elements they have there."""
    edges = np.arange(len(drawn.coverage) + 1) - 0.5
    ax.stairs(drawn.coverage, edges, fill=True, color="0.75")
    ax.set(xlabel="step", ylabel="batches", xlim=edges[[0, -1]], ylim=(0, drawn.n_batches * 1.08))
    count(ax.xaxis, ax.yaxis)
    if drawn.elements is not None:
        beside = ax.twinx()
        beside.stairs(drawn.elements, edges, color=COLOURS[1], linewidth=1.5)
        beside.set_ylim(0, float(drawn.elements.max()) * 1.08)
        beside.set_ylabel("elements", color=COLOURS[1])
        count(beside.yaxis)


def draw_steps(ax: Axes, image: Array, colours: str = "viridis") -> None:
    """A column for each step of the innermost loop, a row for each step of those around it."""
    *outer, inner = image.shape
    draw_image(ax, image.reshape(-1, inner), colours)
    ax.set(xlabel="inner step", ylabel="outer step")
    if len(outer) > 1:
        names = {float(row): str(step) for row, step in enumerate(np.ndindex(*outer))}
        ax.set_ylabel(f"steps of the {len(outer)} outer loops")
        ax.yaxis.set_major_formatter(lambda y, _: names.get(y, ""))


def draw_image(ax: Axes, image: Array, colours: str = "viridis", label: str = "") -> None:
    """A heat map: `colours` from low to high, or blue and red if there are values around 0."""
    known = image[np.isfinite(image)] if np.isfinite(image).any() else np.zeros(1)
    # A few extreme values must not take all contrast; the ends of the colour bar point to them.
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
