"""No update by statistics of a batch runs at prediction, and none at all in functions of ours."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import (
    InferenceGraph,
    UnmarkedStatistic,
    batch_normalize,
    estimate_population,
    export_statistics,
    get_inference_graph,
    mark_statistic,
    replace_statistics,
)
from engine import Variable
from engine import tensor as at

# PyTensor still runs them.
pytestmark = pytest.mark.filterwarnings("ignore:Setting default_update:DeprecationWarning")
UNITS = 3
DEPTHS = [0, 1, 2]


def bn(x: Variable, label: str = "bn") -> Variable:
    return batch_normalize(x, 1.0, 0.0, label=label)


def running(value: Any = 0.5) -> Variable:
    return engine.shared(np.full(UNITS, value), "running")


def in_loops(layer: Callable[[Variable], Variable], x: Variable, depth: int) -> Variable:
    if depth == 0:
        return layer(x)
    return engine.scan(lambda x_t: in_loops(layer, x_t, depth - 1), sequences=x, name="loop")


def input_of(depth: int) -> Variable:
    return at.TensorType("float64", (None,) * (depth + 2))("x")


def batch_of(depth: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, size=(*(2, 4)[:depth], 5, UNITS))


def last(x: Variable) -> Variable:
    """The last step of all loops."""
    while x.ndim > 1:
        x = x[-1]
    return x


# ---- what an update may be computed from: functions of the input, in `depth` loops


def marked(x: Variable, depth: int) -> Variable:
    return last(in_loops(lambda x: mark_statistic(x.mean(axis=0), "m"), x, depth))


def raw_value_of_the_mark(x: Variable, depth: int) -> Variable:
    mean = x.mean(axis=tuple(range(depth + 1)))
    return mean + 0 * mark_statistic(mean, "m").sum()


def unmarked(x: Variable, depth: int) -> Variable:
    return last(in_loops(lambda x: x.mean(axis=0), x, depth))


def unmarked_variance(x: Variable, depth: int) -> Variable:
    return last(in_loops(lambda x: x.var(axis=0), x, depth))


def behind_a_normalization(x: Variable, depth: int) -> Variable:
    """As the last state of an example is."""
    return last(in_loops(bn, x, depth))


def tagged(x: Variable, depth: int) -> Variable:
    def layer(x: Variable) -> Variable:
        mean = x.mean(axis=0)
        mean.tag.bn_statistic, mean.tag.bn_label = True, "m"
        return 2 * mean

    return last(in_loops(layer, x, depth))


def derivative(x: Variable, depth: int) -> Variable:
    w = engine.shared(np.ones(UNITS))
    gradient: Variable = engine.grad((in_loops(lambda x: bn(x * w), x, depth) ** 3).sum(), w)
    return gradient


BY_STATISTICS = [
    marked,
    raw_value_of_the_mark,
    unmarked,
    unmarked_variance,
    behind_a_normalization,
    tagged,
    derivative,
]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("statistic", BY_STATISTICS)
def test_default_update_by_a_statistic_is_refused_where_it_would_run(
    statistic: Callable[..., Variable], depth: int
) -> None:
    x, average = input_of(depth), running()
    average.default_update = 0.9 * average + 0.1 * statistic(x, depth)
    y = in_loops(lambda x: bn(x) + average, x, depth)
    match = "default update of shared variable 'running' .* Pass the update to the function"
    with pytest.raises(ValueError, match=match):
        InferenceGraph([x], y)
    exported = export_statistics(y)
    values = {s: at.TensorType("float64", v.type.shape)() for s, v in exported.items()}
    with pytest.raises(ValueError, match=match):
        replace_statistics(y, values)
    # Nothing runs it where nothing reads it.
    InferenceGraph([x], in_loops(bn, x, depth))


def test_default_update_is_refused_by_the_update_of_another_variable() -> None:
    x, average, other = input_of(0), running(), engine.shared(np.zeros(UNITS), "other")
    average.default_update = 0.9 * average + 0.1 * marked(x, 0)
    other.default_update = other + average
    with pytest.raises(ValueError, match=r"shared variable 'running' .*\['m'\]"):
        InferenceGraph([x], bn(x) + other)


def counter(x: Variable) -> Variable:
    n = engine.shared(np.float64(1), "n")
    n.default_update = n + 1
    return n


def number_of_examples(x: Variable) -> Variable:
    n = engine.shared(np.float64(1), "n")
    n.default_update = n + x.shape[-2].astype("float64")
    return n


def last_example(x: Variable) -> Variable:
    kept = engine.shared(np.ones(UNITS), "kept")
    kept.default_update = last(x)
    return kept


def stream_that_draws_by_statistics(x: Variable) -> Variable:
    stream = engine.stream(1)
    stream.default_update, noise = engine.normal(stream, (UNITS,))
    return noise + 0 * last(x)


HARMLESS = [counter, number_of_examples, last_example, stream_that_draws_by_statistics]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("read", HARMLESS)
def test_other_default_updates_stay(read: Callable[[Variable], Variable], depth: int) -> None:
    x = input_of(depth)
    graph = InferenceGraph([x], in_loops(bn, x, depth) + read(x))
    graph.estimate([[batch_of(depth)]])
    predict = engine.function([x], graph.outputs)
    once, again = predict(batch_of(depth)), predict(batch_of(depth))
    assert not np.allclose(once, again)  # the default update has run


def test_random_stream_whose_draw_depends_on_statistics_moves_on() -> None:
    x, stream = input_of(0), engine.stream(1)
    h = bn(x)
    stream.default_update, noise = engine.normal(stream, h.shape)
    graph = InferenceGraph([x], h + noise)
    graph.estimate([[batch_of(0)]])
    predict = engine.function([x], graph.outputs)
    expected = engine.function([x], h + noise)
    state = stream.get_value().bit_generator.state
    drawn = [predict(batch_of(0)) for _ in range(2)]
    assert not np.allclose(*drawn)
    stream.set_value(restored(state))
    assert_allclose(drawn, [expected(batch_of(0)) for _ in range(2)])


def restored(state: Any) -> np.random.Generator:
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    return generator


@pytest.mark.parametrize("depth", DEPTHS)
def test_functions_of_ours_run_no_updates(depth: int) -> None:
    x, n = input_of(depth), engine.shared(np.float64(1), "n")
    n.default_update = n + 1
    y = in_loops(lambda x: bn(x * n), x, depth)
    graph = InferenceGraph([x], y)
    batches = [[batch_of(depth, seed)] for seed in range(2)]
    graph.estimate(batches)
    graph.verify(batches[0], [depth])
    graph.gap(batches[0])
    estimate_population([x], export_statistics(y), batches)
    get_inference_graph([x], y, batches)
    assert n.get_value() == 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_estimates_run_no_update_by_statistics(depth: int) -> None:
    """The exported graph is one of batch statistics, and reads what only training may change."""
    x, average = input_of(depth), running(0.5)
    average.default_update = 0.9 * average + 0.1 * marked(x, depth)
    y = in_loops(lambda x: bn(x + average), x, depth)
    population = estimate_population([x], export_statistics(y), [[batch_of(depth)]] * 2)
    assert_allclose(average.get_value(), 0.5)
    (mean, _) = population
    assert_allclose(population[mean], batch_of(depth).mean(axis=depth) + 0.5)


@pytest.mark.parametrize("depth", DEPTHS)
def test_update_that_is_an_output_is_computed_from_the_population(depth: int) -> None:
    x, average = input_of(depth), running(0.5)
    means = in_loops(lambda x: mark_statistic(x.mean(axis=0), "m"), x, depth)
    y = in_loops(bn, x, depth)
    graph = InferenceGraph([x], [y, 0.9 * average + 0.1 * last(means)])
    batches = [batch_of(depth, seed) for seed in range(2)]
    graph.estimate([[b] for b in batches])
    outputs = graph.outputs
    predict = engine.function([x], outputs[0], updates=[(average, outputs[1])])
    predict(batches[0][..., :1, :])
    of_last_steps = np.mean([b[(-1,) * depth].mean(axis=0) for b in batches], axis=0)
    assert_allclose(average.get_value(), 0.9 * 0.5 + 0.1 * of_last_steps)


@pytest.mark.skipif(not engine.AESARA, reason="PyTensor's loops have no shared states")
def test_state_of_a_loop_that_is_a_shared_variable_is_rewritten() -> None:
    x, average = input_of(1), running(0.5)

    def step(x_t: Variable) -> Any:
        mean = mark_statistic(x_t.mean(axis=0), "m")
        return x_t - mean + average, {average: 0.9 * average + 0.1 * mean}

    y, updates = engine.module.scan(step, sequences=x)
    graph = InferenceGraph([x], [y, *updates.values()])
    batches = [batch_of(1, seed) for seed in range(2)]
    graph.estimate([[b] for b in batches])
    outputs = graph.outputs
    predict = engine.function([x], outputs[0], updates=[(average, outputs[1])])
    one = batches[0][:, :1]
    computed = predict(one)
    state, means = np.full(UNITS, 0.5), np.mean([b.mean(axis=1) for b in batches], axis=0)
    for x_t, mean, y_t in zip(one, means, computed, strict=True):
        assert_allclose(y_t, x_t - mean + state)
        state = 0.9 * state + 0.1 * mean
    assert_allclose(average.get_value(), state)


@pytest.mark.skipif(not engine.AESARA, reason="PyTensor's loops have no shared states")
def test_default_update_inside_a_step_is_rewritten_and_not_refused() -> None:
    """Of a variable that is made in there, which becomes a state of the loop."""
    x = input_of(1)

    def step(x_t: Variable) -> Variable:
        average, mean = running(0.5), mark_statistic(x_t.mean(axis=0), "m")
        average.default_update = 0.9 * average + 0.1 * mean
        return x_t - mean + average

    y, updates = engine.module.scan(step, sequences=x)
    (average,) = updates
    graph = InferenceGraph([x], [y, *updates.values()])
    graph.estimate([[batch_of(1)]])
    outputs = graph.outputs
    predict = engine.function([x], outputs[0], updates=[(average, outputs[1])])
    predict(2 * batch_of(1))
    state = np.full(UNITS, 0.5)
    for mean in batch_of(1).mean(axis=1):
        state = 0.9 * state + 0.1 * mean
    assert_allclose(average.get_value(), state)


@pytest.mark.skipif(not engine.AESARA, reason="PyTensor has no such op")
@pytest.mark.parametrize("depth", [0, 1])
def test_running_averages_of_the_engine_are_refused_as_default_updates(depth: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from aesara.tensor.nnet.batchnorm import batch_normalization_train as train
    x, average = input_of(depth), running()
    variance = engine.shared(np.ones(UNITS))

    def layer(x: Variable) -> list[Variable]:
        outputs = train(
            x, np.ones(UNITS), np.zeros(UNITS), running_mean=average, running_var=variance
        )
        return [outputs[0], outputs[3]]

    y, new = layer(x) if depth == 0 else engine.scan(layer, sequences=x)
    average.default_update = new if depth == 0 else new[-1]
    InferenceGraph([x], y)  # which does not read the running averages
    with pytest.raises(ValueError, match=r"default update .*AbstractBatchNormTrain"):
        InferenceGraph([x], y - average)


def test_unmarked_update_is_refused_before_it_is_warned_about() -> None:
    x, average = input_of(0), running()
    average.default_update = 0.9 * average + 0.1 * x.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnmarkedStatistic)
        with pytest.raises(ValueError, match=r"statistics of the batch, \['mean \(sum over"):
            InferenceGraph([x], bn(x) + average)
