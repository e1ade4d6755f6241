"""Examine: compute the outputs of a batch and of its variants, and compare them.

What is compared, and how, is told in `variants`, `layouts` and `rows`, and for outputs without
examples in `wholes`. Here it is run, one batch after the other.

A graph may be made for batches of one size, by a static shape or an initial state for each place.
Then its outputs are compared for this size alone, as far as the graph says where their examples
are; if types allow no other size, nothing is left out.

Where noise is drawn, it is another one for each place in the batch: examples are compared with
themselves in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bnrewrite.report.batch_axes import Values
from bnrewrite.report.layouts import EXAMPLES, Grown, Layout, growth, layouts
from bnrewrite.report.other_batches import OtherBatches
from bnrewrite.report.rows import Rows
from bnrewrite.report.variants import Variant
from bnrewrite.report.wholes import REASON, are_made_by_examples

Found = dict[str, str | None]  # for each check the reason why it could not be made, or None
CHECKS = ("rows", "size", "order")


class Output(NamedTuple):
    """What is known of an output before it is computed."""

    label: str
    example_axes: tuple[int, ...]
    is_noisy: bool
    may_stop: bool


class Examined(NamedTuple):
    """The outputs of a batch, what was found of each, and whether it could be compared at all."""

    values: Values
    found: list[Found]
    compared: list[bool]


def examine(batches: OtherBatches, outputs: Sequence[Output], plan: Sequence[Variant]) -> Examined:
    """Compare the outputs in all variants of a `plan`.

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
    found: list[Found] = [
        _found_in_rows(batches, output, rows[i])
        if i in rows
        else dict.fromkeys(CHECKS, made.get(i, _unknown(batches)))
        for i, output in enumerate(outputs)
    ]
    compared = [i in rows or found[i]["rows"] is None for i in range(len(outputs))]
    return Examined(values, found, compared)


def _layouts(
    batches: OtherBatches, outputs: Sequence[Output], values: Values
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


def _found_in_rows(batches: OtherBatches, output: Output, rows: Rows) -> Found:
    found: Found = dict.fromkeys(CHECKS, rows.unclear)
    failures = rows.verdict()
    if output.is_noisy and "rows" not in failures:
        noise = (
            "noise is drawn for each place in a batch, which another place does not get. Dropout "
            "is switched off for prediction."
        )
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


def _wholes(batches: OtherBatches, places: Sequence[int]) -> dict[int, str | None]:
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


def _unknown(batches: OtherBatches) -> str:
    if batches.is_one_size:
        return "it can't be told where its examples are, as batches have one size."
    if batches.no_other_size:
        return f"it can't be told where its examples are, and {batches.no_other_size}"
    return "its shape does not grow with the number of examples as that of their outputs would."
