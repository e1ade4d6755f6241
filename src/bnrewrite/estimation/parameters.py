"""Parameters: whether they are still those that the population was estimated with.

Population statistics belong to one state of the parameters. After more training they are those of
another model, and nothing about them looks wrong. So a population has a digest of each shared
variable that its statistics were computed from (`Origin`). These are compared with those of the
graph where it is verified or shipped, and with each other where populations are added up.

Names tell parameters in all processes, and digests of equal names go together. Sharp edges: nothing
is known of plain arrays that were assigned, nor of a parameter that was given another name; shared
variables that are no arrays are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import StaleStatistics, caution
from bnrewrite.graph.engine import SharedVariable, Variable, graph_inputs
from bnrewrite.population.origin import Origin


def parameters_of(computed: Iterable[Variable]) -> list[SharedVariable]:
    """The shared variables that these variables are computed from."""
    return [v for v in graph_inputs(list(computed)) if isinstance(v, SharedVariable)]


def digests_of(parameters: Iterable[SharedVariable]) -> dict[str, str]:
    """Digests of the arrays among their values, by name."""
    digests = defaultdict(list)
    for parameter in parameters:
        value = parameter.get_value(borrow=True)
        if isinstance(value, np.ndarray):
            digests[str(parameter)].append(_digest(value))
    return {name: " ".join(sorted(of_name)) for name, of_name in digests.items()}


def caution_changed(
    origin: Origin, parameters: Iterable[SharedVariable], given: Collection[Variable] = ()
) -> None:
    """Warn of those that have changed, and are not `given`: then their values are not used."""
    digests = digests_of(parameters)
    not_used = {str(v) for v in given if isinstance(v, SharedVariable)}
    if changed := [name for name in origin.changed(digests) if name not in not_used]:
        caution(
            f"the population was estimated when {changed} had other values, so it is not that of "
            "this model. Call `estimate` again, after the last training step.",
            StaleStatistics,
        )


def _digest(array: NDArray[Any]) -> str:
    digest = blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
    return f"{array.dtype} {array.shape} {digest}"
