"""What `compile` and `verify` refuse: statistics of the batch that come in by another way."""

import pickle
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, mark_statistic
from engine import Variable
from engine import tensor as at

pytestmark = pytest.mark.filterwarnings(
    "ignore::bnrewrite.UnmarkedStatistic", "ignore:Setting default_update:DeprecationWarning"
)
VALUES = np.random.default_rng(0).normal(size=(5, 3))


def looped(layer: Any, depth: int) -> Any:
    for _ in range(depth):
        layer = (lambda inner: lambda v: engine.scan(inner, [v], name="loop"))(layer)
    return layer


@pytest.fixture
def x() -> Variable:
    return at.dmatrix("x")


def centered(x: Variable, label: str = "mean") -> Variable:
    return x - mark_statistic(x.mean(axis=0), label)


def test_givens_and_updates_of_the_training_graph_are_refused(x: Variable) -> None:
    z, s = at.dvector("z"), engine.shared(np.zeros(3))
    mean = mark_statistic(x.mean(axis=0), "mean")
    graph = InferenceGraph([x, z], x - mean + z)
    with pytest.raises(ValueError, match=r"batch statistics .*\['mean'\].* given or updated"):
        graph.compile(givens={z: mean})
    with pytest.raises(ValueError, match=r"batch statistics .*\['mean'\]"):
        graph.compile(updates=[(s, mean)])
    graph.compile(givens={z: at.zeros(3)}, updates=[(s, s + 1)])


def test_what_was_marked_may_not_be_read_without_its_mark(x: Variable) -> None:
    raw = x.mean(axis=0)
    graph = InferenceGraph([x], x - mark_statistic(raw, "mean"))
    with pytest.raises(ValueError, match=r"batch statistics in their graph: \['mean'\]"):
        graph.compile(outputs=graph.outputs - raw)


def test_what_the_training_graph_reads_without_the_mark_is_kept(x: Variable) -> None:
    raw = x.mean(axis=0)
    y = x - mark_statistic(raw, "mean")
    graph = InferenceGraph([x], [y, raw, y * raw])
    (mean,) = graph.estimate([(VALUES,)]).values()
    other = VALUES[:2] + 1
    expected = [other - mean, other.mean(axis=0), (other - mean) * other.mean(axis=0)]
    for found, wanted in zip(graph.compile()(other), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
    graph.verify()
    with pytest.raises(ValueError, match=r"batch statistics in their graph: \['mean'\]"):
        graph.compile(outputs=[raw, y])


def test_default_updates_of_other_outputs_are_refused(x: Variable) -> None:
    state, other = engine.shared(np.zeros(3), "state"), at.dmatrix("other")
    state.default_update = mark_statistic(other.mean(axis=0), "mean of others")
    with pytest.raises(ValueError, match="default update of shared variable 'state'"):
        InferenceGraph([x, other], centered(x) - state)
    graph = InferenceGraph([x, other], centered(x))
    with pytest.raises(ValueError, match="default update of shared variable 'state'"):
        graph.compile(outputs=graph.outputs - state)


def test_statistic_is_not_excused_by_another_of_its_name(x: Variable) -> None:
    lower = centered(x, "m")
    upper = lower - mark_statistic(lower.max(axis=0), "m")
    graph = InferenceGraph([x], upper, only=lambda s: s.name == "m")
    assert [s.name for s in graph.statistics] == ["m"]
    graph.estimate([(VALUES,)])
    graph.verify()
    chosen = graph.statistics[0].variable
    with pytest.raises(ValueError, match=r"\['m'\]"):
        graph.compile(outputs=x - chosen)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_statistic_that_is_left_on_purpose_in_an_op_is_none_left(depth: int) -> None:
    def layer(v: Variable) -> Variable:
        inner = v.type()
        return engine.op_of([inner], [centered(inner, "inside")])(centered(v, "outside"))

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], looped(layer, depth)(x), only="*outside")
    graph.estimate([(np.random.default_rng(0).normal(size=(*[2] * depth, 5, 3)),)])
    graph.verify()


@pytest.mark.skipif(engine.AESARA, reason="Aesara can't vectorize graphs")
@pytest.mark.parametrize("is_vectorized", [True, False])
def test_vectorized_derivatives_are_refused(x: Variable, is_vectorized: bool) -> None:
    from pytensor import gradient
    from pytensor.graph.replace import vectorize_graph

    y = centered(x)
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([x], gradient.jacobian(y.sum(axis=1), x, vectorize=is_vectorized))
    many = at.dtensor3("many")
    gradient_of_cost = engine.grad((y**2).sum(), x)
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([many], vectorize_graph(gradient_of_cost, {x: many}))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_unpickled_graph_knows_what_its_outputs_need(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], looped(centered, depth)(x))
    values = np.random.default_rng(0).normal(size=(*[2] * depth, 5, 3))
    graph.estimate([(values,)])
    again = pickle.loads(pickle.dumps(graph))
    assert again.verify((values,), (depth,))
    again.outputs = again._inputs[0]  # which reads no population
    with pytest.raises(RuntimeError, match="do not depend on"):
        again.verify()
