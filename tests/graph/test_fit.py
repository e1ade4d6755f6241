"""A population that is not as long as the statistics in whose place it is, is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import zoo
from bnrewrite import (
    InferenceGraph,
    batch_normalize,
    export_statistics,
    mark_moments,
    mark_statistic,
    replace_statistics,
)
from bnrewrite.graph.engine import ancestors, function_without_updates
from bnrewrite.graph.export import export
from bnrewrite.graph.fit import CheckFit, _places
from bnrewrite.graph.formulas import AxisAt, Inside
from bnrewrite.graph.lengths import Lengths
from bnrewrite.graph.survey import survey
from engine import Variable
from engine import tensor as at

RNG = np.random.default_rng(0)
DEPTHS = [0, 1, 2]
MODES = [*engine.BOTH_MODES, *(["CVM"] if engine.config.cxx and not engine.AESARA else [])]


def in_loops(depth: int, body: Callable[[Variable], Variable], x: Variable) -> Variable:
    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
    return body(x)


def tensor(depth: int, ndim: int, name: str = "x") -> Variable:
    return at.TensorType("float64", (None,) * (depth + ndim))(name)


def normalized(x: Variable) -> Variable:
    return batch_normalize(x, 1.0, 0.0, label="bn")


def draw(depth: int, *shape: int) -> np.ndarray:
    return RNG.normal(size=((2, 4)[:depth] + shape))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("estimated", "predicted"), [(3, 1), (1, 3), (3, 2)])
def test_other_numbers_of_units_than_were_estimated_are_refused(
    depth: int, estimated: int, predicted: int
) -> None:
    x = tensor(depth, 2)
    graph = InferenceGraph([x], in_loops(depth, normalized, x))
    predict = engine.function([x], graph.outputs)
    graph.estimate([(draw(depth, 5, estimated),)])
    assert predict(draw(depth, 4, estimated)).shape[-1] == estimated
    message = (
        rf"population of '{'loop/' * depth}bn.(mean|variance)' has shape \({estimated},\), "
        rf"and this batch needs \({predicted},\)"
    )
    with pytest.raises(ValueError, match=message):
        predict(draw(depth, 4, predicted))
    graph.assign({name: value[..., :1] for name, value in graph.population.items()})  # type: ignore[union-attr]
    assert estimated == 1 or predict(draw(depth, 4, 1)).shape[-1] == 1


@pytest.mark.parametrize("depth", DEPTHS)
def test_assigned_population_of_another_graph_is_refused(depth: int) -> None:
    x = tensor(depth, 2)
    graph = InferenceGraph([x], in_loops(depth, normalized, x))
    graph.assign({s.name: np.ones((1,) * depth + (1,)) for s in graph.statistics})
    with pytest.raises(ValueError, match=r"has shape \(1,\), and this batch needs \(3,\)"):
        engine.function([x], graph.outputs)(draw(depth, 4, 3))


def over_time(x: Variable) -> Variable:
    """Normalize (time, batch, units) over time by mistake."""
    mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "bn")
    return (x - mean) / at.sqrt(variance + 1e-5)


@pytest.mark.parametrize("depth", DEPTHS)
def test_statistic_that_keeps_the_axis_of_the_examples_is_refused(depth: int) -> None:
    x = tensor(depth, 3)
    graph = InferenceGraph([x], in_loops(depth, over_time, x))
    predict = engine.function([x], graph.outputs)
    name = "loop/" * depth + "bn"
    message = (
        rf"'{name}.mean' has shape \(4, 3\) in batch 2, and had \(5, 3\) before: axis 0 has 4 "
        r"elements in place of 5. .* number of examples.* keeps their axis"
    )
    with pytest.raises(ValueError, match=message):
        graph.estimate([(draw(depth, 6, 5, 3),), (draw(depth, 6, 4, 3),)])
    graph.estimate([(draw(depth, 6, 5, 3),), (draw(depth, 7, 5, 3),)])
    assert predict(draw(depth, 8, 5, 3)).shape[-2:] == (5, 3)
    for n in (1, 4):
        message = rf"'{name}.(mean|variance)' has shape \(5, 3\), .* needs \({n}, 3\)\. .* average"
        with pytest.raises(ValueError, match=message):
            predict(draw(depth, 8, n, 3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_check_is_made_in_every_mode(depth: int, mode: str) -> None:
    x = tensor(depth, 3)
    graph = InferenceGraph([x], in_loops(depth, over_time, x))
    predict = engine.function([x], graph.outputs, mode=mode)
    batch = draw(depth, 6, 5, 3)
    graph.estimate([(batch,)])
    predict(batch)
    for shape, shown in (((6, 4, 3), r"\(4, 3\)"), ((6, 5, 1), r"\(5, 1\)")):
        with pytest.raises(ValueError, match=rf"has shape \(5, 3\), and this batch needs {shown}"):
            predict(draw(depth, *shape))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("static", [3, None])
@pytest.mark.parametrize("n", [1, 5])
def test_values_of_ones_own_have_the_units_of_the_statistic(
    depth: int, static: int | None, n: int
) -> None:
    x = at.TensorType("float64", (*[None] * (depth + 1), static))("x")
    y = in_loops(depth, lambda v: v - mark_statistic(v.mean(axis=0), "mean"), x)
    (statistic,) = export_statistics(y)
    wrong = np.zeros((*[1] * depth, n))
    value = tensor(depth, 1, "value")
    compute = engine.function([x, value], replace_statistics(y, {statistic: value}))
    with pytest.raises(ValueError, match=rf"mean' has shape \({n},\), and this batch needs \(3,\)"):
        compute(draw(depth, 4, 3), wrong)
    compute(draw(depth, 4, 3), wrong[..., :1].repeat(3, axis=-1))
    if static and not (engine.AESARA and depth):  # whose loops do not know the length inside
        with pytest.raises(TypeError, match=rf"mean' must have shape \(3,\) .* has \({n},\)"):
            replace_statistics(y, {statistic: at.constant(wrong)})


# ---- which lengths are known

LENGTHS_OF: dict[str, Callable[[Variable], Variable]] = {
    "input": lambda x: x,
    "product": lambda x: x @ engine.shared(np.ones((3, 4))),
    "sum": lambda x: at.tanh(2 * x + engine.shared(np.zeros(3))),
    "slice": lambda x: at.tanh(x)[:, 1:],
    "strides": lambda x: x[:, ::2],
    "joined": lambda x: at.concatenate([x, x[:, :1], x], axis=1),
    "reshaped": lambda x: at.tanh(x).reshape((x.shape[0], x.shape[1], 1))[:, :, 0],
    "flattened": lambda x: x.reshape((-1, x.shape[0], 3)).transpose((1, 0, 2)).flatten(2),
    "transposed": lambda x: (2 * x).T.T,
    "embedded": lambda x: engine.shared(np.eye(7)[:, :4])[x[:, 0].astype("int64") % 7],
    "filled": lambda x: at.zeros((x.shape[0], 2 * x.shape[1])) + x.mean(),
    "marked": lambda x: x - mark_statistic(x.mean(axis=0), "other"),
    "inside": lambda x: engine.scan(lambda r: at.tanh(r), [x], name="rows"),
}


@pytest.mark.parametrize("name", LENGTHS_OF)
@pytest.mark.parametrize("depth", DEPTHS)
def test_lengths_are_followed_through(name: str, depth: int) -> None:
    x = tensor(depth, 2)

    def body(x_t: Variable) -> Variable:
        return mark_statistic(LENGTHS_OF[name](x_t).mean(axis=0), "mean").sum() + x_t

    graph = InferenceGraph([x], in_loops(depth, body, x))
    graph.estimate([(draw(depth, 5, 3),)])
    predict = engine.function([x], graph.outputs)
    predict(draw(depth, 4, 3))
    path = "loop/" * depth + "mean"
    good = dict(graph.population or {})
    short = {**good, path: good[path][..., :-1]}
    graph.assign(short)
    n = good[path].shape[-1]
    with pytest.raises(ValueError, match=rf"'{path}' has shape \({n - 1},\), .* needs \({n},\)"):
        predict(draw(depth, 4, 3))


@pytest.mark.parametrize("model", zoo.CASES)
def test_lengths_of_statistics_are_those_that_they_have(model: zoo.Model) -> None:
    with model.flags():
        graph = model.build()
        scope = survey([*graph.outputs, *graph.updates.values()])
        lengths, found = Lengths(set(graph.inputs)), {}
        for inside, statistic in _places(scope, Inside()):
            for axis in range(statistic.variable.ndim):
                length = lengths.of(AxisAt(inside, statistic.variable, axis))
                assert length is not None, (statistic, axis)
                assert not {*ancestors([length])} & {s.variable for s in scope.all_statistics()}
                found[statistic, axis] = length
        exported = export(scope)
        values = [exported[statistic] for statistic, _ in found]
        compute = function_without_updates(graph.inputs, [*found.values(), *values])
        batch = model.draw(np.random.default_rng(0), zoo.LENGTHS[0])
        computed = compute(*batch.values())
    for (statistic, axis), length, value in zip(
        found, computed[: len(found)], computed[len(found) :], strict=True
    ):
        # Where Aesara might repeat what has length 1, a length may stay unknown.
        assert int(length) in {value.shape[statistic.depth + axis], -1 if engine.AESARA else None}


def test_states_have_the_lengths_that_they_begin_with() -> None:
    x, start = at.dtensor3("x"), at.dmatrix("start")

    def step(x_t: Variable, h: Variable) -> Variable:
        return at.tanh(x_t.sum() + normalized(h))

    graph = InferenceGraph([x, start], engine.scan(step, [x], start, name="loop"))
    predict = engine.function([x, start], graph.outputs)
    graph.estimate([(draw(0, 2, 5, 3), draw(0, 5, 4))])
    predict(draw(0, 3, 2, 1), draw(0, 2, 4))
    with pytest.raises(ValueError, match=r"has shape \(4,\), and this batch needs \(1,\)"):
        predict(draw(0, 3, 2, 1), draw(0, 2, 1))


def test_parameters_that_have_changed_their_shape_are_noticed() -> None:
    x, weights = at.dtensor3("x"), engine.shared(np.ones((3, 4)))
    graph = InferenceGraph([x], engine.scan(lambda x_t: normalized(x_t @ weights), [x]))
    predict = engine.function([x], graph.outputs)
    graph.estimate([(draw(0, 2, 5, 3),)])
    weights.set_value(np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"has shape \(4,\), and this batch needs \(1,\)"):
        predict(draw(0, 2, 5, 3))


def test_equal_loops_are_told_apart() -> None:
    x, y = at.dtensor3("x"), at.dtensor3("y")
    both = [engine.scan(normalized, [v], name="loop") for v in (x, y)]
    graph = InferenceGraph([x, y], both)
    predict = engine.function([x, y], graph.outputs)
    population = graph.estimate([(draw(0, 2, 5, 3), draw(0, 2, 5, 4))])
    predict(draw(0, 2, 5, 3), draw(0, 2, 5, 4))
    (of_y,) = {name.split("/")[0] for name in population if population[name].shape[-1] == 4}
    with pytest.raises(ValueError, match=rf"'{of_y}/bn.*' has shape \(4,\), .* needs \(1,\)"):
        predict(draw(0, 2, 5, 3), draw(0, 2, 5, 1))


def test_input_that_the_inference_graph_does_not_need_is_not_needed_for_the_check() -> None:
    x, other = at.dmatrix("x"), at.dmatrix("other")
    graph = InferenceGraph([x, other], x - mark_statistic(other.mean(axis=0), "mean"))
    predict = engine.function([x], graph.outputs)
    graph.estimate([(draw(0, 5, 3), draw(0, 5, 3))])
    assert predict(draw(0, 2, 3)).shape == (2, 3)


def test_values_of_ones_own_are_checked_too() -> None:
    x, value = at.dtensor3("x"), at.dmatrix("value")
    y = engine.scan(lambda x_t: x_t - mark_statistic(x_t.mean(axis=0), "mean"), [x], name="loop")
    (statistic,) = export_statistics(y)
    predict = engine.function([x, value], replace_statistics(y, {statistic: value}))
    predict(draw(0, 4, 2, 3), np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"'loop/mean' has shape \(1,\), .* needs \(3,\)"):
        predict(draw(0, 4, 2, 3), np.zeros((4, 1)))


def test_one_value_may_serve_two_statistics() -> None:
    x, y, value = at.dmatrix("x"), at.dmatrix("y"), at.dvector("value")
    outputs = [v - mark_statistic(v.mean(axis=0), "mean") for v in (x, y)]
    replaced = replace_statistics(outputs, dict.fromkeys(export_statistics(outputs), value))
    predict = engine.function([x, y, value], replaced)
    predict(draw(0, 2, 3), draw(0, 2, 3), np.zeros(3))
    for other in (draw(0, 2, 1), draw(0, 2, 3))[:1]:
        with pytest.raises(ValueError, match=r"'mean_2' has shape \(3,\), .* needs \(1,\)"):
            predict(draw(0, 2, 3), other, np.zeros(3))
        with pytest.raises(ValueError, match=r"'mean' has shape \(3,\), .* needs \(1,\)"):
            predict(other, draw(0, 2, 3), np.zeros(3))


def test_known_shapes_need_no_check() -> None:
    x = at.TensorType("float64", (None, 3))("x")
    graph = InferenceGraph([x], normalized(x))
    nodes = {v.owner for v in ancestors([graph.outputs]) if v.owner}
    assert not any(isinstance(node.op, CheckFit) for node in nodes)


@pytest.mark.parametrize("depth", DEPTHS)
def test_gradients_go_through_the_check(depth: int) -> None:
    x = tensor(depth, 2)

    def body(x_t: Variable) -> Variable:
        return at.tanh(x_t - mark_statistic((x_t**2).mean(axis=0), "mean"))

    graph = InferenceGraph([x], in_loops(depth, body, x))
    slope = engine.function([x], engine.grad(graph.outputs.sum(), x))  # type: ignore[union-attr]
    batch = draw(depth, 5, 3)
    (mean,) = graph.estimate([(batch,)]).values()
    np.testing.assert_allclose(slope(batch), 1 - np.tanh(batch - mean[..., None, :]) ** 2)


@pytest.mark.parametrize("mode", MODES)
def test_names_are_shown_as_they_are(mode: str) -> None:
    label = "a 'b' %s %d {x} \\ \" # / β 中"
    if mode == "FAST_COMPILE":
        label += "\n \0 \ud800"  # which the engine can't write into code
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), label))
    predict = engine.function([x], graph.outputs, mode=mode)
    graph.estimate([(draw(0, 5, 3),)])
    with pytest.raises(ValueError, match=r"population of 'a 'b' %s %d {x} \\ \" # / β 中"):
        predict(draw(0, 5, 1))


def bodies(graphs: list[Any]) -> list[Any]:
    """The graphs inside the loops of `graphs`, at all depths."""
    nodes = [node for graph in graphs for node in graph.apply_nodes]
    inside = [node.op.fgraph for node in nodes if isinstance(node.op, engine.Scan)]
    return inside + bodies(inside) if inside else []


def operations(graphs: list[Any]) -> set[str]:
    """What is done in `graphs`, within fused operations too, and not within loops."""
    ops = [node.op for graph in graphs for node in graph.apply_nodes]
    ops += [op.scalar_op for op in ops if hasattr(op, "scalar_op")]
    fused = [op.fgraph for op in ops if hasattr(op, "fgraph") and not isinstance(op, engine.Scan)]
    return {type(op).__name__ for op in ops} | (operations(fused) if fused else set())


# Aesara rewrites nested loops when they run first.
@pytest.mark.parametrize("depth", [1] if engine.AESARA else [1, 2])
def test_what_depends_on_the_population_alone_is_still_computed_in_front_of_the_loop(
    depth: int,
) -> None:
    x = tensor(depth, 2)

    def body(x_t: Variable) -> Variable:
        start = at.zeros_like(x_t[0])
        return engine.scan(lambda r, h: at.tanh(normalized(r + h)), [x_t], start, name="rnn")

    graph = InferenceGraph([x], in_loops(depth - 1, body, x))
    predict = engine.function([x], graph.outputs, mode=engine.Mode("py", "fast_run"))
    inside = bodies([predict.maker.fgraph])
    assert len(inside) == depth
    assert "CheckFit" not in operations(inside)
    assert "Sqrt" not in operations(inside[-1:])  # the innermost
    assert {"CheckFit", "Sqrt"} <= operations([predict.maker.fgraph, *inside[:-1]])


@pytest.mark.parametrize("of", [lambda h: h[-1], lambda h: h.mean(axis=0), None])
@pytest.mark.parametrize(("seen", "given"), [(3, 1), (1, 3), (3, 2)])
def test_units_of_what_a_loop_returns_are_compared(of: Any, seen: int, given: int) -> None:
    x = at.dtensor3("x")

    def step(x_t: Variable, h: Variable) -> Variable:
        return at.tanh(x_t + h if of else batch_normalize(x_t + h, 1.0, 0.0, label="bn"))

    h = engine.scan(step, [x], at.zeros_like(x[0]))
    graph = InferenceGraph([x], batch_normalize(of(h), 1.0, 0.0, label="bn") if of else h)
    predict = engine.function([x], graph.outputs)
    graph.estimate([(draw(0, 4, 9, seen),)])
    predict(draw(0, 4, 2, seen))
    with pytest.raises(ValueError, match=rf"has shape \({seen},\), .* needs \({given},\)"):
        predict(draw(0, 4, 2, given))


@pytest.mark.parametrize(("seen", "given"), [(4, 1), (1, 4), (4, 3)])
def test_steps_of_what_a_loop_returns_are_compared(seen: int, given: int) -> None:
    x = at.dtensor3("x")
    h = engine.scan(lambda x_t, h: at.tanh(x_t + h), [x], at.zeros_like(x[0]))
    mapped = engine.scan(lambda x_t: at.tanh(x_t), [x])
    for y in (h, mapped):
        graph = InferenceGraph([x], batch_normalize(y, 1.0, 0.0, axis=1, label="bn"))
        predict = engine.function([x], graph.outputs)
        graph.estimate([(draw(0, seen, 9, 3),)])
        predict(draw(0, seen, 2, 3))
        with pytest.raises(ValueError, match=rf"has shape \({seen}, 3\), .* \({given}, 3\)"):
            predict(draw(0, given, 2, 3))
