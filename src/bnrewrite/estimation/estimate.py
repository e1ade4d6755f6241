"""Estimate: the pass by itself, from what was exported to a population.

Arguments are checked before anything is compiled.

Sharp edge: each call compiles a function anew. An `InferenceGraph` keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bnrewrite.estimation.asked import check_batches, check_rule, checked_exported
from bnrewrite.estimation.batches import Batches, Extra
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.inputs import check_inputs, check_mode
from bnrewrite.graph.statistics import Statistic
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling


def estimate_population(
    inputs: Sequence[Variable],
    exported: Mapping[Statistic, Variable],
    batches: Batches,
    *,
    pooling: Pooling = "edge",
    min_coverage: int = 0,
    min_count: MinCount = "auto",
    mode: Any = None,
    progress: bool = False,
    extra: Extra = "raise",
    resume: Population | None = None,
) -> Population:
    """Average `exported` statistics over `batches`.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs of the training graph.
    exported : dict of Statistic to Variable
        From `export_statistics`.
    batches : iterable of batches, or function that returns one
        Read once. A list, a generator, a ``torch.utils.data.DataLoader`` or anything alike will do.
        A generator is empty when it has been read: where an estimate is to be repeated, give a
        function without arguments that returns a new one, such as ``partial(load_batches, path)``.
        A batch is a mapping by name of the inputs, a mapping by input, or a sequence in the order
        of `inputs`; its values are arrays, also those that ``np.load(path, mmap_mode="r")`` leaves
        on disk, or what NumPy makes arrays of, such as tensors of PyTorch on the CPU.
    pooling : {"edge", "reached", "moments"}
        What the population statistics are; see `Population`.
    min_coverage : int
        Steps that fewer batches reached take the value of the last one that enough did.
    min_count : int or "auto"
        Steps with fewer elements take the value of the last one that has enough; see `Population`.
    mode : str or Mode, optional
        How to compile, as for the engine's `function`.
    progress : bool
        Whether to show a progress bar.
    extra : {"raise", "ignore"}
        What happens to keys of a batch that are no inputs.
    resume : Population, optional
        Of batches that were done before, to go on from: the result is that of all batches. Such is
        ``error.population`` of an estimate that stopped. Of the same statistics and `pooling`.

    Returns
    -------
    Population

    Raises
    ------
    EstimateError
        Whatever goes wrong with the batches; it has the population of those that were done.
    EstimateInterrupted
        The same for Ctrl-C.
    ValueError
        If there are no batches, a batch lacks an input or has an unknown one, a loop took no step,
        the shape of a statistic differs between batches other than in time, a statistic is not
        finite or a variance negative, a mask has other values than 0 and 1, or the batches do not
        have what `pooling`, `min_coverage` or `min_count` need.
    TypeError
        If an argument is of the wrong type.
    RuntimeError
        If anything else goes wrong with a batch; the cause is chained.

    Warns
    -----
    FewElements
        If a variance rests on fewer than two elements in some batch, or is 0 at some step.
    """
    exported = checked_exported(exported)
    check_inputs(inputs, [v for e in exported.exports.values() for v in e.variables()])
    check_mode(mode)
    check_batches(batches)
    check_rule(exported, pooling, min_coverage, min_count, progress, extra, resume)
    return Estimator(inputs, exported, mode=mode).estimate(
        batches,
        pooling=pooling,
        min_coverage=min_coverage,
        min_count=min_count,
        progress=progress,
        extra=extra,
        resume=resume,
    )
