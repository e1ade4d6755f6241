"""Whole models of many kinds, with and without a statistic whose mark was forgotten."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, UnmarkedStatistic, batch_normalize
from engine import Variable
from engine import tensor as at

Model = tuple[list[Variable], Any]
Layer = Callable[[Variable], Variable]


def weights(*shape: int) -> Variable:
    return engine.shared(np.random.default_rng(0).normal(size=shape))


def bn(x: Variable, axis: int | tuple[int, ...] = 0, **options: Any) -> Variable:
    return batch_normalize(x, 1.0, 0.0, axis=axis, **options)


def softmax(x: Variable) -> Variable:
    e = at.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def matmul(x: Variable, y: Variable) -> Variable:
    return (at.batched_dot if engine.AESARA else at.matmul)(x, y)


# What is done to a layer's values at the end of each model: only the first is wrong.


def over_examples(h: Variable) -> Variable:
    """Centered over the axis before that of the units."""
    return h - h.mean(axis=-2, keepdims=True)


def over_units(h: Variable) -> Variable:
    return h - h.mean(axis=-1, keepdims=True)


# Each model gets a layer of (..., examples, units), in a loop if it has one.


def perceptron(layer: Layer) -> Model:
    x, target = at.dmatrix("x"), at.lvector("target")
    h = at.tanh(bn(at.dot(x, weights(3, 4))))
    p = softmax(at.dot(layer(at.dot(h, weights(4, 5))), weights(5, 2)))
    return [x, target], [p, -at.log(p[at.arange(target.shape[0]), target]).mean()]


def recurrent(layer: Layer) -> Model:
    x = at.dtensor3("x")
    u = weights(3, 3)
    h = engine.scan(
        lambda x_t, h: at.tanh(bn(x_t) + layer(at.dot(h, u))),
        sequences=x,
        outputs_info=at.zeros((x.shape[1], 3)),
    )
    return [x], h


def known_sizes(layer: Layer) -> Model:
    """All axes have the same length."""
    x = at.TensorType("float64", (3, 3, 3))("x")
    u = weights(3, 3)
    h = engine.scan(
        lambda x_t, h: at.tanh(bn(x_t) + layer(at.dot(h, u))),
        sequences=x,
        outputs_info=at.zeros((3, 3)),
    )
    return [x], h.mean(axis=0)


def embedding_of_words(layer: Layer) -> Model:
    ids, mask = at.lmatrix("ids"), at.dmatrix("mask")
    flat, u = weights(20, 3)[ids.flatten()], weights(3, 3)

    def step(x_t: Variable, m: Variable, h: Variable) -> Variable:
        new = at.tanh(bn(x_t, mask=m) + layer(at.dot(h, u)))
        return m[:, None] * new + (1 - m[:, None]) * h

    h = engine.scan(
        step,
        sequences=[flat.reshape((ids.shape[0], ids.shape[1], 3)), mask],
        outputs_info=at.alloc(np.float64(0), ids.shape[1], 3),
    )
    scores = at.exp(at.dot(h, weights(3))) * mask
    read = ((scores / scores.sum(axis=0))[:, :, None] * h).sum(axis=0)
    return [ids, mask], softmax(at.dot(read, weights(3, 4)))


def words_by_their_numbers(layer: Layer) -> Model:
    ids = at.lmatrix("ids")
    h = engine.scan(lambda x, h: at.tanh(bn(x) + h), weights(20, 3)[ids], weights(3, 3)[:1])
    return [ids], layer(h)


def learned_initial_state(layer: Layer) -> Model:
    x, start = at.dtensor3("x"), weights(3)
    h = engine.scan(
        lambda x_t, h: at.tanh(bn(x_t) + layer(h)),
        sequences=x,
        outputs_info=at.repeat(start[None], x.shape[1], axis=0),
    )
    return [x], h


def examples_first(layer: Layer) -> Model:
    x, u = at.dtensor3("x"), weights(3, 3)
    steps = x.dimshuffle(1, 0, 2)
    h = engine.scan(
        lambda x_t, h: at.tanh(bn(x_t + layer(at.dot(h, u)))),
        sequences=steps,
        outputs_info=at.zeros_like(steps[0]),
    )
    scores = h.dimshuffle(1, 0, 2).sum(axis=2)
    return [x], (softmax(scores)[:, :, None] * h.dimshuffle(1, 0, 2)).sum(axis=1)


def last_step_of_each(layer: Layer) -> Model:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    h = engine.scan(lambda x_t, m, h: at.tanh(bn(x_t + h, mask=m)), [x, mask], at.zeros_like(x[0]))
    last = mask.sum(axis=0).astype("int64") - 1
    return [x, mask], softmax(layer(h[last, at.arange(last.shape[0])]))


def attention_between_sequences(layer: Layer) -> Model:
    """Over (examples, steps, units): the layer is given the examples' last steps."""
    q, k = at.dtensor3("q"), at.dtensor3("k")
    a, b = bn(q, axis=(0, 1)), bn(k, axis=(0, 1))
    read = matmul(softmax(matmul(a, b.dimshuffle(0, 2, 1))), b)
    return [q, k], layer(at.dot(bn(read[:, -1]), weights(3, 3)))


