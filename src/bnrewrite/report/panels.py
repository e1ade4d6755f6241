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
from bnrewrite.report.drawn import Drawn, amount_of, shorten
from bnrewrite.report.images import count, draw_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito, those that stand out on white; each has a style too, for prints in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)))
SPREAD = "standard deviation between batches"
STRIP = 0.12  # of the height of a panel


def draw_panel(ax: Axes, drawn: Drawn) -> None:
    """What fits a small panel: values and coverage, and the spread of a scalar only."""
    if drawn.coverage.ndim == 0:
        draw_outside(ax, drawn)
        ax.set_xlabel(f"value ({amount_of(drawn)})")
    elif drawn.coverage.ndim == 1:
        draw_quantiles(ax, drawn)
        _draw_strip(ax, drawn)
        ax.set_xlabel(f"step (above: coverage, {_of_batches(drawn)})")
    else:
        draw_steps(ax, drawn.values.mean(axis=-1))
        ax.set_xlabel(f"inner step\n({amount_of(drawn)})")


def draw_alone(ax: Axes, drawn: Drawn) -> None:
    """What fits one panel of any size: values with their spread, coverage and elements."""
    if drawn.coverage.ndim == 0:
        is_known = drawn.values.size == 1 and bool(np.isfinite(drawn.spread).all())
        draw_outside(ax, drawn)
        ax.set_xlabel(f"value{f' ± {SPREAD}' if is_known else ''}\n({amount_of(drawn)})")
    elif drawn.coverage.ndim == 1:
        _draw_loop(ax, drawn)
    else:
        label = "value" + ", mean over units" * (drawn.values.shape[-1] > 1)
        draw_steps(ax, drawn.values.mean(axis=-1), label=label)
        ax.set_xlabel(f"inner step\n({amount_of(drawn)})")
    ax.set_title(shorten(drawn.name, 60), fontsize="medium", parse_math=False, usetex=False)


def _draw_loop(ax: Axes, drawn: Drawn) -> None:
    if drawn.values.shape[1] > len(COLOURS):
        draw_quantiles(ax, drawn)
        draw_typical_spread(ax, drawn)
    else:
        draw_lines(ax, drawn)
    if drawn.values.shape[1] > 1:
        ax.legend(fontsize="small")
    strip, label = _draw_strip(ax, drawn), f"step\nabove: coverage (grey, {_of_batches(drawn)})"
    if drawn.elements is not None:
        most = float(drawn.elements.max())
        share = drawn.elements / (most or 1)
        strip.stairs(share * drawn.n_batches, _edges(drawn), color=COLOURS[1], linewidth=1.5)
        label += f"\nand elements (orange, up to {most:.0f})"
    ax.set_xlabel(label)


def _draw_strip(ax: Axes, drawn: Drawn) -> Axes:
    """The coverage of steps, in a strip above a panel, so that it hides no value."""
    edges = _edges(drawn)
    strip = ax.inset_axes((0, 1, 1, STRIP), sharex=ax)
    strip.stairs(drawn.coverage, edges, fill=True, color="0.75")
    strip.set(ylim=(0, drawn.n_batches * 1.08), yticks=[])
    strip.tick_params(bottom=False, labelbottom=False)
    ax.set_xlim(*edges[[0, -1]])
    count(ax.xaxis)
    return strip


def _of_batches(drawn: Drawn) -> str:
    return f"of {drawn.n_batches} batch{'es' * (drawn.n_batches != 1)}"


def _edges(drawn: Drawn) -> Array:
    """Where the bars of steps begin and end."""
    return np.arange(len(drawn.coverage) + 1) - 0.5


def draw_outside(ax: Axes, drawn: Drawn) -> None:
    """A histogram over units, or a scalar with its spread."""
    if drawn.values.size == 1:
        is_known = np.isfinite(drawn.spread).all()
        error = _errors(drawn, drawn.values, drawn.spread) if is_known else None
        ax.errorbar(drawn.values, [0], xerr=error, fmt="o", color=COLOURS[0], capsize=5)
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


def _errors(drawn: Drawn, values: Array, spread: Array) -> Array:
    """How far a band reaches to both sides of `values`."""
    low, high = drawn.around(values, spread)
    return np.stack([values - low, high - values])


def draw_spread(ax: Axes, drawn: Drawn) -> None:
    """The spread of each unit, over its value."""
    ax.plot(drawn.values, drawn.spread, "o", color=COLOURS[0], alpha=0.5, markeredgewidth=0)
    ax.set(xlabel="value", ylabel=textwrap.fill(SPREAD, 20))


def draw_lines(ax: Axes, drawn: Drawn) -> None:
    """A line for each unit, with a band of the spread; of a single step, points beside each other.

    A point has an error bar in the place of the band.
    """
    units = [u if len(u) > 1 else "".join(map(str, u)) for u in np.ndindex(*drawn.axes)]
    places = np.linspace(-0.25, 0.25, len(units)) if len(units) > 1 else [0]
    for value, spread, unit, colour, style, place in zip(
        drawn.values.T, drawn.spread.T, units, COLOURS, _STYLES, places, strict=False
    ):
        if len(value) == 1:
            error = _errors(drawn, value, spread) if np.isfinite(spread).all() else None
            of_unit = {"color": colour, "label": f"unit {unit}"}
            ax.errorbar([place], value, yerr=error, fmt="o", capsize=5, **of_unit)
        else:
            _draw_band(ax, *drawn.around(value, spread), colour)
            _draw_line(ax, value, colour, label=f"unit {unit}", linestyle=style)
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
    _draw_band(ax, *drawn.around(middle, spread), COLOURS[1], f"± {SPREAD}", 0.6)


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
    edges = _edges(drawn)
    ax.stairs(drawn.coverage, edges, fill=True, color="0.75")
    ax.set(xlabel="step", ylabel="batches", xlim=edges[[0, -1]], ylim=(0, drawn.n_batches * 1.08))
    count(ax.xaxis, ax.yaxis)
    if drawn.elements is not None:
        beside = ax.twinx()
        beside.stairs(drawn.elements, edges, color=COLOURS[1], linewidth=1.5)
        beside.set_ylim(0, float(drawn.elements.max()) * 1.08)
        beside.set_ylabel("elements", color=COLOURS[1])
        count(beside.yaxis)
