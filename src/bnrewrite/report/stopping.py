"""Stopping: what comes after a while-loop has stopped, and whether it should have.

Steps that no batch reached have statistics as all others do, and may have others that were not
marked. So the loops are made to run on (`endless`) and the rows are compared again.

If a loop stops because of something that is computed from the examples of a batch, then each of
them has a say in when all others stop. That does no harm if what comes after the stop is what was
there before, as in a loop that ends when all examples are finished and leaves alone those that are.
So this is compared too: what depends on when the loop stops depends on the other examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bnrewrite.estimation.batches import names
from bnrewrite.graph.upstream import Place, stops, values_read
from bnrewrite.report.batch_axes import BatchAxes, Values
from bnrewrite.report.comparison import Comparison
from bnrewrite.report.examine import Output, examine
from bnrewrite.report.other_batches import OtherBatches
from bnrewrite.report.rows import equally_long
from bnrewrite.report.tolerance import differ, tolerance_of
from bnrewrite.report.variants import few_variants

Array = NDArray[Any]


def verify_stops(
    comparison: Comparison,
    values: Values,
    axes: BatchAxes,
    outputs: Sequence[Output],
    n_steps: int,
) -> str | None:
    """Check the outputs of loops that run on to `n_steps`; return why not, if it can't be done.

    Raises
    ------
    RuntimeError
        If an output of an example changes.
    """
    running = comparison.running_on(n_steps)
    what = f"the batch, in which loops ran on to step {n_steps}"
    try:
        plan = few_variants(axes.n_examples)
        longer = examine(OtherBatches(running, values, axes, what), outputs, plan).values
    except RuntimeError as error:
        if error.__cause__ is None:  # it was no failure to compute
            raise
        return f"{error}"
    undecided = None
    for i, output in enumerate(outputs):
        conditions = stops(comparison.outputs[i])
        read = values_read(conditions, axes.inputs_with_examples(comparison.inputs))
        if read:
            _refuse_change(output.label, names(read), comparison.inference(*values)[i], longer[i])
            undecided = undecided or _undecided(comparison, values, conditions, n_steps)
    return undecided


def _refuse_change(label: str, read: Sequence[str], before: Array, after: Array) -> None:
    """Refuse an output that changes if a loop runs on, as examples decide when it stops."""
    shorter, allowed, after = equally_long(
        before, tolerance_of(before, before, None).allowed, after
    )
    if differ(shorter, after, allowed).any():
        raise RuntimeError(
            f"{label} depends on when a loop that it is computed from stops, and something says "
            f"so that is computed from all examples of the batch, from inputs {read}. If it is a "
            "statistic of the batch, mark it with `mark_statistic`. If the loop ends when all "
            "examples are finished, leave those that are as they are."
        )


def _undecided(
    comparison: Comparison, values: Values, conditions: Sequence[Place], n_steps: int
) -> str | None:
    """Why nothing was to be seen, if no loop has stopped before its last step."""
    if comparison.stop_before([path for path, _ in conditions], n_steps, values):
        return None
    return (
        "examples decide together when a loop stops, and in this batch it took all of its steps. "
        "Give a batch in which it stops before."
    )
