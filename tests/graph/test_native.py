"""Aesara's own `batch_normalization_train` is rewritten like what is marked. PyTensor has none."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize, export_statistics
from engine import Variable, ancestors, ifelse
from engine import tensor as at
from oracle import Array

pytestmark = pytest.mark.skipif(not engine.AESARA, reason="PyTensor has no such op")
EPSILON = 1e-3
GAMMA, BETA = np.array([0.5, 2.0, 1.0]), np.array([0.1, 0.0, -0.3])


def train(x: Variable, *args: Any, **options: Any) -> tuple[Variable, ...]:
    """Aesara's function, whose import warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from aesara.tensor.nnet.batchnorm import batch_normalization_train
    outputs: tuple[Variable, ...] = batch_normalization_train(x, *args, epsilon=EPSILON, **options)
    return outputs


def in_loops(layer: Callable[[Variable], Any], x: Variable, depth: int) -> Any:
    if depth == 0:
        return layer(x)
    return engine.scan(lambda x_t: in_loops(layer, x_t, depth - 1), sequences=x, name="loop")


# The axes as Aesara takes them, as NumPy does, and the shape of the parameters without these.
AXES = [
    ("per-activation", (0,), (2, 2, 3)),
    ("spatial", (0, 2, 3), (2,)),
    ((0,), (0,), (2, 2, 3)),
    ((0, 2), (0, 2), (2, 3)),
    ((0, 1, 2), (0, 1, 2), (3,)),
]


def input_of(n_axes: int, dtype: str = "float64") -> Variable:
    return at.TensorType(dtype, (None,) * n_axes)("x")


