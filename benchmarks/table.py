"""The table of README.md, from the results of `run.py`."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import aesara
import numpy as np

Results = dict[str, Any]
BEGIN, END = "<!-- made by run.py -->", "<!-- until here -->"
RUNS = [f"{d}, {t}" for d in ("float32", "float64") for t in ("1 thread", "2 threads")]


class Row(NamedTuple):
    """A figure, and what it must and should not exceed."""

    group: str
    figure: str
    must: float | None
    aim: float | None


ROWS = [
    Row("inference", "inference / forward", 0.70, 0.60),
    Row("inference", "inference / textbook forward", None, None),
    Row("inference", "inference / by hand", 1.05, 1.00),
    Row("inference", "inference / not normalized", 1.25, 1.05),
    Row("inference", "inference / products", 2.0, 1.4),
    Row("inference", "estimator / forward", 1.00, 0.95),
    Row("estimating", "estimate, edge / calls", 1.10, 1.03),
    Row("estimating", "estimate, moments / calls", 1.10, 1.03),
    Row("estimating", "estimate, edge, 81 to 100 steps / calls", 1.10, 1.03),
    *(
        Row("shapes", f"{name}: inference / forward", 0.80, 0.65)
        for name in ("stacked", "bidirectional", "nested", "reader")
    ),
    Row("building", "build / compile forward", 0.10, 0.03),
    Row("building", "compile both / compile forward twice", 1.2, 1.0),
    *(
        Row("growth", f"growth, {kind}, {unit}: last / first slope", None, 1.0)
        for kind in ("abreast", "stacked", "nested", "deep")
        for unit in ("calls", "time")
    ),
    Row("memory", "memory: 1000 / 10 batches", 1.02, 1.0),
    Row("marking", "forward: marked / unmarked", 1.02, 1.00),
    Row("marking", "gradient: marked / unmarked", 1.02, 1.00),
]
OUTSIDE = ("JAX", "PyTorch, scripted", "PyTorch, eager")


def machine() -> str:
    """The machine, and the versions of what is measured."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    gcc = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return (
        f"{(names or [platform.processor()])[0]}, {len(names)} cores; "
        f"{' '.join(platform.libc_ver())}, "
        f"g++ {gcc}, Python {platform.python_version()}, Aesara {aesara.__version__}, "
        f"NumPy {np.__version__}, BLAS `{aesara.config.blas__ldflags or 'that of NumPy'}`"
    )


def write(results: Results, path: Path) -> None:
    """Put the tables between the markers of a file."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    parts = [
        f"Measured on: {results['machine']}.",
        _table("Tuned", ROWS, results, "tuned"),
        _table("With Aesara's default flags", ROWS[:6], results, "default"),
        _variants(results),
        _outside(results),
        _memory(results),
    ]
    path.write_text("\n\n".join([before + BEGIN, *parts, END + rest.split(END)[1]]))


def _table(title: str, rows: list[Row], results: Results, variant: str) -> str:
    lines = [
        f"**{title}**\n",
        f"| figure | {' | '.join(RUNS)} | must reach | aim |",
        "|---" * (len(RUNS) + 3) + "|",
    ]
    for row in rows:
        cells = [_cell(results, row, f"{run}, {variant}") for run in RUNS]
        limits = ["" if v is None else f"{v:.2f}" for v in (row.must, row.aim)]
        lines.append(f"| {' | '.join([row.figure, *cells, *limits])} |")
    return "\n".join(lines)


def _cell(results: Results, row: Row, run: str) -> str:
    value = results.get(row.group, {}).get(run, {}).get(row.figure)
    if value is None:
        return ""
    missed = row.must is not None and round(value, 2) > row.must
    return f"**{value:.2f}**" if missed else f"{value:.2f}"


def _variants(results: Results) -> str:
    names = ("default", "vector", "tuned", "no BLAS")
    found = {n: results.get("inference", {}).get(f"float32, 1 thread, {n}", {}) for n in names}
    functions = (
        "forward",
        "textbook forward",
        "inference",
        "by hand",
        "not normalized",
        "estimator",
        "products",
    )
    lines = [
        "**Milliseconds, float32, one thread**\n",
        f"| | {' | '.join(names)} |",
        "|---" * 5 + "|",
    ]
    for function in functions:
        cells = [f"{found[n].get(f'{function} (ms)', float('nan')):.1f}" for n in names]
        lines.append(f"| {function} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _outside(results: Results) -> str:
    lines = [
        "**Beside other libraries**: a call, as a ratio to the matrix products in the NumPy of the "
        "same environment (and in milliseconds)\n",
        f"| | {' | '.join(RUNS)} |",
        "|---" * (len(RUNS) + 1) + "|",
    ]
    keys = [("bnrewrite", "inference", "inference", ""), ("NumPy", "inference", "NumPy loop", "")]
    keys += [(n, "outside", n, "torch, " if "Torch" in n else "jax, ") for n in OUTSIDE]
    for name, group, figure, library in keys:
        found = [results.get(group, {}).get(f"{run}, tuned", {}) for run in RUNS]
        cells = [
            f"{f[f'{figure} / products']:.2f} ({f[f'{figure} ({library}ms)']:.1f})" if f else ""
            for f in found
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _memory(results: Results) -> str:
    found = results.get("memory", {}).get("float32, 1 thread, tuned", {})
    peaks = [f"{k} {v:.1f}" for k, v in found.items() if "MB" in k]
    return f"Peak memory of `estimate`: {'; '.join(peaks)}."
