"""Checked: a graph with estimates whose outputs can be verified, and compared with the batch's own.

What is checked, and how, is told in `structure` and `verify`; how outputs are compared, in `gap`.
The functions that both need are compiled when they are first asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bnrewrite.cautions import NotChecked, caution
from bnrewrite.estimation.batches import Batch, Extra, in_order
from bnrewrite.estimation.estimates import Estimates
from bnrewrite.estimation.turns import in_turn
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Statistic
from bnrewrite.report.batch_axes import as_values
from bnrewrite.report.comparison import Comparison, Deciding
from bnrewrite.report.gap import Gap, gap_of
from bnrewrite.report.structure import verify_structure
from bnrewrite.report.verification import Verification, structure_alone
from bnrewrite.report.verify import verify_batch


class Checked(Estimates):
    """Estimates of a graph, with its outputs before and after.

    Attributes
    ----------
    outputs : Variable or list of Variable
        Those of the inference graph.
    batch_statistics : tuple of Statistic
        Those that are left in it on purpose.
    """

    _scope: Scope
    _batch_outputs: list[Variable]
    _deciding: list[Deciding]
    outputs: Variable | list[Variable]
    batch_statistics: tuple[Statistic, ...]

    @cached_property
    def _comparison(self) -> Comparison:
        outputs = self._output_list()
        return Comparison(self._inputs, self._batch_outputs, outputs, self._deciding, self._mode)

    def _output_list(self) -> list[Variable]:
        return [self.outputs] if isinstance(self.outputs, Variable) else self.outputs

    @in_turn
    def verify(
        self, batch: Batch | None = None, batch_axes: Any = None, *, extra: Extra = "raise"
    ) -> Verification:
        """Check that an example's outputs do not depend on the rest of its batch.

        Without a batch, the graph is searched: no batch statistic may be left, and the outputs must
        depend on the population statistics. With one, the outputs of its examples are compared with
        those in other batches that are made of them: with other examples beside them, alone, in
        another order, and with more steps than any batch of the estimate had. Of outputs that are
        classes or comparisons, the numbers that decide them are compared too. A step function
        further inside, as in ``(y > 0) @ W``, hides what moves no example of the batch across its
        step: there, a larger batch shows more.

        What is smaller than rounding can be is not seen: about the square root of the precision
        (3e-4 in float32, 1e-8 in float64) relative to the other elements of a unit.

        Parameters
        ----------
        batch : batch, optional
            Of two examples or more that are not the same.
        batch_axes : dict or tuple, optional
            In the form of a batch, the axis of the examples for each input, None where there is
            none. By default it is found from the graph, as the axis that the marked statistics
            reduce, or else the one whose size all inputs have once.
        extra : {"raise", "ignore"}
            As for `estimate`.

        Returns
        -------
        Verification
            What was checked of each output, and what was not, and why. It prints as a table, and is
            true if all was checked.

        Raises
        ------
        RuntimeError
            If the graph is not one of inference, does not run, or has no population yet.
        ValueError
            If the batch does not allow the check, or there is no output to check.

        Warns
        -----
        NotChecked
            If there is a batch, and anything could not be checked with it.
        StaleStatistics
            If parameters have changed since the population was estimated.
        """
        outputs = self._output_list()
        values_of, left = self._stored.variables, self.batch_statistics
        verify_structure(self._scope, self._batch_outputs, outputs, values_of, left)
        self._stored.caution_changed()
        comparison = self._comparison
        if batch is None:
            return structure_alone(comparison.labels, "there was no batch to compute.")
        if left:
            reason = f"these were left on purpose: {[s.name for s in left]}."
            caution(f"examples depend on their batch: {reason}", NotChecked)
            return structure_alone(comparison.labels, reason)
        values = as_values(self._inputs, in_order(batch, self._inputs, "the batch", extra))
        axes = None if batch_axes is None else in_order(batch_axes, self._inputs, "batch_axes")
        longest, lengths_of = self._stored.lengths(), self._estimator.lengths
        return verify_batch(self._scope, comparison, values, axes, longest, lengths_of)

    @in_turn
    def gap(self, batch: Batch, *, extra: Extra = "raise") -> Gap:
        """How far the outputs with population statistics are from those with `batch`'s own.

        Returns
        -------
        Gap
            It prints as a table. For each output: the root mean square of the training graph's,
            that of the difference, their quotient, and the greatest difference.
        """
        return gap_of(self._comparison, in_order(batch, self._inputs, "the batch", extra))
