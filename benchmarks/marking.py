"""Training: what marks cost it, forward and gradient; and what `fast_compilation` saves."""

from __future__ import annotations

import bnrewrite
import models
from models import at, engine
from timing import Figures, medians, ratios


def measure(dtype: str) -> Figures:
    """Time the forward function, and that of all gradients, which is compiled fast as well."""
    x = at.TensorType(dtype, (None, None, None))("x")
    batch = models.draw_batch(dtype)
    p = models.share(models.draw_parameters(dtype))
    figures: Figures = {}
    kinds = {"marked": bnrewrite.batch_normalize, "unmarked": models.unmarked}
    h = {kind: models.bn_lstm(x, p, normalize) for kind, normalize in kinds.items()}
    outputs = {
        "forward": h,
        "gradient": {kind: engine.grad(v.sum(), list(p.values())) for kind, v in h.items()},
    }
    for name, by_kind in outputs.items():  # apart: what runs before a function matters
        compiled = {f"{kind} {name}": engine.function([x], v) for kind, v in by_kind.items()}
        functions = {kind: lambda f=f: f(batch) for kind, f in compiled.items()}
        pair = (f"marked {name}", f"unmarked {name}")
        figures |= ratios(medians(functions, 61), {f"{name}: marked / unmarked": pair})
    with bnrewrite.fast_compilation():
        fast = engine.function([x], outputs["gradient"]["marked"])
    plain = compiled["marked gradient"]
    functions = {"fast gradient": lambda: fast(batch), "plain gradient": lambda: plain(batch)}
    pairs = {"gradient: fast / plain": ("fast gradient", "plain gradient")}
    return figures | ratios(medians(functions), pairs)
