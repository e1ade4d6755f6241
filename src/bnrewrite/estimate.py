"""Run the exported statistics over batches, and average them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import aesara
import numpy as np
from aesara.compile.sharedvalue import SharedVariable
from aesara.graph.basic import Variable, graph_inputs
from aesara.tensor.random.type import RandomType
from tqdm import tqdm

from bnrewrite.marks import Moments, Path, Statistic
from bnrewrite.population import Estimate, Population, reached_steps
from bnrewrite.scans import is_loop
from bnrewrite.survey import place
from bnrewrite.varlen import Array, Mask, crop, hold

Batch = Mapping[str, Any] | Mapping[Variable, Any] | Sequence[Any]


def estimate_population(
    inputs: Sequence[Variable],
    exported: Mapping[Statistic, Variable],
    batches: Iterable[Batch],
    *,
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
    mode : str or Mode, optional
        How to compile, as for `aesara.function`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Population

    Raises
    ------
    ValueError
        If there are no batches, a batch lacks an input or has an unknown one, a loop took no step,
        the shape of a statistic differs between batches other than in time, or a statistic is not
        finite.
    RuntimeError
        If anything else goes wrong with a batch; the cause is chained.
    """
    return Estimator(inputs, exported, mode=mode).estimate(batches, progress=progress)


class Estimator:
    """The compiled function from a batch to its statistics.

    Random streams are replaced by copies, which are seeded anew for each batch: every batch draws
    fresh noise, and the caller's streams stay where they are.
    """

    def __init__(
        self, inputs: Sequence[Variable], exported: Mapping[Statistic, Variable], *, mode: Any
    ) -> None:
        self._inputs = list(inputs)
        self._statistics = tuple(exported)
        steps: Mapping[Path, Variable] = getattr(exported, "steps", {})
        counts: Mapping[Moments, Variable] = getattr(exported, "counts", {})
        self._steps, self._counts = tuple(steps), tuple(counts)
        outputs = [*exported.values(), *steps.values(), *counts.values()]
        streams = [v for v in graph_inputs(outputs) if _is_random_stream(v)]
        self._streams = {v: aesara.shared(v.get_value(), name=v.name) for v in streams}
        self._function = aesara.function(
            self._inputs,
            [aesara.Out(v, borrow=True) for v in outputs],
            givens=self._streams,
            no_default_updates=True,
            on_unused_input="ignore",
            mode=mode,
        )

    def estimate(self, batches: Iterable[Batch], *, progress: bool = False) -> Population:
        """Average the statistics over `batches`, each batch once."""
        estimates: dict[str, Estimate] = {}
        seeds = {v: deepcopy(v.get_value()) for v in self._streams}
        bar = tqdm(batches, desc="population statistics", unit="batch", disable=not progress)
        n_batches = 0
        try:
            for batch in bar:
                self._seed(seeds)
                self._add(estimates, self._run(batch, n_batches + 1), n_batches + 1)
                n_batches += 1
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"interrupted after {n_batches} batches") from interrupt
        except _BatchError:
            raise
        except Exception as error:
            raise RuntimeError(
                f"the estimate stopped at batch {n_batches + 1}, after {n_batches} batches, and "
                f"nothing was changed. {type(error).__name__}: {error}"
            ) from error
        if n_batches == 0:
            raise ValueError(
                "there are no batches to estimate from. An iterator that has been read before is "
                "empty; pass a list, or a new iterator."
            )
        return Population(estimates, n_batches)

    def _seed(self, seeds: Mapping[Variable, Any]) -> None:
        for stream, copy in self._streams.items():
            copy.set_value(_spawn(seeds[stream]), borrow=True)

    def _run(self, batch: Batch, number: int) -> list[Any]:
        values: list[Any] = self._function(*_ordered(batch, self._inputs, number))
        return values

    def _add(self, estimates: dict[str, Estimate], values: list[Any], number: int) -> None:
        """Check the values of one batch, all of them, and then add them."""
        n, m = len(self._statistics), len(self._steps)
        steps = dict(zip(self._steps, values[n : n + m], strict=True))
        counts = {s: c for k, c in zip(self._counts, values[n + m :], strict=True) for s in k}
        checked = []
        for statistic, raw in zip(self._statistics, values, strict=False):
            value = np.asarray(raw, dtype=np.float64)
            _check_shape(statistic, value, estimates.get(statistic.name), number)
            reached = _reached(statistic, value.shape, steps, counts.get(statistic), number)
            value, reached = crop(hold(value, reached), reached)
            _check_finite(statistic, value, number)
            checked.append((statistic, value, reached))
        for statistic, value, reached in checked:
            name, dtype = statistic.name, str(statistic.variable.dtype)
            if name not in estimates:
                estimates[name] = Estimate.empty(value, statistic.depth, dtype)
            estimates[name].add(value, reached)


