"""Some statistics may stay those of the batch: by name, by pattern or by a function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, NotChecked, batch_normalize
from engine import Variable
from engine import tensor as at

EPSILON = 0.1


def model(x: Variable, depth: int) -> Variable:
    """Two normalizations, `first` and `second`, at a depth of loops."""
    if depth:
        return engine.scan(lambda x_t: model(x_t, depth - 1), [x], name="loop")
    first = batch_normalize(x, 1.0, 0.0, label="first", epsilon=EPSILON)
    return batch_normalize(first**2, 1.0, 0.0, label="second", epsilon=EPSILON)


def truth(x: np.ndarray, population: dict[str, np.ndarray]) -> np.ndarray:
    """With statistics of the batch where the population has none."""

    def normalize(x: np.ndarray, label: str) -> np.ndarray:
        mean, variance = x.mean(axis=-2), x.var(axis=-2)
        mean, variance = (
            population.get(f"{label}.{m}", v) for m, v in (("mean", mean), ("variance", variance))
        )
        return (x - mean[..., None, :]) / np.sqrt(variance[..., None, :] + EPSILON)

    return normalize(normalize(x, "first") ** 2, "second")


CHOICES: dict[str, tuple[Any, set[str]]] = {
    "name": ("*first.mean", {"first.mean"}),
    "names": (["*first.mean", "*second.variance"], {"first.mean", "second.variance"}),
    "pattern": ("*first*", {"first.mean", "first.variance"}),
    "function": (lambda s: s.label.startswith("second"), {"second.mean", "second.variance"}),
    "all": (None, {"first.mean", "first.variance", "second.mean", "second.variance"}),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_only_what_is_chosen_is_of_the_population(depth: int, choice: str) -> None:
    only, labels = CHOICES[choice]
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], model(x, depth), only=only)
    assert {s.label for s in graph.statistics} == labels
    everything = CHOICES["all"][1]
    assert {s.label for s in graph.batch_statistics} == everything - labels
    rng = np.random.default_rng(0)
    shape = (*(3, 2)[:depth], 5, 2)
    batch, other = rng.normal(size=shape), rng.normal(size=shape)
    population = graph.estimate([(batch,)])
    assert len(population) == len(labels)
    by_label = {s.label: population[s.name] for s in graph.statistics}
    predict = engine.function([x], graph.outputs)
    assert_allclose(predict(other), truth(other, by_label))
    assert graph.verify().outputs[0].checks["structure"] == "yes"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_verify_says_what_was_left_on_purpose(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], model(x, depth), only="*first*")
    batch = np.random.default_rng(0).normal(size=(*(3, 2)[:depth], 5, 2))
    graph.estimate([(batch,)])
    with pytest.warns(NotChecked, match=r"left on purpose: \['(loop/)*second\.mean', "):
        result = graph.verify((batch,))
    assert not result
    assert "second.variance" in repr(result)


def test_batch_statistic_beside_those_left_on_purpose_is_found() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], model(x, 0), only="first*")
    graph.outputs = graph.outputs + batch_normalize(x, 1.0, 0.0, label="other")
    with pytest.raises(RuntimeError, match=r"left in the inference graph: \['other.mean', 'other"):
        graph.verify()


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "unknown": ("third*", ValueError, r"only=\['third\*'\] fits none of .*'first.mean'"),
    "one unknown": (["first*", "third"], ValueError, r"only=\['third'\] fits none"),
    "none": (lambda s: False, ValueError, "leaves no statistic of .*'first.mean'"),
    "empty": ([], TypeError, "must be a name or pattern"),
    "number": (3, TypeError, "must be a name or pattern.*got 3"),
    "numbers": ([3], TypeError, "must be a name or pattern"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_choice_that_is_none_is_refused(case: str) -> None:
    only, error, message = REFUSED[case]
    x = at.dmatrix("x")
    build: Callable[[], InferenceGraph] = lambda: InferenceGraph([x], model(x, 0), only=only)  # noqa: E731
    with pytest.raises(error, match=message):
        build()


def nested(x: Variable, kind: str) -> Variable:
    """A normalization `below`, inside of a loop or an op, and one `above` it, in the outer loop."""

    def below(x_t: Variable) -> Variable:
        return batch_normalize(x_t, 1.0, 0.0, label="below", epsilon=EPSILON) ** 2

    def step(x_s: Variable) -> Variable:
        if kind == "loop":
            inner = engine.scan(below, [x_s], name="inner").sum(axis=0)
        else:
            inside = at.matrix("inside", dtype="float64")
            inner = engine.op_of([inside], [below(inside)])(x_s.sum(axis=0))
        return batch_normalize(inner, 1.0, 0.0, label="above", epsilon=EPSILON)

    return engine.scan(step, [x], name="outer")


def nested_truth(x: np.ndarray, kind: str, given: dict[str, np.ndarray]) -> np.ndarray:
    def normalize(x: np.ndarray, label: str) -> np.ndarray:
        mean = given.get(f"{label}.mean", x.mean(axis=-2))
        variance = given.get(f"{label}.variance", x.var(axis=-2))
        return (x - mean[..., None, :]) / np.sqrt(variance[..., None, :] + EPSILON)

    if kind == "loop":
        return normalize((normalize(x, "below") ** 2).sum(axis=1), "above")
    return normalize(normalize(x.sum(axis=1), "below") ** 2, "above")


@pytest.mark.parametrize("kind", ["loop", "op"])
@pytest.mark.parametrize("number", range(1, 16))
def test_any_choice_is_right_above_what_has_statistics_too(number: int, kind: str) -> None:
    labels = ["below.mean", "below.variance", "above.mean", "above.variance"]
    chosen = {label for i, label in enumerate(labels) if number >> i & 1}
    x = at.TensorType("float64", (None,) * 4)("x")
    graph = InferenceGraph([x], nested(x, kind), only=lambda s: s.label in chosen)
    assert {s.label for s in graph.statistics} == chosen
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(3, 2, 5, 4))
    given = {s.name: rng.uniform(1, 2, size=(*(3, 2)[: s.depth], 4)) for s in graph.statistics}
    graph.assign(given)
    by_label = {s.label: given[s.name] for s in graph.statistics}
    predict = engine.function([x], graph.outputs, mode="FAST_COMPILE")
    assert_allclose(predict(batch), nested_truth(batch, kind, by_label), rtol=1e-9)
    graph.compile(mode="FAST_COMPILE")  # which looks for statistics of the batch
