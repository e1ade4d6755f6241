"""The engine that the examples run on: Aesara up to Python 3.11, PyTensor from 3.12 on.

A program of your own imports one of the two. All that differs between them in these examples is
here: how a loop is written, how noise is drawn, and which compiler is used.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

if sys.version_info < (3, 12):
    # Flags count before the import; this one says that a slow matrix product is no surprise.
    os.environ.setdefault("AESARA_FLAGS", "blas__ldflags=")
    import aesara as engine
    import aesara.tensor as at
    from aesara.compile.sharedvalue import SharedVariable
    from aesara.graph.basic import Variable, graph_inputs
    from aesara.tensor.var import TensorVariable

    def scan(step: Callable[..., Any], **options: Any) -> Any:
        """What a loop computes at each step; updates, which no loop here has, are left out."""
        outputs, _ = engine.scan(step, **options)
        return outputs

    def uniform(generator: SharedVariable, size: Any, dtype: str) -> tuple[Variable, Variable]:
        """The generator after a draw of numbers between 0 and 1, and the draw."""
        moved, draw = at.random.uniform(size=size, rng=generator, dtype=dtype).owner.outputs
        return moved, draw
else:
    # C compiles these models in a third of the time that Numba takes, but needs a compiler.
    flags = os.environ.get("PYTENSOR_FLAGS", "blas__ldflags=")
    if shutil.which("g++") and "linker=" not in flags and "mode=" not in flags:
        flags = f"linker=cvm,{flags}"
    os.environ["PYTENSOR_FLAGS"] = flags
    import pytensor as engine
    import pytensor.tensor as at
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.basic import Variable
    from pytensor.graph.traversal import graph_inputs
    from pytensor.tensor.variable import TensorVariable

    def scan(step: Callable[..., Any], **options: Any) -> Any:
        """What a loop computes at each step."""
        return engine.scan(step, return_updates=False, **options)

    def uniform(generator: SharedVariable, size: Any, dtype: str) -> tuple[Variable, Variable]:
        """The generator after a draw of numbers between 0 and 1, and the draw."""
        moved, draw = at.random.uniform(size=size, rng=generator, dtype=dtype, return_next_rng=True)
        return moved, draw


class Noise:
    """Uniform noise: each draw of the graph has a generator of its own, from one seed.

    Attributes
    ----------
    updates : list of pairs
        What a function has to update, so that each call draws anew.
    """

    def __init__(self, seed: int) -> None:
        self._seeds = np.random.SeedSequence(seed)
        self.updates: list[tuple[SharedVariable, Variable]] = []

    def uniform(self, size: Any, dtype: str) -> TensorVariable:
        """Numbers between 0 and 1."""
        (child,) = self._seeds.spawn(1)
        generator = engine.shared(np.random.default_rng(child))
        moved, draw = uniform(generator, size, dtype)
        self.updates.append((generator, moved))
        return draw

    def seed(self, seed: int | list[int]) -> None:
        """Begin anew."""
        for (generator, _), child in zip(
            self.updates, np.random.SeedSequence(seed).spawn(len(self.updates)), strict=True
        ):
            generator.set_value(np.random.default_rng(child))


__all__ = ["Noise", "SharedVariable", "TensorVariable", "Variable", "at", "engine", "graph_inputs"]
__all__ += ["scan"]
