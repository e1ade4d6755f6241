"""Layouts: where the examples are in an output.

An output has the examples of the batch along an axis of their own, or along one that was flattened
with others, as (time x batch, units), or along two, as a matrix of what is between any two of them.
Which it is shows in how its shape grows with the batch: an axis of 1, 5 and 6 for that many
examples is theirs, one of 3, 15 and 18 has three times as many elements, and one of 1, 25 and 36
has two of them. In which order the axes were flattened can't be seen in this, so a layout is one of
several that are possible, and it is right if the rows behave as in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EXAMPLES = None  # in the place of the number of examples, which changes
Dims = tuple[int | None, ...]
_MOST = 200


class Layout(NamedTuple):
    """The axes of an output, each as those that it was flattened from."""

    axes: tuple[Dims, ...]

    def apart(self, value: Array, n_examples: int) -> Array | None:
        """`value` with what is flattened taken apart; None if it does not fit.

        An axis without examples may have any length.
        """
        shape: list[int] = []
        for dims, length in zip(self.axes, value.shape, strict=True):
            if EXAMPLES not in dims:
                shape.append(length)
                continue
            parts = [n_examples if n is EXAMPLES else n for n in dims]
            if np.prod(parts) != length:
                return None
            shape += [n for n in parts if n is not None]
        return value.reshape(shape)

    @property
    def example_axes(self) -> list[int]:
        """The axes of examples, when taken apart."""
        apart = [n for dims in self.axes for n in (dims if EXAMPLES in dims else (0,))]
        return [axis for axis, n in enumerate(apart) if n is EXAMPLES]

    @property
    def unit_axis(self) -> int | None:
        """The last axis of the output without examples, if there is one."""
        others = [axis for axis, dims in enumerate(self.axes) if EXAMPLES not in dims]
        return others[-1] if others else None


class Grown(NamedTuple):
    """How long an axis is per example: `factor` times the number of examples to a `power`."""

    factor: int
    power: int


def growth(lengths: dict[int, int]) -> Grown | None:
    """How an axis grows, from its lengths for several numbers of examples."""
    for power in (0, 1, 2):
        factors = {length / n**power for n, length in lengths.items()}
        if len(factors) == 1 and (factor := factors.pop()) == int(factor):
            return Grown(int(factor), power)
    return None


def layouts(grown: Sequence[Grown]) -> list[Layout]:
    """The layouts of an output whose axes grow like this; none if there are no examples in it."""
    if not any(axis.power for axis in grown):
        return []
    choices = [list(_arrangements(axis)) for axis in grown]
    return [Layout(axes) for axes in islice(product(*choices), _MOST)]


def _arrangements(axis: Grown) -> Iterator[Dims]:
    """The ways to flatten axes into one like this, that with the examples last first."""
    if not axis.power:
        yield (axis.factor,)
        return
    for factors in _factorizations(axis.factor, axis.power + 1):
        first, *others = factors
        dims: list[int | None] = [first]
        for n in others:
            dims += [EXAMPLES, n]
        yield tuple(n for n in dims if n != 1)


def _factorizations(number: int, parts: int) -> Iterator[tuple[int, ...]]:
    """The products of so many factors, the first of them large first."""
    if parts == 1:
        yield (number,)
        return
    for first in range(number, 0, -1):
        if number % first == 0:
            yield from ((first, *rest) for rest in _factorizations(number // first, parts - 1))
