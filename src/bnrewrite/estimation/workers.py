"""Workers: what runs in the processes of `estimate_shards`.

An estimator is large, as it has all parameters, and a worker compiles it when it arrives. So each
keeps the last ones it was sent, by their digest, and later shards name the digest alone. A worker
that does not know it says so (`Unknown`), and is sent the shard again with the estimator. Nothing
else is assumed of an executor: workers may come and go, and be on other machines.

An executor of threads can't be told by its type from one of processes. The estimator says where it
comes from, and is refused in another thread of that process.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bnrewrite.estimation.batches import Batch, Extra
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.estimation.stopped import refuse_no_batches
from bnrewrite.graph.fast import fast_compilation
from bnrewrite.graph.pickled import pickled_function
from bnrewrite.population.counts import MinCount
from bnrewrite.population.tallies import Pooling, Tallies

Shard = Callable[[], Iterable[Batch]]

N_KEPT = 2
_kept: OrderedDict[str, _Sent] = OrderedDict()
_one_at_a_time = threading.Lock()


class _Sent(NamedTuple):
    """An estimator, and the process and thread that it comes from."""

    estimator: Estimator
    process: int
    thread: int


class Unknown:
    """What a worker answers that has to be sent the estimator."""


class Task(NamedTuple):
    """One shard to be estimated.

    Attributes
    ----------
    digest : str
        Of the estimator.
    shard, pooling, min_count, extra, number, skip
        As for `Estimator.begun` and `Estimator.add`.
    attempt : str
        Different each time, as Dask does not run a function twice on the same arguments.
    """

    digest: str
    shard: Shard
    pooling: Pooling
    min_count: MinCount
    extra: Extra
    number: int
    skip: int
    attempt: str


def packed(estimator: Estimator) -> tuple[str, bytes]:
    """An estimator to be sent, and its digest."""
    payload = pickled_function(_Sent(estimator, os.getpid(), threading.get_ident()))
    return hashlib.sha256(payload).hexdigest(), payload


def run(task: Task, payload: bytes | None = None) -> Tallies | Unknown:
    """Estimate from one shard, in a worker, with the estimator that is sent along or was before."""
    with _one_at_a_time:
        sent = _estimator(task.digest, payload)
        if sent is None:
            return Unknown()
        if os.getpid() == sent.process and threading.get_ident() != sent.thread:
            raise RuntimeError(
                "this executor runs in threads of the process that called it, which can't share a "
                "compiled function. Use one of processes (for Dask, a cluster with processes=True)."
            )
        tallies = sent.estimator.begun(task.pooling, task.min_count)
        sent.estimator.add(
            task.shard(),
            tallies,
            task.pooling,
            number=task.number,
            skip=task.skip,
            extra=task.extra,
        )
        refuse_no_batches(tallies)
        return tallies


def _estimator(digest: str, payload: bytes | None) -> _Sent | None:
    """The estimator of a digest, if this worker has it; unpickled, which compiles, once."""
    if digest not in _kept and payload is not None:
        with fast_compilation():
            _kept[digest] = pickle.loads(payload)
    if digest in _kept:
        _kept.move_to_end(digest)
    while len(_kept) > N_KEPT:
        _kept.popitem(last=False)
    return _kept.get(digest)