class _BatchError(ValueError):
    """Something is wrong with a batch, and the message says what."""


def _is_random_stream(variable: Variable) -> bool:
    return isinstance(variable, SharedVariable) and isinstance(variable.type, RandomType)


def _spawn(stream: np.random.Generator | np.random.RandomState) -> Any:
    """A new stream of the kind of `stream`, which moves on."""
    if isinstance(stream, np.random.RandomState):
        return np.random.RandomState(stream.randint(2**32, size=4, dtype=np.uint32))
    return np.random.Generator(type(stream.bit_generator)(stream.integers(2**32, size=4)))


def _ordered(batch: Batch, inputs: list[Variable], number: int) -> list[Any]:
    """The values of a batch in the order of the inputs."""
    if isinstance(batch, Mapping):
        return _ordered_mapping(batch, inputs, number)
    if not isinstance(batch, Sequence) or isinstance(batch, str | bytes):
        raise _BatchError(
            f"batch {number} is of type {type(batch).__name__}. A batch is a dict by name of the "
            f"inputs, a dict by input, or a tuple in the order of the inputs {_names(inputs)}."
        )
    if len(batch) != len(inputs):
        raise _BatchError(
            f"batch {number} has {len(batch)} values for the {len(inputs)} inputs {_names(inputs)}."
        )
    return list(batch)


def _ordered_mapping(batch: Mapping[Any, Any], inputs: list[Variable], number: int) -> list[Any]:
    keys = {v: v if v in batch else v.name for v in inputs}
    missing = [v for v, key in keys.items() if key is None or key not in batch]
    known = set(keys.values())
    unknown = [str(key) for key in batch if key not in known]
    ambiguous = [k for k, n in Counter(keys.values()).items() if n > 1 and k is not None]
    if missing or unknown or ambiguous:
        raise _BatchError(
            f"batch {number} does not fit the inputs {_names(inputs)}: missing {_names(missing)}, "
            f"unknown {unknown}, shared by several inputs {ambiguous}. Unnamed inputs, and inputs "
            "of equal names, can be given in a dict by input or in a tuple."
        )
    return [batch[key] for key in keys.values()]


def _names(variables: Iterable[Variable]) -> list[str]:
    return [v.name or f"<unnamed {v.type}>" for v in variables]


def _check_shape(statistic: Statistic, value: Array, before: Estimate | None, number: int) -> None:
    depth, shape = statistic.depth, value.shape
    if 0 in shape[:depth]:
        loop = [node for node in statistic.path if is_loop(node)][shape[:depth].index(0)]
        path = statistic.path[: statistic.path.index(loop) + 1]
        raise _BatchError(
            f"loop {place(path)!r} took no step in batch {number}, which leaves "
            f"{statistic.name!r} without a value. Leave empty sequences out of the batches."
        )
    if before is not None and before.edge.total.shape[depth:] != shape[depth:]:
        raise _BatchError(
            f"{statistic.name!r} has shape {shape[depth:]} in batch {number}, and had "
            f"{before.edge.total.shape[depth:]} before. Only the number of steps of loops may "
            "differ between batches; reduce the statistic over all axes that vary."
        )


def _reached(
    statistic: Statistic,
    shape: tuple[int, ...],
    steps: Mapping[Path, Any],
    count: Any,
    number: int,
) -> Mask:
    """Which steps of the statistic there were in a batch."""
    depth = statistic.depth
    loops = [i for i, node in enumerate(statistic.path) if is_loop(node)]
    taken = [(axis, steps.get(statistic.path[: i + 1])) for axis, i in enumerate(loops)]
    if count is not None and np.ndim(count) < depth:
        raise _BatchError(f"the count of {statistic.name!r} has fewer axes than loops around it.")
    reached = reached_steps(shape[:depth], [(a, n) for a, n in taken if n is not None], count)
    if not reached.any():
        raise _BatchError(
            f"{statistic.name!r} has no element in batch {number}: its count, or mask, is zero "
            "everywhere. Leave such batches out."
        )
    return reached


def _check_finite(statistic: Statistic, value: Array, number: int) -> None:
    finite = np.isfinite(value)
    if not finite.all():
        step = tuple(int(i) for i in np.argwhere(~finite)[0][: statistic.depth])
        where = f" at step {step[0] if len(step) == 1 else step}" if step else ""
        raise _BatchError(
            f"{statistic.name!r} is not finite in batch {number}{where} (counted from 0). Check "
            "the parameters and the batch; a mean over no elements, as behind a mask, is NaN."
        )
