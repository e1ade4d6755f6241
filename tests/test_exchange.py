"""Populations are the same under both engines: estimated under one, they serve the other.

The engines can't share an environment, so this takes two runs with BNREWRITE_EXCHANGE set to one
folder: each run leaves what it estimated there, and checks what the other engine has left.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bnrewrite
import engine
import zoo
from bnrewrite import InferenceGraph, OtherOrigin, Population
from zoo import SERIES, Model, X

OTHER = {"aesara": "pytensor", "pytensor": "aesara"}[bnrewrite.engine]
MODELS = [
    Model(zoo.matrix, X),
    Model(zoo.bidirectional, SERIES),
    Model(zoo.equal_loops, SERIES),
    Model(zoo.lstm, {**SERIES, "mask": "?tn"}),
    Model(zoo.lstm, {**SERIES, "mask": "?tn"}, dtype="float32"),
    Model(zoo.hierarchy, {"x": "stnu"}, loops=1),
    Model(zoo.op_in_loop, SERIES, loops=1),
]


def folder(engine_name: str) -> Path:
    if "BNREWRITE_EXCHANGE" not in os.environ:
        pytest.skip("BNREWRITE_EXCHANGE names no folder")
    return Path(os.environ["BNREWRITE_EXCHANGE"]) / engine_name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_population_and_outputs_are_left_for_the_other_engine(model: Model) -> None:
    path = folder(bnrewrite.engine)
    graph, batch, predict = prepared(model)
    rng = np.random.default_rng(0)
    population = graph.estimate([model.draw(rng, lengths) for lengths in zoo.LENGTHS])
    path.mkdir(parents=True, exist_ok=True)
    population.save(path / f"{model.name}.npz")
    np.savez(path / f"{model.name}.outputs.npz", *predict(*batch.values()))
    assert dict(Population.load(path / f"{model.name}.npz")).keys() == population.keys()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_population_of_the_other_engine_gives_its_outputs(model: Model) -> None:
    path = folder(OTHER)
    if not path.exists():
        pytest.skip(f"{OTHER} has left nothing")
    graph, batch, predict = prepared(model)
    with pytest.warns(
        OtherOrigin, match=rf"estimated with {OTHER} .* built with {bnrewrite.engine}"
    ):
        graph.assign(Population.load(path / f"{model.name}.npz"))
    with np.load(path / f"{model.name}.outputs.npz") as expected:
        tolerance = 1e-6 if model.dtype == "float32" else 1e-12
        for computed, name in zip(predict(*batch.values()), expected, strict=True):
            assert_allclose(computed, expected[name], rtol=tolerance, atol=tolerance)


def prepared(model: Model) -> tuple[InferenceGraph, zoo.Named, object]:
    """The inference graph of a model, a batch longer than any seen, and a compiled function."""
    with model.flags():
        inputs, outputs, _ = model.build()
        graph = InferenceGraph(inputs, outputs)
        predict = engine.function(inputs, graph.outputs, on_unused_input="ignore")
    return graph, model.draw(np.random.default_rng(1), zoo.LONGER), predict
