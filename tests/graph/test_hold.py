"""The op that gives a loop its population values: what it computes, and its derivatives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import engine
from bnrewrite.graph.hold import hold_last_step
from engine import tensor as at
from engine import verify_grad

VALUES = np.random.default_rng(0).normal(size=(3, 2))


@pytest.mark.parametrize("n_steps", [0, 1, 3, 5])
def test_last_step_is_repeated_as_often_as_needed(n_steps: int) -> None:
    values, n = at.dmatrix("values"), at.lscalar("n")
    held = hold_last_step(values, n)
    value, length = engine.function([values, n], [held, held.shape[0]])(VALUES, n_steps)
    assert_array_equal(value, VALUES[[0, 1, 2, 2, 2][:n_steps]])
    assert length == n_steps


@pytest.mark.parametrize("n_steps", [1, 3, 5])
def test_gradients_of_repeated_steps_add_up(n_steps: int) -> None:
    verify_grad(lambda v: hold_last_step(v, n_steps) ** 2, [VALUES], rng=np.random.default_rng(1))


def test_derivative_along_a_direction_is_held_too() -> None:
    values, direction = at.dmatrix("values"), at.dmatrix("direction")
    derivative = engine.Rop(hold_last_step(values, 5), values, direction)
    computed = engine.function([values, direction], derivative, on_unused_input="ignore")
    assert_allclose(computed(VALUES, VALUES + 1), (VALUES + 1)[[0, 1, 2, 2, 2]])


def test_static_shape_is_kept_but_for_time() -> None:
    values = at.TensorType("float32", (4, 1, None))("values")
    held = hold_last_step(values, at.lscalar("n"))
    assert held.type.shape == (None, 1, None)
    assert held.dtype == "float32"


def test_value_that_is_changed_later_does_not_change_the_result() -> None:
    shared = engine.shared(VALUES.copy())
    held = engine.function([], hold_last_step(shared, 2))()
    shared.set_value(VALUES + 1)
    assert_array_equal(held, VALUES[:2])
