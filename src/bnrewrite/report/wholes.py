"""Wholes: whether an output for a whole batch is one that examples make by themselves.

An output without examples, such as a cost, has no rows to compare. But if it is the mean over
examples of what each has by itself, then that of a batch is the mean of those of its parts; if it
is a sum, it is theirs; and what does not depend on the batch is the same for all of them. Of
anything else, such as a mean over the steps of all examples that a mask lets through, it can't be
said in this way what an example has to do with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.report.tolerance import is_inexact
from bnrewrite.report.variants import Variant

Array = NDArray[Any]
REASON = (
    "it has no axis of examples, and is neither the same for all batches nor the mean or the sum "
    "of what examples have by themselves. To check it, verify an InferenceGraph of what it is "
    "computed from."
)


def are_made_by_examples(n: int, compute: Callable[[Variant], Sequence[Array]]) -> list[bool]:
    """Of each output of a batch of `n`, whether the parts of batches have a share in it each."""
    halves = ([*range(n // 2)], [*range(n // 2, n)])
    parted = [halves, ([0], [n - 1]), ([0, 0], [n - 1]), ([0], [*range(n)])]
    wholes = [compute([*one, *other]) for one, other in parted]
    parts = [(compute(one), compute(other)) for one, other in parted]
    weights = [(len(one), len(other)) for one, other in parted]
    return [
        any(
            all(
                _is_close(whole[i], combine(one[i], other[i], *weight))
                for whole, (one, other), weight in zip(wholes, parts, weights, strict=True)
            )
            for combine in (_same, _mean, _sum)
        )
        for i in range(len(wholes[0]))
    ]


def _same(one: Array, other: Array, n: int, m: int) -> Array | None:
    return one if _is_close(one, other) else None


def _mean(one: Array, other: Array, n: int, m: int) -> Array | None:
    is_possible = one.shape == other.shape and is_inexact(one)
    return (n * one + m * other) / (n + m) if is_possible else None


def _sum(one: Array, other: Array, n: int, m: int) -> Array | None:
    return one + other if one.shape == other.shape and one.dtype != bool else None


def _is_close(one: Array, other: Array | None) -> bool:
    if other is None or one.shape != other.shape or not np.isfinite(one).all():
        return False
    if not is_inexact(one):
        return bool(np.array_equal(one, other))
    tolerance = 10 * float(np.sqrt(np.finfo(one.dtype).eps))
    return bool(np.allclose(one, other, rtol=tolerance, atol=0))
