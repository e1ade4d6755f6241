"""PyTensor, by the names and in the manner that `engine` tells.

Graphs inside of ops are frozen here. A node is thawed once, and its inner graph is remembered as
long as the node lives: each thawing makes new variables, and a statistic is known by its path and
its variable.

Sharp edge: `_vectorize_node` and `_compile_mode` are private names, and a new version of PyTensor
may change them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pytensor import Out as Out
from pytensor import __version__
from pytensor import config as config
from pytensor import function as function
from pytensor import shared as shared
from pytensor import tensor as tensor
from pytensor.compile.builders import OpFromGraph as OpFromGraph
from pytensor.compile.mode import Mode as Mode
from pytensor.compile.mode import get_mode as get_mode
from pytensor.compile.mode import optdb as optdb
from pytensor.compile.sharedvalue import SharedVariable as SharedVariable
from pytensor.conditional import IfElse as IfElse
from pytensor.conditional import ifelse as ifelse
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
from pytensor.graph.utils import Scratchpad as Scratchpad
from pytensor.link.basic import JITLinker
from pytensor.link.c.cmodule import GCC_compiler as GCC_compiler
from pytensor.link.c.cmodule import std_include_dirs as std_include_dirs
from pytensor.link.c.op import COp as _COp
from pytensor.raise_op import CheckAndRaise as CheckAndRaise
from pytensor.scan.op import Scan as Scan
from pytensor.scan.utils import ScanArgs as ScanArgs
from pytensor.tensor.basic import Join as Join
from pytensor.tensor.basic import MakeVector as MakeVector
from pytensor.tensor.elemwise import CAReduce as CAReduce
from pytensor.tensor.elemwise import DimShuffle as DimShuffle
from pytensor.tensor.elemwise import Elemwise as Elemwise
from pytensor.tensor.random.type import RandomType as RandomType
from pytensor.tensor.rewriting.blas import GemmOptimizer
from pytensor.tensor.shape import Reshape as Reshape
from pytensor.tensor.shape import Shape as Shape
from pytensor.tensor.shape import Shape_i as Shape_i
from pytensor.tensor.subtensor import IncSubtensor as IncSubtensor
from pytensor.tensor.subtensor import Subtensor as Subtensor
from pytensor.tensor.subtensor import indices_from_subtensor as indices_from_subtensor
from pytensor.tensor.type import TensorType as TensorType

_Function = TypeVar("_Function", bound=Callable[..., Any])
NAME, TITLE, VERSION = "pytensor", "PyTensor", __version__


class Op(_Op):  # type: ignore[misc]
    """An op, which says what shapes it computes by `shapes_of`."""

    def infer_shape(self, node: Apply, shapes: Any) -> Any:
        """What PyTensor calls `shapes_of`."""
        return self.shapes_of(node, shapes)


class COp(Op, _COp):  # type: ignore[misc]
    """An op with code in C too."""


_inner_graphs: WeakKeyDictionary[Apply, tuple[Sequence[Variable], Sequence[Variable]]]
_inner_graphs = WeakKeyDictionary()


def inner_graph(node: Apply) -> tuple[Sequence[Variable], Sequence[Variable]]:
    """Inputs and outputs of the graph inside `node`, thawed: the same as long as it lives."""
    if node not in _inner_graphs:
        thawed = node.op.fgraph.unfreeze()
        _inner_graphs[node] = list(thawed.inputs), list(thawed.outputs)
    return _inner_graphs[node]


def remember_inner_graph(
    node: Apply, inputs: Sequence[Variable], outputs: Sequence[Variable]
) -> None:
    """Let this be the graph inside `node`, as it was before both were pickled."""
    _inner_graphs[node] = inputs, outputs


def without_test_values(function: _Function) -> _Function:
    """Decorates what builds graphs. In PyTensor there are no test values."""
    return function


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
BROADCASTS = False
C_LINKER = "cvm"


@contextmanager
def shortcuts() -> Iterator[None]:
    """Run the steps of loops by the virtual machine in C; PyTensor takes that in Python.

    And where no BLAS library is linked, leave products and sums apart: NumPy has no operation for
    both, and the one that PyTensor makes of NumPy's takes six times as long as a product.
    """
    link_mode, join = Scan.link_mode, GemmOptimizer.apply
    Scan.link_mode = lambda op, impl: link_mode(op, impl or "c")
    if not config.blas__ldflags:
        GemmOptimizer.apply = lambda rewriter, fgraph: None
    try:
        yield
    finally:
        Scan.link_mode, GemmOptimizer.apply = link_mode, join


def is_compiled(fgraph: Any) -> bool:
    """Whether `fgraph` is rewritten to be compiled, and not for its own sake."""
    return hasattr(fgraph, "_compile_mode")


PULLBACK = "pullback"


def runs_ops(fgraph: Any) -> bool:
    """Whether `fgraph` is compiled for a backend that runs the code of our ops."""
    return not isinstance(get_active_mode(fgraph).linker, JITLinker)


def teach_numba(fgraph: Any, op_type: type[Op], translate: Callable[..., Any]) -> bool:
    """Whether Numba compiles `fgraph`: a function that `translate` gives, with a key."""
    from pytensor.link.numba.linker import NumbaLinker

    if not isinstance(get_active_mode(fgraph).linker, NumbaLinker):
        return False
    from pytensor.link.numba.dispatch.basic import (
        numba_funcify,
        numba_njit,
        register_funcify_and_cache_key,
    )

    def funcify(op: Op, node: Apply, **_: Any) -> Any:
        function, key = translate(op, node)
        return numba_njit(function), key

    if op_type not in numba_funcify.registry:
        register_funcify_and_cache_key(op_type)(funcify)
    return True


def install_own_hooks(*op_types: type[Op]) -> None:
    """Let `vectorize_graph` ask ops of these types what becomes of them, and not hide them."""
    for op_type in op_types:
        _vectorize_node.register(op_type)(lambda op, node, *inputs: op.vectorized(node, *inputs))
