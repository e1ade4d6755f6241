"""What `verify` and `gap` say of right graphs, and of wrong ones."""

import re
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import (
    InferenceGraph,
    NotChecked,
    UnmarkedStatistic,
    batch_normalize,
    mark_moments,
    mark_statistic,
)
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


def of_several_lengths(n_steps: int, n: int = 5) -> dict[str, np.ndarray]:
    mask = np.arange(n_steps)[:, None] < n_steps - np.arange(n) % 2
    return {**batch(n_steps, n), "mask": mask.astype(float)}


AXES = {"x": 1, "mask": 1}


@pytest.fixture(scope="module")
def right() -> InferenceGraph:
    graph = graph_of(marked)
    graph.estimate([batch(4), batch(7)])
    return graph


def test_right_graph_is_checked_at_the_longest_length_seen_and_beyond(
    right: InferenceGraph,
) -> None:
    expected = """\
output  structure  rows  size  order  longer  after until
y             yes   yes   yes    yes     yes            -
cost          yes   yes   yes    yes     yes            -
axes of examples: x 1, mask 1
longer: batches of 7 and 8 steps"""
    for values, axes in (
        (of_several_lengths(4), None),
        (of_several_lengths(4), AXES),
        (tuple(of_several_lengths(4).values()), (1, 1)),
        (of_several_lengths(4), {"x": -2, "mask": -1}),
    ):
        result = right.verify(values, axes)
        assert repr(result) == expected
        assert bool(result) is True
        assert result.not_checked() == []


def test_without_a_batch_the_structure_alone_is_checked(right: InferenceGraph) -> None:
    result = right.verify()
    assert (
        repr(result)
        == """\
output  structure  rows  size  order  longer  after until
y             yes    no    no     no      no            -
cost          yes    no    no     no      no            -
not checked:
  y: rows, size, order, longer: there was no batch to compute.
  cost: rows, size, order, longer: there was no batch to compute."""
    )
    assert bool(result) is False


def test_what_could_not_be_checked_is_said_and_warned_about() -> None:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    y = rnn(x, mask, marked)
    total = (y.sum(axis=1) * mask[-1]).sum() / mask[-1].sum()  # a mean with weights
    y.name, total.name = "y", "total"
    graph = InferenceGraph([x, mask], [y, total])
    graph.estimate([batch(4)])
    values = batch(4)
    values["mask"][2:, 1] = 0
    with pytest.warns(
        NotChecked, match=r"checked:\n  total: rows, size, order, longer: it has no"
    ) as w:
        result = graph.verify(values)
    assert w[0].filename == __file__
    assert bool(result) is False
    (line,) = result.not_checked()
    assert line.startswith("total: rows, size, order, longer: it has no axis of examples")
    assert repr(result).splitlines()[1:3] == [
        "y             yes   yes   yes    yes     yes            -",
        "total         yes    no    no     no      no            -",
    ]
    assert repr(result).endswith(f"not checked:\n  {line}")


def test_axis_of_the_examples_is_told_by_its_size_if_the_graph_says_nothing() -> None:
    x, y = at.dmatrix("x"), at.lvector("y")
    # A mean that is no reduction, but added up by a loop over the examples.
    total = engine.scan(lambda x_i, total: total + x_i, [x], at.zeros_like(x[0]))[-1]
    graph = InferenceGraph([x, y], x - mark_statistic(total / x.shape[0], "mean") + y[:, None])
    values = (RNG.normal(size=(5, 3)), np.arange(5))
    graph.estimate([values])
    with pytest.warns(NotChecked, match=r"guessed \(x 0, y 0\).*: say with batch_axes"):
        result = graph.verify(values)
    assert result.outputs[0].checks["rows"] == "yes"
    assert not result
    assert graph.verify(values, (0, 0))
    square = (RNG.normal(size=(5, 5)), np.arange(5))
    with pytest.raises(ValueError, match=r"can't be told .*'x': \(5, 5\).*Say so with batch_axes"):
        graph.verify(square)
    graph.estimate([square])
    assert graph.verify(square, (0, 0))


