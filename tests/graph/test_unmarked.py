"""A batch statistic whose mark was forgotten is warned about, and no other sum is.

Both tables are of layers beside a marked one, in 0, 1 and 2 loops.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import (
    InferenceGraph,
    UnmarkedStatistic,
    batch_normalize,
    get_inference_graph,
    mark_moments,
    mark_statistic,
)
from engine import Variable, ifelse
from engine import tensor as at

UNITS = 3
U, V = np.random.default_rng(0).normal(size=(2, UNITS, UNITS))
EPSILON = 1e-3
Layer = Callable[..., Any]


def parameter(value: Any, name: str) -> Variable:
    return engine.shared(np.asarray(value), name)


def bn(x: Variable, **options: Any) -> Variable:
    return batch_normalize(x, 1.0, 0.0, **options)


def last_axis(x: Variable) -> tuple[Variable, Variable]:
    return x.mean(axis=-1, keepdims=True), x.std(axis=-1, keepdims=True)


def softmax(x: Variable, axis: int = -1) -> Variable:
    e = at.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ---- layers of (examples, units) that leave a statistic of the batch


def mean_only(x: Variable) -> Variable:
    return x - x.mean(axis=0)


def variance_only(x: Variable) -> Variable:
    return x / at.sqrt(x.var(axis=0) + EPSILON)


def variance_beside_a_marked_mean(x: Variable) -> Variable:
    mean = mark_statistic(x.mean(axis=0), "marked")
    return (x - mean) / at.sqrt(at.square(x - mean).mean(axis=0) + EPSILON)


def sum_and_size(x: Variable) -> Variable:
    n = x.shape[0].astype("float64")
    mean = x.sum(axis=0) / n
    return (x - mean) / at.sqrt((x**2).sum(axis=0) / n - mean**2 + EPSILON)


def keepdims(x: Variable) -> Variable:
    mean, variance = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
    return (x - mean) / at.sqrt(variance + EPSILON)


def masked(x: Variable) -> Variable:
    weights = at.gt(x[:, :1], 0).astype("float64")
    return x - (x * weights).sum(axis=0) / weights.sum(axis=0)


def masked_by_a_product(x: Variable) -> Variable:
    weights = at.square(x[:, 0])
    return x - at.dot(weights, x) / weights.sum()


def over_all_axes(x: Variable) -> Variable:
    return (x - x.mean()) / at.sqrt(x.var() + EPSILON)


def scaled_by_parameters(x: Variable) -> Variable:
    a = at.dot(x, parameter(U, "U"))
    scale = parameter(np.ones(UNITS), "gamma") / at.sqrt(a.var(axis=0) + EPSILON)
    return at.tanh(a * scale + (parameter(np.zeros(UNITS), "beta") - a.mean(axis=0) * scale))


def through_units(x: Variable) -> Variable:
    """What comes back is computed from the mean by a layer of its own."""
    return x * at.sigmoid(at.dot(x.mean(axis=0), parameter(U, "U")))


def other_layer_than_the_marked(x: Variable) -> Variable:
    a = bn(at.dot(x, parameter(U, "U")))
    b = at.dot(at.tanh(a), parameter(V, "V"))
    return b - b.mean(axis=0)


def in_an_op(x: Variable) -> Variable:
    v = x.type()
    return engine.op_of([v], [mean_only(v)])(x)


def in_a_branch(x: Variable) -> Variable:
    return ifelse(at.gt(x[0, 0], 0), mean_only(x), x)


def carried_by_a_state(x: Variable) -> Variable:
    """A running mean inside a loop, of the steps so far."""

    def step(x_t: Variable, running: Variable) -> list[Variable]:
        running = 0.9 * running + 0.1 * (x_t * x).mean(axis=0)
        return [running, x - running]

    start = [at.zeros(UNITS), None]
    return engine.scan(step, sequences=at.arange(3.0), outputs_info=start)[1].sum(axis=0)


def given_to_a_loop(x: Variable) -> Variable:
    mean = x.mean(axis=0)
    return engine.scan(lambda h, m: at.tanh(h - m), outputs_info=x, non_sequences=mean, n_steps=2)[
        -1
    ]


def raw_value_of_a_mark(x: Variable) -> Variable:
    """What `mark_statistic` returns is used in one place, and not in the other."""
    mean = x.mean(axis=0)
    return (x - mean) * mark_statistic(mean, "used")


def over_flattened_axes(x: Variable) -> Variable:
    a = at.stack([x, 2 * x])
    flat = a.reshape((-1, a.shape[2]))
    return (flat - flat.mean(axis=0)).reshape((2, x.shape[0], a.shape[2]))[0]


LOUD = [
    mean_only,
    variance_only,
    variance_beside_a_marked_mean,
    sum_and_size,
    keepdims,
    masked,
    masked_by_a_product,
    over_all_axes,
    scaled_by_parameters,
    through_units,
    other_layer_than_the_marked,
    in_an_op,
    in_a_branch,
    carried_by_a_state,
    given_to_a_loop,
    raw_value_of_a_mark,
    over_flattened_axes,
]

# ---- and such that do not


def layer_norm(x: Variable) -> Variable:
    mean, std = last_axis(x)
    return parameter(np.ones(UNITS), "gain") * (x - mean) / (std + EPSILON)


def layer_norm_of_parameters(x: Variable) -> Variable:
    a = at.dot(x, parameter(U, "U"))
    mean, std = last_axis(a)
    return (a - mean) / (std + EPSILON)


def softmax_over_units(x: Variable) -> Variable:
    return softmax(at.dot(x, parameter(U, "U")))


def norm_of_each_example(x: Variable) -> Variable:
    """As in clipping by norm."""
    norm = at.sqrt((x**2).sum(axis=1, keepdims=True))
    return x * at.minimum(1.0, 2.0 / norm)


def normalized_weights(x: Variable) -> Variable:
    w = parameter(U, "U")
    return at.dot(x, w / at.sqrt((w**2).sum(axis=0)))


def constants(x: Variable) -> Variable:
    mean = parameter(np.ones(UNITS), "running_mean")
    return (x - mean) / np.array([1.0, 2.0, 3.0])


def counted_by_a_mask(x: Variable) -> Variable:
    """Numbers of examples, and decisions by them."""
    mask = at.gt(x[:, 0], 0)
    count = mask.sum()
    return at.switch(at.gt(count, 0), x * mask[:, None], x)


def scaled_by_the_size(x: Variable) -> Variable:
    """It depends on the batch, but is no statistic of it."""
    return x / at.sqrt(x.shape[0].astype("float64"))


def dropout(x: Variable) -> Variable:
    stream = engine.stream(1)
    _, noise = engine.normal(stream, x.shape)
    return x * at.gt(noise, 0)


def gates(x: Variable) -> Variable:
    a = at.dot(x, parameter(np.hstack([U, V]), "W"))
    return at.sigmoid(a[:, :UNITS]) * at.tanh(a[:, UNITS:])


def attention(x: Variable) -> Variable:
    """Each example reads a memory of its own, over whose axis weights are normalized."""
    memory = at.stack([x, 2 * x, at.tanh(x)])
    scores = (memory * at.dot(x, parameter(V, "V"))).sum(axis=2)
    return (softmax(scores, axis=0)[:, :, None] * memory).sum(axis=0)


def time_of_each_example(x: Variable) -> Variable:
    series = at.stack([x, at.square(x)], axis=1)
    return (series - series.mean(axis=1, keepdims=True)).max(axis=1)


def variance_marked_by_itself(x: Variable) -> Variable:
    """The mean in a marked variance goes nowhere else."""
    return x / at.sqrt(mark_statistic(x.var(axis=0), "variance") + EPSILON)


def moments_marked(x: Variable) -> Variable:
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "moments")
    return (x - mean) / at.sqrt(variance + EPSILON)


def marked_statistic_of_statistics(x: Variable) -> Variable:
    variance = mark_statistic(x.var(axis=0), "variance")
    mean, std = last_axis(x)
    return (x - mean) / std / (1 + mark_statistic(variance.sum(), "total"))


def whitened(x: Variable) -> Variable:
    a = x - mark_statistic(x.mean(axis=0), "mean")
    covariance = at.dot(a.T, a) / a.shape[0].astype("float64")
    return at.dot(a, mark_statistic(covariance, "covariance"))


QUIET = [
    layer_norm,
    layer_norm_of_parameters,
    softmax_over_units,
    norm_of_each_example,
    normalized_weights,
    constants,
    counted_by_a_mask,
    scaled_by_the_size,
    dropout,
    gates,
    attention,
    time_of_each_example,
    variance_marked_by_itself,
    moments_marked,
    marked_statistic_of_statistics,
    whitened,
]


def in_loops(layer: Layer, depth: int) -> tuple[Variable, Variable]:
    """`layer` behind a marked normalization, in loops over the leading axes of an input."""
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def around(depth: int, x: Variable) -> Variable:
        if depth:
            return engine.scan(lambda x_t: around(depth - 1, x_t), sequences=x, name=f"loop{depth}")
        return layer(at.tanh(bn(at.dot(x, parameter(V, "V")), label="marked")))

    return x, around(depth, x)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("layer", LOUD)
def test_statistic_without_a_mark_is_warned_about(layer: Layer, depth: int) -> None:
    x, y = in_loops(layer, depth)
    place = "/".join(f"loop{d}" for d in range(depth, 0, -1))
    with pytest.warns(UnmarkedStatistic, match=rf"left without a mark: .*{place}") as caught:
        InferenceGraph([x], y)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("layer", QUIET)
def test_other_sums_are_not_warned_about(layer: Layer, depth: int) -> None:
    x, y = in_loops(layer, depth)
    InferenceGraph([x], y)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("layer", LOUD)
def test_statistic_is_warned_about_in_a_graph_of_the_cost_alone(layer: Layer, depth: int) -> None:
    x, y = in_loops(layer, depth)
    target = at.TensorType("float64", (None,) * (depth + 2))("target")
    cost = at.square(at.tanh(at.dot(y, parameter(U, "out"))) - target).mean()
    with pytest.warns(UnmarkedStatistic, match="left without a mark"):
        InferenceGraph([x, target], cost)


# ---- costs of the whole batch


def squared_error(y: Variable) -> Variable:
    return at.square(y - 1).mean()


def of_each_unit(y: Variable) -> Variable:
    return at.square(y - 1).mean(axis=-2)


def cross_entropy(y: Variable) -> Variable:
    return -at.log(softmax(y)[..., 0]).mean()


def masked_cost(y: Variable) -> Variable:
    mask = at.square(y[..., 0])
    return (at.square(y[..., 1]) * mask).sum() / mask.sum()


def weighted_cost(y: Variable) -> Variable:
    weights = at.square(y[..., 0])
    return (at.square(y[..., 1]) * (weights / weights.sum())).sum()


def variance_as_an_output(y: Variable) -> Variable:
    return y.var(axis=-2)


def decay(y: Variable) -> Variable:
    return squared_error(y) + 0.01 * (parameter(U, "U") ** 2).sum()


def clipped(y: Variable) -> Variable:
    cost = squared_error(y)
    return cost * at.minimum(1.0, 1.0 / at.sqrt(cost))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "cost",
    [
        squared_error,
        of_each_unit,
        cross_entropy,
        masked_cost,
        weighted_cost,
        variance_as_an_output,
        decay,
        clipped,
    ],
)
def test_costs_are_not_warned_about(cost: Layer, depth: int) -> None:
    x, y = in_loops(lambda h: h, depth)
    InferenceGraph([x], [cost(y), y])
    InferenceGraph([x], cost(y))
    x, costs = in_loops(cost, depth)
    InferenceGraph([x], costs)


# ---- where a loop goes over time, and marks over time and examples


def sequences(
    above: Callable[[Variable, Variable], Any], marked: bool = True
) -> tuple[list[Variable], Any]:
    """A recurrent layer over (time, examples, units), and what is computed `above` it."""
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    a = bn(x, axis=(0, 1), mask=mask, label="input") if marked else x

    def step(a_t: Variable, m: Variable, h: Variable) -> Variable:
        new = at.tanh(a_t + at.dot(h, parameter(U, "U")))
        return m[:, None] * new + (1 - m[:, None]) * h

    h = engine.scan(step, sequences=[a, mask], outputs_info=at.zeros_like(x[0]), name="encoder")
    return [x, mask], above(h, mask)


def pooling(h: Variable, mask: Variable) -> Variable:
    weights = mask / mask.sum(axis=0)
    return (h * weights[:, :, None]).sum(axis=0)


def centered_over_time(h: Variable, mask: Variable) -> Variable:
    return h - h.mean(axis=0)


def attention_over_time(h: Variable, mask: Variable) -> Variable:
    scores = at.dot(h, parameter(np.ones(UNITS), "v"))
    e = at.exp(scores - scores.max(axis=0)) * mask
    return ((e / e.sum(axis=0))[:, :, None] * h).sum(axis=0)


def attention_within_a_decoder(h: Variable, mask: Variable) -> Variable:
    def step(s: Variable) -> Variable:
        scores = (h * s).sum(axis=2)
        e = at.exp(scores - scores.max(axis=0)) * mask
        return at.tanh(s + ((e / e.sum(axis=0))[:, :, None] * h).sum(axis=0))

    return engine.scan(step, outputs_info=h[-1], n_steps=3)


def self_attention(h: Variable, mask: Variable) -> Variable:
    scores = (h[:, None] * h[None]).sum(axis=3)
    return (softmax(scores, axis=1)[..., None] * h[None]).sum(axis=1)


def flattened_and_back(h: Variable, mask: Variable) -> Variable:
    flat = at.dot(h.reshape((-1, UNITS)), parameter(V, "V"))
    mean, std = last_axis(flat)
    return ((flat - mean) / (std + EPSILON)).reshape((h.shape[0], h.shape[1], UNITS))


def masked_sequence_cost(h: Variable, mask: Variable) -> Variable:
    return (at.square(h[:, :, 0]) * mask).sum() / mask.sum()


def length_of_each(h: Variable, mask: Variable) -> Variable:
    return h / mask.sum(axis=0)[:, None]


@pytest.mark.parametrize(
    "above",
    [
        pooling,
        centered_over_time,
        attention_over_time,
        attention_within_a_decoder,
        self_attention,
        flattened_and_back,
        masked_sequence_cost,
        length_of_each,
    ],
)
def test_sums_over_time_are_not_warned_about(above: Layer) -> None:
    InferenceGraph(*sequences(above))


def test_statistic_of_a_step_is_warned_about_beside_one_of_all_steps() -> None:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    a = bn(x, axis=(0, 1), mask=mask, label="input")

    def step(a_t: Variable, h: Variable) -> Variable:
        b = at.dot(h, parameter(U, "U"))
        return at.tanh(a_t + b - b.mean(axis=0))

    h = engine.scan(step, sequences=a, outputs_info=at.zeros_like(x[0]), name="encoder")
    with pytest.warns(UnmarkedStatistic, match=r"\['encoder/.*sum over axes \(0,\)"):
        InferenceGraph([x, mask], h)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_statistic_of_all_steps_is_warned_about_if_it_is_over_examples(axes: Any) -> None:
    def above(h: Variable, mask: Variable) -> Variable:
        return h - h.mean(axis=axes, keepdims=True)

    inputs, y = sequences(above)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        InferenceGraph(inputs, y)
    assert [w.category for w in caught] == ([UnmarkedStatistic] if 1 in axes else [])


def test_pixels_are_no_examples() -> None:
    """Where marks are taken over examples and pixels, pooling is not, and a sum over both is."""
    x = at.dtensor4("x")

    def squeeze(h: Variable) -> Variable:
        return h * at.sigmoid(h.mean(axis=(2, 3), keepdims=True))

    def per_example(h: Variable) -> Variable:
        return h - h.mean(axis=(2, 3), keepdims=True)

    def per_channel(h: Variable) -> Variable:
        return h - h.mean(axis=(0, 2, 3), keepdims=True)

    h = bn(x, axis=(0, 2, 3))
    InferenceGraph([x], squeeze(per_example(h)).mean(axis=(2, 3)))
    with pytest.warns(UnmarkedStatistic, match=r"sum over axes \(0, 2, 3\)"):
        InferenceGraph([x], per_channel(h))


# ---- what is decided by such sums

DECISIONS: dict[str, Any] = {
    "class": lambda z: z.argmax(axis=-1),
    "comparison": lambda z: at.gt(z, 0),
    "order": lambda z: at.argsort(z, axis=-1),
    "whole numbers": lambda z: at.cast(z, "int32"),
    "as a number": lambda z: at.cast(at.gt(z, 0), "float64"),
    "choice": lambda z: at.switch(at.gt(z, 0), 1.0, 2.0),
    "row of a table": lambda z: parameter(U, "E")[z.argmax(axis=-1)],
}


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("decision", DECISIONS)
def test_sum_that_decides_is_found(decision: str, depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def layer(leak: int, v: Variable, depth: int) -> Variable:
        if depth:
            return engine.scan(lambda v_t: layer(leak, v_t, depth - 1), [v])
        return bn(v) - leak * v.mean(axis=0)

    with pytest.warns(UnmarkedStatistic, match="sum over axes"):
        InferenceGraph([x], DECISIONS[decision](layer(1, x, depth)))
    InferenceGraph([x], DECISIONS[decision](in_loops_alone(x, depth)))


def in_loops_alone(x: Variable, depth: int) -> Variable:
    return engine.scan(lambda v: in_loops_alone(v, depth - 1), [x]) if depth else bn(x)


# ---- what is said


def test_warning_lists_names_and_places_and_the_way_out() -> None:
    x = at.dtensor3("x")

    def step(x_t: Variable) -> Variable:
        mean = x_t.mean(axis=0)
        mean.name = "h_mean"
        return bn(x_t) - mean + x_t.max(axis=0)

    y = engine.scan(step, sequences=x, name="encoder")
    name = "h_mean" if engine.AESARA else ""  # PyTensor's loops keep no names
    with pytest.warns(UnmarkedStatistic, match=rf"'encoder/{name}.*Mark them, and use"):
        InferenceGraph([x], y)
    h = at.dmatrix("h")
    mean = h.mean(axis=0)
    mean.name = "h_mean"
    with pytest.warns(UnmarkedStatistic, match=r"\['h_mean \(sum over axes \(0,\) of h\)'\]"):
        get_inference_graph([h], bn(h) - mean, [[np.arange(4.0).reshape(2, 2)]])


def test_error_without_any_mark_lists_what_looks_like_statistics() -> None:
    x = at.dtensor3("x")

    def step(x_t: Variable, h: Variable) -> Variable:
        a = at.dot(h, parameter(U, "U")) + x_t
        mean, std = last_axis(a)
        return at.tanh((a - mean) / std - a.mean(axis=0))

    y = engine.scan(step, sequences=x, outputs_info=at.zeros_like(x[0]), name="encoder")
    with pytest.raises(ValueError, match=r"no marked statistic .*look like .*'encoder/") as error:
        InferenceGraph([x], y)
    assert str(error.value).count("encoder/") == 1
    with pytest.raises(ValueError, match=r"no marked statistic (?!.*look like)"):
        InferenceGraph([x], at.tanh(x))
