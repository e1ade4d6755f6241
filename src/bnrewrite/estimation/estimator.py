"""Estimator: run the exported statistics over batches, and average them.

All statistics are computed by one function, compiled once, and batches are read one at a time and
forgotten: memory does not grow with their number. A batch counts when all of its statistics have
been computed and checked, so an error never leaves half of one in the sums.

Parameters are read at each call. Random streams are not moved: the estimator draws from copies of
them, seeded anew for each batch, and differently in each shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bnrewrite.estimation.asked import opened
from bnrewrite.estimation.batches import (
    Batch,
    BatchError,
    Batches,
    Extra,
    empty_inputs,
    in_order,
    misfits,
)
from bnrewrite.estimation.noise import is_random_stream, seed_of, spawned
from bnrewrite.estimation.parameters import digests_of, parameters_of
from bnrewrite.estimation.progress import watched
from bnrewrite.estimation.readings import read
from bnrewrite.estimation.signs import clip_variances
from bnrewrite.estimation.sources import sources
from bnrewrite.estimation.stopped import keeping, refuse_no_batches, so_far
from bnrewrite.graph.engine import (
    Out,
    Variable,
    function_without_updates,
    graph_inputs,
    shared,
)
from bnrewrite.graph.exported import Exported
from bnrewrite.graph.fast import fast_compilation
from bnrewrite.graph.fingerprints import MADE_BY
from bnrewrite.population.counts import MinCount
from bnrewrite.population.origin import Origin
from bnrewrite.population.population import Population
from bnrewrite.population.resume import resumed
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.tally import Reading


class Estimator:
    """The compiled function from a batch to its statistics. It can be pickled.

    Random streams are replaced by copies, which are seeded anew for each batch: every batch draws
    fresh noise, and the caller's streams stay where they are.
    """

    def __init__(self, inputs: Sequence[Variable], exported: Exported, *, mode: Any) -> None:
        self._inputs = list(inputs)
        outputs, self._sources = sources(exported, mode)
        self._variances = {m.name: v.name for m, v in exported.variance_of.items()}
        self._made = Origin(MADE_BY, exported.fingerprints)
        self._parameters = parameters_of(exported.values())
        streams = [v for v in graph_inputs(outputs) if is_random_stream(v)]
        self._streams = [(v, shared(v.get_value(), name=v.name)) for v in streams]
        borrowed = [Out(v, borrow=True) for v in outputs]
        with fast_compilation():
            self._function = function_without_updates(self._inputs, borrowed, self._streams, mode)

    def estimate(
        self,
        batches: Batches,
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        min_count: MinCount = "auto",
        progress: bool = False,
        extra: Extra = "raise",
        resume: Population | None = None,
    ) -> Population:
        """Average the statistics over `batches`."""
        tallies = self.begun(pooling, min_count, resume)
        before, kept = tallies.n_batches, partial(so_far, tallies, pooling)
        with keeping(kept, at_batch=True):
            self.add(batches, tallies, pooling, skip=before, progress=progress, extra=extra)
        with keeping(kept):
            refuse_no_batches(tallies, before)
            population = Population(tallies, pooling, min_coverage)
            population.caution_few()
        return population

    def begun(
        self, pooling: Pooling, min_count: MinCount, resume: Population | None = None
    ) -> Tallies:
        """Nothing seen yet of the statistics, or the sums of a population, to be added to.

        Refuses a pooling that will not be readable.
        """
        dtypes = {s.name: s.dtype for s in self._sources}
        tallies = Tallies(dtypes, self._variances, min_count, self._origin())
        tallies.check(pooling, min_count)
        return tallies if resume is None else resumed(tallies, resume, pooling)

    def _origin(self) -> Origin:
        return replace(
            self._made, parameters={**self._made.parameters, **digests_of(self._parameters)}
        )

    def __getstate__(self) -> dict[str, Any]:
        # Elsewhere parameters stay as they are.
        return {**self.__dict__, "_made": self._origin(), "_parameters": []}

    def add(
        self,
        batches: Batches,
        tallies: Tallies,
        pooling: Pooling,
        *,
        number: int = 0,
        skip: int = 0,
        progress: bool = False,
        extra: Extra = "raise",
    ) -> None:
        """Add the statistics of `batches` to `tallies`.

        Runs of different `number` draw different noise, and `skip` leaves out the draws of batches
        that were done before.
        """
        seeds = [(copy, seed_of(v.get_value(), number, skip)) for v, copy in self._streams]
        try:
            for batch in watched(opened(batches), shown=progress):
                for copy, seed in seeds:
                    copy.set_value(spawned(seed), borrow=True)
                tallies.add(self._read(batch, tallies, pooling, extra))
        except BatchError:
            raise
        except Exception as error:
            done = tallies.n_batches
            raise RuntimeError(
                f"the estimate stopped at batch {done + 1}, after {done} batches; the population "
                f"of the graph is as before. {type(error).__name__}: {error}"
            ) from error

    def lengths(self, values: Sequence[Any]) -> dict[str, tuple[int, ...]]:
        """The number of steps of the loops around each statistic, for inputs of some `values`."""
        outputs = self._function(*values)
        return {s.name: np.shape(outputs[s.index])[: s.depth] for s in self._sources}

    def _read(
        self, batch: Batch, before: Tallies, pooling: Pooling, extra: Extra
    ) -> dict[str, Reading]:
        """Compute the statistics of one batch, and check all of them."""
        number = before.n_batches + 1
        inputs = in_order(batch, self._inputs, f"batch {number}", extra)
        try:
            values = self._function(*inputs)
        except Exception as error:
            if empty := empty_inputs(inputs, self._inputs):
                raise BatchError(
                    f"batch {number} can't be computed, and has no elements along an axis of "
                    f"inputs {empty}. Leave empty sequences and batches out. {error}"
                ) from error
            if wrong := misfits(inputs, self._inputs, self._function):
                raise BatchError(f"batch {number} does not fit the inputs: {wrong}.") from error
            raise
        shapes = {name: tally.shape() for name, tally in before.by_name.items()}
        readings = {
            s.name: read(s, values, number, shapes.get(s.name), pooling) for s in self._sources
        }
        taken = {name: reading for name, reading in readings.items() if reading is not None}
        clip_variances(taken, self._variances, number)
        return taken
