"""`compile`: a function that takes batches in every form, and goes its own way when pickled."""

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import engine
from bnrewrite import FewElements, InferenceGraph, Population, batch_normalize, mark_statistic
from engine import tensor as at
from executors import InlineExecutor

RNG = np.random.default_rng(0)
EPSILON = 1e-4


def drawn(n_steps: int, n: int = 5, units: int = 3) -> dict[str, np.ndarray]:
    return {"x": RNG.normal(size=(n_steps, n, units)), "rate": np.asarray(RNG.normal())}


def graph_of(single: bool = True) -> InferenceGraph:
    x, rate = at.dtensor3("x"), at.dscalar("rate")
    y = engine.scan(
        lambda x_t, h: at.tanh(
            x_t + batch_normalize(h, 1.0, 0.0, epsilon=EPSILON, label="recurrent")
        ),
        [x],
        at.ones_like(x[0]) * x[0],
    )
    return InferenceGraph([x, rate], rate * y if single else [rate * y, y])


def truth(population: Population | dict[str, Any], x: np.ndarray, rate: Any) -> np.ndarray:
    """The loop in NumPy, with the last statistics held."""
    (mean,) = (population[name] for name in population if name.endswith("mean"))
    (variance,) = (population[name] for name in population if name.endswith("variance"))
    h, steps = x[0], []
    for t, x_t in enumerate(x):
        last = min(t, len(mean) - 1)
        h = np.tanh(x_t + (h - mean[last]) / np.sqrt(variance[last] + EPSILON))
        steps.append(h)
    return rate * np.stack(steps)


@pytest.mark.parametrize("fast", [True, False])
def test_batch_may_come_in_any_form(fast: bool) -> None:
    graph = graph_of()
    predict = graph.compile(fast=fast)
    population = graph.estimate([drawn(4), drawn(6)])
    assert predict.population is population
    batch = drawn(9)
    x, rate = batch["x"], batch["rate"]
    expected = truth(population, x, rate)
    by_input = dict(zip(graph._inputs, (x, rate), strict=True))
    for outputs in (
        predict(batch),
        predict(by_input),
        predict((x, rate)),
        predict([x, rate]),
        predict(x, rate),
        predict(x, rate=rate),
        predict(rate=rate, x=x),
        predict({"x": x}, rate=rate),
    ):
        assert_allclose(outputs, expected, rtol=1e-12)
    # An example does not depend on the others.
    assert_allclose(predict(x[:, :1], rate), expected[:, :1], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, b: p(b["x"]), "1 values for the 2 inputs"),
        (lambda p, b: p(b["x"], b["rate"], 1), "3 values for the 2 inputs"),
        (lambda p, b: p(b["x"], 1, 2, rate=1), "2 inputs, and 3 arrays"),
        (lambda p, b: p(b["x"], x=b["x"]), r"missing \['rate'\], unknown \['x'\]"),
        (lambda p, b: p(b, y=1), r"unknown \['y'\]"),
        (lambda p, b: p((b["x"], 1), rate=1), r"a whole batch was given, and \['rate'\]"),
        (lambda p, b: p(), "0 values for the 2 inputs"),
        (lambda p, b: p(np.ma.masked_greater(b["x"], 0), 1), "masked arrays"),
    ],
)
def test_batch_that_does_not_fit_is_refused(call: Any, message: str) -> None:
    graph = graph_of()
    graph.estimate([drawn(4)])
    with pytest.raises(ValueError, match=message):
        call(graph.compile(), drawn(3))


def test_outputs_have_the_form_that_they_were_given_in() -> None:
    batch = drawn(3)
    one, two = graph_of(), graph_of(single=False)
    for graph in (one, two):
        population = graph.estimate([drawn(4), drawn(2)])
    assert isinstance(one.compile()(batch), np.ndarray)
    both = two.compile()(batch)
    assert isinstance(both, list)
    scaled, plain = two.outputs
    named = two.compile(outputs={"last": plain[-1], "scaled": scaled})(batch)
    assert list(named) == ["last", "scaled"]
    assert_allclose(named["scaled"], truth(population, **batch), rtol=1e-12)
    assert_allclose(named["last"] * batch["rate"], named["scaled"][-1], rtol=1e-12)
    assert_array_equal(two.compile(outputs=plain)(batch), both[1])
    assert_array_equal(two.compile(outputs=(plain,))(batch), [both[1]])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_outputs_of_the_training_graph_are_refused(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    layer: Any = lambda v: v - mark_statistic(v.mean(axis=0), "mean")  # noqa: E731
    for _ in range(depth):
        layer = (lambda inner: lambda v: engine.scan(inner, [v], name="loop"))(layer)
    y = layer(x)
    graph = InferenceGraph([x], y)
    path = "loop/" * depth + "mean"
    with pytest.raises(ValueError, match=rf"batch statistics in their graph: \['{path}'\]"):
        graph.compile(outputs=2 * y)
    with pytest.raises(ValueError, match="batch statistics"):
        graph.compile(outputs={"inference": graph.outputs, "training": y})


@pytest.mark.parametrize("outputs", [1, "y", [1], {"y": 1}, {1: at.dscalar()}])
def test_what_is_no_output_is_refused(outputs: Any) -> None:
    with pytest.raises(TypeError, match="outputs must be"):
        graph_of().compile(outputs=outputs)


def test_mode_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="mode"):
        graph_of().compile(mode="QUICKLY")


