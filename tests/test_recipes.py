"""Recipes: what takes a line of the user's, and none of the library's.

Noise that is there in training and not in prediction has a switch. Where it is in the graph, in a
loop or outside, the switch is an input or a shared variable of the outermost graph; the population
is estimated with the switch off, and ``graph.compile(givens={noisy: 0})`` predicts without noise.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import engine
from bnrewrite import InferenceGraph, batch_normalize, load_predictor
from engine import Updates, Variable
from engine import tensor as at

RNG = np.random.default_rng(0)
EPSILON, KEEP = 1e-4, 0.5
Made = tuple[Variable, Updates]


def dropout(x: Variable, noisy: Variable, stream: Variable) -> tuple[Variable, Variable]:
    """`x` with half of its elements, doubled, where `noisy` is not 0; and the stream after it."""
    moved, draw = engine.normal(stream, x.shape)
    return x * at.switch(noisy, (draw > 0) / KEEP, 1.0), moved


def layer(x: Variable, noisy: Variable, stream: Variable) -> tuple[Variable, Variable]:
    thinned, moved = dropout(x, noisy, stream)
    return at.tanh(batch_normalize(thinned, 1.5, 0.5, epsilon=EPSILON, label="bn")), moved


def outside(x: Variable, noisy: Variable) -> Made:
    """Dropout in front of a normalization over the examples of each step."""
    stream = engine.stream(1)
    y, moved = layer(x, noisy, stream)
    return y, {stream: moved}


def inside(x: Variable, noisy: Variable) -> Made:
    """Both in the step of a recurrent loop."""
    stream = engine.stream(1)

    def step(x_t: Variable, h: Variable) -> tuple[list[Variable], Updates]:
        y, moved = layer(x_t + h, noisy, stream)
        return [y], {stream: moved}

    (y,), updates = engine.noisy_scan(step, [x], [at.zeros_like(x[0])], [stream], name="loop")
    return y, updates


def normalized(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.tanh(1.5 * (x - mean) / np.sqrt(variance + EPSILON) + 0.5)


def without_noise_outside(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """`outside` of `x`, without noise, with the statistics of `batch`, also without noise."""
    return normalized(x, batch.mean(axis=0), batch.var(axis=0))


def without_noise_inside(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """The same of `inside`."""
    h, state, steps = np.zeros_like(x[0]), np.zeros_like(batch[0]), []
    for x_t, batch_t in zip(x, batch, strict=True):
        mean, variance = (batch_t + state).mean(axis=0), (batch_t + state).var(axis=0)
        h, state = (
            normalized(x_t + h, mean, variance),
            normalized(batch_t + state, mean, variance),
        )
        steps.append(h)
    return np.stack(steps)


@pytest.mark.parametrize(
    ("model", "truth", "kind"),
    [
        (outside, without_noise_outside, "input"),
        (inside, without_noise_inside, "input"),
        (inside, without_noise_inside, "shared variable"),
    ],
)
def test_dropout_with_a_switch_is_off_when_predicting(
    model: Callable[..., Made],
    truth: Callable[..., np.ndarray],
    kind: str,
    tmp_path: Path,
) -> None:
    x = at.dtensor3("x")
    is_input = kind == "input"
    noisy = at.bscalar("noisy") if is_input else engine.shared(np.int8(0), name="noisy")
    y, updates = model(x, noisy)
    inputs, off = ([x, noisy], {"noisy": np.int8(0)}) if is_input else ([x], {})
    batch, other = RNG.normal(size=(2, 4, 6, 3))

    # In training, every call draws anew.
    givens = {} if is_input else {noisy: at.constant(1, dtype="int8")}
    train = engine.function(inputs, y, updates=updates, givens=givens)
    on = [np.int8(1)] if is_input else []
    assert abs(train(batch, *on) - train(batch, *on)).max() > 0.1

    graph = InferenceGraph(inputs, y)
    graph.estimate([{"x": batch, **off}])
    predict = graph.compile(givens={noisy: at.constant(0, dtype="int8")})
    expected = truth(other, batch)
    assert_allclose(predict(other), expected, rtol=1e-10)
    assert_array_equal(predict(other), predict(other))

    # A file keeps the switch off.
    graph.save(tmp_path / "model.npz", givens={noisy: at.constant(0, dtype="int8")})
    loaded: Any = load_predictor(tmp_path / "model.npz", allow_pickle=True)
    assert_allclose(loaded(other), expected, rtol=1e-10)
