"""Longer: the same batch with more steps, to see what was not estimated for.

An axis is one of time if a loop with statistics inside takes it step by step, which the graph says
(`axis_kinds`); a number of steps may also be an input. All axes of one kind are made longer by as
much, their last step repeated, until the loops take as many steps as the longest batch of the
estimate did, and then by one step more. Whether they do is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bnrewrite.graph.axis_kinds import AxisKinds, Kind
from bnrewrite.graph.boundaries import is_while_loop
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, loops_of, where
from bnrewrite.graph.upstream import steps_are_fixed
from bnrewrite.report.batch_axes import BatchAxes, Values

Lengths = Mapping[str, tuple[int, ...]]
LengthsOf = Callable[[Values], Lengths]
Handle = tuple[int, int | None]  # an input and its axis; None if it is a number itself


class Longer(NamedTuple):
    """Longer batches with their numbers of steps, and why there are no more, if it is known."""

    batches: list[tuple[Values, list[int]]]
    reason: str | None = None


class Lengthener:
    """Makes the loops around the statistics of `scope` take more steps."""

    def __init__(
        self, scope: Scope, inputs: Sequence[Variable], kinds: AxisKinds, axes: BatchAxes
    ) -> None:
        self._scope, self._inputs, self._kinds, self._axes = scope, inputs, kinds, axes

    def longer(self, values: Values, longest: Lengths, lengths_of: LengthsOf) -> Longer:
        """The batch of `values` with as many steps as the `longest`, and with one more."""
        batches: list[tuple[Values, list[int]]] = []
        try:
            handles = self._missing(values, longest, _computed(lengths_of, values))
            for more in (0, 1) if handles else ():
                longer, steps = _extended(values, {h: n + more for h, n in handles.items()})
                lengths = _computed(lengths_of, longer)
                if more or any(handles.values()):
                    batches.append((longer, steps))
                if reason := self._shortfall(lengths, longest, more):
                    return Longer(batches, reason)
        except _NotComputedError as error:
            reason = f"the training graph can't be computed for more steps: {error}"
            return Longer(batches, reason)
        return Longer(batches, None if batches else self._stuck())

    def _missing(self, values: Values, longest: Lengths, now: Lengths) -> dict[Handle, int]:
        """How many steps there are to add to what makes loops longer."""
        missing: dict[Kind, int] = {}
        for path, name, level in self._loops():
            kind = self._kinds.of_steps(path)
            missing[kind] = max(missing.get(kind, 0), longest[name][level] - now[name][level])
        return {handle: n for kind, n in missing.items() for handle in self._handles(kind, values)}

    def _loops(self) -> list[tuple[Path, str, int]]:
        """The loops around each statistic, with its name and the axis of its value for each."""
        return [
            (path, s.name, level)
            for s in self._scope.all_statistics()
            for level, path in enumerate(loops_of(s.path))
        ]

    def _handles(self, kind: Kind, values: Values) -> list[Handle]:
        """What makes an axis of this kind longer."""
        found: list[Handle] = [
            (i, axis)
            for i, axis in self._axes.others(values)
            if self._kinds.of(self._inputs[i], axis) == {kind}
        ]
        if any(a is not None and self._inputs[i].type.shape[a] is not None for i, a in found):
            return []
        numbers = [i for i, v in enumerate(self._inputs) if getattr(v.type, "ndim", None) == 0]
        return [*found, *((i, None) for i in numbers if self._is_of(i, kind))]

    def _is_of(self, i: int, kind: Kind) -> bool:
        return self._kinds.of(self._inputs[i], None) == {kind}

    def _shortfall(self, lengths: Lengths, longest: Lengths, more: int) -> str | None:
        """Why longer batches, for which loops have these `lengths`, do not do."""
        for path, name, level in self._loops():
            may_stop = any(map(is_while_loop, path))
            wanted = longest[name][level] + more
            if not may_stop and lengths[name][level] < wanted and not self._is_fixed(path):
                return (
                    f"loop {where(path)!r} takes {lengths[name][level]} steps instead of {wanted} "
                    "when the inputs are longer."
                )
        return None

    def _is_fixed(self, path: Path) -> bool:
        """Whether a loop takes as many steps whatever it is given."""
        sizes = [
            v.type.shape[axis]
            for v in self._inputs
            for axis in range(getattr(v.type, "ndim", 0))
            if self._kinds.of(v, axis) == {self._kinds.of_steps(path)}
        ]
        return any(n is not None for n in sizes) or steps_are_fixed(path, self._inputs)

    def _stuck(self) -> str | None:
        """Why there is no longer batch; None if there can be none."""
        stuck = {where(path): None for path, *_ in self._loops() if not self._is_fixed(path)}
        if not stuck:
            return None
        return f"it can't be told which axes of the inputs make the loops {list(stuck)} longer."


class _NotComputedError(Exception):
    """The training graph can't be computed, as it may be for one length alone."""


def _computed(lengths_of: LengthsOf, values: Values) -> Lengths:
    try:
        return lengths_of(values)
    except Exception as error:  # whatever the engine raises
        raise _NotComputedError(" ".join(str(error).strip().splitlines()[:1])) from error


def _extended(values: Values, steps: Mapping[Handle, int]) -> tuple[Values, list[int]]:
    """Repeat the last step of each axis, or add to a number; return the new lengths too."""
    longer = list(values)
    lengths = set()
    for (i, axis), more in steps.items():
        value = longer[i]
        if axis is None:
            longer[i] = np.asarray(value + more, value.dtype)
            lengths.add(int(longer[i]))
            continue
        n = value.shape[axis]
        longer[i] = value.take(np.minimum(np.arange(n + more), n - 1), axis=axis)
        lengths.add(n + more)
    return longer, sorted(lengths)
