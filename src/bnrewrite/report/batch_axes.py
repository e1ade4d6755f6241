"""Batch axes: which axis of each input is that of the examples, and the batches made from others.

`verify` compares batches in which some examples changed with the batch they came from. To make them
it has to know along which axis of each input the examples lie. Marked statistics say so
(`batch_kind`), for all inputs that the graph connects with them. For the others it is the axis that
is as long, if there is one. Where the statistics leave a choice it is the one size that all
inputs have exactly once; if there is none, or more than one, the user has to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bnrewrite.estimation.batches import names
from bnrewrite.graph.axis_kinds import AxisKinds, Kind
from bnrewrite.graph.engine import TensorType, Variable

Values = list[Any]
Axes = list[int | None]


def as_values(inputs: Sequence[Variable], batch: Sequence[Any]) -> Values:
    """The values of a batch as arrays; sparse matrices, and what is no tensor, stay.

    They are converted as a compiled function would do it; what can't be is left to that to refuse.
    """
    return [_as_value(i.type, v) for i, v in zip(inputs, batch, strict=True)]


def _as_value(kind: Any, value: Any) -> Any:
    if not isinstance(kind, TensorType) or hasattr(value, "tocsr"):
        return value
    try:
        return np.asarray(kind.filter(value, strict=False, allow_downcast=None))
    except (TypeError, ValueError):
        return np.asarray(value)


class BatchAxes:
    """Which axis of each input is that of the examples; None for an input without one.

    If `is_one_size`, types of inputs allow no other number of examples. If `is_guess`, others are
    as possible.

    They are those given, or else found from `kinds` of axes and from what is the `kind` of the
    examples, or else from the `values` of a batch.
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        values: Values,
        given: Axes | None,
        kinds: AxisKinds,
        kind: Kind | None,
        is_guess: bool,
    ) -> None:
        self.is_guess = False
        if given is None:
            found = _found(inputs, values, kinds, kind)
            self.is_guess = is_guess or found is None
            given = found or _guessed(inputs, values)
        shapes = list(map(_shape, values))
        _check(inputs, shapes, given)
        self.axes = [None if a is None else a % len(s) for s, a in zip(shapes, given, strict=True)]
        sizes = {s[a] for s, a in zip(shapes, self.axes, strict=True) if a is not None}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(
                f"the axes of the examples have sizes {sorted(sizes)}, for batch_axes "
                f"{dict(zip(names(inputs), self.axes, strict=True))}. They must be one size, of "
                "two examples or more."
            )
        (self.n_examples,) = sizes
        pairs = zip(inputs, self.axes, strict=True)
        self.is_one_size = any(a is not None and v.type.shape[a] is not None for v, a in pairs)

    def take(self, values: Values, examples: Sequence[int]) -> Values:
        """The batch made of some `examples` of another."""
        return [
            value if axis is None else _taken(value, list(examples), axis)
            for value, axis in zip(values, self.axes, strict=True)
        ]

    def alike(self, values: Values) -> list[int]:
        """The inputs that are the same for all examples."""
        taken = self.take(values, [0] * self.n_examples)
        pairs = enumerate(zip(values, taken, strict=True))
        return [i for i, (v, t) in pairs if self.axes[i] is not None and same([v], [t])]

    def others(self, values: Values) -> Iterator[tuple[int, int]]:
        """Each axis that is not one of examples: place of the input, and of the axis."""
        for i, (value, batch_axis) in enumerate(zip(values, self.axes, strict=True)):
            yield from ((i, axis) for axis in range(len(_shape(value))) if axis != batch_axis)

    def inputs_with_examples(self, inputs: Sequence[Variable]) -> list[Variable]:
        """The inputs that have such an axis."""
        return [v for v, axis in zip(inputs, self.axes, strict=True) if axis is not None]

    def kinds(self, inputs: Sequence[Variable], kinds: AxisKinds) -> set[Kind]:
        """The kinds of these axes."""
        pairs = zip(inputs, self.axes, strict=True)
        return set().union(*(kinds.of(v, axis) for v, axis in pairs if axis is not None))


def _check(inputs: Sequence[Variable], shapes: Sequence[tuple[int, ...]], given: Axes) -> None:
    for name, shape, axis in zip(names(inputs), shapes, given, strict=True):
        is_int = isinstance(axis, int | np.integer) and not isinstance(axis, bool)
        if axis is not None and not (is_int and -len(shape) <= axis < len(shape)):
            raise ValueError(
                f"batch_axes has {axis!r} for input {name!r}, which has {len(shape)} axes. It must "
                "be the number of one of them, or None if there are no examples in it."
            )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def _taken(value: Any, examples: list[int], axis: int) -> Any:
    if isinstance(value, np.ndarray):
        return value.take(examples, axis=axis)
    rows = value.tocsr()[examples] if axis == 0 else value.tocsc()[:, examples]
    return rows.asformat(value.format)


def same(one: Values, other: Values) -> bool:
    """Whether two batches differ by no more than what outputs may differ by."""
    return all(_equal(a, b) for a, b in zip(one, other, strict=True))


def _equal(a: Any, b: Any) -> bool:
    if hasattr(a, "tocsr"):
        return bool((a != b).nnz == 0)
    if not np.issubdtype(a.dtype, np.inexact):
        return bool(np.array_equal(a, b))
    near = float(np.sqrt(np.finfo(a.dtype).eps))
    size = np.abs(a[np.isfinite(a)]).max(initial=0)
    return bool(np.allclose(a, b, rtol=near, atol=near * float(size), equal_nan=True))


def _found(
    inputs: Sequence[Variable], values: Values, kinds: AxisKinds, kind: Kind | None
) -> Axes | None:
    """The axes of that `kind`; None if they can't be told, or can't be right."""
    shapes = list(map(_shape, values))
    of_kind = [
        [a for a in range(len(shape)) if kind is not None and kind in kinds.of(v, a)]
        for v, shape in zip(inputs, shapes, strict=True)
    ]
    sizes = {s[a] for s, axes in zip(shapes, of_kind, strict=True) for a in axes}
    if len(sizes) != 1 or any(len(axes) > 1 for axes in of_kind):
        return None
    known = kinds.of_parameters() | kinds.all_steps()
    for v, shape, axes in zip(inputs, shapes, of_kind, strict=True):
        if axes:
            known = known.union(*(kinds.of(v, a) for a in range(len(shape)) if a not in axes))
    found: Axes = []
    for v, shape, axes in zip(inputs, shapes, of_kind, strict=True):
        as_long = [a for a, n in enumerate(shape) if n in sizes and not kinds.of(v, a) & known]
        if not axes and len(as_long) > 1:
            return None
        found.append(next(iter(axes or as_long), None))
    return found


def _guessed(inputs: Sequence[Variable], values: Values) -> Axes:
    """The axes of the one size that every input has once."""
    shapes = [shape for shape in map(_shape, values) if shape]
    sizes = [n for n in set(sum(shapes, ())) if all(shape.count(n) == 1 for shape in shapes)]
    if len(sizes) != 1:
        shown = dict(zip(names(inputs), map(_shape, values), strict=True))
        raise ValueError(
            f"it can't be told which axes of the inputs, of shapes {shown}, are those of the "
            'examples. Say so with batch_axes, as in {"x": 1, "mask": 1, "rate": None}.'
        )
    return [_shape(v).index(sizes[0]) if _shape(v) else None for v in values]
