"""Spare BLAS: the one that SciPy brings, for where the engine has found none.

Without a BLAS to link, Aesara takes products from NumPy, which sets the result to 0 before each and
makes an object for it. SciPy's wheels have an OpenBLAS with the names that Aesara calls.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bnrewrite.graph.engine import GCC_compiler

_DECLARED = 'extern "C" { void sgemm_(); void dgemm_(); }'


@cache
def spare_blas(compiler: str) -> str:
    """How `compiler` links it; empty if there is none, or it can't be linked."""
    scipy = find_spec("scipy")
    packages = Path(scipy.origin).parents[1] if scipy and scipy.origin else Path()
    for path in sorted(packages.glob("scipy.libs/libopenblas*.so")):
        folder, name = path.parent, path.stem.removeprefix("lib")
        flags = [f"-L{folder}", f"-l{name}", f"-Wl,-rpath,{folder}"]
        is_linked = GCC_compiler.try_flags(flags, _DECLARED, "return sgemm_ == dgemm_;")
        if is_linked and " " not in str(path):  # the engine splits flags at spaces
            return " ".join(flags)
    return ""
