"""Make all figures, and the table of README.md.

    python benchmarks/run.py                        # everything
    python benchmarks/run.py inference building     # some groups again; the others are kept

Each configuration runs in a process of its own. Results are kept in `results.json`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
CPU = Path("/proc/cpuinfo")
IS_WIDE = CPU.exists() and "avx512f" in CPU.read_text()
VECTOR = "gcc__cxxflags=-D__FAST_MATH__"
TUNED = f"{VECTOR} -fvect-cost-model=unlimited{' -mprefer-vector-width=512' * IS_WIDE}"
# What Aesara is told, by the name of a variant; and what OpenBLAS is.
FLAGS = {"default": "", "vector": VECTOR, "tuned": TUNED, "no BLAS": f"{TUNED},blas__ldflags="}
WIDE_BLAS = {"OPENBLAS_CORETYPE": "SKYLAKEX"} if IS_WIDE else {}
VARIABLES = {"tuned": WIDE_BLAS, "no BLAS": WIDE_BLAS}


class Run(NamedTuple):
    """A configuration to measure in."""

    dtype: str = "float32"
    threads: int = 1
    variant: str = "tuned"

    def __str__(self) -> str:
        return f"{self.dtype}, {self.threads} thread{'s' * (self.threads > 1)}, {self.variant}"


BOTH = [Run(dtype, threads) for dtype in ("float32", "float64") for threads in (1, 2)]
DEFAULT = [run._replace(variant="default") for run in BOTH]
# The function that measures a group, and the configurations it is run in.
GROUPS: dict[str, tuple[str, list[Run]]] = {
    "inference": (
        "inference.measure",
        [*BOTH, *DEFAULT, Run(variant="vector"), Run(variant="no BLAS")],
    ),
    "shapes": ("shapes.measure", BOTH),
    "marking": ("marking.measure", BOTH),
    "estimating": ("estimating.measure", BOTH),
    "memory": ("estimating.measure_memory", [Run()]),
    "building": ("building.measure", [Run()]),
    "growth": ("building.measure_growth", [Run()]),
    "outside": ("outside.measure", [Run(), Run(threads=2), Run("float64"), Run("float64", 2)]),
}


def environment(run: Run) -> dict[str, str]:
    """The environment of a process that measures."""
    given = os.environ.get("AESARA_FLAGS", "")
    flags = [given, FLAGS[run.variant], f"floatX={run.dtype}", f"openmp={run.threads > 1}"]
    n = str(run.threads)
    changed = {"AESARA_FLAGS": ",".join(filter(None, flags)), **VARIABLES.get(run.variant, {})}
    return os.environ | changed | {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}


def measure(group: str, run: Run, cache: Path) -> dict[str, float]:
    """Measure a group in a new process."""
    command = [sys.executable, __file__, "--cache", str(cache), "--one", group, *map(str, run[:2])]
    output = subprocess.run(
        command, env=environment(run), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure_here(group: str, dtype: str, threads: int, cache: Path) -> None:
    """Measure a group in this process, and print its figures."""
    module, function = GROUPS[group][0].split(".")
    arguments = (dtype, threads, cache) if group == "outside" else (dtype,)
    print(json.dumps(getattr(importlib.import_module(module), function)(*arguments)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; by default all")
    parser.add_argument("--cache", type=Path, default=Path(".benchmark-environments"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        group, dtype, threads = options.one
        return measure_here(group, dtype, int(threads), options.cache)
    import table

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = table.machine()
    print(results["machine"])
    for group in options.groups or GROUPS:
        for run in GROUPS[group][1]:
            begin = time.perf_counter()
            print(f"{group}: {run} ...", end=" ", flush=True)
            figures = measure(group, run, options.cache.resolve())
            results.setdefault(group, {})[str(run)] = figures
            print(f"{time.perf_counter() - begin:.0f} s", flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    table.write(results, HERE / "README.md")
    return None


if __name__ == "__main__":
    main()