def test_axes_of_the_examples_that_the_graph_leaves_open_must_be_told() -> None:
    x = at.dtensor3("x")
    graph = InferenceGraph([x], batch_normalize(x, 1.0, 0.0, axis=(0, 1), label="sequence-wise"))
    values = RNG.normal(size=(2, 5, 3))
    graph.estimate([(values,)])
    with pytest.raises(ValueError, match=r"can't be told .*'x': \(2, 5, 3\).*Say so with batch_a"):
        graph.verify((values,))
    for axis in (0, 1):  # either would be right
        assert graph.verify((values,), (axis,))


def test_axes_of_the_examples_must_be_axes_of_one_size(right: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"have sizes \[4, 5\], for batch_axes \{'x': 1"):
        right.verify(batch(4), {"x": 1, "mask": 0})
    with pytest.raises(ValueError, match=r"batch_axes does not fit .* missing \['mask'\]"):
        right.verify(batch(4), {"x": 1})
    with pytest.raises(ValueError, match="two examples or more"):
        right.verify(batch(4, n=1), AXES)
    for axis in (2, -3, 0.5, True, "1"):
        with pytest.raises(
            ValueError, match=rf"batch_axes has {axis!r} for input 'mask', .* 2 axes"
        ):
            right.verify(batch(4), {"x": 1, "mask": axis})


def test_equal_examples_show_nothing(right: InferenceGraph) -> None:
    same = {"x": np.ones((4, 5, 3)), "mask": np.ones((4, 5))}
    with pytest.raises(ValueError, match="all examples of the batch are the same"):
        right.verify(same, AXES)


def test_statistic_that_was_not_marked_is_found_by_data() -> None:
    with pytest.warns(UnmarkedStatistic):
        graph = graph_of(lambda x: marked(x) - 0.1 * x.std(axis=0))
    graph.estimate([batch(4), batch(7)])
    assert graph.verify().outputs[0].checks["structure"] == "yes"
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
    graph = InferenceGraph([x], at.square(x - mark_statistic(x.mean(axis=0), "mean")).prod())
    values = RNG.normal(size=(4, 2))
    graph.estimate([(values,)])
    with pytest.raises(
        ValueError, match=r"nothing of \['output 0'\] .* it has no axis of examples"
    ):
        graph.verify((values,), (0,))


def test_graph_that_does_not_run_longer_is_refused() -> None:
    x = at.dtensor3("x")
    weights = engine.shared(np.ones((7, 1, 1)), shape=(None, 1, 1))
    y = engine.scan(lambda x_t: x_t - mark_statistic(x_t.mean(axis=0), "mean"), [x])
    positions = at.concatenate([weights, weights[:1] * 0])[: x.shape[0]]
    graph = InferenceGraph([x], y * positions)
    graph.estimate([(batch(7)["x"],)])
    assert graph.verify((batch(4)["x"],), (1,)).lengths == ([7], [8])
    graph.estimate([(batch(8)["x"],)])
    with pytest.raises(RuntimeError, match=r"can't be computed for a batch of \[9\] steps"):
        graph.verify((batch(4)["x"],), (1,))


def test_both_time_axes_of_nested_loops_are_made_longer() -> None:
    x = at.dtensor4("x")
    y = engine.scan(lambda x_s: engine.scan(marked, [x_s]), [x])
    graph = InferenceGraph([x], y)
    values = RNG.normal(size=(2, 4, 5, 3))
    graph.estimate([(values,), (RNG.normal(size=(6, 7, 5, 3)),)])
    result = graph.verify((values,), (2,))
    assert result.lengths == ([6, 7], [7, 8])
    assert repr(result).endswith("longer: batches of 6 x 7 and 7 x 8 steps")


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
    with pytest.warns(NotChecked, match="output 0: size, order: noise is drawn for each place"):
        (output,) = graph.verify((values,), (1,)).outputs
    assert dict(output.checks) == {
        **dict.fromkeys(("structure", "rows", "longer"), "yes"),
        **dict.fromkeys(("size", "order"), "no"),
        "after until": "-",
    }


