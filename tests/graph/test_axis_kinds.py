"""Axes of one kind, and those of the examples: the models of the zoo say which are which."""

from collections.abc import Callable

import numpy as np
import pytest

import engine
import zoo
from bnrewrite import batch_normalize, mark_statistic
from bnrewrite.graph.axis_kinds import AxisKinds
from bnrewrite.graph.batch_kind import batch_kind
from bnrewrite.graph.survey import survey
from engine import Variable, ifelse
from engine import tensor as at
from zoo import Model

MODELS = [
    model
    for model in zoo.MODELS
    if model.loops < (3 if model.layer in (zoo.scalar, zoo.masked, zoo.lstm) else 2)
    and model.dtype == "float64"
    and model.mode == "FAST_COMPILE"
]


def example_axes(inputs: list[Variable], outputs: list[Variable]) -> list[list[int]]:
    """For each input, the axes that are found to be of examples."""
    kinds = AxisKinds(outputs)
    kind, _ = batch_kind(survey(outputs), kinds, inputs, outputs)
    return [[a for a in range(v.ndim) if kind in kinds.of(v, a)] for v in inputs]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_axes_of_examples_and_of_steps_are_those_of_the_model(model: Model) -> None:
    graph = model.build()
    words = [word.lstrip("?") for word in model.words().values()]
    examples = [[a for a, letter in enumerate(word) if letter == "n"] for word in words]
    numbers = [word.startswith("#") for word in words]
    found = example_axes(graph.inputs, graph.outputs)
    assert found == [[] if number else axes for number, axes in zip(numbers, examples, strict=True)]
    kinds = AxisKinds(graph.outputs)
    for v, word, number in zip(graph.inputs, words, numbers, strict=True):
        steps = [a for a in range(v.ndim) if kinds.of(v, a) & kinds.all_steps()]
        assert number or steps == [a for a, letter in enumerate(word) if letter not in "nu"]


def bn(x: Variable) -> Variable:
    return batch_normalize(x, 1.0, 0.0, label="bn")


def weights(n: int, m: int) -> Variable:
    return engine.shared(np.ones((n, m)), "W")


def flattened(x: Variable, flatten: Callable[[Variable], Variable]) -> Variable:
    """(time, batch, units), normalized over all steps at once, and back again."""
    y = bn(flatten(x) @ weights(3, 3)).reshape((x.shape[0], x.shape[1], 3))
    return engine.scan(lambda y_t, h: bn(y_t + h), [y], at.zeros_like(x[0]))


X, Y, LABELS = at.dtensor3("x"), at.dmatrix("y"), at.lvector("labels")
WORDS, MASK, VECTOR = at.lmatrix("words"), at.dmatrix("mask"), at.dvector("vector")
TABLE = engine.shared(np.ones((7, 3)), "table")


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        ([X], flattened(X, lambda x: x.reshape((-1, 3))), [[1]]),
        ([X], flattened(X, lambda x: x.reshape((-1, x.shape[2]))), [[1]]),
        ([X], flattened(X, lambda x: x.reshape((x.shape[0] * x.shape[1], 3))), [[1]]),
        ([X], flattened(X, lambda x: x.flatten(2).T.flatten().reshape((-1, 3))), [[1]]),
        ([X], at.dot(bn(X.reshape((X.shape[0], -1)) @ weights(6, 3)), weights(3, 2)), [[0]]),
        ([X], batch_normalize(X, 1.0, 0.0, axis=(0, 2), label="over time")[:, :, -1], [[0]]),
        ([Y], bn(at.concatenate([Y, Y[:, ::-1]], axis=1) @ weights(6, 3)), [[0]]),
        ([Y], bn(at.set_subtensor(Y[:, :1], 0.0)), [[0]]),
        ([Y], bn(Y[:, 1:].T.T), [[0]]),
        ([Y], Y - mark_statistic((at.ones_like(Y[:, 0]) @ Y) / Y.shape[0], "dot"), [[0]]),
        ([Y], Y - mark_statistic(Y.mean(axis=0) @ weights(3, 3), "linear"), [[0]]),
        ([Y], Y - mark_statistic(mark_statistic(Y.mean(axis=0), "mean").max(), "most"), [[0]]),
        ([Y], Y - mark_statistic(Y.mean(axis=0).max(), "of either axis"), [[]]),
        ([Y, LABELS], at.log(bn(Y) ** 2)[at.arange(LABELS.shape[0]), LABELS], [[0], [0]]),
        ([Y, LABELS], at.log(bn(Y) ** 2)[at.arange(Y.shape[0]), LABELS], [[0], [0]]),
        ([Y, LABELS], (bn(Y)[:, 0] - LABELS).sum(), [[0], [0]]),
        ([LABELS], bn(TABLE[LABELS]), [[0]]),
        ([WORDS], engine.scan(bn, [TABLE[WORDS]]), [[1]]),
        ([WORDS], engine.scan(lambda w: bn(TABLE[w]), [WORDS]), [[1]]),
        ([X, MASK], engine.scan(lambda x, m: x * m[:, None] - bn(x), [X, MASK]), [[1], [1]]),
        ([Y, VECTOR], bn(Y * VECTOR), [[0], []]),
        ([Y, VECTOR], bn(Y) * VECTOR[:, None], [[0], [0]]),
        ([Y, VECTOR], ifelse(VECTOR.sum() > 0, bn(Y), 2 * Y), [[0], []]),
        ([X, Y], X - bn(at.max(X, axis=0) + Y), [[1], [0]]),
    ],
)
def test_axes_of_examples_are_followed_through_an_op(
    inputs: list[Variable], output: Variable, expected: list[list[int]]
) -> None:
    assert example_axes(inputs, [output]) == expected


def test_what_is_flattened_is_of_the_kinds_of_its_parts() -> None:
    flat = X.reshape((X.shape[0] * X.shape[1], 3))
    kinds = AxisKinds([flat])
    assert kinds.of(flat, 0) == kinds.of(X, 0) | kinds.of(X, 1)
    assert len(kinds.of(flat, 0)) == 2


def test_sparse_inputs_have_axes_of_examples() -> None:
    part = engine.sparse.csr_matrix("part")
    output = bn(engine.sparse.dot(part, weights(4, 3)))
    assert example_axes([part], [output]) == [[0]]
