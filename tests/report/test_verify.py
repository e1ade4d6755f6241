"""What `verify` and `gap` say of right graphs, and of wrong ones."""

import re
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import InferenceGraph, UnmarkedStatistic, batch_normalize, mark_statistic
from engine import Variable
from engine import tensor as at

RNG = np.random.default_rng(0)


def rnn(x: Variable, mask: Variable, normalize: Any) -> Variable:
    def step(x_t: Variable, m_t: Variable, h: Variable) -> Variable:
        return at.switch(m_t[:, None] > 0, at.tanh(normalize(x_t + h)), h)

    return engine.scan(step, [x, mask], at.zeros_like(x[0]), name="rnn")[-1]


def marked(x: Variable) -> Variable:
    return batch_normalize(x, 1.0, 0.0, label="bn")


def graph_of(normalize: Any) -> InferenceGraph:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    y = rnn(x, mask, normalize)
    y.name = "y"
    cost = y.mean()
    cost.name = "cost"
    return InferenceGraph([x, mask], [y, cost])


def batch(n_steps: int, n: int = 5) -> dict[str, np.ndarray]:
    return {"x": RNG.normal(size=(n_steps, n, 3)), "mask": np.ones((n_steps, n))}


AXES = {"x": 1, "mask": 1}


@pytest.fixture(scope="module")
def right() -> InferenceGraph:
    graph = graph_of(marked)
    graph.estimate([batch(4), batch(7)])
    return graph


def test_right_graph_is_checked_at_the_longest_length_seen_and_beyond(
    right: InferenceGraph,
) -> None:
    assert right.verify() == ["structure"]
    expected = ["structure", "examples of ['y']", "a batch of [7] steps", "a batch of [8] steps"]
    assert right.verify(batch(4), AXES) == expected
    assert right.verify(tuple(batch(4).values()), (1, 1)) == expected
    assert right.verify(batch(4), {"x": -2, "mask": -1}) == expected


def test_axis_of_the_examples_is_found_if_there_is_one_candidate() -> None:
    x, y = at.dtensor3("x"), at.lvector("y")
    z = engine.scan(marked, [x])
    graph = InferenceGraph([x, y], z[-1] + y[:, None])
    values = (RNG.normal(size=(2, 5, 3)), np.arange(5))
    graph.estimate([values])
    assert graph.verify(values)[1:] == [
        "examples of ['output 0']",
        "a batch of [2] steps",
        "a batch of [3] steps",
    ]


def test_axis_of_the_examples_must_be_told_if_there_are_several(right: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"can't be told .*'x': \(4, 5, 3\).*Say so with batch_a"):
        right.verify(batch(4))
    with pytest.raises(ValueError, match=r"have sizes \[4, 5\], for batch_axes \{'x': 1"):
        right.verify(batch(4), {"x": 1, "mask": 0})
    with pytest.raises(ValueError, match=r"batch_axes does not fit .* missing \['mask'\]"):
        right.verify(batch(4), {"x": 1})
    with pytest.raises(ValueError, match="two examples or more"):
        right.verify(batch(4, n=1), AXES)


def test_equal_examples_show_nothing(right: InferenceGraph) -> None:
    same = {"x": np.ones((4, 5, 3)), "mask": np.ones((4, 5))}
    with pytest.raises(ValueError, match="all examples of the batch are the same"):
        right.verify(same, AXES)


def test_statistic_that_was_not_marked_is_found_by_data() -> None:
    with pytest.warns(UnmarkedStatistic):
        graph = graph_of(lambda x: marked(x) - 0.1 * x.std(axis=0))
    graph.estimate([batch(4), batch(7)])
    assert graph.verify() == ["structure"]
    with pytest.raises(RuntimeError, match=r"y of example 0 changes by up to .* not marked"):
        graph.verify(batch(4), AXES)


def test_statistic_that_is_left_is_found_by_name(right: InferenceGraph) -> None:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    y = rnn(x, mask, marked)
    graph = InferenceGraph([x, mask], y)
    graph.outputs = [y, graph.outputs]
    with pytest.raises(RuntimeError, match=r"are left .*'rnn/bn.mean', 'rnn/bn.variance'"):
        graph.verify()
    graph.outputs = [x]
    with pytest.raises(RuntimeError, match=r"not depend on: \['rnn/bn.mean', 'rnn/bn.variance'\]"):
        graph.verify()


