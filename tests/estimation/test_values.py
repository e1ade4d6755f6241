"""Values that are no statistics are refused, all of them at once, and nothing is changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import (
    InferenceGraph,
    batch_normalize,
    export_statistics,
    mark_moments,
    mark_statistic,
)
from engine import Variable
from engine import tensor as at

DEPTHS = [0, 1, 2]


def in_loops(
    depth: int, body: Callable[..., Variable], dtype: str = "float64", mask: str = ""
) -> InferenceGraph:
    """The body in `depth` loops, over (time axes, examples, units), and (time axes, examples)."""
    inputs = [at.TensorType(dtype, (None,) * (depth + 2))("x")]
    if mask:
        inputs.append(at.TensorType(mask, (None,) * (depth + 1))("mask"))
    for _ in range(depth):
        body = (lambda inner: lambda *v: engine.scan(inner, v, name="loop"))(body)
    return InferenceGraph(inputs, body(*inputs))


def draw(depth: int, n: int = 5, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*(2, 3)[:depth], n, 2)).astype(dtype)


def normalized(x: Variable, *mask: Variable) -> Variable:
    return batch_normalize(x, 1.0, 0.0, label="bn", mask=mask[0] if mask else None)


# ---- assigned

BAD: list[tuple[Any, str]] = [
    (lambda v: v + 1e300, "too large for float32: {} has 1e+300"),
    (lambda v: v.astype("longdouble") * np.finfo("float64").max, "too large for float32: {}"),
    (lambda v: v + 0j, "not finite numbers: {} is of dtype complex128"),
    (lambda v: v * np.nan, "not finite numbers: {}"),
    (lambda v: np.ma.masked_greater(v, v.min()), "masked: {} has values behind a mask"),
    (lambda v: v.astype("datetime64[s]"), "not finite numbers: {} is of dtype datetime64[s]"),
    (lambda v: v.astype("timedelta64[s]"), "not finite numbers: {} is of dtype timedelta64[s]"),
    (lambda v: v.astype(object), "not finite numbers: {} is of dtype object"),
    (lambda v: v > 0, "not finite numbers: {} is of dtype bool"),
    (lambda v: v.astype(str), "not finite numbers: {} is of dtype <U"),
    (lambda v: v[..., None], "wrong shape: {} is"),
]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("case", range(len(BAD)))
def test_value_that_is_no_statistic_is_not_assigned(depth: int, case: int) -> None:
    spoil, message = BAD[case]
    graph = in_loops(depth, normalized, "float32")
    predict = engine.function(graph._inputs, graph.outputs)
    batch = draw(depth, dtype="float32")
    population = graph.estimate([(batch,)])
    before = predict(batch)
    mean, variance = population
    for name in (mean, variance):
        good = {k: np.asarray(v, "float64") + 1 for k, v in population.items()}
        with pytest.raises(ValueError, match=r"does not fit .* and nothing was assigned") as caught:
            graph.assign({**good, name: spoil(good[name])})
        lines = str(caught.value).splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("  " + message.format(name))
    assert (predict(batch) == before).all()
    assert graph.population is population


@pytest.mark.parametrize("depth", DEPTHS)
def test_negative_variance_is_not_assigned(depth: int) -> None:
    graph = in_loops(depth, normalized)
    population = graph.estimate([(draw(depth),)])
    mean, variance = population
    changed = {mean: -population[mean], variance: population[variance] * [1, -1]}
    with pytest.raises(ValueError, match=rf"\n  negative variance: {variance} has -\d\.\d+$"):
        graph.assign(changed)
    graph.assign({**changed, variance: population[variance] * 0})


def test_all_that_is_wrong_is_listed_at_once() -> None:
    x = at.fmatrix("x")
    parts = [batch_normalize(x + i, 1.0, 0.0, label=str(i)) for i in range(4)]
    graph = InferenceGraph([x], sum(parts))
    values: dict[str, Any] = {s.name: np.ones(2) for s in graph.statistics}
    values |= {"0.mean": [1e39, 0], "0.variance": [-1, 0], "1.mean": 1j, "1.variance": np.ones(())}
    values |= {"2.mean": np.ma.masked_all(2), "2.variance": None, "other": 1}
    del values["3.mean"]
    with pytest.raises(ValueError, match="nothing was assigned") as caught:
        graph.assign(values)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        "  missing",
        "  unexpected",
        "  too large for float32",
        "  negative variance",
        "  not finite numbers",
        "  wrong shape",
        "  masked",
        "  not finite numbers",
    ]


def test_numbers_of_any_real_type_are_assigned() -> None:
    x = at.fmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    predict = engine.function([x], graph.outputs)
    for value in ([1, 2], np.array([1, 2], "uint8"), (1.0, 2.0), np.array([1, 2], "float16")):
        graph.assign({"mean": value})
        assert predict(np.zeros((1, 2), "float32")).tolist() == [[-1, -2]]


def test_any_value_of_a_plain_statistic_may_be_negative() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "x.variance"))
    graph.assign({"x.variance": np.array([-1.0])})


# ---- estimated


@pytest.mark.parametrize("depth", DEPTHS)
def test_exchanged_moments_are_refused(depth: int) -> None:
    def body(x: Variable) -> Variable:
        variance, mean = mark_moments(x.var(axis=0), x.mean(axis=0), x.shape[0], "bn")
        return (x - mean) / at.sqrt(variance + 1)

    graph = in_loops(depth, body)
    message = rf"'{'loop/' * depth}bn.variance' is negative in batch 2: -.* the mean first"
    positive = np.abs(draw(depth))
    with pytest.raises(ValueError, match=message):
        graph.estimate([(positive,), (draw(depth) - 1,)])
    assert graph.population is None


@pytest.mark.parametrize("pooling", ["edge", "reached", "moments"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_variance_that_rounding_made_negative_counts_as_zero(depth: int, pooling: Any) -> None:
    def body(x: Variable) -> Variable:
        mean = x.mean(axis=0)
        variance = (x * x).mean(axis=0) - mean * mean
        mean, variance = mark_moments(mean, variance, x.shape[0], "bn")
        return (x - mean) / at.sqrt(variance + 1)

    graph = in_loops(depth, body, "float32")
    constant = np.array([1234.567, 0.3], "float32")
    batch = draw(depth, 7, "float32")
    batch[..., 0] = constant[0]
    raw = graph._estimator._function(batch)
    sources = {s.name: raw[s.index] for s in graph._estimator._sources}
    name = "loop/" * depth + "bn.variance"
    assert name in sources
    population = graph.estimate([(batch,)], pooling=pooling)
    assert population[name].min() >= 0
    assert_allclose(population[name][..., 1], batch[..., 1].var(axis=-1), rtol=1e-4)
    allowed = np.maximum(sources[name][..., 0], 0)
    assert_allclose(population[name][..., 0], allowed, rtol=1e-6)
    graph.assign(dict(population))


def test_small_negative_variance_of_small_values_is_no_rounding() -> None:
    x, variance = at.dmatrix("x"), at.dvector("variance")
    mean, marked = mark_moments(x.mean(axis=0), variance, x.shape[0], "bn")
    graph = InferenceGraph([x, variance], (x - mean) / at.sqrt(marked + 1))
    values = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match=r"'bn.variance' is negative in batch 1: -1e-06"):
        graph.estimate([(values, np.array([-1e-6, 1]))])
    size = np.square(values.mean(axis=0)).max()
    population = graph.estimate([(values, np.array([-1e-16 * size, 1]))])
    assert population["bn.variance"].tolist() == [0, 1]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize("weight", [2, -1, 0.5, np.nan])
def test_weights_that_are_no_mask_are_refused(depth: int, dtype: str, weight: float) -> None:
    if dtype == "int64" and weight != int(np.nan_to_num(weight, nan=0.5)):
        pytest.skip("no integer")
    graph = in_loops(depth, normalized, mask=dtype)
    batch, mask = draw(depth), np.ones(draw(depth).shape[:-1], dtype)
    graph.estimate([(batch, mask)])
    mask[(0,) * depth + (1,)] = 0
    graph.estimate([(batch, mask)])
    mask[(-1,) * depth + (2,)] = weight
    message = rf"count of '{'loop/' * depth}bn.mean' in batch 2 .* other values than 0 and 1"
    with pytest.raises(ValueError, match=message):
        graph.estimate([(batch, np.ones_like(mask)), (batch, mask)])


@pytest.mark.parametrize("depth", DEPTHS)
def test_check_of_the_mask_costs_nothing_while_training(depth: int) -> None:
    def operations(mask: str) -> list[str]:
        graph = in_loops(depth, normalized, mask=mask)
        train = engine.function(graph._inputs, graph._batch_outputs, mode="FAST_COMPILE")
        graphs, nodes = [train.maker.fgraph], list[str]()
        for fgraph in graphs:
            for node in fgraph.apply_nodes:
                nodes.append(str(node.op))
                graphs += [node.op.fgraph] if isinstance(node.op, engine.Scan) else []
        return nodes

    assert len(operations("float64")) - len(operations("bool")) <= 1  # a cast of the mask


def test_booleans_are_masks() -> None:
    graph = in_loops(1, normalized, mask="bool")
    batch = draw(1)
    mask = np.ones(batch.shape[:-1], bool)
    mask[:, 3:] = False
    population = graph.estimate([(batch, mask)])
    assert_allclose(population["loop/bn.mean"], batch[:, :3].mean(axis=1))
    assert population.count["loop/bn.mean"].tolist() == [3, 3]


@pytest.mark.parametrize("count", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("depth", DEPTHS)
def test_count_that_is_none_is_refused(depth: int, count: float) -> None:
    def body(x: Variable, mask: Variable) -> Variable:
        mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), mask.sum(), "bn")
        return (x - mean) / at.sqrt(variance + 1)

    graph = in_loops(depth, body, mask="float64")
    weights = np.full((*(2, 3)[:depth], 1), 5.0)
    graph.estimate([(draw(depth), weights)])
    with pytest.raises(ValueError, match=r"count of '.*bn.mean' in batch 1 is negative or not fi"):
        graph.estimate([(draw(depth), weights * count)])


@pytest.mark.parametrize("depth", DEPTHS)
def test_count_with_axes_that_do_not_fit_is_refused(depth: int) -> None:
    def body(x: Variable, mask: Variable) -> Variable:
        mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), mask, "bn")
        return (x - mean) / at.sqrt(variance + 1)

    graph = in_loops(depth, body, mask="float64")
    message = r"count of '.*bn.mean' in batch 1 has axes \(3,\) that do not broadcast to \(2,\)"
    with pytest.raises(ValueError, match=message):
        graph.estimate([(draw(depth), np.ones((*(2, 3)[:depth], 3)))])


def test_moments_marked_twice_stay_one_pair() -> None:
    x = at.dmatrix("x")
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), label="one")
    again = mark_moments(mean, variance, label="two")
    assert [s.name for s in export_statistics(list(again))] == ["two.mean", "two.variance"]
    with pytest.raises(ValueError, match="mean and variance are the same variable"):
        mark_moments(mean, mean.owner.inputs[0])
