"""The engine under test, Aesara or PyTensor, by the names that tests use.

`scan` and its kin return what the loop computes, and no updates. `noisy_scan` is for loops with a
random stream: in Aesara the loop updates a shared variable, in PyTensor the stream is a state.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

AESARA = sys.version_info < (3, 12)

if AESARA:
    import aesara as module
    from aesara import sparse as sparse
    from aesara import tensor as tensor
    from aesara.compile.builders import OpFromGraph as OpFromGraph
    from aesara.compile.mode import Mode as Mode
    from aesara.compile.sharedvalue import SharedVariable as SharedVariable
    from aesara.gradient import Lop as Lop
    from aesara.gradient import Rop as Rop
    from aesara.gradient import hessian as hessian
    from aesara.gradient import jacobian as jacobian
    from aesara.gradient import subgraph_grad as subgraph_grad
    from aesara.gradient import verify_grad as verify_grad
    from aesara.graph.basic import Apply as Apply
    from aesara.graph.basic import Variable as Variable
    from aesara.graph.basic import ancestors as ancestors
    from aesara.graph.basic import clone_get_equiv as clone_get_equiv
    from aesara.graph.basic import clone_replace as clone_replace
    from aesara.graph.basic import graph_inputs as graph_inputs
    from aesara.graph.basic import io_toposort as io_toposort
    from aesara.graph.rewriting.utils import rewrite_graph as rewrite_graph
    from aesara.ifelse import ifelse as ifelse
    from aesara.scan.op import Scan as Scan
    from aesara.scan.utils import until as until
    from aesara.tensor.elemwise import Elemwise as Elemwise

    def _outputs_of(loop: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: loop(*args, **options)[0]

    map, reduce, foldl, foldr = (
        _outputs_of(f) for f in (module.map, module.reduce, module.foldl, module.foldr)
    )
    _scan = _outputs_of(module.scan)
else:
    import pytensor as module
    from pytensor import ifelse as ifelse
    from pytensor import sparse as sparse
    from pytensor import tensor as tensor
    from pytensor.compile.builders import OpFromGraph as OpFromGraph
    from pytensor.compile.mode import Mode as Mode
    from pytensor.compile.sharedvalue import SharedVariable as SharedVariable
    from pytensor.gradient import hessian as hessian
    from pytensor.gradient import jacobian as jacobian
    from pytensor.gradient import subgraph_grad as subgraph_grad
    from pytensor.gradient import verify_grad as verify_grad
    from pytensor.graph.basic import Apply as Apply
    from pytensor.graph.basic import Variable as Variable
    from pytensor.graph.basic import clone_get_equiv as clone_get_equiv
    from pytensor.graph.replace import clone_replace as clone_replace
    from pytensor.graph.rewriting.utils import rewrite_graph as rewrite_graph
    from pytensor.graph.traversal import ancestors as ancestors
    from pytensor.graph.traversal import graph_inputs as graph_inputs
    from pytensor.graph.traversal import io_toposort as io_toposort
    from pytensor.scan.op import Scan as Scan
    from pytensor.scan.utils import until as until
    from pytensor.scan.views import foldl, foldr, map, reduce
    from pytensor.tensor.elemwise import Elemwise as Elemwise

    Lop, Rop = module.pullback, module.pushforward
    map, reduce, foldl, foldr, _scan = (
        partial(f, return_updates=False) for f in (map, reduce, foldl, foldr, module.scan)
    )

# The default; and in PyTensor, whose default is Numba, C too.
DEFAULT_MODES = ("Mode",) if AESARA else ("NUMBA", "CVM")
BOTH_MODES = ("FAST_COMPILE", pytest.param("FAST_RUN", marks=pytest.mark.exhaustive))
config, function, grad, shared = module.config, module.function, module.grad, module.shared
scan = _scan
Updates = dict[Variable, Variable]


@contextmanager
def flags(**changed: Any) -> Iterator[None]:
    """Change the configuration for a while."""
    with config.change_flags(**changed):
        # Aesara keeps the mode it made last, and takes FAST_COMPILE for the default one.
        module.compile.mode.instantiated_default_mode = None
        yield
    module.compile.mode.instantiated_default_mode = None


def _fold_constants_in_python() -> None:
    from aesara.graph.basic import Constant
    from aesara.tensor.rewriting.basic import constant_folding

    fold = constant_folding.fn

    def fold_in_python(fgraph: Any, node: Apply) -> Any:
        if not all(isinstance(variable, Constant) for variable in node.inputs):
            return False
        with config.change_flags(cxx=""):
            return fold(fgraph, node)

    constant_folding.fn = fold_in_python


def _run_steps_in_python() -> None:
    from pytensor.compile.inner_function import HasInnerFunction, link_only_mode
    from pytensor.link.vm import VMLinker

    link_mode = HasInnerFunction.link_mode
    python = link_only_mode(VMLinker(use_cloop=False, c_thunks=False))
    HasInnerFunction.link_mode = lambda op, impl: python if impl == "py" else link_mode(op, impl)


# In a mode that runs everything in Python, as FAST_COMPILE does, g++ compiles things all the same:
# in Aesara each operation on constants, and in PyTensor the steps of loops. With an empty
# compilation directory most of the time goes there.
_fold_constants_in_python() if AESARA else _run_steps_in_python()


def op_of(inputs: list[Variable], outputs: list[Variable]) -> Callable[..., Any]:
    """An `OpFromGraph`, which in PyTensor has to be given the shared variables in it."""
    if AESARA:
        op: Callable[..., Any] = OpFromGraph(inputs, outputs)
        return op
    parameters = [v for v in graph_inputs(outputs) if isinstance(v, SharedVariable)]
    op = OpFromGraph([*inputs, *parameters], outputs)
    return lambda *arguments: op(*arguments, *parameters)


def stream(seed: int) -> Variable:
    """A random stream, as the engine's own helpers make the first one of a `seed`."""
    return shared(np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]))


def normal(stream: Variable, size: Any, dtype: str = "float64") -> tuple[Variable, Variable]:
    """The stream after a draw, and the draw."""
    if AESARA:
        moved, draw = tensor.random.normal(size=size, rng=stream, dtype=dtype).owner.outputs
    else:
        moved, draw = tensor.random.normal(size=size, rng=stream, dtype=dtype, return_next_rng=True)
    return moved, draw


def noisy_scan(
    step: Callable[..., tuple[list[Variable], Updates]],
    sequences: Any,
    states: Sequence[Any],
    streams: Sequence[Variable],
    **options: Any,
) -> tuple[list[Variable], Updates]:
    """A loop whose `step` returns outputs, and what becomes of as many streams as are given."""
    if AESARA:
        outputs, updates = module.scan(step, sequences, states, return_list=True, **options)
        return outputs, dict(updates)

    def with_streams(*arguments: Variable) -> list[Variable]:
        split = len(arguments) - len(streams)
        outputs, updates = step(*arguments[:split])
        mine = dict(zip(updates, arguments[split:], strict=True))
        replaced: list[Variable] = clone_replace([*outputs, *updates.values()], mine)
        return replaced

    outputs = scan(with_streams, sequences, [*states, *streams], return_list=True, **options)
    n_outputs = len(states)
    return outputs[:n_outputs], dict(zip(streams, outputs[n_outputs:], strict=True))
