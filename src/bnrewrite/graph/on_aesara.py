"""Aesara, by the names and in the manner that `engine` tells.

Graphs inside of ops can be changed in place here, and clones share them. A clone that is
changed must be a deep one, and `install_own_hooks` makes it so.

Sharp edge: `install_own_hooks` puts other methods into `Scan` and `OpFromGraph`, for the whole
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import wraps
from typing import Any, TypeVar

from aesara import Out as Out
from aesara import __version__
from aesara import config as config
from aesara import function as function
from aesara import shared as shared
from aesara import tensor as tensor
from aesara.compile.builders import OpFromGraph as OpFromGraph
from aesara.compile.function.types import Supervisor
from aesara.compile.mode import Mode as Mode
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
from aesara.graph.op import compute_test_value
from aesara.graph.rewriting.basic import GraphRewriter as GraphRewriter
from aesara.graph.utils import MethodNotDefined
from aesara.graph.utils import Scratchpad as Scratchpad
from aesara.ifelse import IfElse as IfElse
from aesara.ifelse import ifelse as ifelse
from aesara.link.c.cmodule import GCC_compiler as GCC_compiler
from aesara.link.c.cmodule import std_include_dirs as std_include_dirs
from aesara.link.c.op import COp as _COp
from aesara.raise_op import CheckAndRaise as CheckAndRaise
from aesara.scan.op import Scan as Scan
from aesara.scan.utils import ScanArgs as ScanArgs
from aesara.tensor.basic import Join as Join
from aesara.tensor.basic import MakeVector as MakeVector
from aesara.tensor.elemwise import CAReduce as CAReduce
from aesara.tensor.elemwise import DimShuffle as DimShuffle
from aesara.tensor.elemwise import Elemwise as Elemwise
from aesara.tensor.random.type import RandomType as RandomType
from aesara.tensor.rewriting.basic import constant_folding
from aesara.tensor.shape import Reshape as Reshape
from aesara.tensor.shape import Shape as Shape
from aesara.tensor.shape import Shape_i as Shape_i
from aesara.tensor.subtensor import IncSubtensor as IncSubtensor
from aesara.tensor.subtensor import Subtensor as Subtensor
from aesara.tensor.subtensor import indices_from_subtensor as indices_from_subtensor
from aesara.tensor.type import TensorType as TensorType

_Function = TypeVar("_Function", bound=Callable[..., Any])
NAME, TITLE, VERSION = "aesara", "Aesara", __version__


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


class COp(Op, _COp):  # type: ignore[misc]
    """An op with code in C too."""


def inner_graph(node: Apply) -> tuple[Sequence[Variable], Sequence[Variable]]:
    """Inputs and outputs of the graph inside `node`."""
    return node.op.inner_inputs, node.op.inner_outputs


def remember_inner_graph(
    node: Apply, inputs: Sequence[Variable], outputs: Sequence[Variable]
) -> None:
    """There is nothing to remember: the graph is that of the op."""


def without_test_values(function: _Function) -> _Function:
    """Decorates what builds graphs: test values are the caller's, and what is new has none."""
    decorated: _Function = config.change_flags(compute_test_value="off")(function)
    return decorated


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
# Whether an array of length 1 fits any other, if its type does not say that its length is 1.
BROADCASTS = True
# The linker of C, where the engine chooses one.
C_LINKER = None


@contextmanager
def shortcuts() -> Iterator[None]:
    """Compute constants in Python; Aesara compiles an operation on them, to run it once."""
    fold = constant_folding.fn

    def fold_in_python(fgraph: Any, node: Apply) -> Any:
        if not all(isinstance(variable, Constant) for variable in node.inputs):
            return False
        try:
            with config.change_flags(cxx=""):
                return fold(fgraph, node)
        except (MethodNotDefined, NotImplementedError):  # there is code in C only
            return fold(fgraph, node)

    constant_folding.fn = fold_in_python
    try:
        yield
    finally:
        constant_folding.fn = fold


def is_compiled(fgraph: Any) -> bool:
    """Whether `fgraph` is rewritten to be compiled, and not for its own sake."""
    return any(isinstance(feature, Supervisor) for feature in fgraph._features)


PULLBACK = "L_op"


def runs_ops(fgraph: Any) -> bool:
    """Whether `fgraph` is compiled for a backend that runs the code of our ops."""
    return True


def teach_numba(fgraph: Any, op_type: type[Op], translate: Callable[..., Any]) -> bool:
    """Whether Numba compiles `fgraph`, and not the code of our ops."""
    return False


def _clone_with_nested_graphs(op: Any) -> Any:
    clone = copy(op)
    clone.fgraph, _ = op.fgraph.clone_get_equiv(clone_inner_graphs=True)
    return clone


def _running_a_clone(call: Callable[..., Any]) -> Callable[..., Any]:
    """The method that calls an op, where test values are computed by a clone of it."""

    @wraps(call)
    def call_and_run_a_clone(op: Any, *inputs: Any, **options: Any) -> Any:
        with config.change_flags(compute_test_value="off"):
            called = call(op, *inputs, **options)
        if config.compute_test_value != "off":
            node = (called[0] if isinstance(called, list) else called).owner
            outputs = [v.clone() for v in node.outputs]
            compute_test_value(Apply(_clone_with_nested_graphs(op), node.inputs, outputs))
            for output, computed in zip(node.outputs, outputs, strict=True):
                if hasattr(computed.tag, "test_value"):
                    output.tag.test_value = computed.tag.test_value
        return called

    return call_and_run_a_clone


def install_own_hooks(*op_types: type[Op]) -> None:
    """Keep the graphs inside of the caller's ops from being rewritten in place.

    Compiling clones ops, but such a clone would share the ops nested in it with the caller's
    graph; and an op that is run to compute test values is compiled in place. Both get deep clones.
    """
    Scan.clone = OpFromGraph.clone = _clone_with_nested_graphs
    Scan.__call__ = _running_a_clone(Scan.__call__)
    OpFromGraph.__call__ = _running_a_clone(OpFromGraph.__call__)
