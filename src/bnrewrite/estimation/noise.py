"""Noise: fresh draws for each batch, without moving the caller's random streams.

A stream inside a loop advances only if its update reaches a function, and the estimator has none.
It draws from copies, which are seeded anew for each batch from a seed that depends on the caller's
stream and on the number of the shard.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from bnrewrite.graph.engine import RandomType, SharedVariable, Variable


def is_random_stream(variable: Variable) -> bool:
    """Whether a graph draws noise from `variable`."""
    return isinstance(variable, SharedVariable) and isinstance(variable.type, RandomType)


def seed_of(stream: Any, number: int, skip: int = 0) -> Any:
    """A copy of `stream`, or the child of that `number`, after its first `skip` draws."""
    seed = deepcopy(stream)
    children = [spawned(seed) for _ in range(number)]
    seed = children[-1] if children else seed
    for _ in range(skip):
        spawned(seed)
    return seed


def spawned(stream: np.random.Generator | np.random.RandomState) -> Any:
    """A new stream of the kind of `stream`, which moves on."""
    if isinstance(stream, np.random.RandomState):
        return np.random.RandomState(stream.randint(2**32, size=4, dtype=np.uint32))
    return np.random.Generator(type(stream.bit_generator)(stream.integers(2**32, size=4)))
