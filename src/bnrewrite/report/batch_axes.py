"""Batch axes: which axis of each input is that of the examples, and the batches made from others.

`verify` compares batches in which some examples changed with the batch they came from. To make them
it has to know along which axis of each input the examples lie. It takes the one size that all
inputs have exactly once; if there is none, or more than one, the user has to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from bnrewrite.estimation.batches import names
from bnrewrite.graph.engine import Variable

Values = list[NDArray[Any]]
Axes = list[int | None]


class BatchAxes:
    """Which axis of each input is that of the examples; None for an input without one."""

    def __init__(self, inputs: Sequence[Variable], values: Values, axes: Axes | None) -> None:
        axes = _guess(inputs, values) if axes is None else axes
        self._axes = [None if a is None else a % v.ndim for v, a in zip(values, axes, strict=True)]
        sizes = {v.shape[a] for v, a in zip(values, self._axes, strict=True) if a is not None}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(
                f"the axes of the examples have sizes {sorted(sizes)}, for batch_axes "
                f"{dict(zip(names(inputs), self._axes, strict=True))}. They must be one size, of "
                "two examples or more."
            )
        (self.n_examples,) = sizes

    def take(self, values: Values, examples: Sequence[int]) -> Values:
        """The batch made of some `examples` of another."""
        return [
            value if axis is None else value.take(examples, axis=axis)
            for value, axis in zip(values, self._axes, strict=True)
        ]

    def others(self, values: Values) -> Iterator[tuple[int, int, int]]:
        """Each axis that is not one of examples: place of the input, of the axis, and its size."""
        for i, (value, batch_axis) in enumerate(zip(values, self._axes, strict=True)):
            yield from ((i, a, n) for a, n in enumerate(value.shape) if a != batch_axis)


def _guess(inputs: Sequence[Variable], values: Values) -> Axes:
    """The axes of the one size that every input has once."""
    shapes = [value.shape for value in values if value.ndim]
    sizes = [n for n in set(sum(shapes, ())) if all(shape.count(n) == 1 for shape in shapes)]
    if len(sizes) != 1:
        shown = dict(zip(names(inputs), (value.shape for value in values), strict=True))
        raise ValueError(
            f"it can't be told which axes of the inputs, of shapes {shown}, are those of the "
            'examples. Say so with batch_axes, as in {"x": 1, "mask": 1, "rate": None}, or give a '
            "batch with a number of examples that is the size of no other axis."
        )
    return [value.shape.index(sizes[0]) if value.ndim else None for value in values]
