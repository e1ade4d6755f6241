"""Derivatives of the training graph are refused wherever they hide; those of the inference graph
are right."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize, mark_statistic
from engine import Lop, OpFromGraph, Rop, Variable, grad, hessian, ifelse, jacobian, subgraph_grad
from engine import tensor as at

WEIGHT = np.linspace(0.5, 1.5, 2)
# Of a cost of a weight, with the outputs that it comes from.
DERIVATIVES: dict[str, Callable[[Variable, Variable, Variable], Any]] = {
    "grad": lambda cost, y, w: grad(cost, w),
    "Lop": lambda cost, y, w: Lop(y, w, at.ones_like(y)),
    "Rop": lambda cost, y, w: Rop(cost, w, at.ones_like(w)),
    "jacobian": lambda cost, y, w: jacobian(y.sum(axis=tuple(range(y.ndim - 1))), w),
    "hessian": lambda cost, y, w: hessian(cost, w),
    "subgraph_grad": lambda cost, y, w: subgraph_grad([w], end=[], cost=cost)[0][0],
    "second": lambda cost, y, w: grad(grad(cost, w).sum(), w),
}


def normalize(x: Variable, label: str = "h") -> Variable:
    mean = mark_statistic(x.mean(axis=0), f"{label}.mean")
    variance = mark_statistic(at.square(x - mean).mean(axis=0), f"{label}.variance")
    return (x - mean) / at.sqrt(variance + 0.1)


def in_loops(
    body: Callable[[Variable], Variable], x: Variable, names: Sequence[str], recurrent: bool
) -> Variable:
    """Put `body` into a loop for each name, outermost first."""
    if not names:
        return body(x)

    def step(x_t: Variable, *state: Variable) -> Variable:
        inner = in_loops(body, x_t, names[1:], recurrent)
        return at.tanh(inner + state[0]) if state else inner

    initial = [at.zeros_like(x[0])] if recurrent else None
    return engine.scan(step, [x], initial, name=names[0])


def model(depth: int, recurrent: bool) -> tuple[Variable, Variable, Variable]:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    w = engine.shared(WEIGHT, "w")
    names = ("encoder", "words")[:depth]
    return x, w, in_loops(lambda v: normalize(v * w), x, names, recurrent)


@pytest.mark.parametrize("kind", DERIVATIVES)
@pytest.mark.parametrize(("depth", "recurrent"), [(0, False), (1, False), (1, True), (2, True)])
def test_derivative_of_the_training_graph_is_refused(
    kind: str, depth: int, recurrent: bool
) -> None:
    x, w, y = model(depth, recurrent)
    derivative = DERIVATIVES[kind]((y**2).sum(), y, w)
    where = (
        r"encoder(/words)?(/rop_of_words)?(/h\.(mean|variance))?'"
        if depth
        else r"h\.(mean|variance)'"
    )
    message = rf"({where}).*derivative of the training graph.*derivatives of the inference graph"
    for outputs in (derivative, [y, derivative]):
        with pytest.raises(ValueError, match=message):
            InferenceGraph([x], outputs)


@pytest.mark.parametrize("depth", [1, 2])
def test_derivative_inside_of_a_loop_is_refused(depth: int) -> None:
    def body(v: Variable) -> Variable:
        return grad((normalize(v) ** 3).sum(), v)

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    y = in_loops(body, x, ("encoder", "words")[:depth], recurrent=False)
    where = ["'encoder/h.", "'encoder/words/h."][depth - 1]
    with pytest.raises(ValueError, match=rf"{where}.*derivative of the training graph"):
        InferenceGraph([x], y)


@pytest.mark.parametrize("kind", ["grad", "Lop", "jacobian"])
@pytest.mark.parametrize("depth", [0, 1])
def test_derivative_through_an_op_with_a_graph_inside_is_refused(kind: str, depth: int) -> None:
    v, u = at.dmatrix(), at.dvector()
    op = OpFromGraph([v, u], [normalize(v * u)])
    x, w = at.TensorType("float64", (None,) * (depth + 2))("x"), engine.shared(WEIGHT, "w")
    y = in_loops(lambda a: op(a, w), x, ["encoder"][:depth], recurrent=False)
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([x], DERIVATIVES[kind]((y**2).sum(), y, w))


def test_derivative_that_an_op_gives_itself_is_refused() -> None:
    def own(inputs: Any, *others: Any) -> list[Variable]:
        (cotangent,) = others[-1]
        return [cotangent - cotangent.mean(axis=0)]  # goes through no mark, and over the batch

    v, x, w = at.dmatrix(), at.dmatrix("x"), engine.shared(WEIGHT, "w")
    keyword = "lop_overrides" if engine.AESARA else "pullback"
    op = OpFromGraph([v], [normalize(v)], **{keyword: own})
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([x], [op(x), grad((op(x * w) ** 2).sum(), w)])


@pytest.mark.parametrize("depth", [0, 1])
def test_derivative_through_a_branch_is_refused(depth: int) -> None:
    x, w = at.TensorType("float64", (None,) * (depth + 2))("x"), engine.shared(WEIGHT, "w")

    def branches(v: Variable) -> Variable:
        return ifelse(at.gt(v.sum(), 0), normalize(v * w), v * w)

    y = in_loops(branches, x, ["encoder"][:depth], recurrent=True)
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([x], grad(y.sum(), w))


@pytest.mark.parametrize("recurrent", [False, True])
def test_derivative_that_goes_through_no_statistic_is_refused_if_a_loop_takes_it_backwards(
    recurrent: bool,
) -> None:
    x, w = at.dtensor3("x"), engine.shared(WEIGHT, "w")
    y = in_loops(lambda v: normalize(v) * w, x, ["encoder"], recurrent)
    with pytest.raises(ValueError, match=r"'encoder': .*derivative of the training graph"):
        InferenceGraph([x], grad(y.sum(), w))


def test_derivative_that_goes_through_no_statistic_is_right_outside_of_loops() -> None:
    x, w = at.dmatrix("x"), engine.shared(WEIGHT, "w")
    graph = InferenceGraph([x], grad((normalize(x) * w).sum(), w))
    rng = np.random.default_rng(0)
    batches, batch = [rng.normal(size=(n, 2)) for n in (3, 5)], rng.normal(size=(4, 2))
    graph.estimate([(b,) for b in batches])
    mean, variance = (np.mean([f(b, axis=0) for b in batches], axis=0) for f in (np.mean, np.var))
    truth = ((batch - mean) / np.sqrt(variance + 0.1)).sum(axis=0)
    assert_allclose(engine.function([x], graph.outputs)(batch), truth)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_training_cost_may_be_among_the_outputs_and_its_gradient_not(depth: int) -> None:
    x, w, y = model(depth, recurrent=True)
    cost = (y**2).sum()
    assert len(InferenceGraph([x], [y, cost]).statistics) == 2
    with pytest.raises(ValueError, match="derivative of the training graph"):
        InferenceGraph([x], [y, cost, grad(cost, w)])


def test_gradient_of_a_loop_without_statistics_is_no_derivative_of_one() -> None:
    x, v = at.dtensor3("x"), at.dtensor3("v")
    u = engine.shared(WEIGHT, "u")
    plain = in_loops(lambda a: a * u, v, ["plain"], recurrent=True)
    y = in_loops(normalize, x, ["encoder"], recurrent=True)
    graph = InferenceGraph([x, v], [y, grad(plain.sum(), u)])
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2))
    graph.estimate([values])
    computed = engine.function([x, v], graph.outputs)(*values)
    expected = engine.function([x, v], [y, grad(plain.sum(), u)])(*values)
    for a, b in zip(computed, expected, strict=True):
        assert_allclose(a, b)


@pytest.mark.filterwarnings("ignore::bnrewrite.UnmarkedStatistic")  # the gradient keeps the cost
def test_gradient_of_one_of_two_states_of_a_loop_has_no_batch_statistic_left() -> None:
    x = at.dtensor3("x")
    u, v = (engine.shared(WEIGHT, name) for name in "uv")

    def step(x_t: Variable, h: Variable, c: Variable) -> list[Variable]:
        return [at.tanh(x_t * u + h), at.tanh(x_t * v + c)]

    zeros = at.zeros_like(x[0])
    h, c = engine.scan(step, [batch_normalize(x, 1.0, 0.0, axis=(0, 1))], [zeros, zeros])
    cost = (h[-1] ** 2).sum() + (c[-1] ** 2).sum()
    slope = grad(cost, u)
    graph = InferenceGraph([x], slope)
    graph.verify()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 4, 2)) for n in (3, 5)]
    graph.estimate([(b,) for b in batches])
    mean, variance = (
        np.mean([f(b, axis=(0, 1)) for b in batches], axis=0) for f in (np.mean, np.var)
    )

    def truth(weight: np.ndarray) -> float:
        state = np.zeros((4, 2))
        for values in (batches[1] - mean) / np.sqrt(variance + 1e-5):
            state = np.tanh(values * weight + state)
        return float((state**2).sum())

    steps = np.eye(2) * 1e-6
    expected = [(truth(WEIGHT + d) - truth(WEIGHT - d)) / 2e-6 for d in steps]
    assert_allclose(engine.function([x], graph.outputs)(batches[1]), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["grad_of_encoder", "rop_of_encoder", "grad_of_", "rop_of_"])
@pytest.mark.parametrize("depth", [1, 2])
def test_loop_is_not_refused_for_its_name(name: str, depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    y = in_loops(normalize, x, ["outer", name][-depth:], recurrent=True)
    names = [s.name for s in InferenceGraph([x], y).statistics]
    assert names == [f"{'outer/' * (depth - 1)}{name}/h.{m}" for m in ("mean", "variance")]


# ---- derivatives of the inference graph


@pytest.mark.parametrize(
    ("depth", "recurrent"),
    [
        (0, False),
        pytest.param(1, False, marks=pytest.mark.exhaustive),
        pytest.param(1, True, marks=pytest.mark.exhaustive),
        (2, True),
    ],
)
def test_derivatives_of_the_inference_graph_are_its_slopes(depth: int, recurrent: bool) -> None:
    x, w = at.TensorType("float64", (None,) * (depth + 2))("x"), engine.shared(WEIGHT, "w")

    def body(v: Variable) -> Variable:
        return batch_normalize(v * w, 0.5, 0.1, label="h")

    y = in_loops(body, x, ("encoder", "words")[:depth], recurrent)
    graph = InferenceGraph([x], y)
    rng = np.random.default_rng(depth)
    shapes = [(*(3, 2)[:depth], 4, 2), (*(2, 4)[:depth], 5, 2)]
    graph.estimate([(rng.normal(size=shape),) for shape in shapes])
    cost = (at.square(graph.outputs) * (1 + graph.outputs)).sum()
    slope = grad(cost, w)
    cost_of, slope_of = (engine.function([x], v) for v in (cost, slope))
    batch = rng.normal(size=shapes[1])

    def slopes(function: Any) -> Any:
        found = []
        for direction in np.eye(2) * 1e-5:
            sides = []
            for sign in (1, -1):
                w.set_value(WEIGHT + sign * direction)
                sides.append(function(batch))
            found.append((sides[0] - sides[1]) / 2e-5)
        w.set_value(WEIGHT)
        return np.array(found)

    assert_allclose(slope_of(batch), slopes(cost_of), rtol=1e-6)
    if not recurrent:  # Aesara's second derivatives of recurrent loops are wrong, marks or none
        curvature = engine.function([x], grad(slope[0], w))
        assert_allclose(curvature(batch), slopes(slope_of)[:, 0], rtol=1e-6)


@pytest.mark.exhaustive  # half a minute
def test_second_derivative_of_a_recurrent_loop_is_that_of_the_loop_written_by_hand() -> None:
    x, w = at.dtensor3("x"), engine.shared(WEIGHT, "w")
    statistics = [engine.shared(np.zeros((1, 2)), name) for name in ("mean", "variance")]

    def by_hand(x_t: Variable, mean: Variable, variance: Variable, h: Variable) -> Variable:
        return at.tanh((x_t * w - mean) / at.sqrt(variance + 0.1) + h)

    def second(y: Variable) -> Any:
        return engine.function([x], grad(grad((y**3).sum(), w)[0], w))

    y = in_loops(lambda v: normalize(v * w), x, ["encoder"], recurrent=True)
    graph = InferenceGraph([x], y)
    batch = np.random.default_rng(0).normal(size=(4, 5, 2))
    population = graph.estimate([(batch,)])
    for shared, value in zip(statistics, population.values(), strict=True):
        shared.set_value(value)
    z = engine.scan(by_hand, [x, *statistics], [at.zeros_like(x[0])])
    assert_allclose(second(graph.outputs)(batch), second(z)(batch))