def test_statistic_that_lost_its_mark_is_found_by_identity() -> None:
    x = at.dmatrix("x")
    mean = mark_statistic(x.mean(axis=0), "mean")
    graph = InferenceGraph([x], x - mean)
    mean.tag.bn_statistic = False
    graph.outputs = [graph.outputs, x - mean]
    with pytest.raises(RuntimeError, match=r"batch statistics are left .*mean"):
        graph.verify()


def test_outputs_without_examples_can_not_be_checked() -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], at.square(x - mark_statistic(x.mean(axis=0), "mean")).mean())
    values = RNG.normal(size=(4, 2))
    graph.estimate([(values,)])
    with pytest.raises(ValueError, match=r"none of \['mean'\] has an axis of examples"):
        graph.verify((values,), (0,))


def test_graph_that_does_not_run_longer_is_refused() -> None:
    x = at.dtensor3("x")
    weights = engine.shared(np.ones((7, 1, 1)), shape=(None, 1, 1))
    y = engine.scan(lambda x_t: x_t - mark_statistic(x_t.mean(axis=0), "mean"), [x])
    positions = at.concatenate([weights, weights[:1] * 0])[: x.shape[0]]
    graph = InferenceGraph([x], y * positions)
    graph.estimate([(batch(7)["x"],)])
    assert graph.verify((batch(4)["x"],), (1,))[2:] == [
        "a batch of [7] steps",
        "a batch of [8] steps",
    ]
    graph.estimate([(batch(8)["x"],)])
    with pytest.raises(RuntimeError, match=r"can't be computed for a batch of \[9\] steps"):
        graph.verify((batch(4)["x"],), (1,))


def test_both_time_axes_of_nested_loops_are_made_longer() -> None:
    x = at.dtensor4("x")
    y = engine.scan(lambda x_s: engine.scan(marked, [x_s]), [x])
    graph = InferenceGraph([x], y)
    values = RNG.normal(size=(2, 4, 5, 3))
    graph.estimate([(values,), (RNG.normal(size=(6, 7, 5, 3)),)])
    assert graph.verify((values,), (2,))[2:] == [
        "a batch of [6, 7] steps",
        "a batch of [7, 8] steps",
    ]


def test_noise_is_no_difference_between_examples() -> None:
    x = at.dtensor3("x")
    stream = engine.stream(0)

    def step(x_t: Variable) -> tuple[list[Variable], engine.Updates]:
        moved, noise = engine.normal(stream, x_t.shape)
        return [marked(x_t) + noise], {stream: moved}

    (y,), updates = engine.noisy_scan(step, x, [None], [stream])
    graph = InferenceGraph([x], [y, *updates.values()])
    values = batch(4)["x"]
    graph.estimate([(values,)])
    assert graph.verify((values,), (1,))[1] == "examples of ['output 0']"


def test_verify_needs_a_population_for_data_only() -> None:
    graph = graph_of(marked)
    assert graph.verify() == ["structure"]
    with pytest.raises(RuntimeError, match="no population statistics yet"):
        graph.verify(batch(4), AXES)


def test_gap_is_that_of_the_outputs(
    right: InferenceGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    values = batch(4)
    right.gap(values)
    header, y, cost = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", header) == [
        "output", "shape", "rms with batch", "rms difference", "relative", "greatest",
    ]  # fmt: skip
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    batch_output = engine.function([x, mask], rnn(x, mask, marked))(*values.values())
    rms = np.sqrt(np.mean(batch_output**2))
    assert y.split()[:5] == ["y", "5", "x", "3", f"{rms:.4g}"]
    inference_output = engine.function(right._inputs, right.outputs[0])(*values.values())
    difference = np.abs(batch_output - inference_output)
    gap = np.sqrt(np.mean(difference**2))
    assert gap > 0.01
    assert y.split()[5:] == [f"{gap:.3g}", f"{gap / rms:.2%}", f"{difference.max():.3g}"]
    assert cost.split()[:2] == ["cost", "scalar"]


def test_there_is_no_gap_on_the_only_batch_of_the_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = graph_of(marked)
    graph.estimate([batch(4)])
    values = batch(4)
    graph.estimate([values])
    graph.gap(values)
    _, y, _ = capsys.readouterr().out.splitlines()
    assert float(y.split()[5]) < 1e-12
