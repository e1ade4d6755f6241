"""Ingredients: what a variable is computed from, in words that both engines have for it.

The engines build one model of different ops, so fingerprints of theirs do not compare. Most of what
tells two layers apart they do share: the names of inputs, parameters and loops, the shapes of
parameters, the functions that are applied, and what is read backwards. These are counted here, in
no order, so that a further op of one engine changes the ingredients of both layers alike.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from bnrewrite.graph.engine import (
    Apply,
    Constant,
    Elemwise,
    Scan,
    SharedVariable,
    Subtensor,
    Variable,
    indices_from_subtensor,
)
from bnrewrite.graph.statistics import Path, name_of
from bnrewrite.graph.upstream import upstream_of

Ingredients = tuple[tuple[str, int], ...]


def ingredients(path: Path, variable: Variable) -> tuple[Ingredients, Ingredients]:
    """What the variable in the graph inside `path` is made of: leaves, and what is done to them."""
    places = upstream_of([(path, variable)], lambda place: False)
    leaves = Counter(_leaf(v) for inside, v in places if v.owner is None and not inside)
    nodes = dict.fromkeys((inside, v.owner) for inside, v in places if v.owner is not None)
    done = Counter(_word(node) for _, node in nodes)
    return _sorted(leaves), _sorted(done)


def _sorted(counted: Counter[str]) -> Ingredients:
    return tuple(sorted((word, n) for word, n in counted.items() if word))


def _leaf(variable: Variable) -> str:
    if isinstance(variable, SharedVariable):
        return f"{variable.name} {np.shape(variable.get_value(borrow=True))}"
    return "" if isinstance(variable, Constant) else str(variable.name)


def _word(node: Apply) -> str:
    """What a node does, if both engines have a word for it; what is done to shapes does not count.

    Numbers without axes are left out: so are most that shapes are computed from.
    """
    op = node.op
    if isinstance(op, Scan):
        return f"loop {name_of(node)}"
    if isinstance(op, Subtensor):
        indices = indices_from_subtensor(node.inputs[1:], op.idx_list)
        return "backwards" if any(map(_is_backwards, indices)) else ""
    is_function = isinstance(op, Elemwise) and node.outputs[0].ndim > 0
    return type(op.scalar_op).__name__ if is_function else ""


def _is_backwards(index: Any) -> bool:
    step = getattr(index, "step", None)
    return isinstance(step, Constant) and step.data is not None and step.data < 0