def test_verify_needs_a_population_for_data_only() -> None:
    graph = graph_of(marked)
    assert graph.verify().outputs[1].checks["structure"] == "yes"
    with pytest.raises(RuntimeError, match="no population statistics yet"):
        graph.verify(batch(4), AXES)


def test_gap_is_that_of_the_outputs(
    right: InferenceGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    values = batch(4)
    result = right.gap(values)
    assert capsys.readouterr().out == ""
    header, y, cost = repr(result).splitlines()
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
    of_y = result.outputs[0]
    assert (of_y.label, of_y.shape) == ("y", (5, 3))
    np.testing.assert_allclose(
        [of_y.rms, of_y.rms_difference, of_y.relative, of_y.greatest],
        [rms, gap, gap / rms, difference.max()],
    )


def test_there_is_no_gap_on_the_only_batch_of_the_estimate() -> None:
    graph = graph_of(marked)
    graph.estimate([batch(4)])
    values = batch(4)
    graph.estimate([values])
    _, y, _ = repr(graph.gap(values)).splitlines()
    assert float(y.split()[5]) < 1e-12


def test_gap_of_complex_outputs_is_that_of_their_distance() -> None:
    x = at.dmatrix("x")
    y = x - mark_statistic(x.mean(axis=0), "mean")
    graph = InferenceGraph([x], [y * at.constant(3 + 4j), y])
    graph.estimate([(np.zeros((2, 1)),)])
    values = np.array([[1.0], [3.0]])
    rotated, plain = graph.gap((values,)).outputs
    np.testing.assert_allclose(rotated.rms, 5 * plain.rms)
    np.testing.assert_allclose([plain.rms, plain.rms_difference, plain.greatest], [1, 2, 2])
    np.testing.assert_allclose([rotated.rms_difference, rotated.greatest], [10, 10])


# ---- what can't be checked is said


def test_noise_that_is_the_same_for_all_places_is_checked() -> None:
    x = at.dmatrix("x")
    stream = engine.stream(0)
    _, noise = engine.normal(stream, (3,))
    graph = InferenceGraph([x], (x - mark_statistic(x.mean(axis=0), "mean")) * noise)
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values,)])
    assert graph.verify((values,))


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")  # told of, too
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_graph_for_one_number_of_examples_is_checked_for_it(depth: int) -> None:
    def graph_with(start: Any, leak: float) -> InferenceGraph:
        x = at.TensorType("float64", (None,) * (depth + 2))("x")
        y = in_loops(depth, lambda x_t: marked(x_t) + start - leak * x_t.mean(axis=0), x)
        return InferenceGraph([x], y)

    start = engine.shared(np.ones((4, 3)), "start")
    values = RNG.normal(size=(*[2] * depth, 4, 3))
    graph = graph_with(start, 0.0)
    graph.estimate([(values,)])
    with pytest.warns(
        NotChecked, match=r"size: the outputs can't be computed for [15] examples in"
    ):
        (output,) = graph.verify((values,)).outputs
    assert [output.checks[c] for c in ("rows", "size", "order")] == ["yes", "no", "yes"]
    graph = graph_with(start, 0.1)
    graph.estimate([(values,)])
    with pytest.raises(RuntimeError, match="other examples of its batch"):
        graph.verify((values,))
    # A parameter for each place makes the order matter.
    graph = graph_with(engine.shared(np.arange(12.0).reshape(4, 3), "start"), 0.0)
    graph.estimate([(values,)])
    with pytest.raises(RuntimeError, match=r"place in the batch .* a parameter for each place"):
        graph.verify((values,))


def in_loops(depth: int, layer: Any, x: Variable) -> Variable:
    if not depth:
        return layer(x)
    return engine.scan(lambda x_t: in_loops(depth - 1, layer, x_t), [x])


