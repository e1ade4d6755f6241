"""Examine: compute the outputs of a batch and of its variants, and compare them.

What is compared, and how, is told in `variants`, `layouts` and `rows`, and for outputs without
examples in `wholes`. Here it is run, one batch after the other, and nothing is kept of them but the
outputs of the first.

A graph may be made for batches of one size, by a static shape or an initial state for each place.
Then its outputs are compared for this size alone, as far as the graph says where their examples
are; if types allow no other size, nothing is left out.

Where noise is drawn, it is another one for each place in the batch: examples are compared with
themselves in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bnrewrite.report.batch_axes import BatchAxes, Values
from bnrewrite.report.comparison import Predict
from bnrewrite.report.layouts import EXAMPLES, Grown, Layout, growth, layouts
from bnrewrite.report.rows import Rows
from bnrewrite.report.tolerance import nudged
from bnrewrite.report.variants import Variant, described
from bnrewrite.report.wholes import REASON, are_made_by_examples

Found = dict[str, str | None]  # for each check the reason why it could not be made, or None
CHECKS = ("rows", "size", "order")


class Output(NamedTuple):
    """What is known of an output before it is computed."""

    label: str
    example_axes: tuple[int, ...]
    is_noisy: bool
    may_stop: bool


class Batches:
    """The outputs of the variants of a batch."""

    def __init__(self, predict: Predict, values: Values, axes: BatchAxes, what: str) -> None:
        self._predict, self._values, self._axes, self.what = predict, values, axes, what
        self.n, self.is_one_size = axes.n_examples, axes.is_one_size
        self.no_other_size: str | None = None

    def original(self) -> tuple[Values, Values]:
        """The outputs of the batch, and again with other rounding errors in the inputs."""
        rng = np.random.default_rng(0)
        outputs = self._compute(self._values, self.what)
        try:
            return outputs, self._predict(*(nudged(v, rng) for v in self._values))
        except Exception:  # as for a number that had to be one of a few
            return outputs, outputs

    def __call__(self, variant: Variant) -> Values:
        """The outputs of a variant."""
        what = f"{self.what}, with examples {described(variant)}"
        return self._compute(self._axes.take(self._values, variant), what)

    def of_any_size(self, variant: Variant) -> Values | None:
        """The outputs of a variant; None if it can't be computed for its number of examples."""
        if len(variant) == self.n:
            return self(variant)
        if self.is_one_size or self.no_other_size:
            return None
        try:
            return self(variant)
        except RuntimeError as error:
            first_line = str(error.__cause__).strip().splitlines()[:1]
            self.no_other_size = (
                f"the outputs can't be computed for {len(variant)} examples instead of {self.n}: "
                f"{' '.join(first_line)}"
            )
            return None

    def _compute(self, values: Values, what: str) -> Values:
        try:
            return self._predict(*values)
        except Exception as error:
            raise RuntimeError(f"the outputs can't be computed for {what}. {error}") from error


def examine(
    batches: Batches, outputs: Sequence[Output], plan: Sequence[Variant]
) -> tuple[Values, list[Found]]:
    """Compare the outputs in all variants of a `plan`; return the outputs, and what was found.

    Raises
    ------
    RuntimeError
        If an output of an example changes.
    """
    values, rounded = batches.original()
    possible = _layouts(batches, outputs, values)
    rows = {
        i: Rows(output.label, batches.n, values[i], rounded[i], found)
        for i, (output, found) in enumerate(zip(outputs, possible, strict=True))
        if found
    }
    for variant in plan:
        others = batches.of_any_size(variant)
        for i, row in rows.items():
            if others is not None:
                row.compare(variant, others[i])
    wholes = [i for i, found in enumerate(possible) if found == []]
    made = _wholes(batches, wholes)
    return values, [
        _found_in_rows(batches, output, rows[i])
        if i in rows
        else dict.fromkeys(CHECKS, made.get(i, _unknown(batches)))
        for i, output in enumerate(outputs)
    ]


def _layouts(
    batches: Batches, outputs: Sequence[Output], values: Values
) -> list[list[Layout] | None]:
    """The layouts of each output; none if it has no examples; None if that can't be told."""
    lengths: dict[int, Values] = {}
    for size in (1, batches.n, batches.n + 1):
        computed = batches.of_any_size([0] * size)
        if computed is None:
            return [_as_said(output, v.shape) for output, v in zip(outputs, values, strict=True)]
        lengths[size] = computed
    return [
        _as_grown({n: v[i].shape for n, v in lengths.items()}, output.may_stop)
        for i, output in enumerate(outputs)
    ]


def _as_said(output: Output, shape: tuple[int, ...]) -> list[Layout] | None:
    """The layout that the graph says; None if it says none."""
    dims = [(EXAMPLES,) if a in output.example_axes else (n,) for a, n in enumerate(shape)]
    return [Layout(tuple(dims))] if output.example_axes else None


def _as_grown(shapes: dict[int, tuple[int, ...]], may_stop: bool) -> list[Layout] | None:
    """The layouts of an output that has these shapes for so many examples."""
    grown = [
        growth(dict(zip(shapes, lengths, strict=True)))
        for lengths in zip(*shapes.values(), strict=True)
    ]
    if may_stop:  # an axis that grows in no way is one of steps
        grown = [axis or Grown(0, 0) for axis in grown]
    known = [axis for axis in grown if axis is not None]
    return layouts(known) if len(known) == len(grown) else None


def _found_in_rows(batches: Batches, output: Output, rows: Rows) -> Found:
    found: Found = dict.fromkeys(CHECKS)
    failures = rows.verdict()
    if output.is_noisy and "rows" not in failures:
        noise = "noise is drawn for each place in a batch, which another place does not get."
        found.update(dict.fromkeys(failures, noise))
        failures = {}
    for check in ("rows", "order", "size"):
        if check in failures:
            raise RuntimeError(f"{failures[check]} This was seen in {batches.what}.")
    if batches.is_one_size:
        del found["size"]
    elif batches.no_other_size:
        found["size"] = batches.no_other_size
    return found


def _wholes(batches: Batches, places: Sequence[int]) -> dict[int, str | None]:
    """For outputs without examples, None if they are made by examples; else the reason."""
    if not places:
        return {}

    def compute(variant: Variant) -> Values:
        outputs = batches.of_any_size(variant)
        if outputs is None:
            raise _NoOtherSizeError
        return [outputs[i] for i in places]

    try:
        made = are_made_by_examples(batches.n, compute)
    except _NoOtherSizeError:
        return dict.fromkeys(places, REASON)
    return {i: None if is_made else REASON for i, is_made in zip(places, made, strict=True)}


class _NoOtherSizeError(Exception):
    """A batch of another size can't be computed."""


def _unknown(batches: Batches) -> str:
    if batches.is_one_size:
        return "it can't be told where its examples are, as batches have one size."
    if batches.no_other_size:
        return f"it can't be told where its examples are, and {batches.no_other_size}"
    return "its shape does not grow with the number of examples as that of their outputs would."
