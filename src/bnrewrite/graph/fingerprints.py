"""Fingerprints: what ties a population to the graph that it was estimated for.

Names of statistics need not be unique in a model: layers that were never labelled share one, and
are told apart by a number. A fingerprint is made of what a statistic is computed by: the loops
around it, the ops and their settings, names of inputs and parameters, dtypes, numbers of axes, and
shapes of parameters. It is the same in every process that builds the same model.

Left out is what changes while the model stays the same: values of parameters, static shapes of
inputs, and whatever is downstream; in a loop with states that is nothing, as all that a step does
comes before the next. Names depend on fingerprints, and not on the order of outputs:
what would have the same name is numbered by how far downstream it is, and then by fingerprint.

Sharp edges: two releases of an engine may build one model of different ops, and so may the two
engines. Fingerprints say by what they were made (`MADE_BY`), and only those of one maker compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from bnrewrite.graph.boundaries import OpBoundary, boundary_of
from bnrewrite.graph.engine import (
    NAME,
    VERSION,
    Apply,
    Constant,
    RandomType,
    SharedVariable,
    Variable,
)
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.statistics import Path, Statistic, name_of

MADE_BY = f"{NAME} {VERSION}"
_Hashes = dict[Variable, str]
_LARGE = 16  # elements; what has more is a parameter, whose values do not count
_SIMPLE = (bool, int, float, str, type(None), slice)


def fingerprints(statistics: Iterable[Statistic]) -> dict[str, str]:
    """The fingerprint of each of some statistics of one graph, by name."""
    graph = Fingerprints()
    return {s.name: _digest(s.label, graph.of(s.path, s.variable)) for s in statistics}


class Fingerprints:
    """Hashes of the variables of a graph and of those inside its nodes, each computed once.

    Parameters
    ----------
    by_identity : bool
        Whether inputs and parameters count as what they are, and not as what they are called: so
        hashes are equal only for the same computation, and differ between processes.
    """

    def __init__(self, *, by_identity: bool = False) -> None:
        self._by_identity = by_identity
        self._by_path: dict[Path, _Hashes] = {(): {}}
        self._outputs: dict[tuple[Any, ...], list[str]] = {}

    def of(self, path: Path, variable: Variable) -> str:
        """The hash of a variable in the graph inside the nodes of `path`."""
        hashes = self._inside(path)
        self._hash(variable, hashes)
        names = [name_of(node) for node in path]
        return _digest(*names, hashes[variable])

    def _inside(self, path: Path) -> _Hashes:
        """What is known in the graph inside the nodes of `path`: at first, its inputs."""
        if path not in self._by_path:
            around = self._inside(path[:-1])
            boundary = boundary_of(path[-1])
            assert boundary is not None
            for variable in path[-1].inputs:
                self._hash(variable, around)
            self._by_path[path] = self._hashes_inside(boundary, around)
        return self._by_path[path]

    def _hashes_inside(self, boundary: OpBoundary, around: _Hashes) -> _Hashes:
        """What is known of the inputs of a graph inside: states are made of whole steps, too."""
        states = {
            v: inside
            for v in boundary.inner_inputs
            for output in boundary.fed_by(v)[1:]
            for inside in boundary.inside(output)
        }
        hashes = _hashes_of_inputs(boundary, around)
        if not states:
            return hashes
        first = dict(hashes)
        for returned in states.values():
            self._hash(returned, first)
        step = _digest(*(first[returned] for returned in dict.fromkeys(states.values())))
        return {v: _digest(step, h) if v in states else h for v, h in hashes.items()}

    def _hash(self, variable: Variable, hashes: _Hashes) -> None:
        """Compute the hash of a variable, and of all that it is computed from."""
        order = topological_order([variable], hashes, None)
        for v in (variable, *(v for node in order for v in node.inputs)):
            if v.owner is None and v not in hashes:
                is_own = self._by_identity and not isinstance(v, Constant)
                hashes[v] = str(id(v)) if is_own else _hash_of_leaf(v)
        for node in order:
            key = (id(node.op), *map(hashes.__getitem__, node.inputs))
            if key not in self._outputs:  # as it is for copies of a loop
                self._outputs[key] = self._hashes_of_outputs(node, key[1:], hashes)
            hashes.update(zip(node.outputs, self._outputs[key], strict=True))

    def _hashes_of_outputs(self, node: Apply, read: tuple[Any, ...], hashes: _Hashes) -> list[str]:
        """Made of the op of a node, of what is inside it, and of what it has `read`."""
        settings = [_setting(getattr(node.op, p)) for p in getattr(node.op, "__props__", ())]
        name = getattr(node.op, "name", None)
        inside = self._describe_inside(node, hashes)
        described = _digest(type(node.op).__name__, name, settings, inside, read)
        return [_digest(described, i, output.type) for i, output in enumerate(node.outputs)]

    def _describe_inside(self, node: Apply, hashes: _Hashes) -> list[str]:
        boundary = boundary_of(node)
        if boundary is None:
            return []
        inner = _hashes_of_inputs(boundary, hashes)
        for output in boundary.inner_outputs:
            self._hash(output, inner)
        return [inner[output] for output in boundary.inner_outputs]


def _hashes_of_inputs(boundary: OpBoundary, around: _Hashes) -> _Hashes:
    """An input of a graph inside is known by its place, and by what is handed in there."""
    return {
        v: _digest("inner", i, around[boundary.fed_by(v)[0]])
        for i, v in enumerate(boundary.inner_inputs)
    }


def _hash_of_leaf(variable: Variable) -> str:
    if isinstance(variable.type, RandomType):
        return _digest("random")
    if isinstance(variable, Constant):
        value = np.asarray(variable.data)
        is_small = value.dtype != object and value.size <= _LARGE
        return _digest("constant", value.dtype, value.shape, value.tolist() if is_small else "")
    shape: tuple[int, ...] = ()
    if isinstance(variable, SharedVariable):
        shape = np.shape(variable.get_value(borrow=True))
    return _digest(type(variable.type).__name__, variable.name, shape, variable.type)


def _setting(value: Any) -> Any:
    """A setting of an op, as far as it is the same in every process."""
    if isinstance(value, tuple | list):
        return [_setting(v) for v in value]
    return value if isinstance(value, _SIMPLE) else _kind(value)


def _kind(value: Any) -> str:
    inner = getattr(value, "scalar_op", None)
    return f"{type(value).__name__}{'' if inner is None else _kind(inner)}"


def _digest(*parts: Any) -> str:
    """A short hash of what is written in the same way everywhere; types by dtype and axes."""
    written = [
        (getattr(p, "dtype", ""), getattr(p, "ndim", "")) if hasattr(p, "filter_variable") else p
        for p in parts
    ]
    return blake2b(repr(written).encode(), digest_size=12).hexdigest()