def test_statistics_that_are_left_on_purpose_may_be_left() -> None:
    x = at.dmatrix("x")
    lower = x - mark_statistic(x.mean(axis=0), "lower")
    graph = InferenceGraph(
        [x], lower - mark_statistic((lower**2).mean(axis=0), "upper"), only="lower"
    )
    graph.assign({"lower": np.zeros(2)})
    values = RNG.normal(size=(4, 2))
    assert_allclose(graph.compile()(values), values - (values**2).mean(axis=0), rtol=1e-12)


def test_there_is_nothing_without_a_population() -> None:
    graph = graph_of()
    predict, batch = graph.compile(), drawn(3)
    for there in (predict, pickle.loads(pickle.dumps(predict))):
        assert there.population is None
        with pytest.raises(RuntimeError, match=r"no population statistics yet: call `estimate`"):
            there(batch)
    population = graph.estimate([drawn(4)])
    arrays = {name: 2 * value for name, value in population.items()}
    graph.assign(arrays)
    assert predict.population is None
    assert_allclose(predict(batch), truth(arrays, **batch), rtol=1e-12)


def test_pickled_predictor_keeps_what_it_had() -> None:
    graph = graph_of()
    predict = graph.compile()
    first = graph.estimate([drawn(4), drawn(2)])
    content, batch = pickle.dumps(predict), drawn(7)
    second = graph.estimate([drawn(3)])
    assert predict.population is second
    assert_allclose(predict(batch), truth(second, **batch), rtol=1e-12)
    kept = pickle.loads(content)
    assert kept.population is not None
    assert dict(kept.population).keys() == dict(first).keys()
    assert_allclose(kept(batch), truth(first, **batch), rtol=1e-12)
    assert_allclose(predict(batch), truth(second, **batch), rtol=1e-12)


@pytest.mark.exhaustive  # a quarter of a minute for each
@pytest.mark.skipif(not engine.config.cxx, reason="there is no C++ compiler")
@pytest.mark.parametrize("fast", [True, False])
def test_pickled_predictor_is_compiled_as_it_was(fast: bool) -> None:
    graph, batch = graph_of(), drawn(7)
    graph.estimate([drawn(4), drawn(2)])
    predict = graph.compile(mode="FAST_RUN" if engine.AESARA else "CVM", fast=fast)
    kept = pickle.loads(pickle.dumps(predict))
    run_by = [
        type(node.op.fn.vm)
        for there in (predict, kept)
        for node in there.function.maker.fgraph.apply_nodes
        if isinstance(node.op, engine.Scan)
    ]
    assert len(run_by) == 2
    assert run_by[0] is run_by[1]
    assert_array_equal(kept(batch), predict(batch))


def test_graph_that_is_too_deep_for_pickle_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], batch_normalize(x, 1.0, 0.0))
    graph.estimate([{"x": RNG.normal(size=(4, 3))}])
    predict = graph.compile()

    def too_deep(*_: object) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("bnrewrite.graph.pickled._WithoutTags.reducer_override", too_deep)
    with pytest.raises(RuntimeError, match=r"deeper than Python's stack. Save it by .*save"):
        pickle.dumps(predict)


