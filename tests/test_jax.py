"""In JAX an inference graph works wherever its training graph does, as far as PyTensor gets."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
import oracle
import zoo
from bnrewrite import InferenceGraph
from zoo import SERIES, Model, X

if engine.AESARA:
    pytest.skip("Aesara can't run loops in JAX", allow_module_level=True)
pytest.importorskip("jax")
pytestmark = pytest.mark.filterwarnings("ignore:Skipping")

RUNNING = [
    Model(zoo.matrix, X),
    Model(zoo.feeding, X),
    Model(zoo.op_from_graph, X, loops=1),
    Model(zoo.recurrent, SERIES),
    Model(zoo.recurrent, SERIES, loops=1),
    Model(zoo.recurrent, SERIES, static="nu"),
    Model(zoo.backwards, SERIES),
    Model(zoo.bidirectional, SERIES),
    Model(zoo.hierarchy, {"x": "stnu"}),
    Model(zoo.hierarchy, {"x": "stnu"}, static="nu"),
]
# What PyTensor 3.3 can't translate: lengths that JAX does not know in advance, and while-loops.
REFUSED = [
    Model(zoo.stacked, SERIES),
    Model(zoo.lstm, {**SERIES, "mask": "?tn"}),
    Model(zoo.counted, {**X, "n_steps": "#t"}),
    Model(zoo.bounded, {**SERIES, "bound": "#t"}),
]


def compile_in_jax(graph: zoo.Graph, outputs: Any) -> Any:
    return engine.function(graph.inputs, outputs, mode="JAX", on_unused_input="ignore")


@pytest.mark.parametrize("model", RUNNING, ids=lambda model: model.name)
def test_inference_graph_computes_what_numpy_does(model: Model) -> None:
    graph = model.build()
    inference = InferenceGraph(graph.inputs, graph.outputs)
    predict = compile_in_jax(graph, inference.outputs)
    rng = np.random.default_rng(0)
    batches = [model.draw(rng, lengths) for lengths in zoo.LENGTHS]
    inference.estimate(batches)
    for batch in (batches[1], model.draw(rng, zoo.LONGER)):
        population = oracle.average([model.oracle(b) for b in batches])
        computed = predict(*batch.values())
        for a, truth in zip(computed, model.oracle(batch, population).outputs, strict=True):
            assert_allclose(a, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", RUNNING, ids=lambda model: model.name)
def test_without_an_estimate_nothing_looks_like_a_result(model: Model) -> None:
    graph = model.build()
    predict = compile_in_jax(graph, InferenceGraph(graph.inputs, graph.outputs).outputs)
    batch = model.draw(np.random.default_rng(0), zoo.LONGER)
    try:
        computed = predict(*batch.values())
    except (TypeError, ValueError):  # shapes that do not fit, as there are no values yet
        return
    assert not any(np.isfinite(output).any() for output in computed)


@pytest.mark.parametrize("model", REFUSED, ids=lambda model: model.name)
def test_what_can_not_be_translated_is_refused_like_the_training_graph(model: Model) -> None:
    graph = model.build()
    inference = InferenceGraph(graph.inputs, graph.outputs)
    batch = model.draw(np.random.default_rng(0), zoo.LONGER)
    inference.estimate([batch])
    for outputs in (graph.outputs, inference.outputs):
        with pytest.raises((NotImplementedError, TypeError)):
            compile_in_jax(graph, outputs)(*batch.values())
