"""Other batches: the outputs of batches that are made of the examples of one.

They are computed when they are asked for, and not kept. That a batch of the same size can't be
computed is an error. That one of another size can't may have its reasons, and is remembered: then
no further one is tried.
"""

from __future__ import annotations

import numpy as np

from bnrewrite.report.batch_axes import BatchAxes, Values
from bnrewrite.report.comparison import Predict
from bnrewrite.report.tolerance import nudged
from bnrewrite.report.variants import Variant, described


class OtherBatches:
    """The outputs of the variants of a batch."""

    def __init__(self, predict: Predict, values: Values, axes: BatchAxes, what: str) -> None:
        self._predict, self._values, self._axes, self.what = predict, values, axes, what
        self.n, self.is_one_size = axes.n_examples, axes.is_one_size
        self.no_other_size: str | None = None

    def original(self) -> tuple[Values, Values]:
        """The outputs of the batch, and again with other rounding errors."""
        rng = np.random.default_rng(0)
        outputs = self._compute(self._values, self.what)
        try:
            return outputs, self._predict(*(nudged(v, rng) for v in self._values), nudge=True)
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
