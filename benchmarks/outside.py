"""JAX and PyTorch, each in an environment of its own, which is made if it is missing."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from timing import Figures

PACKAGES = {"jax": ["jax", "jaxlib", "numpy"], "torch": ["torch==2.13.0", "numpy"]}
HERE = Path(__file__).parent


def make_environment(folder: Path, packages: list[str]) -> Path:
    """Return the Python of an environment with some packages."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def measure(dtype: str, threads: int, cache: Path) -> Figures:
    """Time each library beside the matrix products, in a process of its own."""
    figures: Figures = {}
    for library, packages in PACKAGES.items():
        python = make_environment(cache / library, packages)
        command = [python, HERE / "elsewhere.py", library, dtype, str(threads)]
        count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | count
        ).stdout
        figures |= json.loads(output.splitlines()[-1])
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".benchmark-environments"))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name, value in measure(options.dtype, options.threads, options.cache.resolve()).items():
        print(f"{name:40} {value:8.2f}")
