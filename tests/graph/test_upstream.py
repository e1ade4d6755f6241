"""What is upstream of a variable, through loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import engine
from bnrewrite import mark_moments, mark_statistic
from bnrewrite.graph.endless import running_on
from bnrewrite.graph.survey import survey
from bnrewrite.graph.upstream import needed_statistics, steps_are_fixed, stops, values_read
from engine import Variable, until
from engine import tensor as at


def in_loops(depth: int, body: Callable[[Variable], Any], x: Variable) -> Any:
    if not depth:
        return body(x)
    return engine.scan(lambda x_t: in_loops(depth - 1, body, x_t), [x], name=f"loop{depth}")


def tensor(depth: int) -> Variable:
    return at.TensorType("float64", (None,) * (depth + 2))("x")


def moments(x: Variable) -> tuple[Variable, Variable]:
    return mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "bn")


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (lambda x: x - moments(x)[0], ["bn.mean"]),
        (lambda x: x / moments(x)[1], ["bn.variance"]),
        (lambda x: x - mark_statistic(moments(x)[1].sum(), "total"), ["total"]),
        (lambda x: [x - moments(x)[0], x / moments(x)[1]][1], ["bn.variance"]),
    ],
)
def test_statistics_are_needed_if_they_are_read_other_than_by_statistics(
    body: Callable[[Variable], Variable], needed: list[str], depth: int
) -> None:
    output = in_loops(depth, body, tensor(depth))
    assert [s.label for s in needed_statistics(survey([output]), [output])] == needed


def test_statistic_of_another_output_of_the_same_loop_is_not_needed() -> None:
    x = tensor(1)

    def step(x_t: Variable) -> list[Variable]:
        one = x_t - mark_statistic(x_t.mean(axis=0), "one")
        return [one, x_t - mark_statistic(x_t.max(axis=0), "two")]

    one, two = engine.scan(step, [x])
    scope = survey([one, two])
    assert [s.label for s in needed_statistics(scope, [one])] == ["one"]
    assert [s.label for s in needed_statistics(scope, [two])] == ["two"]


def counting(x: Variable, bound: Variable) -> Variable:
    """Count for as many steps as there is room for, or until `bound` is reached."""

    def step(x_t: Variable, count: Variable) -> Any:
        count = count + 1
        return count, until(at.ge(count, bound))

    return engine.scan(step, [x], at.constant(0, dtype="int64"), name="counting")


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_loops_run_on_for_as_many_steps_as_there_is_room_for(depth: int) -> None:
    x, bound = tensor(depth), at.lscalar("bound")
    counts = in_loops(depth, lambda x_t: counting(x_t, bound), x)
    outputs = [counts, *(running_on([counts], n)[0] for n in (2, 4, 9))]
    values = np.zeros((*[2] * depth, 6, 3))
    computed = engine.function([x, bound], outputs)(values, 3)
    for counted, n in zip(computed, (3, 3, 4, 6), strict=True):
        expected = np.broadcast_to(np.arange(1, n + 1), (*[2] * depth, n))
        assert_array_equal(counted, expected)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_what_a_loop_stops_by_is_followed_to_the_inputs(depth: int) -> None:
    x, bound = tensor(depth), at.lscalar("bound")
    counts = in_loops(depth, lambda x_t: counting(x_t, bound), x)
    (condition,) = stops(counts)
    assert len(condition[0]) == depth + 1
    assert values_read([condition], [x, bound]) == [bound]
    by_values = in_loops(depth, lambda x_t: counting(x_t, at.argmax(x_t.sum(axis=0))), x)
    assert values_read(stops(by_values), [x, bound]) == [x]
    by_shape = in_loops(depth, lambda x_t: counting(x_t, x_t.shape[0]), x)
    assert values_read(stops(by_shape), [x, bound]) == []
    assert stops(in_loops(depth, lambda x_t: 2 * x_t, x)) == []


def test_steps_are_fixed_if_no_input_says_how_many() -> None:
    x, n = at.dmatrix("x"), at.lscalar("n")
    for options, fixed in (
        ({"n_steps": 3}, True),
        ({"sequences": [at.arange(3)]}, True),
        ({"n_steps": n}, False),
        ({"sequences": [x]}, False),
        ({"sequences": [at.arange(x.shape[0])]}, False),
    ):
        y = engine.scan(lambda *args: args[-1] / 2, outputs_info=x[0], **options)
        (node,) = [v.owner for v in engine.ancestors([y]) if v.owner and is_loop(v.owner)]
        assert steps_are_fixed((node,), [x, n]) is fixed


def is_loop(node: Any) -> bool:
    return isinstance(node.op, engine.Scan)
