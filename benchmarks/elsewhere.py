"""The inference of the BN-LSTM in another library, on request.

Run by `outside.py`, in an environment that has nothing but NumPy and the library. It says what
there is, and then times one call of each function whose name it reads.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

LIBRARY, DTYPE, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3])
if THREADS == 1:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np  # noqa: E402

STEPS, BATCH, UNITS = map(int, os.environ.get("BENCHMARK_SIZE", "100 32 128").split())
rng = np.random.default_rng(0)
x = rng.normal(size=(STEPS, BATCH, UNITS)).astype(DTYPE)
W = (rng.normal(size=(UNITS, 4 * UNITS)) / UNITS**0.5).astype(DTYPE)
U = np.concatenate([np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0] for _ in range(4)], axis=1)
U = np.ascontiguousarray(U, dtype=DTYPE)
# Mean, variance, gamma and beta (with the bias) of the input, recurrent and cell terms.
TERMS = [
    (
        (0.1 * rng.normal(size=(STEPS, n))).astype(DTYPE),
        rng.uniform(0.5, 2, size=(STEPS, n)).astype(DTYPE),
        np.full(n, 0.1, DTYPE),
        np.full(n, 0.1, DTYPE),
    )
    for n in (4 * UNITS, 4 * UNITS, UNITS)
]


def run(x: Any, W: Any, U: Any, terms: Any, loop: Callable[..., Any]) -> Any:
    """Scale and shift of each term before the loop, for any library."""
    scales = [gamma / (variance + 1e-5) ** 0.5 for _, variance, gamma, _ in terms]
    shifts = [b - mean * s for (mean, _, _, b), s in zip(terms, scales, strict=True)]
    inputs = (x @ W) * scales[0][:, None] + (shifts[0] + shifts[1])[:, None]
    return loop(inputs, scales[1], scales[2], shifts[2], U)


def with_numpy() -> dict[str, Callable[[], Any]]:
    def sigmoid(v: Any) -> Any:
        return 1 / (1 + np.exp(-v))

    def loop(inputs: Any, scale_h: Any, scale_c: Any, shift_c: Any, U: Any) -> Any:
        h = c = np.zeros((BATCH, UNITS), DTYPE)
        states = np.empty((STEPS, BATCH, UNITS), DTYPE)
        for t in range(STEPS):
            i, f, o, g = np.split((h @ U) * scale_h[t] + inputs[t], 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = states[t] = sigmoid(o) * np.tanh(c * scale_c[t] + shift_c[t])
        return states

    return {"NumPy": lambda: run(x, W, U, TERMS, loop)}


def with_jax() -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", DTYPE == "float64")
    sigmoid = jax.nn.sigmoid

    def loop(inputs: Any, scale_h: Any, scale_c: Any, shift_c: Any, U: Any) -> Any:
        def step(state: Any, at_t: Any) -> Any:
            (h, c), (x_t, scale_h, scale_c, shift_c) = state, at_t
            i, f, o, g = jnp.split((h @ U) * scale_h + x_t, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            h = sigmoid(o) * jnp.tanh(c * scale_c + shift_c)
            return (h, c), h

        zeros = jnp.zeros((BATCH, UNITS), DTYPE)
        return jax.lax.scan(step, (zeros, zeros), (inputs, scale_h, scale_c, shift_c))[1]

    function = jax.jit(lambda *values: run(*values, loop))
    values = jax.device_put((x, W, U, TERMS))
    return {"JAX": lambda: function(*values).block_until_ready()}


def with_torch() -> dict[str, Callable[[], Any]]:
    import torch

    torch.set_num_threads(THREADS)

    def loop(
        inputs: torch.Tensor,
        scale_h: torch.Tensor,
        scale_c: torch.Tensor,
        shift_c: torch.Tensor,
        U: torch.Tensor,
    ) -> torch.Tensor:
        h = torch.zeros_like(inputs[0, :, : U.shape[0]])
        c = torch.zeros_like(h)
        states = []
        for t in range(inputs.shape[0]):
            i, f, o, g = torch.chunk((h @ U) * scale_h[t] + inputs[t], 4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c * scale_c[t] + shift_c[t])
            states.append(h)
        return torch.stack(states)

    scripted = torch.jit.script(loop)
    values = [torch.from_numpy(v) for v in (x, W, U)]
    terms = [[torch.from_numpy(v) for v in term] for term in TERMS]

    def with_loop(loop: Any) -> Any:
        with torch.inference_mode():
            return run(*values, terms, loop)

    return {
        "PyTorch, scripted": lambda: with_loop(scripted),
        "PyTorch, eager": lambda: with_loop(loop),
    }


def main() -> None:
    functions = {"jax": with_jax, "torch": with_torch, "numpy": with_numpy}[LIBRARY]()
    expected = with_numpy()["NumPy"]()
    for function in functions.values():
        for _ in range(5):
            np.testing.assert_allclose(np.asarray(function()), expected, atol=1e-4)
    print(json.dumps(list(functions)), flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        functions[line.strip()]()
        print(1000 * (time.perf_counter() - begin), flush=True)


main()