def batches_of(depth: int, *shape: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    steps = [(2, 3), (3, 1), (1, 2)]
    return [
        rng.normal(1, 2, size=(*s[:depth], n, *shape))
        for s, n in zip(steps, (4, 3, 5), strict=True)
    ]


def held_average(values: list[Array], depth: int) -> Array:
    """The mean over batches, each repeating its last step up to the longest."""
    longest = np.max([v.shape[:depth] for v in values], axis=0) if depth else ()
    padded = []
    for value in values:
        for axis in range(depth):
            index = np.minimum(np.arange(longest[axis]), value.shape[axis] - 1)
            value = value.take(index, axis=axis)
        padded.append(value)
    return np.mean(padded, axis=0)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(("axes", "over", "shape"), AXES, ids=[str(a[0]) for a in AXES])
def test_all_outputs_are_those_of_the_population(
    depth: int, axes: Any, over: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    gamma, beta = rng.normal(size=(2, *shape))
    x = input_of(4 + depth)
    graph = InferenceGraph([x], in_loops(lambda x: list(train(x, gamma, beta, axes)), x, depth))
    batches = batches_of(depth, 2, 2, 3)
    population = graph.estimate([[b] for b in batches])
    axis = tuple(a + depth for a in over)
    means = held_average([b.mean(axis) for b in batches], depth)
    variances = held_average([b.var(axis) for b in batches], depth)
    (mean, variance) = population
    assert mean == "loop/" * depth + "AbstractBatchNormTrain/x.mean"
    assert_allclose(population[mean], means)
    assert_allclose(population[variance], variances)
    sizes = [np.prod([b.shape[a] for a in axis]) for b in batches]
    assert population.count[mean].max() == np.sum(sizes)
    outputs = engine.function([x], graph.outputs)(batches[0])
    steps = tuple(map(slice, batches[0].shape[:depth]))
    m, v = (np.expand_dims(s[steps], axis) for s in (means, variances))
    g, b = (np.expand_dims(p, over) for p in (gamma, beta))
    assert_allclose(outputs[0], (batches[0] - m) / np.sqrt(v + EPSILON) * g + b)
    assert_allclose(outputs[1], m.squeeze(axis))
    assert_allclose(outputs[2], (1 / np.sqrt(v + EPSILON)).squeeze(axis))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_one_left_in_beside_marked_ones_is_rewritten_too(depth: int) -> None:
    x = input_of(2 + depth)

    def layer(x: Variable) -> Variable:
        h = batch_normalize(x, GAMMA, BETA, label="marked", epsilon=EPSILON)
        return train(at.tanh(h), GAMMA, BETA)[0]

    graph = InferenceGraph([x], in_loops(layer, x, depth))
    assert len(graph.statistics) == 4
    (batch, *_) = batches_of(depth, 3)
    graph.estimate([[batch]])
    predict = engine.function([x], graph.outputs)
    together, alone = predict(batch), predict(batch.take([0], axis=depth))
    assert_allclose(alone, together.take([0], axis=depth))
    graph.verify([batch], [depth])
    trained = engine.function([x], in_loops(layer, x, depth))(batch)
    assert_allclose(together, trained)


def test_training_graph_is_not_changed() -> None:
    x = input_of(3)
    y = in_loops(lambda x: train(x, GAMMA, BETA)[0], x, 1)
    before = engine.module.printing.debugprint(y, file="str", print_type=True)
    nodes = [(v, v.owner, v.owner and v.owner.op) for v in ancestors([y])]
    (batch, *_) = batches_of(1, 3)
    compute = engine.function([x], y)
    expected = compute(batch)
    InferenceGraph([x], y).estimate([[2 * batch]])
    assert engine.module.printing.debugprint(y, file="str", print_type=True) == before
    assert [(v, v.owner, v.owner and v.owner.op) for v in ancestors([y])] == nodes
    assert_allclose(compute(batch), expected)
    assert_allclose(engine.function([x], y)(batch), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_are_kept(dtype: str) -> None:
    x = at.TensorType(dtype, (None, 3))("x")
    with engine.flags(floatX=dtype):
        y = train(x, GAMMA.astype(dtype), BETA.astype(dtype))[0]
        graph = InferenceGraph([x], y)
        population = graph.estimate([[np.random.default_rng(0).normal(size=(9, 3)).astype(dtype)]])
    assert graph.outputs.type == y.type
    assert {v.dtype.name for v in population.values()} == {dtype}


def test_names_come_from_its_inputs() -> None:
    x, gamma = at.dmatrix(), engine.shared(GAMMA, name="gamma_h")
    beta = engine.shared(BETA, name="beta_h")
    for args, label in (
        ((x, gamma, beta), "gamma_h"),
        ((x, GAMMA, beta), "beta_h"),
        ((x, GAMMA, BETA), "batch_norm"),
        ((at.dmatrix("h"), gamma, beta), "h"),
    ):
        labels = [s.label for s in export_statistics(train(*args)[0])]
        assert labels == [f"{label}.mean", f"{label}.variance"]


def test_two_that_share_everything_but_their_place_are_told_apart() -> None:
    x = input_of(3)
    y = in_loops(lambda x: train(x, GAMMA, BETA)[0], x, 1)
    z = in_loops(lambda x: train(x, GAMMA, BETA)[0], at.tanh(y), 1)
    graph = InferenceGraph([x], z)
    (batch, *_) = batches_of(1, 3)
    graph.estimate([[batch]])
    assert len({s.name for s in graph.statistics}) == 4
    assert_allclose(engine.function([x], graph.outputs)(batch), engine.function([x], z)(batch))


def test_one_in_an_op_and_in_a_branch_is_found() -> None:
    x, c, v = input_of(2), at.lscalar("c"), at.dmatrix()
    op = engine.op_of([v], [train(v, GAMMA, BETA)[0]])
    graph = InferenceGraph([x, c], ifelse(c, op(x), x))
    one, other, _ = batches_of(0, 3)
    population = graph.estimate([(one, 1), (other, 0)])
    (mean, _) = population
    assert mean.startswith("OpFromGraph/")
    assert_allclose(population[mean], one.mean(axis=0))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_running_averages_may_be_there_and_are_refused_as_outputs(depth: int) -> None:
    x = input_of(2 + depth)
    running = [engine.shared(np.zeros(3)), engine.shared(np.ones(3))]

    def layer(x: Variable) -> list[Variable]:
        return list(train(x, GAMMA, BETA, running_mean=running[0], running_var=running[1]))

    out, mean, invstd, *averages = in_loops(layer, x, depth)
    graph = InferenceGraph([x], [out, mean, invstd])
    (batch, *_) = batches_of(depth, 3)
    graph.estimate([[batch]])
    assert_allclose(engine.function([x], graph.outputs)(batch)[0], engine.function([x], out)(batch))
    place = "/".join(["loop"] * depth + ["AbstractBatchNormTrain"])
    for average in averages:
        with pytest.raises(ValueError, match=f"{place}.*running average.*Leave the running"):
            InferenceGraph([x], [out, 2 * average])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_derivative_through_one_is_refused(depth: int) -> None:
    x, w = input_of(2 + depth), engine.shared(GAMMA, name="w")
    y = in_loops(lambda x: train(x * w, GAMMA, BETA)[0], x, depth)
    for gradient in engine.grad((y**2).sum(), [w, x]):
        with pytest.raises(ValueError, match="derivative of the training graph"):
            InferenceGraph([x], [y, gradient])


def test_gradient_of_the_inference_graph_is_its_slope() -> None:
    x, w = input_of(3), engine.shared(GAMMA, name="w")
    y = in_loops(lambda x: train(x * w, GAMMA, BETA)[0], x, 1)
    graph = InferenceGraph([x], y)
    (batch, *_) = batches_of(1, 3)
    population = graph.estimate([[batch]])
    slope = engine.function([x], engine.grad(graph.outputs.sum(), w))(batch)
    (_, variance) = population
    factors = GAMMA / np.sqrt(population[variance] + EPSILON)
    assert_allclose(slope, (batch * factors[:, None]).sum(axis=(0, 1)))
