"""Headers: g++ reads those of Python and NumPy once a process, and not for each module.

An engine has g++ compile every kind of operation apart, and half of the time goes into the headers
with which each of these modules begins. Here g++ keeps what it has read of them (a precompiled
header), made with the very flags of the modules. Modules are the same to the last bit.

What is kept lies in a folder of this process and goes with it, so it is never older than the
headers. It is made when a second module comes with the same flags, as making it takes as long as
three modules save. Where it can't be made or used, modules are compiled as ever.
"""

from __future__ import annotations

import atexit
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from bnrewrite.graph.engine import GCC_compiler, config, std_include_dirs

_LAST = "#include <numpy/arrayscalars.h>\n"  # of those with which modules begin
_compile = GCC_compiler.compile_str
_asked: set[tuple[str, ...]] = set()
_failed: set[str] = set()


@contextmanager
def headers_read_once() -> Iterator[None]:
    """Have the engine compile modules with the headers that were read before."""
    own = GCC_compiler.compile_str
    GCC_compiler.compile_str = staticmethod(_compile_with_header)
    try:
        yield
    finally:
        GCC_compiler.compile_str = staticmethod(own)


def _compile_with_header(module_name: str, src_code: str, **options: Any) -> Any:
    """The engine's `compile_str`, with a header; and without, if there is an error with it."""
    flags = options.get("preargs") or []
    header = _header_for(src_code, flags, options.get("include_dirs") or [])
    if header is None:
        return _compile(module_name, src_code, **options)
    try:
        given = options | {"preargs": [*flags, "-include", header]}
        return _compile(module_name, src_code, **given)
    except Exception:
        compiled = _compile(module_name, src_code, **options)
        _failed.add(header)  # as it is not the module that is to blame
        return compiled


def _header_for(code: str, flags: Sequence[str], folders: Sequence[str]) -> str | None:
    """The path of the header to include in front of `code`, if there is one that helps."""
    beginning, last, _ = code.partition(_LAST)
    if not last or not all(line.startswith("#include") for line in beginning.splitlines()):
        return None
    # The command of the engine: g++ uses a precompiled header for the options it was made with.
    searched = [f"-I{folder}" for folder in [*folders, *std_include_dirs()] if folder]
    command = beginning + last, config.cxx, "-g", *flags, *searched, "-fvisibility=hidden"
    if command not in _asked:
        _asked.add(command)
        return None
    header = _precompiled(*command)
    return None if header in _failed else header


@cache
def _precompiled(text: str, *command: str) -> str | None:
    """The path of a header of this text, with what g++ has read of it beside it."""
    try:
        folder = mkdtemp(prefix="bnrewrite-")
        atexit.register(_remove, folder, os.getpid())
        header = Path(folder, "header.h")
        header.write_text(text)
        made = [*command, "-x", "c++-header", str(header), "-o", f"{header}.gch"]
        subprocess.run(made, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(header)


def _remove(folder: str, maker: int) -> None:
    """Remove what this process has made, and not what it was forked from."""
    if os.getpid() == maker:
        rmtree(folder, ignore_errors=True)
