"""Marks stay where they are until a function is compiled, and there they leave nothing behind."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bnrewrite.normalization
import engine
import oracle
import zoo
from bnrewrite import InferenceGraph, mark_moments, mark_statistic
from bnrewrite.graph.marks import Mark, StatisticDerivative
from engine import (
    Mode,
    OpFromGraph,
    Variable,
    ancestors,
    clone_get_equiv,
    clone_replace,
    graph_inputs,
    rewrite_graph,
)
from engine import tensor as at
from zoo import Model

Graph = tuple[list[Variable], list[Variable]]

# Outside of loops, in one, in two; single marks, and pairs with a count.
MODELS = [
    Model(zoo.feeding, {"x": "nu"}),
    Model(zoo.masked, {"x": "nu", "mask": "?n"}),
    Model(zoo.recurrent, {"x": "tnu"}),
    Model(zoo.masked, {"x": "nu", "mask": "?n"}, loops=1),
    Model(zoo.marked_by_hand, {"x": "nu"}, loops=1),
    Model(zoo.recurrent, {"x": "tnu"}, loops=1),
    Model(zoo.masked, {"x": "nu", "mask": "?n"}, loops=2),
    Model(zoo.marked_by_hand, {"x": "nu"}, loops=2),
    Model(zoo.op_in_loop, {"x": "tnu"}, loops=1),
]


def nodes(outputs: Sequence[Variable]) -> Iterator[Any]:
    """Visit every node at every depth."""
    for node in {v.owner: None for v in ancestors(outputs) if v.owner}:
        yield node
        if hasattr(node.op, "fgraph"):
            yield from nodes(node.op.fgraph.outputs)


def count(outputs: Sequence[Variable], *kinds: type) -> int:
    return sum(isinstance(node.op, kinds) for node in nodes(outputs))


# ---- what keeps marks


def by_name(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> Graph:
    """Find the inputs again in a graph that was copied."""
    found = {v.name: v for v in graph_inputs(outputs)}
    return [found[v.name] for v in inputs], list(outputs)


def rewritten(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    rewrites = ("ShapeOpt", "canonicalize", "stabilize", "specialize")
    return by_name(inputs, rewrite_graph(outputs, include=rewrites, clone=True))


def replaced(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    new = [v.type(v.name) for v in inputs]
    return new, clone_replace(outputs, dict(zip(inputs, new, strict=True)))


def cloned(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    inner = {"clone_inner_graphs": True} if engine.AESARA else {}  # PyTensor's do not change
    memo = clone_get_equiv(inputs, outputs, copy_orphans=False, **inner)
    return [memo[v] for v in inputs], [memo[v] for v in outputs]


def deep_copied(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    return copy.deepcopy((inputs, outputs))


def unpickled(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    loaded: Graph = pickle.loads(pickle.dumps((inputs, outputs)))
    return loaded


def all_of_them(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    for copied in (cloned, rewritten, unpickled, replaced, deep_copied):
        inputs, outputs = copied(inputs, outputs)
    return inputs, outputs


def rewritten_as_for_compilation(inputs: list[Variable], outputs: list[Variable]) -> Graph:
    options = {"include": ("fast_run",), "exclude": ("inplace",)}
    return by_name(inputs, rewrite_graph(outputs, clone=True, **options))


COPIES = [
    rewritten,
    rewritten_as_for_compilation,
    replaced,
    cloned,
    deep_copied,
    unpickled,
    all_of_them,
]


def assert_right(model: Model, predict: Callable[..., Any]) -> None:
    """Compare with plain NumPy on a longer batch, and look for a say of other rows."""
    rng = np.random.default_rng(0)
    batches = [model.draw(rng, lengths) for lengths in zoo.LENGTHS]
    population = oracle.average([model.oracle(batch) for batch in batches])
    longer, others = (model.draw(rng, zoo.LONGER) for _ in range(2))
    for name, word in model.words().items():
        first = (slice(None),) * word.lstrip("?").index("n") + (0,)
        others[name][first] = longer[name][first]
    computed, changed = predict(batches, longer), predict(batches, others)
    for a, b, truth in zip(
        computed, changed, model.oracle(longer, population).outputs, strict=True
    ):
        assert_allclose(a, truth, rtol=1e-9, atol=1e-9)
        assert_allclose(a[..., 0, :], b[..., 0, :], rtol=1e-9, atol=1e-9)


def predictor(inputs: list[Variable], outputs: list[Variable]) -> Callable[..., Any]:
    graph = InferenceGraph(inputs, outputs)
    compiled = engine.function(inputs, graph.outputs, on_unused_input="ignore")

    def predict(batches: Any, values: Any) -> Any:
        graph.estimate([tuple(batch.values()) for batch in batches])
        return compiled(*values.values())

    return predict


@pytest.mark.parametrize("copied", COPIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_copied_graph_keeps_its_marks_and_gives_a_right_inference_graph(
    model: Model, copied: Callable[..., Graph]
) -> None:
    with model.flags():
        inputs, outputs, _ = model.build()
        new_inputs, new_outputs = copied(inputs, outputs)
        assert not set(new_outputs) & set(outputs)
        before, after = (
            {(s.label, s.depth) for s in InferenceGraph(*graph).statistics}
            for graph in ((inputs, outputs), (new_inputs, new_outputs))
        )
        assert after == before
        assert_right(model, predictor(new_inputs, new_outputs))


LOAD = """
import pickle, sys
import engine
from bnrewrite import InferenceGraph

