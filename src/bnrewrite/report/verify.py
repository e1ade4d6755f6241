"""Verify: check that an example's outputs do not depend on the rest of its batch.

Two looks that know nothing of each other. The structure (`structure`): no batch statistic of the
training graph is left in the inference graph. The data: the outputs of an example stay the same
when all other examples change, when it is alone, and when it moves. The second finds what the first
can't know of: a statistic that was never marked.

What was looked at is said for each output, and what could not be looked at too (`Verification`):
silence would be taken for an answer. What is wrong raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import NotChecked, caution
from bnrewrite.estimation.batches import names
from bnrewrite.graph.axis_kinds import AxisKinds, Kind
from bnrewrite.graph.batch_kind import batch_kind
from bnrewrite.graph.engine import RandomType, Variable, graph_inputs
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.upstream import stops
from bnrewrite.report.batch_axes import Axes, BatchAxes, Values, same
from bnrewrite.report.comparison import Comparison
from bnrewrite.report.examine import Examined, Found, Output, examine
from bnrewrite.report.longer import Lengthener, Lengths, LengthsOf
from bnrewrite.report.other_batches import OtherBatches
from bnrewrite.report.stopping import verify_stops
from bnrewrite.report.tolerance import is_inexact
from bnrewrite.report.variants import few_variants, variants
from bnrewrite.report.verification import Verification, Verified, verified


def verify_batch(
    scope: Scope,
    comparison: Comparison,
    values: Values,
    axes: Axes | None,
    longest: Lengths,
    lengths_of: LengthsOf,
) -> Verification:
    """Check the rows of a batch of `values`, and of longer ones; say what was checked.

    `longest` has the greatest numbers of steps of the estimate, and `lengths_of` gives those of a
    batch.

    Raises
    ------
    RuntimeError
        If an output of an example changes, or can't be computed.
    ValueError
        If the axes of the examples can't be told, or nothing can be checked.

    Warns
    -----
    NotChecked
        If anything can't be checked.
    """
    check = _Check(scope, comparison, values, axes)
    try:
        with np.errstate(all="ignore"):  # an example alone may be what no batch ever was
            check.rows()
            steps = check.longer(longest, lengths_of)
    except RuntimeError as error:
        raise RuntimeError(" ".join([str(error), *check.guess()])) from error.__cause__
    result = Verification(check.verified(), steps, check.batch_axes(), check.notes())
    if not result:
        lines = "\n  ".join(result.not_checked())
        caution(f"not everything could be checked:\n  {lines}", NotChecked)
    return result


class _Check:
    """What is found of each output, one look after the other."""

    def __init__(
        self, scope: Scope, comparison: Comparison, values: Values, axes: Axes | None
    ) -> None:
        self._scope, self._comparison, self._values = scope, comparison, values
        self._kinds = AxisKinds(comparison.batch_outputs)
        found = batch_kind(scope, self._kinds, comparison.inputs, comparison.batch_outputs)
        self._axes = BatchAxes(comparison.inputs, values, axes, self._kinds, *found)
        self._alike = names(comparison.inputs[i] for i in self._axes.alike(values))
        if same(values, self._axes.take(values, [0] * self._axes.n_examples)):
            raise ValueError(
                "all examples of the batch are the same, or nearly: that shows nothing."
            )
        of_examples = self._axes.kinds(comparison.inputs, self._kinds)
        self._outputs = [
            _known_of(label, batch_output, output, self._kinds, of_examples)
            for label, batch_output, output in zip(
                comparison.labels, comparison.batch_outputs, comparison.outputs, strict=True
            )
        ]
        self._found: list[Found] = [{"structure": None} for _ in self._outputs]

    def rows(self) -> None:
        """Look at the rows of the batch."""
        batches = OtherBatches(self._comparison.inference, self._values, self._axes, "the batch")
        examined = examine(batches, self._outputs, variants(self._axes.n_examples))
        self._add_unknown(examined)
        if not any(examined.compared):
            raise ValueError(
                f"nothing of {self._comparison.labels} can be checked with this batch. "
                f"{self._outputs[0].label}: {examined.found[0]['rows']}"
            )
        for known, new in zip(self._found, examined.found, strict=True):
            known.update(new)

    def _add_unknown(self, examined: Examined) -> None:
        """Say where NaN hides what an output depends on, unless training has it as well."""
        are_nan = [np.isnan(v) if is_inexact(v) else np.zeros((), bool) for v in examined.values]
        if not any(is_nan.any() for is_nan in are_nan):
            return
        training = self._comparison.batch(*self._values)
        for i, (is_nan, trained) in enumerate(zip(are_nan, training, strict=True)):
            reason = _nan_of(is_nan, trained)
            examined.found[i]["rows"] = examined.found[i]["rows"] or reason
            examined.compared[i] &= not is_nan.all()

    def longer(self, longest: Lengths, lengths_of: LengthsOf) -> tuple[list[int], ...]:
        """Look at longer batches, and at what comes after loops that stop; return the lengths."""
        lengthener = Lengthener(self._scope, self._comparison.inputs, self._kinds, self._axes)
        longer = lengthener.longer(self._values, longest, lengths_of)
        for values, steps in longer.batches:
            what = f"a batch of {steps} steps"
            batches = OtherBatches(self._comparison.inference, values, self._axes, what)
            examined = examine(batches, self._outputs, few_variants(self._axes.n_examples))
            for found, of_longer in zip(self._found, examined.found, strict=True):
                found["longer"] = found.get("longer") or found["rows"] or of_longer["rows"]
        for found in self._found if longer.reason else ():
            found["longer"] = longer.reason
        if any(output.may_stop for output in self._outputs):
            self._after_until([self._values, *(values for values, _ in longer.batches)], longest)
        return tuple(steps for _, steps in longer.batches)

    def _after_until(self, batches: Sequence[Values], longest: Lengths) -> None:
        sizes = [n for value in batches[-1] for n in getattr(value, "shape", ())]
        n_steps = 1 + max([*sizes, *(n for shape in longest.values() for n in shape)])
        reason = verify_stops(self._comparison, batches[-1], self._axes, self._outputs, n_steps)
        for output, found in zip(self._outputs, self._found, strict=True):
            if output.may_stop:
                found["after until"] = reason or found["rows"]

    def batch_axes(self) -> dict[str, int | None]:
        """The axis of each input that was taken for that of the examples."""
        inputs = names(self._comparison.inputs)
        return dict(zip(inputs, self._axes.axes, strict=True))

    def guess(self) -> list[str]:
        """What to say if these axes are a guess."""
        axes = ", ".join(f"{name} {axis}" for name, axis in self.batch_axes().items())
        return [
            f"The axes of the examples were guessed ({axes}), as marked statistics leave a choice: "
            "say with batch_axes which they are."
        ] * self._axes.is_guess

    def notes(self) -> tuple[str, ...]:
        """What was not seen of any output."""
        alike = [
            f"Inputs {self._alike} are the same for all examples of the batch, so nothing was seen "
            "of what depends on them: give a batch in which they differ."
        ] * bool(self._alike)
        return (*self.guess(), *alike)

    def verified(self) -> tuple[Verified, ...]:
        """What was found of each output."""
        pairs = zip(self._outputs, self._found, strict=True)
        return tuple(verified(output.label, found) for output, found in pairs)


def _known_of(
    label: str, batch_output: Variable, output: Variable, kinds: AxisKinds, of_examples: set[Kind]
) -> Output:
    axes = [a for a in range(output.ndim) if kinds.of(batch_output, a) <= of_examples]
    is_noisy = any(isinstance(v.type, RandomType) for v in graph_inputs([output]))
    return Output(label, tuple(axes), is_noisy, bool(stops(output)))


def _nan_of(is_nan: NDArray[np.bool_], trained: NDArray[Any]) -> str | None:
    """What NaN in an output says of it, if training has numbers there, or if all is NaN."""
    if not is_nan.any():
        return None
    is_same = trained.shape == is_nan.shape
    unexpected = is_nan & ~np.isnan(trained) if is_same else is_nan
    if unexpected.any():
        return (
            f"{unexpected.sum()} of its {is_nan.size} elements are NaN where the training graph "
            "has numbers."
        )
    return "all of it is NaN." if is_nan.all() else None
