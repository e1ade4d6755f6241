"""The engine: all that bnrewrite takes from Aesara, in one place.

Nothing else in the library imports Aesara, so that what differs between it and another engine can
be told here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aesara import Out as Out
from aesara import function as function
from aesara import shared as shared
from aesara import tensor as tensor
from aesara.compile.builders import OpFromGraph as OpFromGraph
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
from aesara.graph.op import Op as Op
from aesara.graph.rewriting.basic import GraphRewriter as GraphRewriter
from aesara.raise_op import CheckAndRaise as CheckAndRaise
from aesara.scan.op import Scan as Scan
from aesara.scan.utils import ScanArgs as ScanArgs
from aesara.tensor.elemwise import CAReduce as CAReduce
from aesara.tensor.elemwise import DimShuffle as DimShuffle
from aesara.tensor.elemwise import Elemwise as Elemwise
from aesara.tensor.random.type import RandomType as RandomType
from aesara.tensor.shape import Shape as Shape
from aesara.tensor.shape import Shape_i as Shape_i
from aesara.tensor.subtensor import Subtensor as Subtensor
from aesara.tensor.type import TensorType as TensorType


def infer_shape(node: Apply, shapes: Sequence[tuple[Variable, ...]]) -> Any:
    """The shapes of the outputs of `node`, from those of its inputs; what it raises is its own."""
    return node.op.infer_shape(None, node, shapes)