with open(sys.argv[1], "rb") as file:
    (inputs, outputs), batches, values = pickle.load(file)
graph = InferenceGraph(inputs, outputs)
graph.estimate(batches)
predict = engine.function(inputs, graph.outputs, on_unused_input="ignore")
with open(sys.argv[1], "wb") as file:
    pickle.dump([predict(*v) for v in values], file)
"""


@pytest.mark.parametrize("model", MODELS[1::3], ids=lambda model: model.name)
def test_graph_loaded_in_a_new_process_keeps_its_marks(model: Model, tmp_path: Path) -> None:
    with model.flags():
        inputs, outputs, _ = model.build()

    def predict(batches: Any, values: Any) -> Any:
        path = tmp_path / "graph"
        sent = [tuple(b.values()) for b in batches], [tuple(values.values())]
        path.write_bytes(pickle.dumps(((inputs, outputs), *sent)))
        subprocess.run([sys.executable, "-c", LOAD, str(path)], check=True)
        return pickle.loads(path.read_bytes())[0]

    assert_right(model, predict)


# ---- what training costs


def unmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "mark_statistic", lambda x, label=None: x)
    moments = lambda mean, variance, count=None, label=None: (mean, variance)  # noqa: E731
    monkeypatch.setattr(bnrewrite.normalization, "mark_moments", moments)


TRAINED = [
    Model(zoo.masked, {"x": "nu", "mask": "?n"}),
    Model(zoo.recurrent, {"x": "tnu"}),
]
SLOW = [  # a minute each
    Model(zoo.lstm, {"x": "tnu", "mask": "?tn"}),
    Model(zoo.hierarchy, {"x": "stnu"}),
    Model(zoo.masked, {"x": "nu", "mask": "?n"}, loops=2),
]


@pytest.mark.parametrize("differentiate", [False, True])
@pytest.mark.parametrize(
    "optimizer", [pytest.param("fast_run", marks=pytest.mark.exhaustive), "fast_compile"]
)
@pytest.mark.parametrize(
    "model",
    [*TRAINED, *(pytest.param(model, marks=pytest.mark.exhaustive) for model in SLOW)],
    ids=lambda model: model.name,
)
def test_compiled_training_functions_have_the_nodes_of_the_unmarked_model(
    model: Model, optimizer: str, differentiate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled() -> list[Variable]:
        with model.flags():
            inputs, outputs, _ = model.build()
            if differentiate:
                cost = sum((output**2).sum() for output in outputs)
                weights = [v for v in graph_inputs(outputs) if hasattr(v, "get_value")]
                outputs = engine.grad(cost, weights)
            mode = Mode("py", optimizer)
            fgraph = engine.function(
                inputs, outputs, mode=mode, on_unused_input="ignore"
            ).maker.fgraph
            return list(fgraph.outputs)

    marked = compiled()
    unmarked(monkeypatch)
    plain = compiled()
    assert count(marked, Mark, StatisticDerivative) == 0
    assert len(list(nodes(marked))) == len(list(nodes(plain)))


@pytest.mark.parametrize("model", MODELS[2:5], ids=lambda model: model.name)
def test_marks_may_stay_in_a_function_that_is_not_rewritten(model: Model) -> None:
    with model.flags():
        inputs, outputs, _ = model.build()
        function = engine.function(inputs, outputs, mode=Mode("py", None))
    batch = model.draw(np.random.default_rng(0), zoo.LONGER)
    for a, b in zip(function(*batch.values()), model.oracle(batch).outputs, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-9)


# ---- what a mark says


def test_result_is_a_new_variable_with_the_tag() -> None:
    x = at.dmatrix("x")
    mean = x.mean(axis=0)
    marked = mark_statistic(mean, "hidden")
    assert marked is not mean
    assert marked.tag.bn_statistic is True
    assert marked.tag.bn_label == "hidden"
    assert not hasattr(mean.tag, "bn_statistic")


def test_mark_whose_result_nothing_reads_marks_nothing() -> None:
    x = at.dmatrix("x")
    mean = x.mean(axis=0)
    mark_statistic(mean, "mean")
    with pytest.raises(ValueError, match=r"no marked statistic.*use what `mark_statistic"):
        InferenceGraph([x], x - mean)


def test_label_is_by_default_the_name_of_the_variable() -> None:
    x = at.dmatrix("x")
    mean, variance = x.mean(axis=0), x.var(axis=0)
    mean.name, variance.name = "mu", None
    mean, variance = mark_moments(mean, variance)
    assert mean.owner is variance.owner
    assert mean.owner.op.labels == ("mu", "statistic")


def test_second_mark_takes_the_place_of_the_first() -> None:
    x = at.dmatrix("x")
    marked = mark_statistic(mark_statistic(x.mean(axis=0), "first"), "second")
    graph = InferenceGraph([x], x - marked)
    assert [s.name for s in graph.statistics] == ["second"]
    assert [s.name for s in InferenceGraph([x], x - mark_statistic(marked)).statistics] == [
        "second"
    ]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_mark_says_more_than_a_tag_on_the_same_variable(depth: int) -> None:
    def body(x: Variable) -> Variable:
        mean, variance = x.mean(axis=0), x.var(axis=0)
        mean.tag.bn_statistic, mean.tag.bn_label = True, "tag"
        mean, variance = mark_moments(mean, variance, x.shape[0], "mark")
        return (x - mean) / at.sqrt(variance + 1)

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
    graph = InferenceGraph([x], body(x))
    assert [s.label for s in graph.statistics] == ["mark.mean", "mark.variance"]
    graph.verify()


@pytest.mark.parametrize("read", ["mean", "variance"])
def test_one_of_two_moments_may_be_all_that_is_needed(read: str) -> None:
    x = at.dmatrix("x")
    moments = dict(zip(("mean", "variance"), mark_moments(x.mean(0), x.var(0), 3), strict=True))
    graph = InferenceGraph([x], x * moments[read])
    values = np.random.default_rng(0).normal(size=(5, 2))
    graph.estimate([(values,)])
    statistic = values.mean(0) if read == "mean" else values.var(0)
    assert_allclose(engine.function([x], graph.outputs)(values[:1]), values[:1] * statistic)


# ---- tags that are set by hand


def by_hand(x: Variable) -> Variable:
    mean = x.mean(axis=0)
    mean.tag.bn_statistic, mean.tag.bn_label = True, "by hand"
    return x - mean


def test_constructors_of_loops_and_ops_put_marks_in_the_place_of_tags() -> None:
    x = at.dmatrix("x")
    scan = engine.scan(by_hand, [at.dtensor3("x")], name="loop")
    for op in (scan.owner.op, OpFromGraph([x], [by_hand(x)])):
        (mark,) = [node.op for node in op.fgraph.apply_nodes if isinstance(node.op, Mark)]
        assert mark.labels == ("by hand",)


def test_tag_that_is_false_marks_nothing_in_a_loop() -> None:
    def step(x_t: Variable) -> Variable:
        mean = x_t.mean(axis=0)
        mean.tag.bn_statistic = False
        return x_t - mean

    y = engine.scan(step, [at.dtensor3("x")])
    assert count([y], Mark) == 0