def test_types_that_allow_one_number_of_examples_leave_nothing_out() -> None:
    x = at.TensorType("float64", (4, 3))("x")
    graph = InferenceGraph([x], marked(x))
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values,)])
    result = graph.verify((values,))
    assert result
    assert result.outputs[0].checks["size"] == "-"


def test_output_that_grows_in_another_way_is_not_checked() -> None:
    x = at.dmatrix("x")
    y = marked(x)
    with_start = at.concatenate([at.zeros_like(y[:1]), y], axis=0)
    graph = InferenceGraph([x], [y, with_start])
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values,)])
    with pytest.warns(NotChecked, match=r"output 1: rows, size, order: its shape does not grow"):
        graph.verify((values,))


def test_output_whose_shape_depends_on_values_is_not_checked() -> None:
    x, mask = at.dtensor3("x"), at.dmatrix("mask")
    y = rnn(x, mask, marked)
    steps = at.tanh(x) * (1 + 0 * y)
    graph = InferenceGraph([x, mask], [y, steps[mask.nonzero()]])  # of all unmasked steps
    values = batch(4)
    graph.estimate([values])
    values["mask"][2:, 1:3] = 0
    with pytest.warns(NotChecked, match="output 1: rows.* its shape does not follow from the num"):
        result = graph.verify(values)
    assert result.outputs[0].checks["rows"] == "yes"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_nan_that_training_does_not_have_is_not_checked(depth: int) -> None:
    def layer(x: Variable) -> Variable:
        return x / at.sqrt(mark_statistic(x.var(axis=0), "variance"))

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], in_loops(depth, layer, x))
    values = RNG.normal(size=(*[2] * depth, 4, 3))
    (statistic,) = graph.statistics
    graph.assign({statistic.name: np.broadcast_to([-1.0, 1.0, 1.0], (*[1] * depth, 3))})
    n = 4 * 3 * 2**depth
    match = f"rows.*: {n // 3} of its {n} elements are NaN where the training graph has numbers"
    with pytest.warns(NotChecked, match=match):
        (output,) = graph.verify((values,)).outputs
    assert output.checks["rows"] == "no"
    graph.assign({statistic.name: -np.ones((*[1] * depth, 3))})
    with pytest.raises(ValueError, match=rf"nothing of .* {n} of its {n} elements are NaN"):
        graph.verify((values,))


def test_loop_that_examples_stop_but_that_never_stopped_is_not_checked() -> None:
    def stopping_at(level: float, x: Variable) -> Variable:
        def step(h: Variable) -> Any:
            h = at.tanh(h + marked(x))
            return h, engine.until(at.square(h).mean() > level)

        return engine.scan(step, outputs_info=at.zeros_like(x), n_steps=6)[-1]

    x = at.dmatrix("x")
    values = RNG.normal(size=(4, 3))
    for level, stops in ((99.0, False), (1e-9, True)):  # at the first step, whoever is there
        graph = InferenceGraph([x], stopping_at(level, x))
        graph.estimate([(values,)])
        if stops:
            match = r"when a loop that it is computed from stops, .* from inputs \['x'\]"
            with pytest.raises(RuntimeError, match=match):
                graph.verify((values,))
        else:
            with pytest.warns(NotChecked, match="after until: .* in this batch it took all of its"):
                graph.verify((values,))


def test_loops_that_can_not_be_made_longer_are_not_checked_for_it() -> None:
    x, positions = at.dtensor3("x"), engine.shared(np.ones((3, 1, 1)), shape=(None, 1, 1))
    graph = InferenceGraph([x], engine.scan(marked, [x + positions]))
    values = RNG.normal(size=(3, 4, 3))
    graph.estimate([(values,)])
    with pytest.warns(
        NotChecked, match="longer: the training graph can't be computed for more ste"
    ):
        graph.verify((values,))
    flat = at.dmatrix("flat")  # (batch, time x units)
    sequence = flat.reshape((flat.shape[0], -1, 3)).dimshuffle(1, 0, 2)
    graph = InferenceGraph([flat], engine.scan(marked, [sequence], name="of_flat"))
    graph.estimate([(values.reshape(4, 9),)])
    with pytest.warns(
        NotChecked, match=r"which axes of the inputs make the loops \['of_flat'\] lo"
    ):
        graph.verify((values.reshape(4, 9),))


