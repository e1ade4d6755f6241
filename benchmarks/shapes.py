"""Inference beside the training graph, in models of other shapes."""

from __future__ import annotations

import models
from bnrewrite import InferenceGraph, fast_compilation
from models import at, engine
from timing import Figures, medians, ratios

MODELS = {
    "stacked": models.stacked,
    "bidirectional": models.bidirectional,
    "nested": models.nested,
    "reader": models.reader,
}


def measure(dtype: str) -> Figures:
    """Time one call of the training and of the inference graph of each model, compiled alike."""
    figures: Figures = {}
    batch = models.draw_batch(dtype)
    for name, model in MODELS.items():
        x = at.TensorType(dtype, (None, None, models.UNITS))("x")
        h = model(x, models.share(models.draw_parameters(dtype)))
        graph = InferenceGraph([x], h)
        graph.estimate([[batch]])
        inference = graph.compile().function
        with fast_compilation():
            forward = engine.function([x], h)
        functions = {
            f"{name} inference": lambda f=inference: f(batch),
            f"{name} forward": lambda f=forward: f(batch),
        }
        pair = (f"{name} inference", f"{name} forward")
        figures |= ratios(medians(functions), {f"{name}: inference / forward": pair})
    return figures
