"""What one call costs: the inference graph and the estimator, beside the training graph."""

from __future__ import annotations

import numpy as np

import models
from bnrewrite import InferenceGraph, export_statistics, fast_compilation
from bnrewrite.estimation.estimator import Estimator
from models import at, engine
from timing import Figures, medians, ratios

PAIRS = {
    "inference / products": ("inference", "products"),
    "inference / by hand": ("inference", "by hand"),
    "inference / not normalized": ("inference", "not normalized"),
    "inference / fast forward": ("inference", "fast forward"),
    "inference / forward": ("inference", "forward"),
    "plain inference / forward": ("plain inference", "forward"),
    "inference / textbook forward": ("inference", "textbook forward"),
    "estimator / forward": ("estimator", "forward"),
    "estimator / fast forward": ("estimator", "fast forward"),
}


def measure(dtype: str) -> Figures:
    """Time one call of each function, on one batch; "fast" ones are compiled as by `compile`."""
    x = at.TensorType(dtype, (None, None, None))("x")
    values, batch = models.draw_parameters(dtype), models.draw_batch(dtype)
    p = models.share(values)
    h = models.bn_lstm(x, p)
    graph = InferenceGraph([x], h)
    statistics = models.in_order(graph.estimate([[batch]]), dtype)
    shared = [engine.shared(s) for s in statistics]
    inference, plain_inference = graph.compile().function, graph.compile(fast=False).function
    forward = engine.function([x], h)
    textbook = engine.function([x], models.bn_lstm(x, p, models.textbook))
    with fast_compilation():
        by_hand = engine.function([x], models.bn_lstm_by_hand(x, p, shared))
        plain = engine.function([x], models.lstm(x, p))
        fast_forward = engine.function([x], h)
    estimator = Estimator([x], export_statistics(h), mode=None)._function
    (expected,) = inference(batch)
    np.testing.assert_allclose(by_hand(batch), expected, atol=1e-4)
    np.testing.assert_allclose(models.numpy_loop(batch, values, statistics), expected, atol=1e-4)
    functions = {
        "forward": lambda: forward(batch),
        "textbook forward": lambda: textbook(batch),
        "fast forward": lambda: fast_forward(batch),
        "plain inference": lambda: plain_inference(batch),
        "inference": lambda: inference(batch),
        "by hand": lambda: by_hand(batch),
        "not normalized": lambda: plain(batch),
        "estimator": lambda: estimator(batch),
        "products": lambda: models.products(batch, values["W"], values["U"]),
    }
    return ratios(medians(functions), PAIRS)
