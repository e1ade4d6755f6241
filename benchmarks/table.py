"""The tables of README.md, from the results of `run.py` by engine, as far as there are."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bnrewrite
from bnrewrite.graph.engine import TITLE, VERSION

Results = dict[str, Any]
BEGIN, END = "<!-- made by run.py -->", "<!-- until here -->"
TITLES = {"aesara": "Aesara", "pytensor": "PyTensor"}
# The variant in which all groups are measured, and others for the inference group.
MAIN = "default"
SIZE = "100 32 128"  # steps, examples and units
SIZES = {
    SIZE: "",
    "100 1 128": "batches of 1",
    "100 256 128": "batches of 256",
    "100 32 512": "512 units",
    "1000 32 128": "1,000 steps",
}
RUNS = ["float32, 1 thread", "float32, 2 threads", "float64, 1 thread"]


class Row(NamedTuple):
    """A figure, and what it must and should not exceed."""

    group: str
    figure: str
    must: float | None
    aim: float | None


ROWS = [
    Row("inference", "inference / products", 1.60, 1.10),
    Row("inference", "inference / by hand", 1.02, 1.00),
    Row("inference", "inference / not normalized", 1.25, 1.05),
    Row("inference", "inference / fast forward", 0.80, 0.65),
    Row("inference", "inference / forward", 0.70, 0.60),
    Row("inference", "plain inference / forward", None, None),
    Row("inference", "inference / textbook forward", None, None),
    Row("inference", "estimator / forward", 0.80, 0.70),
    Row("inference", "estimator / fast forward", None, None),
    Row("estimating", "estimate, edge / calls", 1.10, 1.03),
    Row("estimating", "estimate, moments / calls", 1.10, 1.03),
    Row("estimating", "estimate, edge, 81 to 100 steps / calls", 1.10, 1.03),
    Row("estimating", "estimate, 10,000 batches of one example / calls", 1.15, 1.05),
    *(
        Row("shapes", f"{name}: inference / forward", 0.80, 0.65)
        for name in ("stacked", "bidirectional", "nested", "reader")
    ),
    Row("building", "build / compile forward", 0.10, 0.03),
    Row("building", "compile both / compile forward twice", 1.2, 1.0),
    *(
        Row("growth", f"growth, {kind}, {unit}: last / first slope", None, 1.0)
        for kind in ("abreast", "stacked", "nested", "deep")
        for unit in ("calls", "time", "edges built")
    ),
    Row("memory", "memory: 1000 / 10 batches", 1.02, 1.0),
    Row("marking", "forward: marked / unmarked", 1.02, 1.00),
    Row("marking", "gradient: marked / unmarked", 1.02, 1.00),
    Row("marking", "gradient: fast / plain", None, None),
]
FUNCTIONS = (
    "forward",
    "textbook forward",
    "fast forward",
    "plain inference",
    "inference",
    "by hand",
    "not normalized",
    "estimator",
    "products",
)
# What inference is compared with, and the most that it may take of that, by engine.
OUTSIDE: dict[str, dict[str, float]] = {
    "products": {"aesara": 1.25, "pytensor": 1.60},
    "JAX": {"aesara": 0.9, "pytensor": 0.9},
    "PyTorch, scripted": {"aesara": 0.9, "pytensor": 0.9},
    "PyTorch, eager": {},
    "NumPy": {},
}


def machine() -> str:
    """The machine, and the versions of what is measured."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    gcc = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return (
        f"{(names or [platform.processor()])[0]}, {len(names)} cores; "
        f"{' '.join(platform.libc_ver())}, "
        f"g++ {gcc}, Python {platform.python_version()}, {TITLE} {VERSION}, "
        f"NumPy {np.__version__}, "
        f"BLAS `{sys.modules[bnrewrite.engine].config.blas__ldflags or 'that of NumPy'}`"
    )


def write(results: Results, path: Path) -> None:
    """Put the tables between the markers of a file."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    parts = [
        *_machines(results),
        _outside(results),
        _table("Beside our own", ROWS, results, dict.fromkeys(results, MAIN)),
        _variants(results),
        *(_memory(name, results[name]) for name in results),
    ]
    path.write_text("\n\n".join([before + BEGIN, *parts, END + rest.split(END)[1]]))


def _machines(results: Results) -> list[str]:
    """Where each group was measured."""
    groups: dict[str, list[str]] = {}
    for of_engine in results.values():
        for group, where in of_engine["machines"].items():
            groups.setdefault(where, []).append(group)
    return [f"Measured on {where}: {', '.join(found)}." for where, found in groups.items()]


def _table(title: str, rows: list[Row], results: Results, variants: dict[str, str]) -> str:
    columns = [(name, run) for name in results for run in RUNS]
    heads = [f"{TITLES[name]}, {run}" for name, run in columns]
    lines = [_line(f"**{title}**", *heads, "must reach", "aim"), "|---" * (len(heads) + 3) + "|"]
    for row in rows:
        cells = [_cell(results[name], row, f"{run}, {variants[name]}") for name, run in columns]
        limits = ["" if v is None else f"{v:.2f}" for v in (row.must, row.aim)]
        lines.append(_line(row.figure, *cells, *limits))
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(results: Results, row: Row, run: str) -> str:
    value = results.get(row.group, {}).get(run, {}).get(row.figure)
    if value is None:
        return ""
    return _limited(value, row.must)


def _limited(value: float, limit: float | None) -> str:
    """A figure, in bold if it exceeds its limit."""
    return f"**{value:.2f}**" if limit and round(value, 2) > limit else f"{value:.2f}"


def _variants(results: Results) -> str:
    first = "float32, 1 thread, "
    found = {
        f"{TITLES[name]}, {run.removeprefix(first)}": figures
        for name, of_engine in results.items()
        for run, figures in of_engine.get("inference", {}).items()
        if run.startswith(first)
    }
    lines = [
        _line("**Milliseconds, float32, one thread**", *found),
        "|---" * (len(found) + 1) + "|",
    ]
    for function in FUNCTIONS:
        lines.append(_line(function, *(f"{f[f'{function} (ms)']:.1f}" for f in found.values())))
    return "\n".join(lines)


def _outside(results: Results) -> str:
    heads = ["**Inference by default**", "milliseconds", *(f"/ {name}" for name in OUTSIDE)]
    lines = [_line(*heads), "|---" * len(heads) + "|"]
    for name, of_engine in results.items():
        for run, figures in of_engine.get("outside", {}).items():
            *about, size = [part for part in run.split(", ") if part != MAIN]
            about = [*about, SIZES[size]] if size in SIZES else [*about, size]
            cells = [
                _limited(figures[f"inference / {other}"], limits.get(name))
                for other, limits in OUTSIDE.items()
            ]
            title = f"{TITLES[name]}, {', '.join(about)}"
            lines.append(_line(title, f"{figures['inference (ms)']:.2f}", *cells))
    return "\n".join(lines)


def _memory(name: str, of_engine: Results) -> str:
    found = of_engine.get("memory", {}).get(f"float32, 1 thread, {MAIN}", {})
    peaks = [f"{k} {v:.1f}" for k, v in found.items() if "MB" in k]
    return f"Peak memory of `estimate` on {TITLES[name]}: {'; '.join(peaks)}."
