"""Parameters: whether they are still those that the population was estimated with.

Population statistics belong to one state of the parameters. After more training they are those of
another model, and nothing about them looks wrong. So an estimate keeps a digest of each shared
variable that statistics are computed from, which are compared where a model is verified or shipped.

Sharp edges: a population itself has no digests, so nothing is known of one that was assigned,
merged or resumed from. Shared variables that are no arrays are not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import StaleStatistics, caution
from bnrewrite.graph.engine import SharedVariable, Variable, graph_inputs

Digests = Mapping[SharedVariable, bytes]


def digests_of(computed: Iterable[Variable]) -> Digests:
    """Digests of the arrays that these variables are computed from."""
    shared = [v for v in graph_inputs(list(computed)) if isinstance(v, SharedVariable)]
    values = {v: v.get_value(borrow=True) for v in shared}
    return {v: _digest(a) for v, a in values.items() if isinstance(a, np.ndarray)}


def caution_changed(before: Digests, given: Collection[Variable] = ()) -> None:
    """Warn of those that have changed, and are not `given`: then their values are not used."""
    now = digests_of(before)
    changed = sorted(str(v) for v in before if v not in given and before[v] != now.get(v))
    if changed:
        caution(
            f"the population was estimated when {changed} had other values, so it is not that of "
            "this model. Call `estimate` again, after the last training step.",
            StaleStatistics,
        )


def _digest(array: NDArray[Any]) -> bytes:
    about = f"{array.dtype} {array.shape}".encode()
    return blake2b(np.ascontiguousarray(array).data, digest_size=16).digest() + about
