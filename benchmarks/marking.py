"""What marks cost in training: forward and gradient, beside the same graph without marks."""

from __future__ import annotations

import aesara
import aesara.tensor as at

import bnrewrite
import models
from timing import Figures, medians, ratios

PAIRS = {
    "forward: marked / unmarked": ("marked forward", "unmarked forward"),
    "gradient: marked / unmarked": ("marked gradient", "unmarked gradient"),
}


def measure(dtype: str) -> Figures:
    """Time the forward function, and that of all gradients."""
    x = at.TensorType(dtype, (None, None, None))("x")
    batch = models.draw_batch(dtype)
    p = models.share(models.draw_parameters(dtype))
    functions = {}
    kinds = {"marked": bnrewrite.batch_normalize, "unmarked": models.unmarked}
    for kind, normalize in kinds.items():
        h = models.bn_lstm(x, p, normalize)
        forward = aesara.function([x], h)
        gradient = aesara.function([x], at.grad(h.sum(), list(p.values())))
        functions[f"{kind} forward"] = lambda f=forward: f(batch)
        functions[f"{kind} gradient"] = lambda f=gradient: f(batch)
    return ratios(medians(functions, 21), PAIRS)
