"""Inference beside JAX and PyTorch, each in an environment of its own, made if it is missing.

All take turns: a process of each library waits until it is asked for a call, while nothing else
runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import models
from bnrewrite import InferenceGraph
from models import at
from timing import Figures, medians, ratios

PACKAGES = {"jax": ["jax", "jaxlib", "numpy"], "torch": ["torch==2.13.0", "numpy"]}
HERE = Path(__file__).parent


def measure(dtype: str, threads: int, cache: Path) -> Figures:
    """Time one call of `graph.compile()` and of the same in other libraries, on one batch."""
    x = at.TensorType(dtype, (None, None, None))("x")
    values, batch = models.draw_parameters(dtype), models.draw_batch(dtype)
    graph = InferenceGraph([x], models.bn_lstm(x, models.share(values)))
    statistics = models.in_order(graph.estimate([[models.draw_batch(dtype, batch=32)]]), dtype)
    inference = graph.compile().function
    functions: dict[str, Callable[[], float | None]] = {
        "inference": lambda: inference(batch),
        "products": lambda: models.products(batch, values["W"], values["U"]),
        "NumPy": lambda: models.numpy_loop(batch, values, statistics),
    }
    with ExitStack() as stack:
        for library in PACKAGES:
            functions |= stack.enter_context(elsewhere(library, dtype, threads, cache))
        times = medians(functions)
    others = [name for name in functions if name != "inference"]
    return ratios(times, {f"inference / {name}": ("inference", name) for name in others})


@contextmanager
def elsewhere(
    library: str, dtype: str, threads: int, cache: Path
) -> Iterator[dict[str, Callable[[], float]]]:
    """Functions that ask another process for one call, and return the milliseconds it took."""
    python = make_environment(cache / library, PACKAGES[library])
    command = [python, HERE / "elsewhere.py", library, dtype, str(threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def ask(name: str) -> float:
            print(name, file=requests, flush=True)
            return float(answers.readline())

        yield {name: lambda name=name: ask(name) for name in json.loads(answers.readline())}


def make_environment(folder: Path, packages: list[str]) -> Path:
    """Return the Python of an environment with some packages."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python
