"""Small marked graphs, one for each feature of a graph, and batches to feed them.

Every layer has a twin of the same name in `oracle`. `Model` puts it into a number of further loops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest

import engine
import oracle
from bnrewrite import batch_normalize, mark_statistic
from engine import OpFromGraph, Variable, ifelse, until
from engine import tensor as at
from oracle import EPSILON, Array, Named

UNITS = 3
# What the loop of `kept` is given, and what has to be there in the inference graph.
KEPT = {
    "name": "kept",
    "strict": True,
    "truncate_gradient": 2,
    **({"mode": engine.Mode("py", "fast_compile")} if engine.AESARA else {}),
}

Outputs = Variable | list[Variable] | tuple[list[Variable], dict[Variable, Variable]]


class Graph(NamedTuple):
    inputs: list[Variable]
    outputs: list[Variable]
    updates: dict[Variable, Variable]


@dataclass(frozen=True, eq=False)
class Model:
    """A layer in `loops` loops of its own.

    `axes` has a word for each input, a letter for each axis: `n` the batch, `u` the units, every
    other one a time axis; `?tn` is a mask; `#t` a scalar, the length of axis `t`. Around a layer,
    the input `x` gets the leading time axes that the loops need. `varying` says what differs
    between batches; `batchless` outputs are those without a batch axis, counted from the end.
    """

    layer: Callable[..., Outputs]
    axes: dict[str, str]
    loops: int = 0
    dtype: str = "float64"
    static: str = ""
    batchless: tuple[int, ...] = ()
    random: bool = False
    mode: str = "FAST_COMPILE"

    @property
    def name(self) -> str:
        """Say which model this is, as in `stacked-loops2-float32`."""
        parts = [self.layer.__name__, f"loops{self.loops}"]
        parts += ["float32"] if self.dtype == "float32" else []
        parts += [f"static_{self.static}"] if self.static else []
        parts += [self.mode] if self.mode != "FAST_COMPILE" else []
        return "-".join(parts)

    def words(self) -> dict[str, str]:
        """Give the axes of every input, with those of the loops around the layer."""
        return {**self.axes, "x": "abc"[: self.loops] + self.axes["x"]}

    @property
    def differentiable(self) -> bool:
        """Whether Aesara has a gradient: not where a loop has noise in it."""
        return not self.random

    @property
    def quick(self) -> bool:
        """Whether the gradient compiles in a few seconds."""
        few = (matrix, branches, recurrent, mapped, loop_in_op)
        alone = self.dtype == "float64" and not self.static and self.mode == "FAST_COMPILE"
        return alone and (self.loops == 0 or (self.loops == 1 and self.layer in few))

    @property
    def has_slope(self) -> bool:
        """Whether Aesara's gradient is the slope.

        Not if truncated, and not in a `while` loop that stops before the end of its sequences:
        there Aesara 2.9.4 reads the wrong steps of them.
        """
        return self.differentiable and self.layer not in (kept, bounded, settling, nested_while)

    @contextmanager
    def flags(self) -> Iterator[None]:
        """Give the configuration of the engine that the model is built and compiled in."""
        with engine.flags(mode=self.mode, floatX=self.dtype):
            yield

    def build(self) -> Graph:
        """Build a new graph."""
        with self.flags():
            inputs = {name: self.make_input(name, word) for name, word in self.words().items()}
            outputs, updates = parts(in_loops(self.layer, self.loops, **inputs))
        return Graph(list(inputs.values()), outputs, updates)

    def make_input(self, name: str, word: str) -> Variable:
        if word.startswith("#"):
            return at.lscalar(name)
        sizes = {**LENGTHS[0], "u": UNITS}
        shape = [sizes[axis] if axis in self.static else None for axis in word.lstrip("?")]
        return at.TensorType(self.dtype, shape)(name)

    def draw(self, rng: np.random.Generator, lengths: dict[str, int]) -> Named:
        """Draw a batch."""
        sizes = {
            **lengths,
            **{a: n for a, n in LENGTHS[0].items() if a in self.static},
            "u": UNITS,
        }
        return {name: draw(rng, word, sizes, self.dtype) for name, word in self.words().items()}

    def oracle(self, batch: Named, population: Named | None = None) -> oracle.Result:
        """Compute outputs and statistics in plain NumPy."""
        return oracle.run(getattr(oracle, self.layer.__name__), self.loops, batch, population)


# Lengths of one batch after the other, of every axis but the units; and longer ones than those.
LENGTHS = (
    {"a": 2, "b": 3, "c": 1, "s": 2, "t": 4, "n": 5},
    {"a": 3, "b": 1, "c": 2, "s": 3, "t": 2, "n": 4},
    {"a": 1, "b": 2, "c": 2, "s": 1, "t": 6, "n": 7},
)
LONGER = {"a": 4, "b": 4, "c": 3, "s": 5, "t": 8, "n": 5}


def draw(rng: np.random.Generator, word: str, sizes: dict[str, int], dtype: str) -> Array:
    if word.startswith("#"):
        return np.asarray(sizes[word[1]])
    shape = [sizes[axis] for axis in word.lstrip("?")]
    if not word.startswith("?"):
        return rng.normal(size=shape).astype(dtype)
    mask = rng.random(shape) < 0.5
    mask[..., :2] = True  # never mask a whole batch, and never the first example
    return mask.astype(dtype)


# ---- the pieces that the models are made of


def parts(outputs: Outputs) -> tuple[list[Variable], dict[Variable, Variable]]:
    outputs, updates = outputs if isinstance(outputs, tuple) else (outputs, {})
    return outputs if isinstance(outputs, list) else [outputs], updates


def in_loops(layer: Callable[..., Outputs], loops: int, x: Variable, **others: Variable) -> Outputs:
    """Put a layer into loops over the leading axes of `x`, and a state of each loop into `x`."""
    if not loops:
        return layer(x, **others)

    def step(x_t: Variable, state: Variable) -> Outputs:
        outputs, updates = parts(in_loops(layer, loops - 1, x_t + state, **others))
        return [at.tanh(state + first_steps(x_t)), *outputs], updates

    outputs, updates = parts(in_loops(layer, loops - 1, x[0], **others))
    states = [at.zeros_like(first_steps(x[0])), *[None] * len(outputs)]
    return engine.noisy_scan(step, x, states, list(updates), name=f"around{loops}")


def first_steps(x: Variable) -> Variable:
    return x if x.ndim == 2 else first_steps(x[0])


def parameter(name: str, x: Variable) -> Variable:
    return engine.shared(np.asarray(getattr(oracle, name), x.dtype), name)


def affine(x: Variable, name: str = "W") -> Variable:
    return at.dot(x, parameter(name, x))


def normalize(
    x: Variable,
    label: str,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
) -> Variable:
    mean = mark_statistic(x.mean(axis, keepdims=keepdims), f"{label}.mean")
    variance = mark_statistic(x.var(axis, keepdims=keepdims), f"{label}.variance")
    return (x - mean) / at.sqrt(variance + EPSILON)


def cell(x: Variable, h: Variable, label: str = "h") -> Variable:
    return at.tanh(normalize(x + affine(h, "U"), label))


def scan(step: Callable[..., Any], x: Variable, **options: Any) -> Variable:
    """Loop over `x` with one state, and return the states."""
    return engine.scan(step, sequences=x, outputs_info=at.zeros_like(x[0]), **options)


# ---- outside loops, or in loops around them


def matrix(x: Variable) -> Outputs:
    return normalize(affine(x), "x")


def scalar(x: Variable) -> Outputs:
    return normalize(affine(x), "x", axis=None)


def keepdims(x: Variable) -> Outputs:
    return normalize(affine(x), "x", keepdims=True)


def covariance(x: Variable) -> Outputs:
    a = affine(x)
    return at.tanh(a @ mark_statistic(a.T @ a / a.shape[0].astype(a.dtype), "covariance"))


def statistic_as_output(x: Variable) -> Outputs:
    a = affine(x)
    mean = mark_statistic(a.mean(0), "mean")
    return [a - mean, mean]


def marked_twice(x: Variable) -> Outputs:
    a = affine(x)
    return a - mark_statistic(mark_statistic(a.mean(0), "mean"), "mean")


def marked_by_hand(x: Variable) -> Outputs:
    a, w = affine(x), parameter("W", x).sum()
    mean = a.mean(0)
    mean.tag.bn_statistic, mean.tag.bn_label = True, "by hand"
    w.tag.bn_statistic = False
    return (a - mean) * w


def feeding(x: Variable) -> Outputs:
    a = affine(x)
    mean = mark_statistic(a.mean(0), "mean")
    variance = mark_statistic(((a - mean) ** 2).mean(0), "variance")
    total = mark_statistic(variance.sum(), "total")
    return (a - mean) / at.sqrt(variance + EPSILON) / (1 + total)


def branches(x: Variable, choose: Variable) -> Outputs:
    even = normalize(affine(x), "even")
    odd = normalize(at.tanh(affine(x, "U")), "odd")
    return ifelse(at.eq(choose % 2, 0), even, odd)


def masked(x: Variable, mask: Variable) -> Outputs:
    gamma, beta = parameter("GAMMA", x), parameter("BETA", x)
    return batch_normalize(affine(x), gamma, beta, mask=mask, epsilon=EPSILON, label="x")


def op_from_graph(x: Variable) -> Outputs:
    return as_op(lambda v: normalize(affine(v), "x"), x)(x)


def as_op(function: Callable[[Variable], Variable], x: Variable) -> Callable[..., Any]:
    v = x.type()
    return engine.op_of([v], [function(v)])


def op_applied_twice(x: Variable) -> Outputs:
    op = as_op(lambda v: normalize(affine(v), "x"), x)
    return op(at.tanh(op(x) + x))


def noisy(x: Variable) -> Outputs:
    stream = engine.stream(oracle.NOISE_SEED)
    moved, noise = engine.normal(stream, x.shape, x.dtype)
    return [normalize(affine(x + noise), "x")], {stream: moved}


# ---- one loop


def recurrent(x: Variable) -> Outputs:
    return scan(cell, x)


def taps(x: Variable) -> Outputs:
    def step(
        x_before: Variable, x_now: Variable, h_2: Variable, h_1: Variable, u: Variable
    ) -> list[Variable]:
        h = at.tanh(normalize(x_now - x_before / 2 + h_1 @ u - h_2 / 4, "h"))
        return [h, normalize(h**2, "y")]

    initial = at.zeros_like(at.stack([x[0], x[0]]))
    return engine.scan(
        step,
        sequences={"input": x, "taps": [-1, 0]},
        outputs_info=[{"initial": initial, "taps": [-2, -1]}, None],
        non_sequences=[parameter("U", x)],
        strict=True,
    )


def counted(x: Variable, n_steps: Variable) -> Outputs:
    return engine.scan(lambda h: cell(x, h), outputs_info=x, n_steps=n_steps)


def mapped(x: Variable) -> Outputs:
    return engine.map(matrix, x)


def reduced(x: Variable) -> Outputs:
    return engine.reduce(cell, x, at.zeros_like(x[0]))


def folded(x: Variable) -> Outputs:
    return [fold(cell, x, at.zeros_like(x[0])) for fold in (engine.foldl, engine.foldr)]


def backwards(x: Variable) -> Outputs:
    return scan(cell, x, go_backwards=True)


def bounded(x: Variable, bound: Variable) -> Outputs:
    def step(t: Variable, x_t: Variable, h: Variable) -> Any:
        return cell(x_t, h), until(t + 2 >= bound)

    steps = at.arange(x.shape[0])
    return engine.scan(step, sequences=[steps, x], outputs_info=at.zeros_like(x[0]))


def settling(x: Variable) -> Outputs:
    """Stop when a statistic says so."""

    def step(x_t: Variable, h: Variable, level: Variable) -> Any:
        level = level + mark_statistic((x_t**2).mean(), "level")
        return [cell(x_t, h), level], until(level > 3)

    zero = at.zeros((), dtype=x.dtype)
    return engine.scan(step, sequences=x, outputs_info=[at.zeros_like(x[0]), zero])[0]


def noisy_recurrent(x: Variable) -> Outputs:
    stream = engine.stream(oracle.NOISE_SEED)

    def step(x_t: Variable, h: Variable) -> tuple[list[Variable], engine.Updates]:
        moved, noise = engine.normal(stream, x_t.shape, x.dtype)
        return [cell(x_t + noise, h)], {stream: moved}

    return engine.noisy_scan(step, x, [at.zeros_like(x[0])], [stream])


def stacked(x: Variable) -> Outputs:
    lower = scan(lambda x, h: cell(x, h, "lower"), affine(x))
    return [lower, scan(lambda x, h: cell(x, h, "upper"), affine(lower, "V"))]


def around(x: Variable) -> Outputs:
    h = scan(cell, normalize(affine(x), "front", axis=(0, 1)))
    return normalize(affine(h, "V"), "behind", axis=(0, 1))


def bidirectional(x: Variable) -> Outputs:
    a = affine(x)
    forward, backward = scan(cell, a), scan(cell, a, go_backwards=True)
    return at.concatenate([forward, backward[::-1]], axis=-1)


def equal_loops(x: Variable) -> Outputs:
    return [scan(cell, x, name="equal"), scan(cell, at.tanh(2 * x), name="equal")]


def interleaved(x: Variable) -> Outputs:
    lower = scan(lambda x, h: cell(x, h, "lower"), x)
    decayed = scan(lambda x, h: h / 2 + x, lower)
    return scan(lambda x, h: cell(x, h, "upper"), decayed)


def shared_step(x: Variable) -> Outputs:
    return scan(lambda x, h: cell(affine(x), cell(x, h)), x)


def op_in_loop(x: Variable) -> Outputs:
    v, h = x[0].type(), x[0].type()
    return scan(engine.op_of([v, h], [cell(v, h)]), x)


def loop_in_op(x: Variable) -> Outputs:
    return as_op(recurrent, x)(x)


def kept(x: Variable) -> Outputs:
    def step(x: Variable, h: Variable, u: Variable) -> Variable:
        return at.tanh(normalize(x + h @ u, "h"))

    return scan(step, x, non_sequences=[parameter("U", x)], **KEPT)


def lstm(x: Variable, mask: Variable) -> Outputs:
    def bn(a: Variable, label: str, gamma: Any = 0.5, beta: Any = 0.0, **options: Any) -> Variable:
        return batch_normalize(a, gamma, beta, epsilon=EPSILON, label=label, **options)

    def step(a: Variable, m: Variable, h: Variable, c: Variable) -> list[Variable]:
        gates = a + bn(at.dot(h, recurrent), "recurrent", mask=m)
        i, f, o, g = (gates[:, UNITS * k : UNITS * (k + 1)] for k in range(4))
        new_c = at.sigmoid(f) * c + at.sigmoid(i) * at.tanh(g)
        new_h = at.sigmoid(o) * at.tanh(bn(new_c, "cell", gamma, beta, mask=m))
        m = m[:, None]
        return [m * new_h + (1 - m) * h, m * new_c + (1 - m) * c]

    recurrent, gamma, beta = (parameter(name, x) for name in ("LSTM_H", "GAMMA", "BETA"))
    a = bn(affine(x, "LSTM_X"), "input", axis=(0, 1), mask=mask)
    initial = [at.zeros_like(x[0]), at.zeros_like(x[0])]
    return engine.scan(step, sequences=[a, mask], outputs_info=initial, name="lstm")[0]


# ---- loops in loops


def attention(x: Variable, memory: Variable) -> Outputs:
    def step(x: Variable, h: Variable) -> Variable:
        query = affine(h, "V")
        read = engine.map(lambda m: at.tanh(normalize(m + query, "memory")) * m, memory)
        return cell(x + read.mean(0), h)

    return scan(step, x, name="reader")


def hierarchy(x: Variable) -> Outputs:
    def step(x: Variable, h: Variable) -> list[Variable]:
        words = scan(lambda x, h: cell(x, h, "words"), x + affine(h, "V"), name="words")
        return [cell(words[-1], h, "sentences"), words]

    initial = at.zeros_like(x[0, 0])
    return engine.scan(step, sequences=x, outputs_info=[initial, None], name="sentences")


def nested_while(x: Variable, bound: Variable) -> Outputs:
    return engine.map(lambda x: bounded(x, bound), x)


def ops_and_loops(x: Variable) -> Outputs:
    """Put a loop into an op in a loop into an op.

    The inner op is given its weights: Aesara cannot compile shared variables two ops deep.
    """
    v, h, u, w = (
        x[0].type(),
        x[0][0].type(),
        at.matrix("u", dtype=x.dtype),
        at.matrix("w", dtype=x.dtype),
    )

    def step(x: Variable, h: Variable, u: Variable) -> Variable:
        return at.tanh(normalize(x + h @ u, "words"))

    words = scan(step, v + h @ w, non_sequences=[u])
    inner = OpFromGraph([v, h, u, w], [at.tanh(normalize(words[-1] + h @ u, "sentences")), words])

    def sentences(x: Variable) -> list[Variable]:
        initial, weights = at.zeros_like(x[0, 0]), [parameter("U", x), parameter("V", x)]
        return engine.scan(inner, x, [initial, None], non_sequences=weights)

    y = x.type()
    return engine.op_of([y], sentences(y))(x)


# ---- all of them


def crossed(depth: int, models: list[Model]) -> list[Model]:
    """Put each model into 0, 1 ... `depth` further loops."""
    return [replace(model, loops=loops) for model in models for loops in range(depth + 1)]


X, SERIES = {"x": "nu"}, {"x": "tnu"}

MODELS = (
    *crossed(
        3,
        [
            Model(matrix, X),
            Model(scalar, X),
            Model(keepdims, X),
            Model(covariance, X),
            Model(statistic_as_output, X, batchless=(-1,)),
            Model(marked_twice, X),
            Model(marked_by_hand, X),
            Model(feeding, X),
            Model(branches, {**X, "choose": "#n"}),
            Model(masked, {**X, "mask": "?n"}),
            Model(op_from_graph, X),
            Model(op_applied_twice, X),
            Model(noisy, X, random=True),
        ],
    ),
    *crossed(
        2,
        [
            Model(recurrent, SERIES),
            Model(taps, SERIES),
            Model(counted, {**X, "n_steps": "#t"}),
            Model(mapped, SERIES),
            Model(reduced, SERIES),
            Model(folded, SERIES),
            Model(backwards, SERIES),
            Model(bounded, {**SERIES, "bound": "#t"}),
            Model(noisy_recurrent, SERIES, random=True),
            Model(stacked, SERIES),
            Model(around, SERIES),
            Model(bidirectional, SERIES),
            Model(equal_loops, SERIES),
            Model(interleaved, SERIES),
            Model(shared_step, SERIES),
            Model(op_in_loop, SERIES),
            Model(loop_in_op, SERIES),
            Model(kept, SERIES),
            Model(lstm, {**SERIES, "mask": "?tn"}),
        ],
    ),
    *crossed(
        1,
        [
            Model(attention, {**SERIES, "memory": "snu"}),
            Model(hierarchy, {"x": "stnu"}),
            Model(nested_while, {"x": "stnu", "bound": "#t"}),
            Model(ops_and_loops, {"x": "stnu"}),
        ],
    ),
    Model(settling, SERIES),
    Model(recurrent, SERIES, loops=3),
    *(
        replace(model, **option)
        for model in (Model(stacked, SERIES, loops=1), Model(hierarchy, {"x": "stnu"}))
        for option in ({"dtype": "float32"}, {"static": "nu"}, {"static": "abstnu"})
    ),
    Model(lstm, {**SERIES, "mask": "?tn"}, dtype="float32"),
    *(
        replace(model, mode=mode)
        for mode in engine.DEFAULT_MODES
        for model in (
            Model(bidirectional, SERIES),
            Model(lstm, {**SERIES, "mask": "?tn"}, loops=1),
            Model(bounded, {**SERIES, "bound": "#t"}),
            Model(op_in_loop, SERIES, loops=1),
        )
    ),
)

# The models as parameters of tests. In the engine's default modes they compile for half a minute.
CASES = [
    pytest.param(
        model, id=model.name, marks=[pytest.mark.exhaustive] * (model.mode != "FAST_COMPILE")
    )
    for model in MODELS
]
