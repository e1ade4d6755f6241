"""Make all figures of the engine of this environment, and the tables of README.md.

    python benchmarks/run.py                        # everything
    python benchmarks/run.py inference building     # some groups again; the others are kept
    python benchmarks/run.py --quick                # print the main figures, write no file

Run it in an environment of each engine: `results.json` keeps the results by engine, and the tables
show all of them. Each configuration runs in a process of its own.
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

import table
import timing
from bnrewrite import engine
from table import MAIN

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
CPU = Path("/proc/cpuinfo")
IS_WIDE = CPU.exists() and "avx512f" in CPU.read_text()
WIDE = " -mprefer-vector-width=512" * IS_WIDE
TUNED = f"gcc__cxxflags=-D__FAST_MATH__ -fvect-cost-model=unlimited{WIDE}"
WIDE_BLAS = {"OPENBLAS_CORETYPE": "SKYLAKEX"} if IS_WIDE else {}
# What each engine is told, by the name of a variant; and what OpenBLAS is.
FLAGS = {
    "aesara": {"default": "", "tuned": TUNED, "no BLAS": f"{TUNED},blas__ldflags="},
    "pytensor": {"default": "linker=auto", "C": "linker=cvm"},  # examples/backend.py prefers C
}[engine]
VARIABLES = {"tuned": WIDE_BLAS, "no BLAS": WIDE_BLAS}


class Run(NamedTuple):
    """A configuration to measure in."""

    dtype: str = "float32"
    threads: int = 1
    variant: str = MAIN
    size: str = table.SIZE

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        size = [self.size] * (self.size != table.SIZE)
        return ", ".join([self.dtype, threads, self.variant, *size])


REST = [Run(variant=name) for name in FLAGS if name != MAIN]
# The function that measures a group, and the configurations it is run in.
GROUPS: dict[str, tuple[str, list[Run]]] = {
    "inference": ("inference.measure", [Run(), Run(threads=2), Run("float64"), *REST]),
    "shapes": ("shapes.measure", [Run()]),
    "marking": ("marking.measure", [Run()]),
    "estimating": ("estimating.measure", [Run()]),
    "memory": ("estimating.measure_memory", [Run()]),
    "building": ("building.measure", [Run()]),
    "growth": ("building.measure_growth", [Run()]),
    "outside": (
        "outside.measure",
        [
            Run(),
            Run(threads=2),
            Run("float64"),
            *(Run(size=size) for size in table.SIZES if size != table.SIZE),
        ],
    ),
}
QUICK = ("outside", "inference")


def environment(run: Run) -> dict[str, str]:
    """The environment of a process that measures."""
    variable = f"{engine.upper()}_FLAGS"
    given = os.environ.get(variable, "")
    flags = [given, FLAGS[run.variant], f"floatX={run.dtype}", f"openmp={run.threads > 1}"]
    n = str(run.threads)
    changed = {variable: ",".join(filter(None, flags)), **VARIABLES.get(run.variant, {})}
    changed["BENCHMARK_SIZE"] = run.size
    return os.environ | changed | {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}


def measure(group: str, run: Run, options: argparse.Namespace) -> dict[str, float]:
    """Measure a group in a new process, and say how long it took."""
    begin = time.perf_counter()
    print(f"{group}: {run} ...", end=" ", flush=True)
    command = [sys.executable, __file__, "--cache", str(options.cache.resolve())]
    command += ["--quick"] * options.quick + ["--one", group, *map(str, run[:2])]
    output = subprocess.run(
        command, env=environment(run), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    print(f"{time.perf_counter() - begin:.0f} s", flush=True)
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure_here(group: str, dtype: str, threads: int, cache: Path) -> None:
    """Measure a group in this process, and print its figures."""
    module, function = GROUPS[group][0].split(".")
    arguments = (dtype, threads, cache) if group == "outside" else (dtype,)
    print(json.dumps(getattr(importlib.import_module(module), function)(*arguments)))


def quick(options: argparse.Namespace) -> None:
    """Print the headline, and other figures that have a limit, from 20 seconds each."""
    for group in options.groups or QUICK:
        figures = measure(group, Run(), options)
        limited = [row.figure for row in table.ROWS if row.group == group and row.must is not None]
        for figure in limited or [name for name in figures if "(ms)" not in name]:
            print(f"    {figure:40}{figures[figure]:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; by default all")
    parser.add_argument("--cache", type=Path, default=Path(".benchmark-environments"))
    parser.add_argument(
        "--quick", action="store_true", help="float32, one thread, 20 s for each comparison"
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        timing.LONGEST = 20
    if options.one:
        group, dtype, threads = options.one
        return measure_here(group, dtype, int(threads), options.cache)
    print(table.machine())
    if options.quick:
        return quick(options)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    mine = results.setdefault(engine, {})
    for group in options.groups or GROUPS:
        for run in GROUPS[group][1]:
            mine.setdefault(group, {})[str(run)] = measure(group, run, options)
            mine.setdefault("machines", {})[group] = table.machine()
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    table.write(results, HERE / "README.md")
    return None


if __name__ == "__main__":
    main()
