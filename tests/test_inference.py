"""The front door: what goes in, what comes out, and what a compiled function then computes."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import (
    InferenceGraph,
    batch_normalize,
    estimate_population,
    export_statistics,
    get_inference_graph,
    mark_statistic,
    replace_statistics,
)
from engine import Variable, graph_inputs
from engine import tensor as at


def centered(x: Variable, label: str = "mean") -> Variable:
    return x - mark_statistic(x.mean(axis=0), label)


@pytest.fixture
def x() -> Variable:
    return at.dtensor3("x")


@pytest.fixture
def y(x: Variable) -> Variable:
    return engine.scan(centered, sequences=[x], name="loop")


def values(n_steps: int) -> np.ndarray:
    return np.random.default_rng(n_steps).normal(size=(n_steps, 4, 2))


def test_outputs_come_back_in_the_form_they_were_given(x: Variable, y: Variable) -> None:
    assert isinstance(get_inference_graph([x], y, [(values(2),)]), Variable)
    assert isinstance(get_inference_graph([x], [y], [(values(2),)]), list)


@pytest.mark.parametrize("form", ["name", "variable", "tuple"])
def test_batches_in_any_form_are_read_once(x: Variable, y: Variable, form: str) -> None:
    wrap = {"name": lambda v: {"x": v}, "variable": lambda v: {x: v}, "tuple": lambda v: (v,)}
    population = InferenceGraph([x], y).estimate(wrap[form](values(n)) for n in (2, 3))
    first = (values(2)[:2].mean(axis=1) + values(3)[:2].mean(axis=1)) / 2
    assert_allclose(population["loop/mean"][:2], first)
    assert population.coverage["loop/mean"].tolist() == [2, 2, 1]


def test_compiled_function_follows_estimates_of_any_length(x: Variable, y: Variable) -> None:
    graph = InferenceGraph([x], y)
    evaluate = engine.function([x], graph.outputs)
    for n_steps in (3, 6, 2):
        graph.estimate([(values(n_steps),)])
        held = values(n_steps).mean(axis=1)[np.minimum(np.arange(5), n_steps - 1)]
        assert_allclose(evaluate(values(5)), values(5) - held[:, None])
    graph.assign({"loop/mean": np.zeros((1, 2))})
    assert_allclose(evaluate(values(5)), values(5))


def test_passes_can_be_used_alone(x: Variable, y: Variable) -> None:
    exported = export_statistics(y)
    ((statistic, mean),) = exported.items()
    assert (statistic.name, statistic.depth) == ("loop/mean", 1)
    assert_allclose(engine.function([x], mean)(values(3)), values(3).mean(axis=1))
    population = estimate_population([x], exported, [(values(3),)])
    replaced = replace_statistics(y, {statistic: at.constant(population["loop/mean"])})
    expected = values(3) - values(3).mean(axis=1, keepdims=True)
    assert_allclose(engine.function([x], replaced)(values(3)), expected)


def test_what_no_output_needs_is_neither_estimated_nor_kept(x: Variable) -> None:
    unneeded, z = centered(x, "unneeded"), at.dtensor3("z")

    def step(x_t: Variable, u_t: Variable) -> list[Variable]:
        return [centered(x_t, "needed"), centered(u_t, "inner") * 2]

    y, _ = engine.scan(step, sequences=[x, unneeded + z], n_steps=x.shape[0])
    assert z in graph_inputs([y])
    graph = InferenceGraph([x, z], y)
    assert [s.label for s in graph.statistics] == ["needed"]
    assert z not in graph_inputs([graph.outputs])


def test_masked_step_without_elements_does_not_count(x: Variable) -> None:
    mask = at.dmatrix("mask")
    y = engine.scan(
        lambda x_t, m_t: batch_normalize(x_t, 1.0, 0.0, mask=m_t, label="bn"), sequences=[x, mask]
    )
    weights = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=float)
    population = InferenceGraph([x, mask], y).estimate([(values(3), weights)])
    (name,) = [n for n in population if n.endswith("bn.mean")]
    assert population.coverage[name].tolist() == [1, 1]
    assert_allclose(population[name][1], values(3)[1, [0, 2]].mean(axis=0))


@pytest.mark.parametrize("mode", engine.BOTH_MODES)
@pytest.mark.parametrize("depth", [0, 1])
def test_mask_of_other_examples_than_the_data_is_refused(depth: int, mode: str) -> None:
    x = at.TensorType("float64", (None,) * (2 + depth))("x")
    mask = at.TensorType("int8", (None,) * (1 + depth))("mask")

    def normalized(x: Variable, mask: Variable) -> Variable:
        return batch_normalize(x, 1.0, 0.0, mask=mask)

    y = engine.scan(normalized, sequences=[x, mask]) if depth else normalized(x, mask)
    data = values(3)[(slice(None),) if depth else 0]
    batches = [(data, np.ones((3,) * depth + (n,), "int8")) for n in (1, 3, 5)]
    train = engine.function([x, mask], y, mode=mode)
    for batch in batches:
        with pytest.raises((AssertionError, ValueError)):
            train(*batch)
    graph = InferenceGraph([x, mask], y)
    for batch in batches:
        with pytest.raises(RuntimeError, match="the estimate stopped at batch 1, "):
            graph.estimate([batch])


NAMES = """
import engine
from engine import tensor as at
from bnrewrite import InferenceGraph, batch_normalize
x = at.dtensor3("x")
step = lambda x_t: batch_normalize(batch_normalize(x_t, 1.0, 0.0), 1.0, 0.0)
ys = [engine.scan(step, sequences=[x], name="encoder") for _ in range(2)]
names = [s.name for s in InferenceGraph([x], ys).statistics]
print(names)
"""


def test_names_are_unique_and_the_same_in_every_process() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", NAMES], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    (names,) = printed
    listed = names.strip("[]\n").replace("'", "").split(", ")
    assert len(set(listed)) == len(listed) == 8
    assert {name.split("/")[0] for name in listed} == {"encoder", "encoder_2"}


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_product_of_arrays_with_a_matrix_that_is_broadcast(axis: Any) -> None:
    x, weights = at.dtensor3("x"), np.random.default_rng(0).normal(size=(4, 2))
    y = batch_normalize(at.matmul(x, engine.shared(weights)), 1.0, 0.0, axis=axis, label="bn")
    graph = InferenceGraph([x], y)
    batches = [np.random.default_rng(seed).normal(size=(3, 5, 4)) for seed in (1, 2, 3)]
    graph.estimate([(batch,) for batch in batches[:2]], pooling="edge")
    products = [batch @ weights for batch in batches]
    mean = np.mean([p.mean(axis, keepdims=True) for p in products[:2]], axis=0)
    variance = np.mean([p.var(axis, keepdims=True) for p in products[:2]], axis=0)
    expected = (products[2] - mean) / np.sqrt(variance + 1e-5)
    predict = graph.compile(mode="FAST_COMPILE")
    assert_allclose(predict(batches[2]), expected, rtol=1e-9)
    if axis != 0:
        assert_allclose(predict(batches[2][:, 3:4]), expected[:, 3:4], rtol=1e-9)
