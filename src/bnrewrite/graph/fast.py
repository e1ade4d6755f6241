"""Fast: compile elementwise functions with the vectors of the processor.

By default both engines have g++ compile ``tanh`` and ``exp`` for one element at a time, and an LSTM
spends as long in them as in its matrix products. glibc has vector versions of them, to 4 units in
the last place, which g++ uses if ``__FAST_MATH__`` is defined; nothing else of ``-ffast-math`` is
asked for, so infinities and NaN are what they are.

PyTensor compiles to C for this, and not by Numba, if nobody said how to compile, and there is a
compiler. Then it runs the nodes of a step of a loop one after the other in Python, though it has
the same in C, which takes a tenth of the time; here it is made to use that. And it joins a product
and a sum to one operation, which is slow where there is no BLAS library; here they stay apart then.

Aesara compiles each kind of operation on constants, to run it once: two fifths of what a small
model compiles. Here constants are computed in Python. On both engines g++ reads the headers of all
modules once (`headers`).

The engine's configuration is changed while something is compiled, and is as before afterwards,
whatever happens. It belongs to the process, so threads wait for each other here. Sharp edge: one
that compiles without `fast_compilation` meanwhile gets the flags too.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import RLock
from typing import Any

from bnrewrite.graph.engine import C_LINKER, GCC_compiler, config, shortcuts
from bnrewrite.graph.headers import headers_read_once

_FLAGS = (
    "-D__FAST_MATH__",
    "-fvect-cost-model=unlimited",  # the full width of vectors for tensors of unknown strides too
    "-mprefer-vector-width=512",
    "-fno-guess-branch-probability",
    "--param=vect-max-version-for-alias-checks=200",
    "-g0",  # the engine asks for what debuggers read, which takes a sixth of the time to compile
)
_lock = RLock()


@contextmanager
def fast_compilation() -> Iterator[None]:
    """Compile faster functions: ``with fast_compilation(): train = pytensor.function(...)``.

    Elementwise functions use the vectors of the processor, to 4 units in the last place of each,
    where g++ and glibc can do that. On PyTensor the backend is C in the place of Numba, unless the
    configuration names one, and loops run in C too. Without a compiler, nothing changes. A mode
    that is given to the engine's `function` is followed as ever.

    Can be nested. Other threads wait until it is left.

    Examples
    --------
    >>> import pytensor, pytensor.tensor as pt
    >>> from bnrewrite import fast_compilation
    >>> x = pt.dvector("x")
    >>> with fast_compilation():
    ...     predict = pytensor.function([x], pt.tanh(x))
    >>> predict([0.0])
    array([0.])
    """
    with _lock:
        if not config.cxx:
            yield
            return
        with config.change_flags(**_changes()), shortcuts(), headers_read_once():
            yield


def compilation(fast: bool) -> AbstractContextManager[None]:
    """A context for one compilation, fast or as ever."""
    return fast_compilation() if fast else nullcontext()


def _changes() -> dict[str, Any]:
    """What to change of the configuration as it is, if there is a compiler."""
    own = config.gcc__cxxflags.split()
    changes = {"gcc__cxxflags": " ".join([*own, *(f for f in _taken(config.cxx) if f not in own)])}
    if C_LINKER and (config.mode, config.linker) == ("Mode", "auto"):
        changes["linker"] = C_LINKER
    return changes


@cache
def _taken(compiler: str) -> tuple[str, ...]:
    """The flags that do something here; those that a compiler does not take are left out."""
    if platform.libc_ver()[0] != "glibc":
        return ()
    if GCC_compiler.try_flags([*_FLAGS]):
        return _FLAGS
    return tuple(flag for flag in _FLAGS if GCC_compiler.try_flags([flag]))
