"""Progress: a bar that shows how far batches or shards have come, in a terminal or a notebook.

In a notebook it is a widget, where they are installed. `tqdm.auto` finds that out when it is
imported, and warns where they are not, so it is not imported before a bar is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


def watched(batches: Iterable[_T], *, shown: bool) -> Iterable[_T]:
    """The same batches, with a bar that counts them if it is to be `shown`."""
    if not shown:
        return batches
    from tqdm.auto import tqdm

    bar: Iterable[_T] = tqdm(batches, desc="population statistics", unit="batch")
    return bar


@contextmanager
def counting_shards(total: int, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """What to tell how many of the shards are done."""
    if not shown:
        yield lambda n: None
        return
    from tqdm.auto import tqdm

    with tqdm(desc="shards", total=total, unit="shard") as bar:
        yield lambda n: bar.update(n - bar.n)