@pytest.mark.skipif(engine.AESARA, reason="Aesara has no batches of matrices")
def test_predictor_of_functions_that_are_made_at_run_time_is_pickled() -> None:
    x, a = at.dmatrix("x"), at.dtensor3("a")
    graph = InferenceGraph([x, a], batch_normalize(x, 1.0, 0.0) + at.linalg.det(a)[:, None])
    batch = {"x": RNG.normal(size=(4, 3)), "a": RNG.normal(size=(4, 2, 2))}
    graph.estimate([batch])
    predict = graph.compile()
    expected = predict(batch)
    assert_array_equal(pickle.loads(pickle.dumps(predict))(batch), expected)
    assert_array_equal(predict(batch), expected)
    scaled = InferenceGraph([x, a], batch_normalize(x * at.linalg.det(a)[:, None], 1.0, 0.0))
    population = scaled.estimate_shards([partial(list, [batch])], InlineExecutor())
    for name, value in scaled.estimate([batch]).items():
        assert_array_equal(population[name], value)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.ones((4, 3)), r"'x' has shape \(4, 3\), and needs 3 axes"),
        (np.ones((4, 5, 2)), r"'x' has shape \(4, 5, 2\), and needs \(None, None, 3\)"),
        (np.ones((4, 5, 3), object), r"'x' has dtype object, "),
        (np.ones((4, 5, 3)), r"'x' has dtype float64, .*: convert it by `.astype\('float32'\)`"),
    ],
)
def test_arrays_that_do_not_fit_are_named(x: np.ndarray, why: str) -> None:
    variable = at.TensorType("float32", (None, None, 3))("x")
    graph = InferenceGraph([variable], batch_normalize(variable, 1.0, 0.0, axis=(0, 1)))
    right = {"x": np.ones((4, 5, 3), "float32")}
    with pytest.warns(FewElements):
        graph.estimate([right])
    predict = graph.compile()
    with pytest.raises(ValueError, match=r"^the batch does not fit the inputs: " + why):
        predict(x=x)
    with pytest.raises(ValueError, match=r"^batch 2 does not fit the inputs: " + why):
        graph.estimate([right, {"x": x}])
    with pytest.raises(ValueError, match=r"unknown \['label'\]\.$"):
        predict(**right, label=1)  # what can't be left out by an option has no advice
    with pytest.raises(ValueError, match=r'unknown \[\'label\'\]\. .* with `extra="ignore"`\.$'):
        graph.estimate([{**right, "label": 1}])
    compiled = graph.compile(allow_input_downcast=True)
    assert compiled(x=np.ones((4, 5, 3))).dtype == "float32"


def test_arrays_that_fit_are_not_blamed_for_other_errors() -> None:
    x, rate = at.fmatrix("x"), at.fscalar("rate")
    graph = InferenceGraph([x, rate], (x - mark_statistic(x.mean(axis=0), "mean")) * rate)
    graph.assign({"mean": np.zeros(3)})
    for predict in (graph.compile(), graph.compile(allow_input_downcast=True)):
        with pytest.raises(ValueError, match="'mean'") as caught:
            predict(x=np.ones((2, 4), "float32"), rate=0.5)  # a float, which is taken for float32
        assert "dtype" not in str(caught.value).splitlines()[0]


LOADING = """
import pickle, sys
import numpy as np
import bnrewrite
with open(sys.argv[1], "rb") as file:
    predict, batch = pickle.load(file)
np.save(sys.argv[2], predict(batch))
print(predict, predict.population.n_batches)
"""


def test_pickled_predictor_works_in_a_new_process(tmp_path: Path) -> None:
    graph = graph_of()
    population, batch = graph.estimate([drawn(4), drawn(2)]), drawn(7)
    (tmp_path / "p.pkl").write_bytes(pickle.dumps((graph.compile(), batch)))
    paths = [str(tmp_path / "p.pkl"), str(tmp_path / "y.npy")]
    command = [sys.executable, "-c", LOADING, *paths]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert printed == "Predictor(x, rate) 2\n"
    assert_allclose(np.load(paths[1]), truth(population, **batch), rtol=1e-12, atol=1e-15)


def test_threads_take_turns() -> None:
    graph = graph_of()
    predict = graph.compile()
    population = graph.estimate([drawn(4)])
    batches = [drawn(n, n=20) for n in range(2, 10)]
    found: dict[int, list[Any]] = {}

    def work(i: int) -> None:
        found[i] = [predict(batch) for batch in batches]

    threads = [Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for computed in found.values():
        for outputs, batch in zip(computed, batches, strict=True):
            assert_allclose(outputs, truth(population, **batch), rtol=1e-12, atol=1e-15)


def test_options_of_the_engines_function_are_passed_on() -> None:
    graph = graph_of()
    rate = graph._inputs[1]
    population, batch = graph.estimate([drawn(4)]), drawn(3)
    seen = engine.shared(0)
    predict = graph.compile(
        givens={rate: at.constant(2.0, dtype="float64")}, updates=[(seen, seen + 1)]
    )
    assert_allclose(predict(batch["x"]), truth(population, batch["x"], 2), rtol=1e-12)
    assert seen.get_value() == 1


def test_exact_function_is_that_of_the_engine_to_the_bit() -> None:
    graph = graph_of()
    graph.estimate([drawn(4)])
    batch = drawn(8)
    expected = engine.function(graph._inputs, graph.outputs)(*batch.values())
    assert_array_equal(graph.compile(fast=False)(batch), expected)
