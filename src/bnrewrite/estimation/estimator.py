"""Estimator: run the exported statistics over batches, and average them.

All statistics are computed by one function, compiled once, and batches are read one at a time and
forgotten: memory does not grow with their number. A batch counts when all of its statistics have
been computed and checked, so an error never leaves half of one in the sums.

Parameters are read at each call. Random streams are not moved: the estimator draws from copies of
them, seeded anew for each batch, and differently in each shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from bnrewrite.estimation.batches import Batch, BatchError, empty_inputs, in_order
from bnrewrite.estimation.noise import is_random_stream, seed_of, spawned
from bnrewrite.estimation.readings import read
from bnrewrite.estimation.sources import sources
from bnrewrite.graph.engine import (
    Out,
    Variable,
    function_without_updates,
    graph_inputs,
    shared,
)
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.statistics import Statistic
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.tally import Reading


def estimate_population(
    inputs: Sequence[Variable],
    exported: Mapping[Statistic, Variable],
    batches: Iterable[Batch],
    *,
    pooling: Pooling = "edge",
    min_coverage: int = 0,
    mode: Any = None,
    progress: bool = False,
) -> Population:
    """Average `exported` statistics over `batches`.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs of the training graph.
    exported : dict of Statistic to Variable
        From `export_statistics`.
    batches : iterable of batches
        Read once. A batch is a mapping by name of the inputs, a mapping by input, or a sequence in
        the order of `inputs`.
    pooling : {"edge", "reached", "moments"}
        What the population statistics are; see `Population`.
    min_coverage : int
        Steps that fewer batches reached take the value of the last one that enough did.
    mode : str or Mode, optional
        How to compile, as for the engine's `function`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Population

    Raises
    ------
    ValueError
        If there are no batches, a batch lacks an input or has an unknown one, a loop took no step,
        the shape of a statistic differs between batches other than in time, a statistic is not
        finite, no batch took the branch (`ifelse`) that one is in, or the batches do not have what
        `pooling` or `min_coverage` need.
    RuntimeError
        If anything else goes wrong with a batch; the cause is chained.
    """
    estimator = Estimator(inputs, exported, mode=mode)
    return estimator.estimate(
        batches, pooling=pooling, min_coverage=min_coverage, progress=progress
    )


class Estimator:
    """The compiled function from a batch to its statistics. It can be pickled.

    Random streams are replaced by copies, which are seeded anew for each batch: every batch draws
    fresh noise, and the caller's streams stay where they are.
    """

    def __init__(
        self, inputs: Sequence[Variable], exported: Mapping[Statistic, Variable], *, mode: Any
    ) -> None:
        if not isinstance(exported, Exported):
            exported = Exported({s: Export(variable) for s, variable in exported.items()})
        self._inputs = list(inputs)
        outputs, self._sources = sources(exported, mode)
        self._variances = {m.name: v.name for m, v in exported.variance_of.items()}
        streams = [v for v in graph_inputs(outputs) if is_random_stream(v)]
        self._streams = [(v, shared(v.get_value(), name=v.name)) for v in streams]
        self._function = function_without_updates(
            self._inputs, [Out(v, borrow=True) for v in outputs], self._streams, mode
        )

    def estimate(
        self,
        batches: Iterable[Batch],
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        progress: bool = False,
    ) -> Population:
        """Average the statistics over `batches`."""
        tallies = self.tally(batches, pooling=pooling, progress=progress)
        return Population(tallies, pooling, min_coverage)

    def empty(self, pooling: Pooling) -> Tallies:
        """Nothing seen yet of the statistics; refuses a pooling that will not be readable."""
        tallies = Tallies({s.name: s.dtype for s in self._sources}, self._variances)
        tallies.check(pooling)
        return tallies

    def tally(
        self,
        batches: Iterable[Batch],
        *,
        pooling: Pooling,
        number: int = 0,
        progress: bool = False,
    ) -> Tallies:
        """Add up the statistics of `batches`. Runs of different `number` draw different noise."""
        tallies = self.empty(pooling)
        seeds = [(copy, seed_of(stream.get_value(), number)) for stream, copy in self._streams]
        bar = tqdm(batches, desc="population statistics", unit="batch", disable=not progress)
        try:
            for batch in bar:
                for copy, seed in seeds:
                    copy.set_value(spawned(seed), borrow=True)
                tallies.add(self._read(batch, tallies, pooling))
        except KeyboardInterrupt as interrupt:
            done = tallies.n_batches
            raise KeyboardInterrupt(f"interrupted after {done} batches") from interrupt
        except BatchError:
            raise
        except Exception as error:
            done = tallies.n_batches
            raise RuntimeError(
                f"the estimate stopped at batch {done + 1}, after {done} batches, and nothing was "
                f"changed. {type(error).__name__}: {error}"
            ) from error
        if tallies.n_batches == 0:
            raise ValueError(
                "there are no batches to estimate from. An iterator that has been read before is "
                "empty; pass a list, or a new iterator."
            )
        return tallies

    def lengths(self, values: Sequence[Any]) -> dict[str, tuple[int, ...]]:
        """The number of steps of the loops around each statistic, for inputs of some `values`."""
        outputs = self._function(*values)
        return {s.name: np.shape(outputs[s.index])[: s.depth] for s in self._sources}

    def _read(self, batch: Batch, before: Tallies, pooling: Pooling) -> dict[str, Reading]:
        """Compute the statistics of one batch, and check all of them."""
        number = before.n_batches + 1
        inputs = in_order(batch, self._inputs, f"batch {number}")
        try:
            values = self._function(*inputs)
        except Exception as error:
            if empty := empty_inputs(inputs, self._inputs):
                raise BatchError(
                    f"batch {number} can't be computed, and has no elements along an axis of "
                    f"inputs {empty}. Leave empty sequences and batches out. {error}"
                ) from error
            raise
        shapes = {name: tally.shape() for name, tally in before.by_name.items()}
        readings = {
            s.name: read(s, values, number, shapes.get(s.name), pooling) for s in self._sources
        }
        return {name: reading for name, reading in readings.items() if reading is not None}
