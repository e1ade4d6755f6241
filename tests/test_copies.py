"""A copy of a graph is a graph of its own, whatever was compiled for the original before."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import SharedVariable, graph_inputs
from engine import tensor as at

Copy = Callable[[InferenceGraph], InferenceGraph]


def pickled(graph: InferenceGraph) -> InferenceGraph:
    loaded: InferenceGraph = pickle.loads(pickle.dumps(graph))
    return loaded


def built(depth: int) -> InferenceGraph:
    """Build a graph with a parameter, 2 at first, in front of what is normalized."""
    scale = engine.shared(2.0, name="scale")
    x = at.TensorType("float64", (None,) * (2 + depth))("x")

    def layer(x_t: engine.Variable) -> engine.Variable:
        return batch_normalize(scale * x_t, 1.0, 0.0, label="layer")

    return InferenceGraph([x], engine.scan(layer, [x], name="loop") if depth else layer(x))


def drawn(depth: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(seed, 1 + seed, (3,) * depth + (12, 2))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
@pytest.mark.parametrize("depth", [0, 1])
def test_copy_has_its_own_population_and_parameters(depth: int, duplicate: Copy) -> None:
    graph, first, second = built(depth), drawn(depth, 0), drawn(depth, 1)
    name = "loop/layer.mean" if depth else "layer.mean"
    before = graph.estimate([(first,)])[name]
    graph.verify((first,))
    assert graph.gap((first,)).outputs[0].relative < 1e-9
    twin = duplicate(graph)
    (scale,) = (
        v
        for v in graph_inputs(twin.outputs if isinstance(twin.outputs, list) else [twin.outputs])
        if isinstance(v, SharedVariable) and v.name == "scale"
    )
    assert twin.gap((first,)).outputs[0].relative < 1e-9
    scale.set_value(3.0)
    mean = twin.estimate([(second,)])[name]
    assert_allclose(mean, 3 * second.mean(axis=depth), rtol=1e-10)
    assert twin.gap((second,)).outputs[0].relative < 1e-9
    assert twin.gap((first,)).outputs[0].relative > 0.1
    twin.verify((second,))
    assert graph.population is not None
    assert_allclose(graph.population[name], before)
    assert graph.gap((first,)).outputs[0].relative < 1e-9
    assert_allclose(before, 2 * first.mean(axis=depth), rtol=1e-10)
