"""The engine: all that bnrewrite takes from Aesara or PyTensor, in one place.

Nothing else in the library imports either. PyTensor is the living successor of Aesara; they can't
share an environment, so the version of Python decides: Aesara up to 3.11, PyTensor from 3.12 on.
What is the same in both is imported under one name. What differs is told below, and written once
in the manner of PyTensor, from which it is adapted to Aesara:

- An op gives its derivatives by `pullback` and `pushforward` (in Aesara `L_op` and `R_op`), and the
  shapes of its outputs by `shapes_of`.
- PyTensor freezes the graphs inside of ops. Equal ones are one object, whose nodes can't be built
  on, and whose variables have lost names and tags. `inner_graph` gives a graph to work on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

if sys.version_info < (3, 12):
    from aesara import Out as Out
    from aesara import function as function
    from aesara import shared as shared
    from aesara import tensor as tensor
    from aesara.compile.builders import OpFromGraph as OpFromGraph
    from aesara.compile.mode import get_mode as get_mode
    from aesara.compile.mode import optdb as optdb
    from aesara.compile.sharedvalue import SharedVariable as SharedVariable
    from aesara.gradient import DisconnectedType as DisconnectedType
    from aesara.graph.basic import Apply as Apply
    from aesara.graph.basic import Constant as Constant
    from aesara.graph.basic import Variable as Variable
    from aesara.graph.basic import ancestors as ancestors
    from aesara.graph.basic import graph_inputs as graph_inputs
    from aesara.graph.features import ReplaceValidate as ReplaceValidate
    from aesara.graph.null_type import NullType as NullType
    from aesara.graph.op import Op as _Op
    from aesara.graph.rewriting.basic import GraphRewriter as GraphRewriter
    from aesara.ifelse import IfElse as IfElse
    from aesara.ifelse import ifelse as ifelse
    from aesara.raise_op import CheckAndRaise as CheckAndRaise
    from aesara.scan.op import Scan as Scan
    from aesara.scan.utils import ScanArgs as ScanArgs
    from aesara.tensor.basic import Join as Join
    from aesara.tensor.basic import MakeVector as MakeVector
    from aesara.tensor.elemwise import CAReduce as CAReduce
    from aesara.tensor.elemwise import DimShuffle as DimShuffle
    from aesara.tensor.elemwise import Elemwise as Elemwise
    from aesara.tensor.random.type import RandomType as RandomType
    from aesara.tensor.shape import Reshape as Reshape
    from aesara.tensor.shape import Shape as Shape
    from aesara.tensor.shape import Shape_i as Shape_i
    from aesara.tensor.subtensor import IncSubtensor as IncSubtensor
    from aesara.tensor.subtensor import Subtensor as Subtensor
    from aesara.tensor.subtensor import indices_from_subtensor as indices_from_subtensor
    from aesara.tensor.type import TensorType as TensorType

    NAME, TITLE = "aesara", "Aesara"

    class Op(_Op):  # type: ignore[misc]
        """An op, written as for PyTensor."""

        def L_op(self, inputs: Any, outputs: Any, cotangents: Any) -> Any:
            """What Aesara calls the pullback."""
            return self.pullback(inputs, outputs, cotangents)

        def R_op(self, inputs: Any, tangents: Any) -> Any:
            """What Aesara calls the pushforward."""
            return self.pushforward(inputs, None, tangents)

        def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> Any:
            """What Aesara calls `shapes_of`."""
            return self.shapes_of(node, shapes)

    def inner_graph(node: Apply) -> tuple[Sequence[Variable], Sequence[Variable]]:
        """Inputs and outputs of the graph inside `node`."""
        return node.op.inner_inputs, node.op.inner_outputs

    def infer_shape(node: Apply, shapes: Sequence[tuple[Variable, ...]]) -> Any:
        """The shapes of the outputs of `node`, from those of its inputs; it may raise anything."""
        return node.op.infer_shape(None, node, shapes)

    def take_apart(
        op: Scan,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        inside: tuple[Sequence[Variable], Sequence[Variable]],
    ) -> ScanArgs:
        """The named lists of a loop. Nothing is cloned: the variables are those that came in."""
        return ScanArgs(inputs, outputs, *inside, op.info, False)

    def with_inner_graph_changed(op: Any, change: Callable[[Any], None]) -> Any:
        """A copy of `op` whose inner graph has been through `change`."""
        clone = op.clone()
        change(clone.fgraph)
        return clone

    # Whether graphs inside of ops are frozen when the op is made, without tags and names.
    FREEZES = False
    PULLBACK = "L_op"

    def runs_ops(fgraph: Any) -> bool:
        """Whether `fgraph` is compiled for a backend that runs the code of our ops."""
        return True

    def _clone_with_nested_graphs(op: Any) -> Any:
        clone = copy(op)
        clone.fgraph, _ = op.fgraph.clone_get_equiv(clone_inner_graphs=True)
        return clone

    def install_own_hooks(mark: type[Op]) -> None:
        """Make clones of ops with graphs inside deep.

        Compiling clones ops, but such a clone would share the ops nested in it with the caller's
        graph, and these are rewritten in place.
        """
        Scan.clone = OpFromGraph.clone = _clone_with_nested_graphs

else:
    from weakref import WeakKeyDictionary

    from pytensor import Out as Out
    from pytensor import function as function
    from pytensor import ifelse as ifelse
    from pytensor import shared as shared
    from pytensor import tensor as tensor
    from pytensor.compile.builders import OpFromGraph as OpFromGraph
    from pytensor.compile.mode import get_mode as get_mode
    from pytensor.compile.mode import optdb as optdb
    from pytensor.compile.sharedvalue import SharedVariable as SharedVariable
    from pytensor.gradient import DisconnectedType as DisconnectedType
    from pytensor.graph.basic import Apply as Apply
    from pytensor.graph.basic import Constant as Constant
    from pytensor.graph.basic import Variable as Variable
    from pytensor.graph.features import ReplaceValidate as ReplaceValidate
    from pytensor.graph.null_type import NullType as NullType
    from pytensor.graph.op import Op as _Op
    from pytensor.graph.replace import _vectorize_node
    from pytensor.graph.rewriting.basic import GraphRewriter as GraphRewriter
    from pytensor.graph.rewriting.basic import get_active_mode
    from pytensor.graph.traversal import ancestors as ancestors
    from pytensor.graph.traversal import graph_inputs as graph_inputs
    from pytensor.link.basic import JITLinker
    from pytensor.raise_op import CheckAndRaise as CheckAndRaise
    from pytensor.scan.op import Scan as Scan
    from pytensor.scan.utils import ScanArgs as ScanArgs
    from pytensor.tensor.basic import Join as Join
    from pytensor.tensor.basic import MakeVector as MakeVector
    from pytensor.tensor.elemwise import CAReduce as CAReduce
    from pytensor.tensor.elemwise import DimShuffle as DimShuffle
    from pytensor.tensor.elemwise import Elemwise as Elemwise
    from pytensor.tensor.random.type import RandomType as RandomType
    from pytensor.tensor.shape import Reshape as Reshape
    from pytensor.tensor.shape import Shape as Shape
    from pytensor.tensor.shape import Shape_i as Shape_i
    from pytensor.tensor.subtensor import IncSubtensor as IncSubtensor
    from pytensor.tensor.subtensor import Subtensor as Subtensor
    from pytensor.tensor.subtensor import indices_from_subtensor as indices_from_subtensor
    from pytensor.tensor.type import TensorType as TensorType

    try:
        from pytensor.conditional import IfElse as IfElse
    except ImportError:  # before it moved
        from pytensor.ifelse import IfElse as IfElse

    NAME, TITLE = "pytensor", "PyTensor"

    class Op(_Op):  # type: ignore[misc]
        """An op, which says what shapes it computes by `shapes_of`."""

        def infer_shape(self, node: Apply, shapes: Any) -> Any:
            """What PyTensor calls `shapes_of`."""
            return self.shapes_of(node, shapes)

    _inner_graphs: WeakKeyDictionary[Apply, tuple[Sequence[Variable], Sequence[Variable]]]
    _inner_graphs = WeakKeyDictionary()

    def inner_graph(node: Apply) -> tuple[Sequence[Variable], Sequence[Variable]]:
        """Inputs and outputs of the graph inside `node`, thawed: the same as long as it lives."""
        if node not in _inner_graphs:
            thawed = node.op.fgraph.unfreeze()
            _inner_graphs[node] = list(thawed.inputs), list(thawed.outputs)
        return _inner_graphs[node]

    def infer_shape(node: Apply, shapes: Sequence[tuple[Variable, ...]]) -> Any:
        """The shapes of the outputs of `node`, from those of its inputs; it may raise anything."""
        return node.op.infer_shape(node, shapes)

    def take_apart(
        op: Scan,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        inside: tuple[Sequence[Variable], Sequence[Variable]],
    ) -> ScanArgs:
        """The named lists of a loop. Nothing is cloned: the variables are those that came in."""
        return ScanArgs(inputs, outputs, *inside, op.info)

    def with_inner_graph_changed(op: Any, change: Callable[[Any], None]) -> Any:
        """A copy of `op` whose inner graph has been through `change`."""
        thawed = op.fgraph.unfreeze()
        change(thawed)
        return op.clone_with_inner_graph(thawed)

    FREEZES = True
    PULLBACK = "pullback"

    def runs_ops(fgraph: Any) -> bool:
        """Whether `fgraph` is compiled for a backend that runs the code of our ops."""
        return not isinstance(get_active_mode(fgraph).linker, JITLinker)

    def install_own_hooks(mark: type[Op]) -> None:
        """Let `vectorize_graph` give a marked value further axes, and not hide the mark."""
        _vectorize_node.register(mark)(lambda op, node, *inputs: op.make_node(*inputs))


def function_without_updates(
    inputs: Sequence[Variable], outputs: Sequence[Any], givens: Any = (), mode: Any = None
) -> Any:
    """Compile a function that leaves all shared variables as they are."""
    given = dict(givens)
    variables = [getattr(v, "variable", v) for v in outputs]
    moving = [v for v in graph_inputs(variables) if getattr(v, "default_update", None) is not None]
    return function(
        list(inputs),
        list(outputs),
        givens=given,
        updates=[(v, v) for v in moving if v not in given],
        on_unused_input="ignore",
        mode=mode,
    )


def computes_lazily(mode: Any) -> bool:
    """Whether the branches of an `ifelse` may differ in shape, as those of JAX may not."""
    return type(get_mode(mode).linker).__name__ != "JAXLinker"
