"""The arrays that training changes: their starting values, and Adam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import SharedVariable, TensorVariable, at, engine

ENCODERS = ("passage_forward", "passage_backward", "query_forward", "query_backward")
NORMALIZED = ("embedding", "attention.y", "attention.u", "output.r", "output.u")

Values = dict[str, np.ndarray]
Update = tuple[SharedVariable, TensorVariable]


def init_parameters(n_tokens: int, n_entities: int, units: int, seed: int) -> Values:
    """Starting values of every variant: gammas at 0.1, betas at 0, forget gates open."""
    rng = np.random.default_rng(seed)
    values = {"embedding.W": rng.normal(scale=0.1, size=(n_tokens, units))}
    for encoder in ENCODERS:
        values |= {f"{encoder}.{name}": v for name, v in _init_lstm(units, rng).items()}
    for name in ("attention.W_y", "attention.W_u", "output.W_r", "output.W_u"):
        values[name] = _glorot(2 * units, units, rng)
    values["attention.w"] = rng.normal(scale=0.1, size=units)
    values["output.W"] = _glorot(units, n_entities, rng)
    for name in NORMALIZED:
        values |= {f"{name}.gamma": np.full(units, 0.1), f"{name}.beta": np.zeros(units)}
    return {name: np.asarray(value, "float32") for name, value in values.items()}


def _init_lstm(units: int, rng: np.random.Generator) -> Values:
    """One LSTM; the gates i, f, o, g stand side by side."""
    recurrent = [np.linalg.qr(rng.normal(size=(units, units)))[0] for _ in range(4)]
    gammas = {"gamma_x": 4 * units, "gamma_h": 4 * units, "gamma_c": units}
    return {
        "W_x": np.hstack([_glorot(units, units, rng) for _ in range(4)]),
        "W_h": np.hstack(recurrent),
        "b": np.repeat([0.0, 1.0, 0.0, 0.0], units),
        **{name: np.full(size, 0.1) for name, size in gammas.items()},
        "beta_c": np.zeros(units),
    }


def _glorot(n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    scale = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-scale, scale, size=(n_in, n_out))


def clip_by_norm(gradients: Sequence[TensorVariable], norm: float) -> list[TensorVariable]:
    """Shrink all gradients together to at most this norm."""
    squares = at.stack([at.sum(at.square(gradient)) for gradient in gradients])
    factor = at.minimum(1, norm / (at.sqrt(squares.sum()) + 1e-8))
    return [gradient * factor for gradient in gradients]


def adam(
    parameters: Sequence[SharedVariable],
    gradients: Sequence[TensorVariable],
    learning_rate: float,
    decay: tuple[float, float] = (0.9, 0.999),
) -> tuple[list[Update], dict[str, SharedVariable]]:
    """The updates of Adam (Kingma and Ba 2015), and its state by name."""
    step = engine.shared(np.float32(0), "step")
    state = {"step": step}
    now = step + np.float32(1)
    rate = learning_rate * at.sqrt(1 - decay[1] ** now) / (1 - decay[0] ** now)
    updates: list[Update] = [(step, now)]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        zeros = np.zeros_like(parameter.get_value())
        mean = engine.shared(zeros, f"{parameter.name}.mean")
        square = engine.shared(zeros, f"{parameter.name}.square")
        new_mean = mean * decay[0] + gradient * (1 - decay[0])
        new_square = square * decay[1] + at.square(gradient) * (1 - decay[1])
        new = parameter - rate * new_mean / (at.sqrt(new_square) + 1e-8)
        updates += [(mean, new_mean), (square, new_square), (parameter, new)]
        state |= {mean.name: mean, square.name: square}
    return updates, state
