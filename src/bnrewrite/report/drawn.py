"""Drawn: a statistic as pictures show it, and the words about it.

The axes of a statistic are flattened to units. What no batch reached is blank, though the
population has a value there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bnrewrite.cautions import shown
from bnrewrite.population.population import Population
from bnrewrite.population.ragged import Array


class Drawn(NamedTuple):
    """A statistic as it is drawn.

    Values and spread have axes (T_1, ..., T_depth, unit), with NaN where there is nothing; coverage
    and elements, which are those of the unit that has the fewest, have axes of time only.
    `is_variance` is whether it can't be negative.
    """

    name: str
    values: Array
    spread: Array
    coverage: Array
    elements: Array | None
    n_batches: int
    axes: tuple[int, ...]
    is_variance: bool

    def around(self, middle: Array, spread: Array) -> tuple[Array, Array]:
        """The edges of a band; where values can't be negative, it ends at 0."""
        low = middle - spread
        return np.maximum(low, 0) if self.is_variance else low, middle + spread


def read(population: Population, name: str | None = None) -> dict[str, Drawn]:
    """The statistics of `population` by name, or the one of this `name`.

    Raises
    ------
    TypeError
        If it is no population, or no name.
    ValueError
        If it is the name of no statistic.
    """
    if not isinstance(population, Population):
        raise TypeError(f"population must be a Population, got {shown(population)}.")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be that of a statistic, got {shown(name)}.")
    if name is not None and name not in population:
        raise ValueError(f"name={name!r} is none of the statistics, which are {list(population)}.")
    return {n: _read(population, n) for n in (population if name is None else [name])}


def _read(population: Population, name: str) -> Drawn:
    """Flatten the axes of a statistic to units, and blank the steps that no batch reached."""
    coverage = np.asarray(population.coverage[name], np.float64)
    value = population[name].astype(np.float64)
    shape = value.shape[coverage.ndim :]
    flat = (*coverage.shape, int(np.prod(shape)))
    values = np.where(coverage[..., None] > 0, value.reshape(flat), np.nan)
    spread = np.asarray(population.spread[name]).reshape(flat)
    elements: Array | None = None
    if name in population.count:
        counts = population.count[name].reshape(*coverage.shape, -1)
        elements = counts.min(axis=-1).astype(np.float64)
    is_variance = name in population.variances.values()
    return Drawn(
        name=_legible(name),
        values=values,
        spread=spread,
        coverage=coverage,
        elements=elements,
        n_batches=population.n_batches,
        axes=shape,
        is_variance=is_variance,
    )


def _legible(name: str) -> str:
    """Escape what the font does not have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in name)


def shorten(name: str, width: int) -> str:
    """Leave out the middle: the label at the end says most."""
    return name if len(name) <= width else f"{name[: width // 3]}…{name[-(width * 2 // 3) + 1 :]}"


def unit_label(drawn: Drawn) -> str:
    """What to write at an axis of units."""
    return f"unit (flattened {' x '.join(map(str, drawn.axes))})" if len(drawn.axes) > 1 else "unit"


def source_of(population: Population) -> str:
    """What was averaged, and how."""
    n = population.n_batches
    source = f"{n} batch{'es' * (n != 1)}, pooling {population.pooling!r}"
    if population.min_coverage > 1:
        source += f", held where fewer than {population.min_coverage} batches reached"
    if population.count and population.min_count:
        source += f", min_count {population.min_count!r}"
    return source


def amount_of(drawn: Drawn) -> str:
    """From how much a statistic comes: one number, or the range over its steps."""
    known = "" if drawn.elements is None else f", {_range(drawn.elements)} elements"
    return f"coverage {_range(drawn.coverage)}{known}"


def _range(values: Array) -> str:
    low, high = values.min(), values.max()
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def file_names(names: Iterable[str]) -> list[str]:
    """File names that any system takes and tells apart, whatever the statistics are called."""
    files: dict[str, str] = {}
    for name in names:
        safe = re.sub(r"[^\w.-]+", ".", unicodedata.normalize("NFKC", name)).strip(".")
        stem = safe.encode()[:200].decode(errors="ignore") or "statistic"
        file, n = f"{stem}.png", 1
        while file.casefold() in files:
            n += 1
            file = f"{stem}-{n}.png"
        files[file.casefold()] = file
    return list(files.values())
