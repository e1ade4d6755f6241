"""Headers that are read once: modules are the same, and whatever fails, they are compiled."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnrewrite import fast_compilation
from bnrewrite.graph import headers
from bnrewrite.graph.engine import GCC_compiler
from engine import config

pytestmark = pytest.mark.skipif(not config.cxx, reason="there is no C++ compiler")

CODE = """#include <Python.h>
#include <math.h>
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <vector>
extern "C" double function_of(double x) { return tanh(x) + %d; }
"""
Compile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _nothing_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_asked", set())
    monkeypatch.setattr(headers, "_failed", set())
    headers._precompiled.cache_clear()


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Those of each module that is compiled from now on."""
    seen: list[list[str]] = []
    compile_str = GCC_compiler.compile_str

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options["preargs"])
        return compile_str(*arguments, **options)

    monkeypatch.setattr(headers, "_compile", watched)
    return seen


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def compile_number(i: int, code: str = CODE) -> Path:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        folder.mkdir()
        # A precompiled header that g++ would not use is an error.
        options = ["-O3", "-fPIC", "-g0", "-Werror=invalid-pch"]
        GCC_compiler.compile_str(
            "module", code % i, location=str(folder), preargs=options, py_module=False
        )
        return folder / "module.so"

    return compile_number


def test_modules_are_the_same_to_the_last_bit(compiled: Compile, flags: list[list[str]]) -> None:
    expected = [compiled(i).read_bytes() for i in range(3)]
    assert flags == []
    with headers.headers_read_once():
        found = [compiled(i).read_bytes() for i in range(3)]
    assert found == expected
    assert ["-include" in given for given in flags] == [False, True, True]
    assert not headers._failed


def test_header_that_fails_is_not_used_again(compiled: Compile, flags: list[list[str]]) -> None:
    with headers.headers_read_once():
        compiled(0), compiled(1)
        header = Path(flags[-1][-1])
        Path(f"{header}.gch").unlink()
        header.write_text("no code")
        found = [compiled(i).read_bytes() for i in (2, 3)]
    assert ["-include" in given for given in flags] == [False, True, True, False, False]
    assert found == [compiled(i).read_bytes() for i in (2, 3)]


@pytest.mark.parametrize("fault", ["no folder", "no compiler"])
def test_without_a_header_modules_are_compiled_as_ever(
    fault: str, compiled: Compile, flags: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError

    if fault == "no folder":
        monkeypatch.setattr(headers, "mkdtemp", fail)
    else:
        monkeypatch.setattr("bnrewrite.graph.headers.subprocess.run", fail)
    with headers.headers_read_once():
        assert all(compiled(i).exists() for i in range(3))
    assert not any("-include" in given for given in flags)


def test_module_with_something_else_in_front_gets_no_header(
    compiled: Compile, flags: list[list[str]]
) -> None:
    with headers.headers_read_once():
        for i in range(3):
            compiled(i, "#define PY_SSIZE_T_CLEAN\n" + CODE)
            compiled(i, 'extern "C" int number() { return %d; }')
    assert len(flags) == 6
    assert not any("-include" in given for given in flags)


def test_error_of_a_module_is_that_of_the_engine_and_no_fault_of_the_header(
    compiled: Compile, flags: list[list[str]]
) -> None:
    with headers.headers_read_once():
        for i in range(3):
            with pytest.raises(Exception, match="nonsense"):
                compiled(i, CODE + "nonsense")
        compiled(0)
    assert "-include" in flags[-1]
    assert not headers._failed


def test_fast_compilation_reads_headers_once_and_puts_everything_back() -> None:
    def stop() -> None:
        with fast_compilation():
            assert GCC_compiler.compile_str is headers._compile_with_header
            with fast_compilation():
                assert GCC_compiler.compile_str is headers._compile_with_header
            assert GCC_compiler.compile_str is headers._compile_with_header
            raise ZeroDivisionError("by us")

    before = GCC_compiler.compile_str
    with pytest.raises(ZeroDivisionError, match="by us"):
        stop()
    assert GCC_compiler.compile_str is before


LEAVING = """
import os, sys
from pathlib import Path
from bnrewrite.graph import headers
command = (f"-I{folder}" for folder in headers.std_include_dirs())
header = headers._precompiled("#include <Python.h>\\n", headers.config.cxx, *command)
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
assert Path(header + ".gch").stat().st_size > 1000
print(header)
"""


def test_nothing_is_left_when_a_process_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAVING]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert not Path(done.stdout.strip()).parent.exists()
