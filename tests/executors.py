"""Executors that do what real ones may do, in the order that a test wants."""

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from bnrewrite.estimation import workers
from bnrewrite.estimation.workers import Task


class InlineExecutor(Executor):
    """Runs at once, in the thread that calls."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class LateExecutor(InlineExecutor):
    """Computes at once, and tells later: one of those that are due, chosen by `choose`.

    Attributes
    ----------
    sent : list of (int, bool)
        The shards in the order they came, and whether the estimator came along.
    most_alive : int
        The greatest number of results that existed at a time.
    """

    def __init__(self, choose: Callable[[list[int]], int]) -> None:
        self._choose = choose
        self._due: dict[int, tuple[Future[Any], Future[Any]]] = {}
        self._changed = threading.Condition()
        self._is_open = True
        self.sent: list[tuple[int, bool]] = []
        self.most_alive, self._alive = 0, 0
        self._thread = threading.Thread(target=self._tell)
        self._thread.start()

    def submit(self, fn: Any, /, task: Task, payload: bytes | None) -> Future[Any]:
        self.sent.append((task.number, payload is not None))
        told: Future[Any] = Future()
        known = super().submit(fn, task, payload)
        if known.exception() is None:
            self._count(known.result())
        with self._changed:
            self._due[task.number] = told, known
            self._changed.notify()
        return told

    def _count(self, result: Any) -> None:
        self._alive += 1
        self.most_alive = max(self.most_alive, self._alive)
        weakref.finalize(result, self._one_less)

    def _one_less(self) -> None:
        self._alive -= 1

    def _tell(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or not self._is_open)
                if not self._due:
                    return
                number = self._choose(sorted(self._due))
                told, known = self._due.pop(number)
            if not told.set_running_or_notify_cancel():
                pass
            elif error := known.exception():
                told.set_exception(error)
            else:
                told.set_result(known.result())
            del told, known

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()


class SeveralWorkers(InlineExecutor):
    """Runs at once, in one of several workers, each of which keeps estimators of its own."""

    def __init__(self, n: int, choose: Callable[[int], int]) -> None:
        self._max_workers, self._choose = n, choose
        self._kept: list[Any] = [type(workers._kept)() for _ in range(n)]
        self.sent: list[tuple[int, int, bool]] = []

    def submit(self, fn: Any, /, task: Task, payload: bytes | None) -> Future[Any]:
        worker = self._choose(len(self.sent))
        self.sent.append((worker, task.number, payload is not None))
        with self._as(worker):
            return super().submit(fn, task, payload)

    @contextmanager
    def _as(self, worker: int) -> Iterator[None]:
        mine, workers._kept = workers._kept, self._kept[worker]
        try:
            yield
        finally:
            workers._kept = mine

    def restart(self, worker: int) -> None:
        """Let a worker forget everything, as a new process in its place would."""
        self._kept[worker].clear()


def at_random(seed: int) -> Callable[[list[int]], int]:
    """Choose any."""
    rng = np.random.default_rng(seed)
    return lambda due: int(rng.choice(due))
