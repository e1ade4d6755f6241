"""The models of `zoo` as plain NumPy loops: what every graph in there has to compute.

Every function has a twin of the same name in `zoo`. `statistics` stands for what `bnrewrite` does:
called at a marked place it either keeps the batch statistic or gives the population value instead.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Named = dict[str, Array]

EPSILON = 2.0**-10  # exact in every float type, so it never makes float32 into float64
W, U, V = np.random.default_rng(0).normal(scale=0.7, size=(3, 3, 3))
LSTM_X, LSTM_H = np.random.default_rng(1).normal(scale=0.7, size=(2, 3, 12))
GAMMA, BETA = np.linspace(0.5, 1.5, 3), np.linspace(-0.2, 0.2, 3)
NOISE_SEED = 3


class Statistics:
    """Batch statistics, kept as they come; or the values of a population, in their place.

    Keys look like "forward/h.mean": the label `h.mean`, marked in the loop that we call "forward".
    """

    def __init__(self, population: Named | None = None, noise_seed: int = NOISE_SEED) -> None:
        self.population = population
        self.seen: dict[str, dict[tuple[int, ...], Array]] = {}
        self.index: tuple[int, ...] = ()
        sequence = np.random.SeedSequence(noise_seed)
        self.noise = np.random.default_rng(sequence.spawn(1)[0])

    def steps(self, n_steps: int) -> Iterator[int]:
        """Count the steps of a loop: what is marked inside belongs to this step."""
        outer = self.index
        try:
            for step in range(n_steps):
                self.index = (*outer, step)
                yield step
        finally:
            self.index = outer

    def __call__(self, key: str, value: Array) -> Array:
        at_steps = self.seen.setdefault(key, {})
        assert self.index not in at_steps, f"{key} was computed twice at step {self.index}"
        at_steps[self.index] = np.asarray(value)
        if self.population is None:
            return value
        held = self.population[key]
        last = np.array(held.shape[: len(self.index)], dtype=int) - 1
        return held[tuple(np.minimum(self.index, last).astype(int))]

    def arrays(self) -> dict[str, tuple[Array, int]]:
        """Return each statistic with its number of (leading) time axes."""
        return {key: stack(at_steps) for key, at_steps in self.seen.items()}


def stack(at_steps: dict[tuple[int, ...], Array]) -> tuple[Array, int]:
    lengths = tuple(int(last) + 1 for last in np.max(list(at_steps), axis=0))
    assert len(at_steps) == np.prod(lengths, dtype=int), "ragged: not every step was computed"
    values = np.stack([at_steps[index] for index in sorted(at_steps)])
    return values.reshape(lengths + values.shape[1:]), len(lengths)


class Result(NamedTuple):
    outputs: list[Array]
    statistics: Named
    depths: dict[str, int]


def run(
    layer: Callable[..., list[Array]], loops: int, batch: Named, population: Named | None = None
) -> Result:
    statistics = Statistics(population)
    outputs = in_loops(layer, loops, statistics, **batch)
    arrays = statistics.arrays()
    return Result(
        outputs,
        {key: values for key, (values, _) in arrays.items()},
        {key: depth for key, (_, depth) in arrays.items()},
    )


def average(results: Sequence[Result]) -> Named:
    """Return the population: the mean over batches, each repeating its last step if too short."""
    population = {}
    for key, depth in results[0].depths.items():
        values = [result.statistics[key] for result in results]
        mean = np.mean(pad(values, depth, "edge"), axis=0, dtype="float64")
        population[key] = mean.astype(values[0].dtype)
    return population


def coverage(results: Sequence[Result]) -> Named:
    """Return how many batches reached each step."""
    covered = {}
    for key, depth in results[0].depths.items():
        reached = [np.ones(result.statistics[key].shape[:depth], int) for result in results]
        covered[key] = np.sum(pad(reached, depth, "constant"), axis=0)
    return covered


def pad(arrays: Sequence[Array], depth: int, mode: str) -> list[Array]:
    """Bring the leading `depth` axes of all arrays to the same lengths."""
    if depth == 0:
        return list(arrays)
    longest = np.max([array.shape[:depth] for array in arrays], axis=0)
    widths = [np.zeros((array.ndim, 2), int) for array in arrays]
    for array, width in zip(arrays, widths, strict=True):
        width[:depth, 1] = longest - array.shape[:depth]
    return [np.pad(a, width, mode=mode) for a, width in zip(arrays, widths, strict=True)]


# ---- the pieces that the models are made of


def in_loops(
    layer: Callable[..., list[Array]], loops: int, statistics: Statistics, x: Array, **others: Array
) -> list[Array]:
    if not loops:
        return layer(statistics, x, **others)
    state, steps = np.zeros_like(first_steps(x[0])), []
    for t in statistics.steps(len(x)):
        inner = in_loops(layer, loops - 1, statistics, x[t] + state, **others)
        state = np.tanh(state + first_steps(x[t]))
        steps.append([state, *inner])
    return [np.stack(output) for output in zip(*steps, strict=True)]


def first_steps(x: Array) -> Array:
    return x.reshape(-1, *x.shape[-2:])[0]


def affine(x: Array, weights: Array = W) -> Array:
    return x @ weights.astype(x.dtype)


def normalize(
    statistics: Statistics,
    x: Array,
    key: str,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
    mask: Array | None = None,
) -> Array:
    weights = np.ones_like(x) if mask is None else np.zeros_like(x) + expand(mask, x.ndim)
    count = weights.sum(axis, keepdims=True)
    batch_mean = (weights * x).sum(axis, keepdims=True) / count
    batch_variance = (weights * (x - batch_mean) ** 2).sum(axis, keepdims=True) / count
    if not keepdims:
        batch_mean, batch_variance = batch_mean.squeeze(axis), batch_variance.squeeze(axis)
    mean = statistics(f"{key}.mean", batch_mean)
    variance = statistics(f"{key}.variance", batch_variance)
    return (x - mean) / np.sqrt(variance + EPSILON)


def batch_normalize(
    statistics: Statistics,
    x: Array,
    key: str,
    gamma: Array | float = GAMMA,
    beta: Array | float = BETA,
    axis: int | tuple[int, ...] = 0,
    mask: Array | None = None,
) -> Array:
    gamma, beta = np.asarray(gamma, x.dtype), np.asarray(beta, x.dtype)
    return gamma * normalize(statistics, x, key, axis, mask=mask) + beta


def expand(mask: Array, ndim: int) -> Array:
    return mask.reshape(mask.shape + (1,) * (ndim - mask.ndim))


def cell(statistics: Statistics, x: Array, h: Array, key: str = "h") -> Array:
    return np.tanh(normalize(statistics, x + affine(h, U), key))


def layer(statistics: Statistics, x: Array, key: str = "h", n_steps: int | None = None) -> Array:
    """Run the recurrent layer that most models are about."""
    h, hs = np.zeros_like(x[0]), []
    for t in statistics.steps(len(x) if n_steps is None else n_steps):
        h = cell(statistics, x[t], h, key)
        hs.append(h)
    return np.stack(hs)


# ---- outside loops, or in loops around them


def matrix(statistics: Statistics, x: Array) -> list[Array]:
    return [normalize(statistics, affine(x), "x")]


def scalar(statistics: Statistics, x: Array) -> list[Array]:
    return [normalize(statistics, affine(x), "x", axis=None)]


def keepdims(statistics: Statistics, x: Array) -> list[Array]:
    return [normalize(statistics, affine(x), "x", keepdims=True)]


def covariance(statistics: Statistics, x: Array) -> list[Array]:
    a = affine(x)
    return [np.tanh(a @ statistics("covariance", a.T @ a / np.asarray(len(a), a.dtype)))]


def statistic_as_output(statistics: Statistics, x: Array) -> list[Array]:
    a = affine(x)
    mean = statistics("mean", a.mean(0))
    return [a - mean, mean]


def marked_twice(statistics: Statistics, x: Array) -> list[Array]:
    a = affine(x)
    return [a - statistics("mean", a.mean(0))]


def marked_by_hand(statistics: Statistics, x: Array) -> list[Array]:
    a = affine(x)
    return [(a - statistics("by hand", a.mean(0))) * W.astype(x.dtype).sum()]


def feeding(statistics: Statistics, x: Array) -> list[Array]:
    a = affine(x)
    mean = statistics("mean", a.mean(0))
    variance = statistics("variance", ((a - mean) ** 2).mean(0))
    total = statistics("total", variance.sum())
    return [(a - mean) / np.sqrt(variance + EPSILON) / (1 + total)]


def branches(statistics: Statistics, x: Array, choose: Array) -> list[Array]:
    even = normalize(statistics, affine(x), "even")
    odd = normalize(statistics, np.tanh(affine(x, U)), "odd")
    return [even + odd if choose % 2 == 0 else even - 2 * odd]


def masked(statistics: Statistics, x: Array, mask: Array) -> list[Array]:
    return [batch_normalize(statistics, affine(x), "x", mask=mask)]


def op_from_graph(statistics: Statistics, x: Array) -> list[Array]:
    return [normalize(statistics, affine(x), "x")]


def op_applied_twice(statistics: Statistics, x: Array) -> list[Array]:
    once = normalize(statistics, affine(x), "once/x")
    return [normalize(statistics, affine(np.tanh(once + x)), "twice/x")]


def noisy(statistics: Statistics, x: Array) -> list[Array]:
    noise = statistics.noise.normal(size=x.shape)
    return [normalize(statistics, affine(x + noise), "x")]


# ---- one loop


def recurrent(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x)]


def taps(statistics: Statistics, x: Array) -> list[Array]:
    hs, ys = [np.zeros_like(x[0]), np.zeros_like(x[0])], []
    for t in statistics.steps(len(x) - 1):
        a = x[t + 1] - x[t] / 2 + affine(hs[-1], U) - hs[-2] / 4
        hs.append(np.tanh(normalize(statistics, a, "h")))
        ys.append(normalize(statistics, hs[-1] ** 2, "y"))
    return [np.stack(hs[2:]), np.stack(ys)]


def counted(statistics: Statistics, x: Array, n_steps: Array) -> list[Array]:
    h, hs = x, []
    for _ in statistics.steps(int(n_steps)):
        h = cell(statistics, x, h)
        hs.append(h)
    return [np.stack(hs)]


def mapped(statistics: Statistics, x: Array) -> list[Array]:
    return [np.stack([matrix(statistics, x[t])[0] for t in statistics.steps(len(x))])]


def reduced(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x)[-1]]


def folded(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x, "left/h")[-1], layer(statistics, x[::-1], "right/h")[-1]]


def backwards(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x[::-1])]


def bounded(statistics: Statistics, x: Array, bound: Array) -> list[Array]:
    return [layer(statistics, x, n_steps=max(1, int(bound) - 1))]


def settling(statistics: Statistics, x: Array) -> list[Array]:
    h, level, hs = np.zeros_like(x[0]), 0.0, []
    for t in statistics.steps(len(x)):
        h = cell(statistics, x[t], h)
        hs.append(h)
        level += statistics("level", np.mean(x[t] ** 2))
        if level > 3.0:
            break
    return [np.stack(hs)]


def noisy_recurrent(statistics: Statistics, x: Array) -> list[Array]:
    h, hs = np.zeros_like(x[0]), []
    for t in statistics.steps(len(x)):
        h = cell(statistics, x[t] + statistics.noise.normal(size=x[t].shape), h)
        hs.append(h)
    return [np.stack(hs)]


def stacked(statistics: Statistics, x: Array) -> list[Array]:
    lower = layer(statistics, affine(x), "lower")
    return [lower, layer(statistics, affine(lower, V), "upper")]


def around(statistics: Statistics, x: Array) -> list[Array]:
    a = normalize(statistics, affine(x), "front", axis=(0, 1))
    return [normalize(statistics, affine(layer(statistics, a), V), "behind", axis=(0, 1))]


def bidirectional(statistics: Statistics, x: Array) -> list[Array]:
    forward = layer(statistics, affine(x), "forward/h")
    backward = layer(statistics, affine(x)[::-1], "backward/h")[::-1]
    return [np.concatenate([forward, backward], axis=-1)]


def equal_loops(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x, "one/h"), layer(statistics, np.tanh(2 * x), "two/h")]


def interleaved(statistics: Statistics, x: Array) -> list[Array]:
    lower = layer(statistics, x, "lower")
    decayed = [np.zeros_like(x[0])]
    for h in lower:
        decayed.append(decayed[-1] / 2 + h)
    return [layer(statistics, np.stack(decayed[1:]), "upper")]


def shared_step(statistics: Statistics, x: Array) -> list[Array]:
    h, hs = np.zeros_like(x[0]), []
    for t in statistics.steps(len(x)):
        h = cell(statistics, affine(x[t]), cell(statistics, x[t], h, "one/h"), "two/h")
        hs.append(h)
    return [np.stack(hs)]


def op_in_loop(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x)]


def loop_in_op(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x)]


def kept(statistics: Statistics, x: Array) -> list[Array]:
    return [layer(statistics, x)]


def lstm(statistics: Statistics, x: Array, mask: Array) -> list[Array]:
    a = batch_normalize(statistics, affine(x, LSTM_X), "input", 0.5, 0.0, (0, 1), mask)
    h, c, hs = np.zeros_like(x[0]), np.zeros_like(x[0]), []
    for t in statistics.steps(len(x)):
        gates = a[t] + batch_normalize(
            statistics, affine(h, LSTM_H), "recurrent", 0.5, 0.0, 0, mask[t]
        )
        i, f, o, g = np.split(gates, 4, axis=-1)
        new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        new_h = sigmoid(o) * np.tanh(batch_normalize(statistics, new_c, "cell", mask=mask[t]))
        m = mask[t][:, None]
        h, c = m * new_h + (1 - m) * h, m * new_c + (1 - m) * c
        hs.append(h)
    return [np.stack(hs)]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# ---- loops in loops


def attention(statistics: Statistics, x: Array, memory: Array) -> list[Array]:
    h, hs = np.zeros_like(x[0]), []
    for t in statistics.steps(len(x)):
        read = sum(
            np.tanh(normalize(statistics, m + affine(h, V), "memory")) * m
            for m in (memory[s] for s in statistics.steps(len(memory)))
        )
        h = cell(statistics, x[t] + read / np.asarray(len(memory), x.dtype), h)
        hs.append(h)
    return [np.stack(hs)]


def hierarchy(statistics: Statistics, x: Array) -> list[Array]:
    h, hs, summaries = np.zeros_like(x[0, 0]), [], []
    for s in statistics.steps(len(x)):
        summaries.append(layer(statistics, x[s] + affine(h, V), "words"))
        h = cell(statistics, summaries[-1][-1], h, "sentences")
        hs.append(h)
    return [np.stack(hs), np.stack(summaries)]


def nested_while(statistics: Statistics, x: Array, bound: Array) -> list[Array]:
    return [
        np.stack([bounded(statistics, x[s], bound)[0] for s in statistics.steps(len(x))]),
    ]


def ops_and_loops(statistics: Statistics, x: Array) -> list[Array]:
    return hierarchy(statistics, x)
