"""Turns: calls on one graph from several threads wait for each other.

A compiled function has one place for its inputs and its results, and two threads in it at a time
crash the interpreter, or get what belongs to the other. So each call of ours on one graph has its
turn: from its first line to its last, also while it waits for a batch or a shard. The same thread
may call again inside of its turn, as when an iterator of batches asks for something.

Sharp edges: functions that users compile from the outputs are theirs. Two threads must not call one
at a time either, and one that runs while another thread assigns may read some new values and some
old ones. A thread that prepares batches for an estimate must not wait for a turn on the same graph:
the estimate waits for the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Turns:
    """A lock that a thread may take again. Copied or pickled, it is a new one."""

    def __init__(self) -> None:
        self.lock = RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Turns, ()


class _HasTurns(Protocol):
    _turns: Turns


_S = TypeVar("_S", bound=_HasTurns)


def in_turn(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Let a method wait until no other thread is in one of the same object."""

    @wraps(method)
    def waiting(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._turns.lock:
            return method(self, *args, **kwargs)

    return waiting
