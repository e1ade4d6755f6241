"""Hooks: what importing bnrewrite changes in the engine, and why.

Four things would lose batch statistics without a word. They are stopped when `bnrewrite` is
imported, which therefore has to happen before loops are built, and before anything is compiled:

* A tag on a variable inside a loop is beside the graph, and is lost when the loop is copied or
  differentiated, in PyTensor at once. The constructors of `Scan` and `OpFromGraph` put marks where
  there are tags.
* A mark on an input of a graph inside would not be where the statistic is computed, and a tag on
  one is dropped: both ops make inner inputs of their own. Building such an op is an error here.
* When Aesara compiles a function, it clones its loops, but a clone shares the loops nested in it,
  and these are rewritten in place: marks vanish from the caller's own graph. Clones are made deep.
* The gradient of a loop is a loop that takes its steps backwards, and computes the statistics of
  these steps again. Averaged by step, they would be those of other steps. The gradient of an
  `OpFromGraph` may be one of its user's, which passes by all marks. So what comes out of either is
  known as a derivative, even where it does not go through a statistic.

Three rewrites are added to the compiler. One drops all marks, at all depths, before any other
rewrite. It is in the database of compilation and in no other, and leaves alone what is rewritten
without being compiled, so that `rewrite_graph` keeps marks. The others are for backends that do not
run ops, and are told in `hold` and `translated`.

`check_marks_were_kept` recognizes a loop that was built or compiled before the import.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from bnrewrite.cautions import LostTags, caution
from bnrewrite.graph.boundaries import is_loop
from bnrewrite.graph.engine import (
    FREEZES,
    PULLBACK,
    TITLE,
    Apply,
    GraphRewriter,
    Op,
    OpFromGraph,
    ReplaceValidate,
    Scan,
    Variable,
    install_own_hooks,
    is_compiled,
    optdb,
    with_inner_graph_changed,
)
from bnrewrite.graph.hold import GatherHeldSteps
from bnrewrite.graph.marks import (
    Mark,
    StatisticDerivative,
    derivative,
    has_inside,
    has_marks,
    is_tagged,
    label_of,
    tags_to_marks,
)
from bnrewrite.graph.native import is_batch_norm
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.statistics import Path, where
from bnrewrite.graph.translated import TranslateChecks


def install() -> None:
    """Change the engine as said above, once."""
    if hasattr(Scan.__init__, "__wrapped__"):
        return
    install_own_hooks(Mark, StatisticDerivative)
    Scan.__init__ = _keeping_marks(Scan.__init__)
    OpFromGraph.__init__ = _keeping_marks(OpFromGraph.__init__)
    for op in (Scan, OpFromGraph):
        setattr(op, PULLBACK, _known_as_derivative(getattr(op, PULLBACK)))
    tags = ("fast_run", "fast_compile")
    optdb.register("drop_marks", DropMarks(), *tags, position=0.01)
    optdb.register("gather_held_steps", GatherHeldSteps(), *tags, position=0.02)
    optdb.register("translate_checks", TranslateChecks(), *tags, position=0.03)


def _keeping_marks(init: Callable[..., None]) -> Callable[..., None]:
    """The constructor `init`, with marks in the place of tags."""

    @functools.wraps(init)
    def checked_init(self: Any, inputs: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        if all(isinstance(v, Variable) for v in (*inputs, *outputs)):  # or else init says so
            order = topological_order(outputs, set(inputs), None)
            kind = "step of loop" if isinstance(self, Scan) else "graph inside"
            name = kwargs.get("name") or type(self).__name__
            _refuse_marked_inputs(inputs, order, f"{kind} {name!r}")
            outputs = tags_to_marks(inputs, outputs, order)
        init(self, inputs, outputs, *args, **kwargs)
        self.keeps_marks = True

    return checked_init


def _refuse_marked_inputs(inputs: Sequence[Variable], order: Sequence[Apply], where: str) -> None:
    marked = [v for v in inputs if is_tagged(v)]
    for node in order:
        if isinstance(node.op, Mark):
            pairs = zip(node.outputs, node.inputs, strict=False)
            marked += [new for new, old in pairs if old in inputs]
    for variable in marked:
        raise ValueError(
            f"the mark on {label_of(variable)!r} would be lost: it is on an input of the {where}, "
            "which is computed elsewhere. Mark the variable where it is computed, outside the "
            "loop or in the step before, or mark a copy of it (`mark_statistic(x.copy())`) inside."
        )


def _known_as_derivative(l_op: Callable[..., list[Variable]]) -> Callable[..., list[Variable]]:
    """The gradient `l_op` of an op, known as one if there are statistics in its graph."""

    @functools.wraps(l_op)
    def known(self: Any, *args: Any) -> list[Variable]:
        gradients = l_op(self, *args)
        if not (has_marks(self) or has_inside(self, is_batch_norm)):
            return gradients
        return [derivative(g, str(self.name)) for g in gradients]

    return known


class DropMarks(GraphRewriter):  # type: ignore[misc]
    """Leave out all marks, at all depths, of a graph that is compiled.

    Nodes are neither added nor moved: what other rewrites make of a graph depends on the order of
    its nodes, and is to be what they make of the graph without marks. A loop with marks keeps its
    node, and gets an op of its own, as its op may be the caller's.
    """

    def add_requirements(self, fgraph: Any) -> None:
        """Nodes have to be replaced."""
        fgraph.attach_feature(ReplaceValidate())

    def apply(self, fgraph: Any) -> None:
        """Drop the marks of `fgraph`, if it is compiled, and of the graphs inside its loops."""
        if is_compiled(fgraph):
            self._drop(fgraph)

    def _drop(self, fgraph: Any) -> None:
        for node in fgraph.toposort():
            if isinstance(node.op, Mark | StatisticDerivative):
                for marked, value in zip(node.outputs, node.inputs, strict=False):
                    fgraph.replace(marked, value, reason="drop_marks")
            elif is_loop(node) and has_marks(node.op):
                node.op = with_inner_graph_changed(node.op, self._drop)


def check_marks_were_kept(op: Op, path: Path) -> None:
    """Refuse a loop in which marks may be gone, as it was there before bnrewrite was imported.

    Raises
    ------
    RuntimeError
        If the loop was compiled in place, or is a derivative that was taken before the import.

    Warns
    -----
    LostTags
        If the engine froze the graph inside before there could be marks in the place of tags.
    """
    if FREEZES and type(op) in (Scan, OpFromGraph) and not hasattr(op, "keeps_marks"):
        caution(
            f"{where(path)!r} was built before bnrewrite was imported. If variables inside were "
            "marked by hand (`x.tag.bn_statistic = True`), these marks are gone, and batch "
            "statistics stay in the inference graph. Import bnrewrite before you build the model.",
            LostTags,
        )
    if not isinstance(op, Scan):
        return
    if not FREEZES and getattr(op, "_fn", None) is not None:
        what, happened = "nested loops", "compiled the inside of"
    elif op.info.n_mit_mot and not hasattr(op, "keeps_marks"):
        what, happened = "loops", "differentiated what became"
    else:
        return
    raise RuntimeError(
        f"{TITLE} has {happened} loop {where(path)!r} in place, and marks in it may be gone. This "
        f"happens to {what} that are {happened.split()[0]} before bnrewrite is imported: import it "
        "first, and build the graph again."
    )
