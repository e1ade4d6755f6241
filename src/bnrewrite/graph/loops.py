"""The layout of Scan, which is nobody else's business."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bnrewrite.graph.engine import (
    Apply,
    Constant,
    OpFromGraph,
    Scan,
    ScanArgs,
    Shape,
    Shape_i,
    Subtensor,
    Variable,
    ancestors,
    graph_inputs,
    rewrite_graph,
)
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild

_STATES = ("mit_sot", "sit_sot", "shared")


def is_loop(node: Apply) -> bool:
    """Whether `node` is a Scan."""
    return isinstance(node.op, Scan)


def is_while_loop(node: Apply) -> bool:
    """Whether `node` is a Scan that may stop before its last step."""
    return isinstance(node.op, Scan) and node.op.info.as_while


def is_derivative(node: Apply) -> bool:
    """Whether `node` is a loop that Aesara made to differentiate another one."""
    return isinstance(node.op, Scan) and (
        node.op.info.n_mit_mot > 0 or str(node.op.name).startswith(("grad_of_", "rop_of_"))
    )


class LoopBoundary:
    """Which inner and outer variables of a loop belong together.

    Attributes
    ----------
    node : Apply
        The loop.
    always_inside, always_outside : list of Variable
        What any step needs of the body (the condition to stop), and any loop from outside (the
        number of steps).
    """

    def __init__(self, node: Apply) -> None:
        self.node = node
        self._maps = node.op.get_oinp_iinp_iout_oout_mappings()
        self._index = {v: i for i, v in enumerate(node.op.inner_inputs)}
        self.always_inside = list(node.op.inner_outputs[-1:]) if is_while_loop(node) else []
        self.always_outside = [node.inputs[0]]

    def inside(self, output: Variable) -> list[Variable]:
        """What the body returns for an output of the loop."""
        indices = self._maps["inner_out_from_outer_out"][output.index]
        return [self.node.op.inner_outputs[i] for i in indices]

    def outside(self, output: Variable) -> list[Variable]:
        """What an output of the loop is started from."""
        return [self.node.inputs[self._maps["outer_inp_from_outer_out"][output.index]]]

    def behind(self, inner_input: Variable) -> list[Variable]:
        """Where an input of the body comes from: an outer input and, for a state, its output."""
        index = self._index[inner_input]
        output = self._maps["outer_out_from_inner_inp"][index]
        state = [self.node.outputs[output]] if output >= 0 else []
        return [self.node.inputs[self._maps["outer_inp_from_inner_inp"][index]], *state]

    def has_inner_input(self, variable: Variable) -> bool:
        """Whether `variable` is an input of the body."""
        return variable in self._index


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
        # clone=False: marked variables must stay the objects that were found.
        self._args = ScanArgs(
            inputs, node.outputs, node.op.inner_inputs, node.op.inner_outputs, node.op.info, False
        )
        self._prune(needed, needed_inside)
        self._old_outputs = list(self._args.outer_outputs)

    @property
    def n_steps(self) -> Variable:
        """The number of steps, at the most if it is a while-loop."""
        return self._args.n_steps

    @property
    def inner_outputs(self) -> list[Variable]:
        """What the body returns."""
        return list(self._args.inner_outputs)

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
        """Make the body return what `memo` holds for what it returns now."""
        for kind in (*_STATES, "nit_sot"):
            name = f"inner_out_{kind}"
            setattr(self._args, name, [memo.get(v, v) for v in getattr(self._args, name)])
        self._args.cond = [memo.get(v, v) for v in self._args.cond]

    def add_nit_sots(self, inner: Sequence[Variable]) -> None:
        """Make the body return `inner` for each step too."""
        self._args.inner_out_nit_sot = [*self._args.inner_out_nit_sot, *inner]
        self._args.outer_in_nit_sot = [*self._args.outer_in_nit_sot, *[self.n_steps] * len(inner)]

    def add_sequences(self, outer: Sequence[Variable], inner: Sequence[Variable]) -> None:
        """Give each step of `outer` to the body as `inner`."""
        self._args.outer_in_seqs = [*self._args.outer_in_seqs, *outer]
        self._args.inner_in_seqs = [*self._args.inner_in_seqs, *inner]

    def build(self) -> tuple[dict[Variable, Variable], list[Variable]]:
        """Make the new node.

        Returns
        -------
        outputs : dict
            From the outputs kept of the old node to those of the new one.
        nit_sots : list of Variable
            What was added by `add_nit_sots`.
        """
        args, old = self._args, self._op
        op = Scan(
            args.inner_inputs,
            args.inner_outputs,
            args.info,
            mode=old.mode,
            truncate_gradient=old.truncate_gradient,
            name=old.name,
            profile=old.profile,
            allow_gc=old.allow_gc,
            strict=old.strict,
        )
        # make_node: calling an op with a single output returns it without a list.
        new = op.make_node(*args.outer_inputs).outputs
        n_shared, n_kept = len(args.outer_out_shared), len(self._old_outputs)
        n_added = len(new) - n_kept
        first_added = n_kept - n_shared
        added = new[first_added : first_added + n_added]
        kept = new[:first_added] + new[first_added + n_added :]
        return dict(zip(self._old_outputs, kept, strict=True)), added


def _kept(items: Sequence[Variable], kept: list[bool]) -> list[Variable]:
    return [item for item, keep in zip(items, kept, strict=True) if keep]


def outside_of(variables: Sequence[Variable], node: Apply) -> list[Variable | None]:
    """`variables` of the body of the loop `node`, computed outside of the loop.

    Returns
    -------
    list of Variable or None
        None for a value that may change from step to step. What depends only on non-sequences, and
        on the shapes of sequences and states, does not.
    """
    boundary = LoopBoundary(node)
    outside = [_outside_of(v, boundary) for v in variables]
    missing = [v for v, found in zip(variables, outside, strict=True) if found is None]
    if missing:
        # A rewrite, on a copy, expresses shapes within the body by the shapes of its inputs.
        # It does not see past what an `OpFromGraph` is applied to.
        inlined = rebuild(missing, {}, set(ancestors(missing)), _inline)
        simpler = iter(rewrite_graph(inlined, include=("ShapeOpt", "canonicalize"), clone=True))
        outside = [_outside_of(next(simpler), boundary) if v is None else v for v in outside]
    return outside


def _outside_of(variable: Variable, boundary: LoopBoundary) -> Variable | None:
    op = boundary.node.op
    memo = {v: boundary.behind(v)[0] for v in op.inner_non_seqs(op.inner_inputs)}
    for length, inner, axis in _lengths(variable):
        if boundary.has_inner_input(inner) and inner not in memo:
            memo[length] = boundary.behind(inner)[0].shape[axis + 1]
        elif inner.owner and is_loop(inner.owner) and axis > 0:
            # What a loop stacks has the same shape at each of its steps.
            (stacked,) = LoopBoundary(inner.owner).inside(inner)
            outside: Variable | None = stacked.shape[axis - 1]
            for loop in (inner.owner, boundary.node):
                if outside is not None:
                    (outside,) = outside_of([outside], loop)
            if outside is not None:
                memo[length] = outside
    if any(boundary.has_inner_input(v) and v not in memo for v in graph_inputs([variable], memo)):
        return None
    return rebuild([variable], memo, set(ancestors([variable])), clone_node)[0]


def _inline(node: Apply, inputs: list[Variable]) -> Memo:
    """`node` on new `inputs`, or the graph inside if it is an `OpFromGraph`."""
    if not isinstance(node.op, OpFromGraph):
        return clone_node(node, inputs)
    memo, inner = dict(zip(node.op.inner_inputs, inputs, strict=True)), node.op.inner_outputs
    outputs = rebuild(inner, memo, set(ancestors(inner)), _inline)
    return dict(zip(node.outputs, outputs, strict=False))


def _lengths(variable: Variable) -> Iterator[tuple[Variable, Variable, int]]:
    """The lengths that `variable` is computed from, each with what it is of and the axis."""
    for length in ancestors([variable]):
        if length.owner is None:
            continue
        if isinstance(length.owner.op, Shape_i):
            yield length, length.owner.inputs[0], length.owner.op.i
        elif isinstance(length.owner.op, Subtensor) and length.ndim == 0:
            shape, *index = length.owner.inputs
            if shape.owner and isinstance(shape.owner.op, Shape) and _is_constant(index):
                (inner,) = shape.owner.inputs
                yield length, inner, int(index[0].data) % inner.ndim


def _is_constant(index: Sequence[Variable]) -> bool:
    """Whether an index is one number."""
    return len(index) == 1 and isinstance(index[0], Constant)
