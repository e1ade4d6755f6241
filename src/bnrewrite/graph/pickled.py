"""Pickled: a graph as bytes, and the arrays in it apart from them.

Arrays are data, and are kept as data: in their place, the bytes have names. What is left for pickle
are the nodes, which can't be had without it, and random generators.

Nodes are pickled in their order, those inside of loops before the loop. So each finds what it is
computed from already there, and no graph is too deep for Python's stack. For the same reason,
default updates are pickled beside the shared variables that have them.

Tags are left behind: they say where in the code a variable was made, and may have test values. What
bnrewrite needs to know is in nodes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.graph.engine import Apply, Scratchpad, SharedVariable, Variable, graph_inputs
from bnrewrite.graph.rebuild import topological_order

_UPDATE = "_default_update"
_KINDS = "biuf"  # of the numbers in arrays that can be kept as data


def pickled(
    value: Any, variables: Iterable[Variable], names: Mapping[int, str]
) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """`value`, which has `variables`, as bytes and the arrays that these name.

    Parameters
    ----------
    value : object
        Anything that can be pickled.
    variables : iterable of Variable
        All that are in it, or are computed from others.
    names : mapping of int to str
        What arrays are called, by their `id`. Others are called by their number.

    Raises
    ------
    TypeError
        If something in the graph can't be pickled.
    """
    variables = list(variables)
    updates = {v: getattr(v, _UPDATE) for v in graph_inputs(variables) if _has_update(v)}
    nodes = list(_in_order([*variables, *updates.values()]))
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, names)
    try:
        pickler.dump((nodes, updates, value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"the graph can't be saved, as something in it can't be pickled: {error}. Ops must be "
            "of classes that can be imported from their modules, and have no functions that can't."
        ) from error
    return buffer.getvalue(), pickler.arrays


def unpickled(content: bytes, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The value that was `pickled`. It runs whatever code `content` asks for."""
    _, updates, value = _Unpickler(io.BytesIO(content), arrays).load()
    for variable, update in updates.items():
        setattr(variable, _UPDATE, update)
    return value


def _has_update(variable: Variable) -> bool:
    return getattr(variable, _UPDATE, None) is not None


def _in_order(outputs: Iterable[Variable]) -> Iterator[Apply]:
    """The nodes that compute `outputs`, inside of others too, each after those it needs."""
    for node in topological_order(outputs, (), None):
        inside = getattr(node.op, "fgraph", None)
        yield from () if inside is None else _in_order(inside.outputs)
        yield node


def pickled_function(value: Any) -> bytes:
    """`value`, which has compiled functions, for `pickle.loads`.

    They keep in tags what they call at run time, which may be functions that can't be pickled, and
    make it anew when they are compiled again.

    Raises
    ------
    RuntimeError
        If the graph is too deep for pickle.
    """
    buffer = io.BytesIO()
    try:
        _WithoutTags(buffer, protocol=5).dump(value)
    except RecursionError as error:
        raise RuntimeError(
            "the compiled function can't be pickled, as its graph is deeper than Python's stack. "
            "Save it by `InferenceGraph.save`, which has no such limit, or raise the limit by "
            "`sys.setrecursionlimit`, where it is unpickled too."
        ) from error
    return buffer.getvalue()


class _WithoutTags(pickle.Pickler):
    """Leaves out tags."""

    def reducer_override(self, obj: Any) -> Any:
        """An empty tag for each."""
        return (__newobj__, (type(obj),)) if isinstance(obj, Scratchpad) else NotImplemented


class _Pickler(_WithoutTags):
    """Puts names in the place of arrays, and leaves out tags and default updates."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file, protocol=5)
        self._names, self.arrays = dict(names), dict[str, NDArray[Any]]()

    def persistent_id(self, obj: Any) -> str | None:
        """The name of an array; None for what is pickled."""
        if type(obj) is not np.ndarray or obj.dtype.kind not in _KINDS:
            return None
        name = self._names.setdefault(id(obj), f"arrays/{len(self.arrays)}")
        self.arrays[name] = obj  # which keeps its `id` from being that of another
        return name

    def reducer_override(self, obj: Any) -> Any:
        """What to pickle of tags, and of shared variables with default updates."""
        if isinstance(obj, SharedVariable) and _has_update(obj):
            made, arguments, state, *_ = obj.__reduce_ex__(5)
            return made, arguments, {**state, _UPDATE: None}
        return super().reducer_override(obj)


class _Unpickler(pickle.Unpickler):
    """Puts arrays in the place of names."""

    def __init__(self, file: io.BytesIO, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(file)
        self._arrays, self._copies = arrays, dict[str, NDArray[Any]]()

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """The array of a name: one copy of it, which can be written to."""
        if pid not in self._copies:
            self._copies[pid] = self._arrays[pid].copy(order="K")
        return self._copies[pid]
