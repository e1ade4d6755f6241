"""Models that leak must be caught by `verify`, each kind, and those that do not must pass.

Whether a model leaks is not for `verify` to say: its predictions for each example are compared with
those for the example alone, in plain NumPy. All axes of a batch have equal lengths, so that nothing
can be told by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, batch_normalize, mark_moments, mark_statistic
from engine import Variable, ifelse, until
from engine import tensor as at

N = 4  # examples, units and steps
Array = np.ndarray
Outputs = Variable | list[Variable]


def bn(x: Variable, **options: Any) -> Variable:
    return batch_normalize(x, 0.5, 0.1, label="bn", **options)


def by_row(output: Array, example: int, n: int) -> Array:
    """The output of an example: (..., batch, units)."""
    return output[..., example, :]


def by_number(output: Array, example: int, n: int) -> Array:
    return output[..., example]


def by_pair(output: Array, example: int, n: int) -> Array:
    """What a matrix of any two examples says of one and itself."""
    return output[..., example, example]


def last_flattened(output: Array, example: int, n: int) -> Array:
    """(time x batch, units)"""
    return output.reshape(*output.shape[:-2], -1, n, N)[..., example, :]


def first_flattened(output: Array, example: int, n: int) -> Array:
    """(batch x time, units)"""
    return output.reshape(*output.shape[:-2], n, -1, N)[..., example, :, :]


def pairs_flattened(output: Array, example: int, n: int) -> Array:
    return output.reshape(*output.shape[:-1], n, n)[..., example, example]


@dataclass(frozen=True)
class Model:
    """What is made of `x`, (batch, units), and of further inputs in one step of the loops around.

    `further` inputs have values for a batch of `N`, and an axis of examples or None. `row` takes an
    example's part of an output; None if examples have none of their own.
    """

    name: str
    layer: Callable[..., Outputs]
    row: Callable[[Array, int, int], Array] | None = by_row
    further: tuple[tuple[str, Any, int | None], ...] = ()
    dtype: str = "float64"
    says: str = ""
    depths: tuple[int, ...] = (0, 1, 2)

    def graph(self, depth: int) -> InferenceGraph:
        x = at.TensorType(self.dtype, (None,) * (depth + 2))("x")
        others = [variable_of(name, value) for name, value, _ in self.further]
        outputs = in_loops(self.layer, depth, x, *others)
        return InferenceGraph([x, *others], outputs)

    def batch(self, depth: int, seed: int, steps: int = N) -> list[Any]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(*[steps] * depth, N, N)).astype(self.dtype)
        return [x, *(value for _, value, _ in self.further)]

    def alone(self, batch: list[Any], example: int) -> list[Any]:
        axes = [batch[0].ndim - 2, *(axis for *_, axis in self.further)]
        return [
            v if axis is None else v.take([example], axis) if isinstance(v, Array) else v[[example]]
            for v, axis in zip(batch, axes, strict=True)
        ]

    def leak(self, graph: InferenceGraph, batch: list[Any]) -> float:
        """How much of what is predicted for an example depends on whether it is alone."""
        assert self.row is not None
        n_outputs = graph._comparison.n_outputs
        predict = graph._comparison.inference  # compiled once, for us and for `verify`
        together = predict(*batch)[:n_outputs]
        leaks = [0.0]
        for example in range(N):
            with np.errstate(all="ignore"):  # a standard deviation is 0 then
                alone = predict(*self.alone(batch, example))[:n_outputs]
            for y, own in zip(together, alone, strict=True):
                a, b = self.row(y, example, N), self.row(own, 0, 1)
                if a.shape != b.shape:
                    return np.inf
                leaks.append(greatest_difference(a, b))
        return max(leaks)


def greatest_difference(a: Array, b: Array) -> float:
    """Relative to each element; infinite where one is not finite."""
    if a.dtype.kind not in "fc":
        return float((a != b).any())
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        difference = np.where(same, 0, np.abs(a - b) / (np.abs(a) + np.abs(b)))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0))


def variable_of(name: str, value: Any) -> Variable:
    if not isinstance(value, Array):
        return engine.sparse.csr_matrix(name)
    return at.TensorType(value.dtype, (None,) * value.ndim)(name)


def in_loops(layer: Callable[..., Outputs], depth: int, x: Variable, *others: Variable) -> Outputs:
    if not depth:
        return layer(x, *others)
    return engine.scan(
        lambda x_t, *others_t: in_loops(layer, depth - 1, x_t, *others_t),
        sequences=[x],
        non_sequences=list(others),
        name=f"loop{depth}",
    )


# ---- models that leak


def leaky(x: Variable) -> Variable:
    """Normalized, and one more statistic that was forgotten."""
    return bn(x) - 0.1 * x.mean(axis=0)


def weakly_leaky(x: Variable) -> Variable:
    return 1e-3 * leaky(x)


def beside(value: float, x: Variable) -> Variable:
    """Small values with a leak, and others that are large or not numbers at all."""
    return at.switch(bn(x) > 0, weakly_leaky(x), value)


def beside_columns(x: Variable) -> Variable:
    large = at.zeros_like(x[:, :1]) + 1e9
    return at.concatenate([weakly_leaky(x)[:, 1:], large], axis=1)


def stacked(y: Variable, axis: int) -> Variable:
    """Three steps of time, flattened."""
    steps = at.stack([y, at.tanh(y), 2 * y], axis=axis)
    return steps.reshape((3 * y.shape[0], N))


def pairs(y: Variable) -> Variable:
    return y @ y.T


STOPS = "other examples of its batch|number of examples|when a loop that it is computed from stops"


def stopping(x: Variable, says: Callable[[Variable], Variable], last: bool = True) -> Variable:
    """A loop of up to 12 steps, which stops when `says` says so of its states."""

    def step(h: Variable) -> Any:
        h = at.tanh(h + bn(x)) + 0.2 * h
        return h, until(says(h))

    h = engine.scan(step, outputs_info=at.zeros_like(x), n_steps=12, name="stopping")
    return h[-1] if last else h


def settled(h: Variable) -> Variable:
    return at.gt(at.square(h).mean(), 0.7)


def large(h: Variable) -> Variable:
    return at.square(h).sum() > 9.0


def late(first: int, x: Variable, stop: Variable | None = None) -> Variable:
    """A loop with a leak from step `first` on, which goes on until `stop`, if that is given."""

    def step(t: Variable, h: Variable) -> Any:
        h = at.tanh(h + bn(x))
        h = at.switch(at.ge(t, first), h - h.mean(axis=0), h)
        return h if stop is None else (h, until(at.ge(t + 1, stop)))

    return engine.scan(step, [at.arange(12)], at.zeros_like(x), name="late")


LEAKS = [
    Model("mean", leaky, says="other examples of its batch"),
    Model("standard deviation", lambda x: bn(x) / x.std(axis=0), says="other examples"),
    Model("maximum", lambda x: bn(x) - x.max(axis=0), says="other examples"),
    Model(
        "order statistic",
        lambda x: bn(x) - at.sort(x, axis=0)[x.shape[0] // 2],
        says="other examples",
    ),
    Model("neighbour", lambda x: bn(x) + 0.1 * x[::-1], says="other examples"),
    Model("next", lambda x: bn(x) + 0.1 * at.roll(x, 1, 0), says="other examples"),
    Model("first", lambda x: bn(x) - x[0], says="other examples"),
    Model("those before", lambda x: bn(x) + 0.1 * at.cumsum(x, axis=0), says="other examples"),
    Model("size", lambda x: bn(x) / x.shape[0], says="number of examples in its batch"),
    Model(
        "odd size",
        lambda x: bn(x) * (1 + x.shape[0] % 2).astype(x.dtype),
        says="number of examples",
    ),
    Model(
        "small size",
        lambda x: bn(x) * at.ge(x.shape[0], N).astype(x.dtype),
        says="number of examples",
    ),
    Model(
        "sum of ones",
        lambda x: bn(x) - at.ones_like(x).sum(axis=0),
        says="number of examples",
    ),
    Model(
        "place",
        lambda x: bn(x) + at.arange(x.shape[0])[:, None].astype(x.dtype),
        says="place in the batch",
    ),
    Model("float32", leaky, dtype="float32", says="other examples"),
    Model("weak", weakly_leaky, says="other examples"),
    Model("beside -inf", partial(beside, -np.inf), says="other examples"),
    Model("beside NaN", partial(beside, np.nan), says="other examples"),
    Model("beside 1e9", partial(beside, 1e9), says="other examples"),
    Model("beside 1e9 in float32", partial(beside, 1e9), dtype="float32", says="other examples"),
    Model("beside a column of 1e9", beside_columns, says="other examples"),
    Model(
        "-inf by others",
        lambda x: at.switch(x > x.mean(axis=0) + 1, -np.inf, bn(x)),
        says="other examples",
    ),
    Model("integers", lambda x: at.gt(bn(x), x.mean(axis=0)).astype("int64"), says="other"),
    Model("booleans", lambda x: at.gt(bn(x), x.mean(axis=0)), says="other examples"),
    Model("time x batch", lambda x: stacked(leaky(x), 0), last_flattened, says="other examples"),
    Model("batch x time", lambda x: stacked(leaky(x), 1), first_flattened, says="other examples"),
    Model("batch x batch", lambda x: pairs(leaky(x)), by_pair, says="other examples"),
    Model(
        "size in batch x batch",
        lambda x: pairs(bn(x)) / x.shape[0],
        by_pair,
        says="number of examples",
    ),
    Model(
        "batch x batch, flattened",
        lambda x: pairs(leaky(x)).flatten(),
        pairs_flattened,
        says="other examples",
    ),
    Model(
        "batch x units, flattened",
        lambda x: leaky(x).flatten(),
        lambda y, i, n: y.reshape(*y.shape[:-1], n, N)[..., i, :],
        says="other examples",
    ),
    Model("last state of a loop that stops", partial(stopping, says=settled), says=STOPS),
    Model("a loop that stops by a sum", partial(stopping, says=large), says=STOPS),
    Model(
        "all states of a loop that stops",
        partial(stopping, says=settled, last=False),
        says="another number of steps",
        depths=(0,),  # loops around it could not stack the states
    ),
]


def at_all_depths(models: list[Model]) -> Any:
    cases = [
        pytest.param(
            model,
            depth,
            marks=[pytest.mark.exhaustive] * (depth > 1),
            id=f"{model.name}-{depth}",
        )
        for model in models
        for depth in model.depths
    ]
    return pytest.mark.parametrize(("model", "depth"), cases)


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
@at_all_depths(LEAKS)
def test_model_that_leaks_is_caught(model: Model, depth: int) -> None:
    graph = model.graph(depth)
    graph.estimate([model.batch(depth, seed) for seed in (0, 1)])
    batch = model.batch(depth, 2)
    assert model.leak(graph, batch) > 1e-3
    with pytest.raises(RuntimeError, match=model.says):
        graph.verify(batch)


# ---- models that do not


def with_scores(x: Variable, mask: Variable) -> list[Variable]:
    """Scores of four positions, some of them masked: with -inf and with -1e9, and NaN behind."""
    scores = bn(x)
    infinite = at.switch(mask, scores, -np.inf)
    large = at.switch(mask, scores, -1e9)
    return [infinite, large, at.exp(infinite) / at.sum(at.exp(infinite), axis=1, keepdims=True)]


def inside_each_other(x: Variable) -> Variable:
    mean = mark_statistic(x.mean(axis=0), "mean")
    variance = mark_statistic(at.square(x - mean).mean(axis=0), "variance")
    return x - mark_statistic(mean.sum() + variance.sum(), "total")


def half(which: int, x: Variable) -> Variable:
    return x * mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "half")[which]


def picked(x: Variable, labels: Variable) -> Variable:
    """Losses for integer labels."""
    p = at.exp(bn(x))
    p = p / p.sum(axis=1, keepdims=True)
    return -at.log(p[at.arange(labels.shape[0]), labels])


def costs(x: Variable, labels: Variable) -> list[Variable]:
    """Two for the whole batch, and one that has nothing to do with it."""
    losses = picked(x, labels)
    return [losses.mean(), losses.sum(), mark_statistic(x.mean(axis=0), "mean")]


def embedded(x: Variable, words: Variable) -> Variable:
    table = engine.shared(np.random.default_rng(3).normal(size=(7, N)), "table")
    return bn(x + table[words])


def attentive(x: Variable, memory: Variable) -> Variable:
    """Attention over the steps of a memory, (time, batch, units)."""
    scores = (memory * bn(x)[None]).sum(axis=2)
    weights = at.exp(scores) / at.exp(scores).sum(axis=0)
    return (weights[:, :, None] * memory).sum(axis=0)


def layer_normalized(x: Variable) -> Variable:
    y = bn(x)
    return (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)


def frozen(x: Variable, last: bool) -> Variable:
    """A loop that ends when all examples are finished, and leaves alone those that are."""

    def step(h: Variable) -> Any:
        done = at.gt(at.square(h).mean(axis=1), 0.5)
        h = at.switch(done[:, None], h, at.tanh(h + bn(x)) + 0.2 * h)
        return h, until(at.all(done))

    h = engine.scan(step, outputs_info=at.zeros_like(x), n_steps=12, name="frozen")
    return h[-1] if last else h


def stopped_by_statistic(x: Variable) -> Variable:
    def step(h: Variable) -> Any:
        h = at.tanh(h + bn(x))
        return h, until(mark_statistic(at.square(h).mean(), "level") > 0.3)

    return engine.scan(step, outputs_info=at.zeros_like(x), n_steps=12, name="stopped")


def recurrent(x: Variable, memory: Variable, mask: Variable) -> Variable:
    weights = engine.shared(np.random.default_rng(4).normal(size=(N, N)) / 2, "U")

    def step(m: Variable, on: Variable, h: Variable) -> Variable:
        new = at.tanh(bn(m + x + h @ weights, mask=on))
        return at.switch(at.neq(on, 0)[:, None], new, h)

    return engine.scan(step, [memory, mask], at.zeros_like(x), name="rnn")


RNG = np.random.default_rng(5)
MASK = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]], "int8")
MEMORY = RNG.normal(size=(N, N, N))
LABELS = np.array([3, 0, 1, 1])


def sparse_part(x: Variable, part: Variable) -> Variable:
    weights = engine.shared(np.random.default_rng(6).normal(size=(N, N)), "V")
    return bn(engine.sparse.dot(part, weights)) + bn(x)


def sparse_value() -> Any:
    import scipy.sparse

    return scipy.sparse.csr_matrix(np.diag([1.0, 2.0, 3.0, 4.0]) + np.eye(N, k=1))


RIGHT = [
    Model("plain", bn),
    Model("float32", bn, dtype="float32"),
    Model("marks inside marks", inside_each_other),
    Model("mean alone", partial(half, 0)),
    Model("variance alone", partial(half, 1)),
    Model("masked scores", with_scores, further=(("mask", MASK, 0),)),
    Model("masked scores in float32", with_scores, dtype="float32", further=(("mask", MASK, 0),)),
    Model("integers", lambda x: at.round(10 * bn(x)).astype("int64")),
    Model("arg max", lambda x: at.argmax(bn(x), axis=1), by_number),
    Model("booleans", lambda x: bn(x) > 0),
    Model("time x batch", lambda x: stacked(bn(x), 0), last_flattened),
    Model("batch x time", lambda x: stacked(bn(x), 1), first_flattened),
    Model("batch x batch", lambda x: pairs(bn(x)), by_pair),
    Model("batch x batch, flattened", lambda x: pairs(bn(x)).flatten(), pairs_flattened),
    Model("no axis of units", lambda x: bn(x).sum(axis=1), by_number),
    Model("layer norm", layer_normalized),
    Model("scalar input", lambda x, r: r * bn(x), further=(("rate", np.asarray(0.5), None),)),
    Model(
        "input of units",
        lambda x, gamma: x - gamma * mark_statistic((gamma * x).mean(axis=0), "mean") / gamma,
        further=(("gamma", np.arange(1.0, N + 1), None),),
    ),
    Model("labels", picked, by_number, further=(("labels", LABELS, 0),)),
    Model("costs", costs, None, further=(("labels", LABELS, 0),)),
    Model("words", embedded, further=(("words", LABELS, 0),)),
    Model("sparse input", sparse_part, further=(("part", sparse_value(), 0),)),
    Model("sparse output", lambda x: engine.sparse.csr_from_dense(bn(x)), depths=(0,)),
    Model("attention", attentive, further=(("memory", MEMORY, 1),)),
    Model("recurrent", recurrent, further=(("memory", MEMORY, 1), ("mask", MASK, 1))),
    Model("branch", lambda x, c: ifelse(c > 0, bn(x), x), further=(("c", np.asarray(1), None),)),
    Model("until a number", partial(late, 99), further=(("stop", np.asarray(3), None),)),
    Model("until a statistic", stopped_by_statistic),
    Model("until all are finished", partial(frozen, last=True)),
    Model(
        "until all are finished, all states",
        partial(frozen, last=False),
        None,  # alone, an example may take fewer steps
        depths=(0,),
    ),
]


# The leak that "until a number" never comes to is in its graph, and told of.
@pytest.mark.filterwarnings("ignore:.*late/:bnrewrite.UnmarkedStatistic")
@at_all_depths(RIGHT)
def test_model_that_does_not_leak_passes_without_a_word(model: Model, depth: int) -> None:
    graph = model.graph(depth)
    graph.estimate([model.batch(depth, seed, steps) for seed, steps in ((0, 3), (1, 5))])
    batch = model.batch(depth, 2)
    if model.row is not None:
        assert model.leak(graph, batch) < (1e-9 if model.dtype == "float64" else 1e-2)
    result = graph.verify(batch)
    assert result, result
    for output in result.outputs:
        assert [output.checks[c] for c in ("structure", "rows", "size", "order")] == ["yes"] * 4
        assert output.checks["longer"] == ("yes" if depth or model.name == "recurrent" else "-")
        assert output.checks["after until"] == ("yes" if "until" in model.name else "-")


# ---- leaks at steps that no batch of the estimate reached


def late_loops(depth: int, first: int, x: Variable) -> Variable:
    """Loops over all leading axes of `x`, with a leak where all have come to step `first`."""

    def step(t: Variable, x_t: Variable) -> Variable:
        y = late_loops(depth - 1, first, x_t) if depth > 1 else bn(x_t)
        return at.switch(at.ge(t, first), y - y.mean(axis=-2, keepdims=True), y)

    return engine.scan(step, [at.arange(x.shape[0]), x], name=f"late{depth}")


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
@pytest.mark.parametrize("depth", [1, 2, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_leak_at_steps_longer_than_the_batch_is_caught(depth: int) -> None:
    model = Model("late", bn)
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    for first in (5, 6):
        graph = InferenceGraph([x], late_loops(depth, first, x))
        graph.estimate([model.batch(depth, 0, 3), model.batch(depth, 1, 5)])
        batch = model.batch(depth, 2)
        assert model.leak(graph, batch) < 1e-9
        if first == 6:
            assert graph.verify(batch).lengths == ([5], [6])
        else:
            with pytest.raises(RuntimeError, match=r"other examples .* in a batch of \[6\] steps"):
                graph.verify(batch)


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
@pytest.mark.parametrize(
    "depth", [0, *(pytest.param(depth, marks=pytest.mark.exhaustive) for depth in (1, 2))]
)
def test_leak_after_the_step_at_which_a_loop_stops_is_caught(depth: int) -> None:
    stop = (("stop", np.asarray(3), None),)
    for first in (4, 12):
        model = Model("late", partial(late, first), further=stop)
        graph = model.graph(depth)
        graph.estimate([model.batch(depth, seed) for seed in (0, 1)])
        batch = model.batch(depth, 2)
        assert model.leak(graph, batch) < 1e-9
        if first == 12:
            assert graph.verify(batch).outputs[0].checks["after until"] == "yes"
        else:
            with pytest.raises(RuntimeError, match=r"other examples .* loops ran on to step"):
                graph.verify(batch)
