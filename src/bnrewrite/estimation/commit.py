"""Commit: change several things, all of them or none.

What can fail should be done before. Should a change fail all the same, or an interrupt come between
two of them, those that were made are undone: what is seen afterwards is the old state or the new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple


class Change(NamedTuple):
    """A function that sets a value, the value, and the one that was there before."""

    put: Callable[[Any], object]
    new: Any
    old: Any


def commit(changes: Iterable[Change]) -> None:
    """Make all changes. If one raises, or is interrupted, set all back, and raise it."""
    changes = list(changes)
    try:
        for change in changes:
            change.put(change.new)
    except BaseException:
        for change in changes:
            # Whatever is broken or pressed meanwhile must not keep the others from being set back.
            with suppress(BaseException):
                change.put(change.old)
        raise
