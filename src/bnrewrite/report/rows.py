"""Rows: whether the outputs of each example stay the same in other batches.

An output is compared in every layout that its examples may have, and is right if it is in one of
them. What changes with the other examples, with the size of the batch or with the place of an
example in it is told apart: the first is a statistic of the batch that is not marked.

Where other batches take another number of steps, the shorter outputs are held at their last step,
as far as the longer ones go: a loop that runs on until all examples are finished, and leaves those
that are as they are, makes no difference to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.report.layouts import Layout
from bnrewrite.report.tolerance import differ, difference, tolerance_of
from bnrewrite.report.variants import Variant

Array = NDArray[Any]
Failures = dict[str, str]

_CHANGES = {
    "rows": "when the other examples of its batch do. A statistic of the batch that is not marked, "
    "or another sum over examples, is in the graph: mark it with `mark_statistic`. If all are "
    "marked, one was taken over another axis than that of the examples.",
    "order": "when its place in the batch does. Something in the graph counts, sorts or adds up "
    "the examples of a batch, or is a parameter for each place; or a statistic was taken over "
    "another axis than that of the examples, and has a value for each.",
    "size": "when the number of examples in its batch does. Something in the graph depends on the "
    "size of the batch, such as a sum over examples or `x.shape[0]`.",
}


@dataclass
class Rows:
    """An output of a batch of `n` examples, and how it fared in other batches so far."""

    label: str
    n: int
    value: Array
    rounded: Array
    layouts: Sequence[Layout]
    failures: dict[Layout, Failures] = field(init=False)
    unclear: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.failures = {layout: {} for layout in self.layouts}
        self._tolerance = tolerance_of(self.value, self.rounded, self.layouts[0].unit_axis)
        self.unclear = self._tolerance.unclear

    def compare(self, variant: Variant, actual: Array) -> None:
        """Compare with this output of another batch, made of these examples."""
        checks = {"rows", "order"} if len(variant) == self.n else {"size"}
        for layout, failures in self.failures.items():
            if checks - failures.keys():
                self._compare(layout, failures, variant, actual)

    def _compare(self, layout: Layout, failures: Failures, variant: Variant, actual: Array) -> None:
        other = layout.apart(actual, len(variant))
        expected, allowed = (layout.apart(v, self.n) for v in (self.value, self._tolerance.allowed))
        is_empty = 0 in actual.shape and actual.shape != self.value.shape
        if other is None or expected is None or allowed is None or is_empty:
            self.unclear = (
                f"its shape does not follow from the number of examples: {self.value.shape} for "
                f"{self.n}, and {actual.shape} for {len(variant)} of them."
            )
            return
        for axis in layout.example_axes:
            expected, allowed = expected.take(variant, axis), allowed.take(variant, axis)
        shapes = (expected.shape, other.shape)
        expected, allowed, other = equally_long(expected, allowed, other)
        wrong = differ(expected, other, allowed)
        if wrong.sum() <= self._tolerance.n_excused:
            return
        stayed = _stayed(layout, variant, wrong) if len(variant) == self.n else None
        for check, where in _by_check(wrong, stayed):
            if where.any() and check not in failures:
                place = np.argwhere(where)[0][layout.example_axes[0]]
                what = difference(expected, other, where)
                if shapes[0] != shapes[1]:
                    what = f"has another number of steps, {shapes[1]} for {shapes[0]},"
                text = f"{self.label} of example {variant[place]} {what} {_CHANGES[check]}"
                failures[check] = text

    def verdict(self) -> Failures:
        """The failures in the layout in which there are fewest."""
        return min(self.failures.values(), key=len)


def _by_check(
    wrong: NDArray[np.bool_], stayed: NDArray[np.bool_] | None
) -> list[tuple[str, NDArray[np.bool_]]]:
    if stayed is None:
        return [("size", wrong)]
    return [("rows", wrong & stayed), ("order", wrong & ~stayed)]


def _stayed(layout: Layout, variant: Variant, like: Array) -> NDArray[np.bool_]:
    """Where all examples that an element comes from are in the places where they were."""
    in_place = np.equal(variant, range(len(variant)))
    stayed = np.ones(like.shape, bool)
    for axis in layout.example_axes:
        stayed &= in_place.reshape([-1 if a == axis else 1 for a in range(like.ndim)])
    return stayed


def equally_long(expected: Array, allowed: Array, actual: Array) -> tuple[Array, Array, Array]:
    """All three as long as the longest on each axis, held at their last step."""
    shape = tuple(map(max, expected.shape, actual.shape))
    return _held(expected, shape), _held(allowed, shape), _held(actual, shape)


def _held(value: Array, shape: tuple[int, ...]) -> Array:
    if value.shape == shape:
        return value
    for axis, n in enumerate(shape):
        value = value.take(np.minimum(np.arange(n), value.shape[axis] - 1), axis=axis)
    return value
