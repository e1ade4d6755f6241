"""The models that are measured, each as a training graph, by hand, and without normalization."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "examples"))  # where `backend` is

from backend import Variable, at, engine, scan
from bnrewrite import Population, batch_normalize, mark_statistic

STEPS, BATCH, UNITS = map(int, os.environ.get("BENCHMARK_SIZE", "100 32 128").split())
EPSILON = 1e-5

Array = np.ndarray[Any, Any]
Parameters = dict[str, Variable]
Normalize = Callable[..., Variable]


def draw_parameters(dtype: str, units: int = UNITS, seed: int = 0) -> dict[str, Array]:
    """Draw the parameters of a BN-LSTM with as many inputs as units."""
    rng = np.random.default_rng(seed)
    square = [np.linalg.qr(rng.normal(size=(units, units)))[0] for _ in range(4)]
    bias = np.zeros(4 * units)
    bias[units : 2 * units] = 1  # the forget gate
    values = {
        "U": np.concatenate(square, axis=1),
        "W": rng.normal(size=(units, 4 * units)) / np.sqrt(units),
        "b": bias,
        "gamma_h": np.full(4 * units, 0.1),
        "gamma_x": np.full(4 * units, 0.1),
        "gamma_c": np.full(units, 0.1),
        "beta_c": np.zeros(units),
    }
    return {name: np.ascontiguousarray(v, dtype=dtype) for name, v in values.items()}


def share(values: dict[str, Array]) -> Parameters:
    return {name: engine.shared(v, name=name) for name, v in values.items()}


def draw_batch(
    dtype: str, steps: int = STEPS, units: int = UNITS, seed: int = 1, batch: int = BATCH
) -> Array:
    return np.random.default_rng(seed).normal(size=(steps, batch, units)).astype(dtype)


def unmarked(*arguments: Any, **options: Any) -> Variable:
    """What `batch_normalize` computes, without marks."""
    with patch("bnrewrite.normalization.mark_moments", lambda *moments: moments[:2]):
        return batch_normalize(*arguments, **options)


def textbook(x: Variable, gamma: Variable, beta: Any, *, label: str) -> Variable:
    """The formula of the paper, with marked statistics, as one would write it without a library."""
    mean = mark_statistic(x.mean(axis=0), f"{label}.mean")
    variance = mark_statistic(x.var(axis=0), f"{label}.variance")
    epsilon = at.constant(EPSILON, dtype=x.dtype)
    return gamma * (x - mean) / at.sqrt(variance + epsilon) + beta


def cell(gates: Variable, c: Variable, normalize_cell: Callable[[Variable], Variable]) -> Any:
    """The update of an LSTM, whose output alone is normalized."""
    i, f, o, g = (gates[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
    c_new = at.sigmoid(f) * c + at.sigmoid(i) * at.tanh(g)
    return at.sigmoid(o) * at.tanh(normalize_cell(c_new)), c_new


def start(x: Variable, p: Parameters) -> list[Variable]:
    return [at.zeros((x.shape[1], p["U"].shape[0]), dtype=x.dtype)] * 2


def bn_lstm(
    x: Variable, p: Parameters, normalize: Normalize = batch_normalize, name: str = "lstm"
) -> Variable:
    """The training graph of a BN-LSTM (Cooijmans et al. 2017): all its states h."""
    return bn_lstm_loop(x @ p["W"], p, normalize, name)


def bn_lstm_loop(inputs: Variable, p: Parameters, normalize: Normalize, name: str) -> Variable:
    """The loop of a BN-LSTM over inputs that have been multiplied by their weights."""

    def step(x_t: Variable, h: Variable, c: Variable) -> tuple[Variable, Variable]:
        recurrent = normalize(h @ p["U"], p["gamma_h"], 0, label="recurrent")
        from_input = normalize(x_t, p["gamma_x"], 0, label="input")
        return cell(
            recurrent + from_input + p["b"],
            c,
            lambda c: normalize(c, p["gamma_c"], p["beta_c"], label="cell"),
        )

    h, _ = scan(step, sequences=[inputs], outputs_info=start(inputs, p), name=name)
    return h


def bn_lstm_by_hand(x: Variable, p: Parameters, statistics: list[Variable]) -> Variable:
    """The inference graph of `bn_lstm`, with means and variances as sequences of the loop.

    `statistics` are mean and variance of the recurrent, input and cell terms, (time, units) each.
    """

    def normalize(
        v: Variable, gamma: Variable, beta: Any, mean: Variable, variance: Variable
    ) -> Any:
        scale = gamma / at.sqrt(variance + at.constant(EPSILON, dtype=x.dtype))
        return v * scale + (beta - mean * scale)

    def step(x_t: Variable, *others: Variable) -> tuple[Variable, Variable]:
        *s, h, c = others
        recurrent = normalize(h @ p["U"], p["gamma_h"], 0, *s[0:2])
        from_input = normalize(x_t, p["gamma_x"], 0, *s[2:4])
        return cell(
            recurrent + from_input + p["b"],
            c,
            lambda c: normalize(c, p["gamma_c"], p["beta_c"], *s[4:6]),
        )

    sequences = [x @ p["W"], *statistics]
    h, _ = scan(step, sequences=sequences, outputs_info=start(x, p), name="by_hand")
    return h


def lstm(x: Variable, p: Parameters) -> Variable:
    """The same LSTM without any normalization."""

    def step(x_t: Variable, h: Variable, c: Variable) -> tuple[Variable, Variable]:
        return cell(h @ p["U"] + x_t + p["b"], c, lambda c: c)

    h, _ = scan(step, sequences=[x @ p["W"]], outputs_info=start(x, p), name="plain")
    return h


def stacked(x: Variable, p: Parameters, normalize: Normalize = batch_normalize) -> Variable:
    """Two layers, one on the other."""
    return bn_lstm(bn_lstm(x, p, normalize, "lower"), p, normalize, "upper")


def bidirectional(x: Variable, p: Parameters, normalize: Normalize = batch_normalize) -> Variable:
    """Two layers side by side, one of them in reverse."""
    backward = bn_lstm(x[::-1], p, normalize, "backward")[::-1]
    return at.concatenate([bn_lstm(x, p, normalize, "forward"), backward], axis=2)


def nested(x: Variable, p: Parameters, normalize: Normalize = batch_normalize) -> Variable:
    """A layer over words in a layer over sentences; `x` is cut into sentences of ten words."""
    sentences = (x @ p["W"]).reshape((x.shape[0] // 10, 10, x.shape[1], 4 * UNITS))

    def step(sentence: Variable, h: Variable, c: Variable) -> tuple[Variable, Variable]:
        words = bn_lstm_loop(sentence, p, normalize, "words")
        recurrent = normalize(h @ p["U"], p["gamma_h"], 0, label="recurrent")
        from_words = normalize(words[-1] @ p["W"], p["gamma_x"], 0, label="words")
        return cell(recurrent + from_words + p["b"], c, lambda c: c)

    h, _ = scan(step, sequences=[sentences], outputs_info=start(x, p), name="sentences")
    return h


def reader(x: Variable, p: Parameters, normalize: Normalize = batch_normalize) -> Variable:
    """Both directions over a passage and over a question of a fifth its length, and attention."""
    y = bidirectional(x, p, normalize)
    question = bidirectional(x[: x.shape[0] // 5], p, normalize)[-1]
    U = at.concatenate([p["U"], p["U"]], axis=0)

    def attend(y_t: Variable, u: Variable) -> Variable:
        m = normalize(y_t @ U, p["gamma_h"], 0, label="attention")
        return at.tanh(m + u).sum(axis=1)

    scores = scan(attend, sequences=[y], non_sequences=[question @ U], name="attention")
    return (at.exp(scores - scores.max(axis=0))[:, :, None] * y).sum(axis=0)


def products(x: Array, W: Array, U: Array) -> None:
    """The matrix products of an LSTM alone, in NumPy."""
    x @ W
    h = x[0, :, : U.shape[0]]
    for _ in range(len(x)):
        h @ U


def numpy_loop(x: Array, p: dict[str, Array], statistics: list[Array]) -> Array:
    """The inference graph of `bn_lstm`, with scale and shift computed before the loop."""
    mean_h, variance_h, mean_x, variance_x, mean_c, variance_c = statistics
    scale_h, scale_x, scale_c = (
        gamma / np.sqrt(variance + x.dtype.type(EPSILON))
        for gamma, variance in (
            (p["gamma_h"], variance_h),
            (p["gamma_x"], variance_x),
            (p["gamma_c"], variance_c),
        )
    )
    shift = p["b"] - mean_x * scale_x - mean_h * scale_h
    shift_c = p["beta_c"] - mean_c * scale_c
    inputs = (x @ p["W"]) * scale_x[:, None] + shift[:, None]
    h = c = np.zeros((x.shape[1], UNITS), dtype=x.dtype)
    states = np.empty((len(x), *h.shape), dtype=x.dtype)
    for t in range(len(x)):
        gates = (h @ p["U"]) * scale_h[t] + inputs[t]
        i, f, o = (1 / (1 + np.exp(-gates[:, k * UNITS : (k + 1) * UNITS])) for k in range(3))
        c = f * c + i * np.tanh(gates[:, 3 * UNITS :])
        h = states[t] = o * np.tanh(c * scale_c[t] + shift_c[t])
    return states


def in_order(population: Population, dtype: str) -> list[Array]:
    """Mean and variance of the recurrent, input and cell terms."""
    names = [f"{term}.{m}" for term in ("recurrent", "input", "cell") for m in ("mean", "variance")]
    return [np.asarray(population[f"lstm/{name}"], dtype) for name in names]
