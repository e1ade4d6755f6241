"""An assignment is all or nothing, whatever goes wrong with any of its values, and whenever."""

from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, Population, batch_normalize, mark_statistic
from engine import SharedVariable
from engine import tensor as at
from interrupts import interruptions

Array = np.ndarray
FAULTS = [MemoryError("no memory"), KeyboardInterrupt()]


class Assigned:
    """A graph with three statistics, two populations for it, and what they predict."""

    def __init__(self, depth: int) -> None:
        x = at.TensorType("float64", (None,) * (depth + 2))("x")

        def body(x_t: Any) -> Any:
            y = x_t - mark_statistic(x_t.mean(axis=0), "mean")
            return batch_normalize(y, 1.0, 0.5, label="bn")

        for _ in range(depth):
            body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
        self.graph = InferenceGraph([x], body(x))
        self._predict = engine.function([x], self.graph.outputs)
        self._x = np.random.default_rng(0).normal(size=(2,) * depth + (3, 2))
        self.batches = [[(self._x + k,), (self._x * (k + 2),)] for k in (0, 1)]
        self.populations = [self.graph.estimate(batches) for batches in self.batches]
        self.predictions = [self.prediction_of(p) for p in self.populations]
        assert (self.predictions[0] != self.predictions[1]).all()
        self.graph.assign(self.populations[0])

    def prediction_of(self, population: Population) -> Array:
        self.graph.assign(population)
        return self.predict()

    def predict(self) -> Array:
        return np.asarray(self._predict(self._x))

    def state(self) -> int:
        """Which of both populations is there, in all values, or fail."""
        same = [(self.predict() == p).all() for p in self.predictions]
        held = [self.graph.population is p for p in self.populations]
        assert same == held
        assert sum(held) == 1
        return held.index(True)


@pytest.fixture(params=[0, 1, 2])
def assigned(request: pytest.FixtureRequest) -> Assigned:
    return Assigned(request.param)


def fail_at(
    monkeypatch: pytest.MonkeyPatch, number: int, fault: BaseException, after: bool, again: bool
) -> list[Any]:
    """Let a call of set_value raise, before or after it has set; and all others of its variable."""
    original, called = SharedVariable.set_value, []

    def set_value(self: Any, *args: Any, **kwargs: Any) -> None:
        called.append(self)
        fails = len(called) - 1 == number or (again and called[number : number + 1] == [self])
        if fails and not after:
            raise fault
        original(self, *args, **kwargs)
        if fails:
            raise fault

    monkeypatch.setattr(SharedVariable, "set_value", set_value)
    return called


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_fault_in_any_value_leaves_the_old_population(
    assigned: Assigned,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    number: int,
    after: bool,
    again: bool,
) -> None:
    with monkeypatch.context() as patch:
        called = fail_at(patch, number, fault, after, again)
        with pytest.raises(type(fault)):
            assigned.graph.assign(assigned.populations[1])
        assert len(called) > number
    assert assigned.state() == 0
    assigned.graph.assign(assigned.populations[1])
    assert assigned.state() == 1


def test_interrupt_at_any_moment_of_an_assignment_leaves_the_old_or_the_new(
    assigned: Assigned,
) -> None:
    states = []
    old, new = assigned.populations
    files = ("estimation/commit.py", "estimation/stored.py", "estimation/estimates.py")
    for error in interruptions(lambda: assigned.graph.assign(new), *files):
        states.append(assigned.state())
        assert error is None or isinstance(error, KeyboardInterrupt)
        assigned.graph.assign(old)
    assert states == sorted(states)  # the old one, and from some moment on the new
    assert set(states) == {0, 1}
    assert len(states) > 100


@pytest.mark.parametrize("number", range(4))
def test_fault_at_the_end_of_an_estimate_leaves_the_old_population_and_gives_the_new(
    assigned: Assigned, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for fault in FAULTS:
        with monkeypatch.context() as patch:
            fail_at(patch, number, fault, False, False)
            with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
                assigned.graph.estimate(assigned.batches[1])
        assert assigned.state() == 0
        kept = caught.value.population  # type: ignore[attr-defined]
        assert {n: v.tolist() for n, v in kept.items()} == {
            n: v.tolist() for n, v in assigned.populations[1].items()
        }


@pytest.mark.parametrize("number", range(2))
def test_fault_in_the_first_assignment_leaves_none(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    predict = engine.function([x], graph.outputs)
    with monkeypatch.context() as patch:
        fail_at(patch, number, MemoryError(), True, False)
        with pytest.raises(MemoryError):
            graph.assign({"mean": np.zeros(2)})
    assert graph.population is None
    with pytest.raises(RuntimeError, match="no population statistics yet"):
        predict(np.ones((1, 2)))
