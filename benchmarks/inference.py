"""What one call costs: the inference graph and the estimator, beside the training graph."""

from __future__ import annotations

import numpy as np

import models
from bnrewrite import InferenceGraph, Population, export_statistics
from bnrewrite.estimation.estimator import Estimator
from models import at, engine
from timing import Figures, medians, ratios

PAIRS = {
    "inference / forward": ("inference", "forward"),
    "inference / textbook forward": ("inference", "textbook forward"),
    "inference / by hand": ("inference", "by hand"),
    "inference / not normalized": ("inference", "not normalized"),
    "inference / products": ("inference", "products"),
    "NumPy loop / products": ("NumPy loop", "products"),
    "estimator / forward": ("estimator", "forward"),
}


def measure(dtype: str) -> Figures:
    """Time one call of each function, on one batch."""
    x = at.TensorType(dtype, (None, None, None))("x")
    values, batch = models.draw_parameters(dtype), models.draw_batch(dtype)
    p = models.share(values)
    h = models.bn_lstm(x, p)
    graph = InferenceGraph([x], h)
    statistics = in_order(graph.estimate([[batch]]), dtype)
    shared = [engine.shared(s) for s in statistics]
    inference = engine.function([x], graph.outputs)
    by_hand = engine.function([x], models.bn_lstm_by_hand(x, p, shared))
    forward = engine.function([x], h)
    textbook = engine.function([x], models.bn_lstm(x, p, models.textbook))
    plain = engine.function([x], models.lstm(x, p))
    estimator = Estimator([x], export_statistics(h), mode=None)._function
    expected = inference(batch)
    np.testing.assert_allclose(by_hand(batch), expected, atol=1e-4)
    np.testing.assert_allclose(models.numpy_loop(batch, values, statistics), expected, atol=1e-4)
    functions = {
        "forward": lambda: forward(batch),
        "textbook forward": lambda: textbook(batch),
        "inference": lambda: inference(batch),
        "by hand": lambda: by_hand(batch),
        "not normalized": lambda: plain(batch),
        "estimator": lambda: estimator(batch),
        "products": lambda: models.products(batch, values["W"], values["U"]),
        "NumPy loop": lambda: models.numpy_loop(batch, values, statistics),
    }
    return ratios(medians(functions), PAIRS)


def in_order(population: Population, dtype: str) -> list[models.Array]:
    """Mean and variance of the recurrent, input and cell terms."""
    names = [f"{term}.{m}" for term in ("recurrent", "input", "cell") for m in ("mean", "variance")]
    return [np.asarray(population[f"lstm/{name}"], dtype) for name in names]
