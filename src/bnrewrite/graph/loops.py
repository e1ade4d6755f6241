"""Loops: take a loop apart, change it, and put it together again as a new node.

`export` gives a loop more outputs (nit-sots), `replace` more inputs (sequences), and both leave out
what the outputs do not need. The old node stays as it is.

Which list of Scan holds what is known here, and in `boundaries`. The engine's `ScanArgs` names
these lists. The body is not copied: the variables that were surveyed must be the ones found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from inspect import unwrap
from typing import Any

from bnrewrite.graph.engine import Apply, Scan, Variable, inner_graph, take_apart
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.rebuild import Memo

_STATES = ("mit_sot", "sit_sot", "shared")


class Loop:
    """A loop taken apart, to be changed and put together again as a new node.

    Parameters
    ----------
    node : Apply
        The old loop, which stays as it is.
    inputs : list of Variable
        The new outer inputs, one for each of `node`.
    needed, needed_inside : collection of Variable
        The outer outputs, and the inner inputs, to keep. Inner inputs are shared by all loops, so
        what is needed inside another loop must not be among them.
    """

    def __init__(
        self,
        node: Apply,
        inputs: list[Variable],
        needed: Collection[Variable],
        needed_inside: Collection[Variable],
    ) -> None:
        self._op = node.op
        self._args = take_apart(node.op, inputs, node.outputs, inner_graph(node))
        self._prune(needed, needed_inside)
        self._old_outputs = list(self._args.outer_outputs)

    @property
    def n_steps(self) -> Variable:
        """The number of steps, at the most if it is a while-loop."""
        return self._args.n_steps

    def _prune(self, needed: Collection[Variable], needed_inside: Collection[Variable]) -> None:
        """Leave out what no needed output depends on, so that nothing upstream need be kept."""
        args = self._args
        for kind in ("seqs", "non_seqs"):
            self._keep(kind, [v in needed_inside for v in getattr(args, f"inner_in_{kind}")])
        for kind in (*_STATES, "nit_sot"):
            kept = [v in needed for v in getattr(args, f"outer_out_{kind}")]
            if kind == "mit_sot":
                args.mit_sot_in_slices = _kept(args.mit_sot_in_slices, kept)
            self._keep(kind, kept)

    def _keep(self, kind: str, kept: list[bool]) -> None:
        for side in ("outer_in", "inner_in", "inner_out", "outer_out"):
            name = f"{side}_{kind}"
            if hasattr(self._args, name):
                setattr(self._args, name, _kept(getattr(self._args, name), kept))

    def replace_inside(self, memo: Memo) -> None:
        """Let the body return the new versions, in `memo`, of what it returns now."""
        args = self._args
        for kind in (*_STATES, "nit_sot"):
            name = f"inner_out_{kind}"
            setattr(args, name, [memo.get(v, v) for v in getattr(args, name)])
        args.inner_out_mit_mot = [[memo.get(v, v) for v in vs] for vs in args.inner_out_mit_mot]
        args.cond = [memo.get(v, v) for v in args.cond]

    def add_nit_sots(self, inner: Sequence[Variable]) -> None:
        """Make the body return `inner` for each step too."""
        self._args.inner_out_nit_sot = [*self._args.inner_out_nit_sot, *inner]
        self._args.outer_in_nit_sot = [*self._args.outer_in_nit_sot, *[self.n_steps] * len(inner)]

    def add_sequences(self, outer: Sequence[Variable], inner: Sequence[Variable]) -> None:
        """Give each step of `outer` to the body as `inner`."""
        self._args.outer_in_seqs = [*self._args.outer_in_seqs, *outer]
        self._args.inner_in_seqs = [*self._args.inner_in_seqs, *inner]

    def stop_only_if(self, condition: Variable) -> None:
        """Make a while-loop go on, even if it would stop, until `condition` is true inside, too."""
        self._args.cond = [at.and_(at.neq(stop, 0), condition) for stop in self._args.cond]

    def build(self) -> tuple[dict[Variable, Variable], list[Variable]]:
        """Make the new node.

        Returns
        -------
        outputs : dict
            From the outputs kept of the old node to those of the new one.
        nit_sots : list of Variable
            What was added by `add_nit_sots`.
        """
        args = self._args
        op = _like(self._op, args.inner_inputs, args.inner_outputs, args.info)
        new = op(*args.outer_inputs, return_list=True)
        n_shared, n_kept = len(args.outer_out_shared), len(self._old_outputs)
        n_added = len(new) - n_kept
        first_added = n_kept - n_shared
        added = new[first_added : first_added + n_added]
        kept = new[:first_added] + new[first_added + n_added :]
        return dict(zip(self._old_outputs, kept, strict=True)), added


def _kept(items: Sequence[Variable], kept: list[bool]) -> list[Variable]:
    return [item for item, keep in zip(items, kept, strict=True) if keep]


def _like(
    op: Scan, inner_inputs: Sequence[Variable], inner_outputs: Sequence[Variable], info: Any
) -> Scan:
    """A loop with the options of `op`, whose body needs not be checked again as in `hooks`."""
    loop = Scan.__new__(Scan)
    unwrap(Scan.__init__)(
        loop,
        list(inner_inputs),
        list(inner_outputs),
        info,
        mode=op.mode,
        truncate_gradient=op.truncate_gradient,
        name=op.name,
        profile=op.profile,
        allow_gc=op.allow_gc,
        strict=op.strict,
    )
    loop.keeps_marks = True
    return loop