def test_loop_of_a_given_number_of_steps_is_made_longer_by_this_number() -> None:
    x, n = at.dmatrix("x"), at.lscalar("n")
    h = engine.scan(lambda h: at.tanh(marked(h + x)), outputs_info=x, n_steps=n)
    graph = InferenceGraph([x, n], h[-1])
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values, 3), (values, 5)])
    assert graph.verify((values, 2)).lengths == ([5], [6])


def test_structure_does_not_ask_for_what_only_statistics_read() -> None:
    x = at.dmatrix("x")
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "bn")
    for output, left_out in (
        (x - mean, "bn.variance"),
        (x / variance, "bn.mean"),
        (x - mark_statistic(variance.sum(), "total"), "bn.variance"),
    ):
        graph = InferenceGraph([x], output)
        assert left_out in [s.name for s in graph.statistics]
        assert graph.verify().outputs[0].checks["structure"] == "yes"
        graph.outputs = [x]
        with pytest.raises(RuntimeError, match="do not depend on") as error:
            graph.verify()
        assert left_out not in str(error.value)


def test_gap_of_outputs_of_any_type() -> None:
    x = at.dmatrix("x")
    y = x - mark_statistic(x.mean(axis=0), "mean")
    outputs = [y > 0, at.argmax(y, axis=1), engine.sparse.csr_from_dense(y)]
    graph = InferenceGraph([x], outputs)
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values + 1,)])
    batch, population = values - values.mean(axis=0), values - values.mean(axis=0) - 1
    truth = [(batch > 0, population > 0), (batch.argmax(1), population.argmax(1))]
    truth.append((batch, population))
    for gap, (a, b) in zip(graph.gap((values,)).outputs, truth, strict=True):
        a, b = a.astype(float), b.astype(float)
        expected = [np.sqrt((a**2).mean()), np.abs(a - b).max()]
        np.testing.assert_allclose([gap.rms, gap.greatest], expected)


# ---- outputs that are decided by numbers


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "decide",
    [
        lambda z: z.argmax(axis=-1),
        lambda z: at.gt(z, 0),
        lambda z: at.cast(z, "int64"),
        lambda z: at.switch(at.gt(z[..., 0], z[..., 1]), 1, 0),
    ],
)
@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
def test_numbers_that_classes_are_decided_by_are_compared(decide: Any, depth: int) -> None:
    values = RNG.normal(size=(*[2] * depth, 6, 3))
    for leak in (0.0, 1e-5):  # which changes no class of these
        x = at.TensorType("float64", (None,) * (depth + 2))("x")
        z = in_loops(depth, lambda x_t, leak=leak: marked(x_t) + leak * x_t.max(axis=0), x)
        graph = InferenceGraph([x], decide(z))
        graph.estimate([(values,)])
        assert len(graph.gap((values,)).outputs) == 1
        if leak:
            with pytest.raises(RuntimeError, match="what decides "):
                graph.verify((values,))
        else:
            first, *others = (output.label for output in graph.verify((values,)).outputs)
            assert {*others} == {f"what decides {first}"}


# ---- what verify and gap leave as it is, and take as estimates do


@pytest.mark.filterwarnings("ignore:Setting default_update:DeprecationWarning")
def test_default_updates_are_not_run() -> None:
    x = at.dmatrix("x")
    counter, state = engine.shared(np.asarray(1.0), "counter"), engine.shared(np.ones((4, 3)), "s")
    counter.default_update, state.default_update = 2 * counter, state / 2 + x
    graph = InferenceGraph([x], [marked(x) * counter, marked(x) + state])
    values = RNG.normal(size=(4, 3))
    graph.estimate([(values,)])
    graph.gap((values,))
    with pytest.warns(NotChecked, match="size"):
        graph.verify((values,), (0,))
    assert counter.get_value() == 1
    assert (state.get_value() == 1).all()


