"""`vectorize_graph` of a marked graph, which only PyTensor has: right, or refused by name."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import Variable
from engine import tensor as at

if engine.AESARA:
    pytest.skip("Aesara has no vectorize_graph", allow_module_level=True)
from pytensor.graph.replace import vectorize_graph

NAMES = ["", "words", "sentences"]


def normalize(x: Variable) -> Variable:
    return batch_normalize(x, 1.0, 0.0, label="h", epsilon=0.1)


def test_statistics_of_a_vectorized_graph_have_one_more_axis() -> None:
    x, xs = at.dmatrix("x"), at.dtensor3("xs")
    graph = InferenceGraph([xs], vectorize_graph(normalize(x), {x: xs}))
    rng = np.random.default_rng(0)
    batches, batch = [rng.normal(size=(2, n, 3)) for n in (4, 5)], rng.normal(size=(2, 6, 3))
    population = graph.estimate([(b,) for b in batches])
    mean, variance = (np.mean([f(b, axis=1) for b in batches], axis=0) for f in (np.mean, np.var))
    assert_allclose(population["h.mean"], mean)
    assert_allclose(population["h.variance"], variance)
    predict = engine.function([xs], graph.outputs)
    expected = (batch - mean[:, None]) / np.sqrt(variance[:, None] + 0.1)
    assert_allclose(predict(batch), expected)
    assert_allclose(predict(batch[:, :1]), expected[:, :1])


@pytest.mark.parametrize("depth", [1, 2])
def test_vectorized_loop_is_refused_by_name(depth: int) -> None:
    def body(x: Variable, depth: int = depth) -> Variable:
        if not depth:
            return normalize(x)
        return engine.scan(lambda x_t: body(x_t, depth - 1), [x], name=NAMES[depth])

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    xs = at.TensorType("float64", (None,) * (depth + 3))("xs")
    y = vectorize_graph(body(x), {x: xs})
    with pytest.raises(
        ValueError, match=rf"'{NAMES[depth]}' is inside an op of type Blockwise"
    ) as caught:
        InferenceGraph([xs], y)
    assert "vectorize the inference graph instead" in str(caught.value)


def test_inference_graph_can_be_vectorized() -> None:
    x, xs = at.dtensor3("x"), at.dtensor4("xs")
    graph = InferenceGraph([x], engine.scan(normalize, [x], name="words"))
    rng = np.random.default_rng(0)
    graph.estimate([(rng.normal(size=(4, 5, 3)),)])
    values = rng.normal(size=(2, 6, 5, 3))
    one = engine.function([x], graph.outputs)
    both = engine.function([xs], vectorize_graph(graph.outputs, {x: xs}))
    assert_allclose(both(values), [one(v) for v in values])
