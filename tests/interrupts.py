"""Interrupt a call at any of its operations, as Ctrl-C may."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import bnrewrite

ROOT = str(Path(bnrewrite.__path__[0]))


def interruptions(
    call: Callable[[], Any], *files: str, stride: int = 1
) -> Iterator[BaseException | None]:
    """Make `call` again and again, interrupted at the first operation in `files`, the second, ...

    Yield what each call raised; the last one is not interrupted, and None is yielded if it raises
    nothing. A `stride` leaves operations out.
    """
    n, reached = 1 - stride, True
    while reached:
        n += stride
        error, reached = _interrupted(call, n, tuple(f"{ROOT}/{file}" for file in files))
        yield error


def _interrupted(
    call: Callable[[], Any], n: int, files: tuple[str, ...]
) -> tuple[BaseException | None, bool]:
    seen = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(files):
            return None
        frame.f_trace_opcodes = True
        if event in ("line", "opcode", "return"):
            seen += 1
            if seen == n:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except BaseException as error:
        return error, seen >= n
    finally:
        sys.settrace(before)
    return None, seen >= n