def autoencoder(layer: Layer) -> Model:
    x = at.dmatrix("x")
    h = at.tanh(bn(at.dot(x, weights(3, 4))))
    mean, log_scale = layer(at.dot(h, weights(4, 2))), at.dot(h, weights(4, 2))
    _, noise = engine.normal(engine.stream(3), mean.shape)
    y = at.tanh(bn(at.dot(mean + at.exp(log_scale) * noise, weights(2, 3))))
    divergence = (mean**2 + at.exp(2 * log_scale) - 2 * log_scale).sum(axis=1)
    cost = divergence + at.square(x - y).sum(axis=1)
    return [x], [y, cost.mean(), cost.sum() / x.shape[0]]


def data_in_a_shared_variable(layer: Layer) -> Model:
    data, i = engine.shared(np.ones((100, 4))), at.lscalar("i")
    x = data[i * 10 : (i + 1) * 10]
    return [i], softmax(layer(at.tanh(bn(at.dot(x, weights(4, 3))))))


def weighted_classes(layer: Layer) -> Model:
    """The cost weighs classes by how often they are in the batch."""
    x, target = at.dmatrix("x"), at.dmatrix("target")
    p = softmax(at.dot(layer(bn(at.dot(x, weights(3, 4)))), weights(4, 5)))
    return [x, target], [p, -(target / target.mean(axis=0) * at.log(p)).sum(axis=1).mean()]


def sparsity(layer: Layer) -> Model:
    """A cost of the mean activations of a batch."""
    x = at.dmatrix("x")
    h = layer(bn(at.dot(x, weights(3, 4))))
    rate = at.sigmoid(h).mean(axis=0)
    return [x], [at.tanh(h), (at.log(0.1 / rate) + at.log(0.9 / (1 - rate))).sum()]


def running_mean_over_time(layer: Layer) -> Model:
    x = at.dtensor3("x")

    def step(x_t: Variable, total: Variable, n: Variable) -> list[Variable]:
        total = total + x_t
        return [total, n + 1, layer(at.tanh(bn(x_t - total / (n + 1))))]

    start = [at.zeros_like(x[0]), at.constant(0.0, dtype="float64"), None]
    return [x], engine.scan(step, sequences=x, outputs_info=start)[2]


def flattened(layer: Layer) -> Model:
    """Steps and examples are one axis for a layer, and two again."""
    x = at.dtensor3("x")
    h = bn(x, axis=(0, 1))
    flat = layer(at.dot(h.reshape((x.shape[0] * x.shape[1], 3)), weights(3, 4)))
    return [x], flat.reshape((x.shape[0], x.shape[1], 4))


def gradient_by_the_input(layer: Layer) -> Model:
    """Of a cost of the whole batch, through a part that has no statistics."""
    x = at.dmatrix("x")
    cost = at.square(at.tanh(at.dot(x, weights(3, 3)))).mean()
    return [x], layer(bn(engine.grad(cost, x)))


def in_the_other_of_two(layer: Layer) -> Model:
    """Of two inputs, one is normalized and marked, and the other is added to it."""
    x, y = at.dmatrix("x"), at.dmatrix("y")
    return [x, y], bn(x) + layer(at.tanh(y))


MODELS = [
    perceptron,
    recurrent,
    known_sizes,
    embedding_of_words,
    learned_initial_state,
    examples_first,
    last_step_of_each,
    attention_between_sequences,
    autoencoder,
    data_in_a_shared_variable,
    weighted_classes,
    sparsity,
    running_mean_over_time,
    flattened,
    gradient_by_the_input,
    in_the_other_of_two,
]


@pytest.mark.parametrize("model", MODELS)
def test_statistic_without_a_mark_is_warned_about(model: Callable[[Layer], Model]) -> None:
    inputs, outputs = model(over_examples)
    with pytest.warns(UnmarkedStatistic, match=r"without a mark: \['[^,]*sum over axes [^']*'\]"):
        InferenceGraph(inputs, outputs)


@pytest.mark.parametrize("layer", [over_units, softmax, at.tanh], ids=["center", "softmax", "tanh"])
@pytest.mark.parametrize("model", MODELS)
def test_no_other_sum_is_warned_about(model: Callable[[Layer], Model], layer: Layer) -> None:
    InferenceGraph(*model(layer))


def test_loop_over_examples_may_sum_over_their_steps() -> None:
    for axis, order in (((0, 1), (1, 0, 2)), (0, (0, 1, 2))):
        x = at.dtensor3("x")
        examples = bn(x, axis=axis).dimshuffle(order)
        InferenceGraph([x], engine.map(over_examples, examples))


@pytest.mark.skipif(not engine.AESARA, reason="PyTensor has no such convolution")
@pytest.mark.parametrize("size", [3, 4])
def test_convolutions_keep_examples_and_pixels_apart(size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from aesara.tensor.nnet import conv2d

    x = at.dtensor4("x")
    h = at.tanh(bn(conv2d(x, weights(4, 3, 3, 3)), axis=(0, 2, 3)))
    h = h * at.sigmoid(h.mean(axis=(2, 3), keepdims=True))
    a = conv2d(h, weights(5, 4, size, size))
    InferenceGraph([x], (a - a.mean(axis=(2, 3), keepdims=True)).mean(axis=(2, 3)))
    with pytest.warns(UnmarkedStatistic, match=r"sum over axes \(0, 2, 3\)"):
        InferenceGraph([x], a - a.mean(axis=(0, 2, 3), keepdims=True))
    dense = bn(at.dot(a.reshape((a.shape[0], -1)), weights(20, 5)))
    with pytest.warns(UnmarkedStatistic, match=r"sum over axes \(0,\)"):
        InferenceGraph([x], over_examples(dense))