def test_values_are_converted_as_by_compiled_functions() -> None:
    x, rate, k = at.fmatrix("x"), at.fscalar("rate"), at.iscalar("k")
    graph = InferenceGraph([x, rate, k], rate * marked(x) + k)
    values = RNG.normal(size=(5, 3)).astype("float32")
    batch = {"x": values, "rate": 0.5, "k": 2}
    graph.estimate([batch])
    assert graph.verify(batch)
    assert graph.verify({**batch, "x": values.round(1).tolist()})


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-4), ("float64", 1e-10)])
def test_examples_that_are_nearly_the_same_show_nothing(dtype: str, near: float) -> None:
    x = at.TensorType(dtype, (None, None))("x")
    graph = InferenceGraph([x], marked(x))
    graph.estimate([(RNG.normal(size=(5, 3)).astype(dtype),)])
    with pytest.raises(ValueError, match="the same, or nearly"):
        graph.verify(((1 + near * RNG.normal(size=(5, 3))).astype(dtype),))


def test_axes_that_are_a_guess_are_told_in_errors_too() -> None:
    x, w = at.dtensor3("x"), at.dvector("w")
    graph = InferenceGraph([x, w], batch_normalize(x, 1.0, 0.0, axis=(0, 1)) * w)
    values = RNG.normal(size=(6, 5, 3)), RNG.normal(size=3)
    graph.estimate([values])
    with pytest.raises(RuntimeError, match=r"guessed \(x 2, w 0\).*: say with batch_axes"):
        graph.verify(values)
    assert graph.verify(values, (1, None))


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
def test_axis_that_only_inputs_speak_for_is_a_guess() -> None:
    x, w = at.dtensor3("x"), at.dvector("w")
    normalized = batch_normalize(x, 1.0, 0.0, axis=(0, 1))
    y = (normalized - x.mean(axis=1, keepdims=True)) * w[:, None, None]
    graph = InferenceGraph([x, w], y)
    values = RNG.normal(size=(6, 5, 3)), RNG.normal(size=6)
    graph.estimate([values])
    with pytest.warns(NotChecked, match=r"guessed \(x 0, w 0\)"):
        assert not graph.verify(values)
    with pytest.raises(RuntimeError, match="other examples of its batch"):
        graph.verify(values, (1, None))


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_input_that_is_the_same_for_all_examples_shows_nothing_of_itself(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    mask = at.dvector("mask")
    y = in_loops(depth, marked, x) / mask.mean()
    graph = InferenceGraph([x, mask], y)
    values = RNG.normal(size=(*[3] * depth, 5, 4))
    graph.estimate([(values, np.ones(5))])
    with pytest.warns(NotChecked, match=r"Inputs \['mask'\] are the same for all examples"):
        assert not graph.verify((values, np.ones(5)), (depth, 0))
    with pytest.raises(RuntimeError, match="other examples of its batch"):
        graph.verify((values, np.arange(5) + 1.0), (depth, 0))


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic", "ignore::bnrewrite.FewElements")
@pytest.mark.parametrize("units", [16, 128])
@pytest.mark.parametrize("leak", [lambda h: abs(h).max(), lambda h: at.sqrt((h**2).mean())])
def test_unit_that_is_nothing_but_rounding_hides_no_other(leak: Any, units: int) -> None:
    x = at.dmatrix("x")
    h = batch_normalize(x, 1.0, 0.0, epsilon=1e-5)
    batches = [RNG.normal(size=(32, units)) for _ in range(3)]
    for values in batches:
        values[:, 0] = 0.3
    graph = InferenceGraph([x], h / leak(h))
    graph.estimate([(values,) for values in batches[1:]])
    with pytest.raises(RuntimeError, match="other examples of its batch"):
        graph.verify((batches[0],))
