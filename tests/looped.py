"""A model that tests of populations share."""

from typing import Any

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import tensor as at


def looped(depth: int) -> InferenceGraph:
    """A normalization in `depth` loops, over (time axes, examples, units) with a mask."""
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    mask = at.TensorType("float64", (None,) * (depth + 1))("mask")

    def body(x_t: Any, m_t: Any) -> Any:
        return batch_normalize(x_t, 1.0, 0.0, mask=m_t, label="bn")

    for _ in range(depth):
        body = (lambda inner: lambda *v: engine.scan(inner, v, name="loop"))(body)
    return InferenceGraph([x, mask], body(x, mask))
