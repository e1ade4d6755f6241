"""What the benchmarks show, as far as it does not depend on the machine."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import engine
import growth
import models
from bnrewrite import InferenceGraph, export_statistics
from bnrewrite.graph import export
from engine import Elemwise, Mode, Scan, Variable, io_toposort, rewrite_graph
from engine import tensor as at

# All rewrites of the default mode, and nothing to compile.
REWRITTEN = Mode("py", "fast_run")
SIZES = {growth.abreast: (5, 10, 20, 40), growth.stacked: (5, 10, 20, 40), growth.nested: (1, 2, 4)}


def bodies(inputs: list[Variable], outputs: list[Variable]) -> list[list[str]]:
    """Compile, and list the ops inside each loop, rewritten as for a call."""
    fgraph = engine.function(inputs, outputs, mode=REWRITTEN).maker.fgraph
    loops = [node.op for node in fgraph.apply_nodes if isinstance(node.op, Scan)]
    return [inner_ops(loop) for loop in loops]


def inner_ops(loop: Scan) -> list[str]:
    outputs = list(loop.fgraph.outputs)
    if engine.AESARA:  # which rewrites what is inside when it first runs
        outputs = rewrite_graph(outputs, include=("fast_run",), exclude=("inplace",), clone=True)
    return [op_name(node.op) for node in io_toposort([], outputs)]


def op_name(op: object) -> str:
    return f"Elemwise {op.scalar_op}" if isinstance(op, Elemwise) else type(op).__name__


@pytest.fixture
def x() -> Variable:
    return at.TensorType("float32", (None, None, None))("x")


@pytest.fixture
def p() -> models.Parameters:
    return models.share(models.draw_parameters("float32"))


def test_loop_of_the_inference_graph_is_the_one_written_by_hand(x: Variable, p: models.Parameters):
    statistics = [
        engine.shared(np.ones((7, n * models.UNITS), "float32")) for n in (4, 4, 4, 4, 1, 1)
    ]
    (by_hand,) = bodies([x], [models.bn_lstm_by_hand(x, p, statistics)])
    (inference,) = bodies([x], [InferenceGraph([x], models.bn_lstm(x, p)).outputs])
    assert sorted(inference) == sorted(by_hand)


@pytest.mark.exhaustive
def test_what_depends_on_statistics_alone_is_outside_of_the_loop(x: Variable, p: models.Parameters):
    (plain,) = bodies([x], [models.lstm(x, p)])
    (inference,) = bodies([x], [InferenceGraph([x], models.bn_lstm(x, p)).outputs])
    assert not any("sqrt" in name for name in inference)
    assert len(inference) <= len(plain)


@pytest.mark.exhaustive
def test_estimator_has_the_loop_of_the_training_graph_and_no_other(
    x: Variable, p: models.Parameters
):
    h = models.bn_lstm(x, p)
    (forward,) = bodies([x], [h])
    exported = export_statistics(h)
    computed = dict.fromkeys(v for e in exported.exports.values() for v in e.variables())
    (estimator,) = bodies([x], list(computed))
    # The statistics themselves, which the training graph folds into other nodes.
    assert len(estimator) <= len(forward) + 2 * len(exported)


@pytest.mark.exhaustive
@pytest.mark.parametrize("differentiate", [False, True])  # True takes two minutes
def test_marks_leave_nothing_behind_in_training(
    x: Variable, p: models.Parameters, differentiate: bool
):
    def loops(normalize: models.Normalize) -> list[list[str]]:
        h = models.bn_lstm(x, p, normalize)
        outputs = engine.grad(h.sum(), [p["U"]]) if differentiate else [h]
        return sorted(sorted(body) for body in bodies([x], outputs))

    found = loops(models.batch_normalize)
    assert found == loops(models.unmarked)
    assert len(found) == 1 + differentiate


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", SIZES, ids=lambda kind: kind.__name__)
def test_work_of_building_grows_linearly(kind: Callable[[int], tuple[Variable, Variable]]):
    nodes, calls = [], []
    for n in (1, *SIZES[kind]):  # the first time, more is done
        x, y = kind(n)
        nodes.append(growth.n_nodes([y]))
        calls.append(growth.n_calls(lambda x=x, y=y: InferenceGraph([x], y)))
    slopes = np.diff(calls[1:]) / np.diff(nodes[1:])
    assert slopes[-1] < 1.1 * slopes[0]


@pytest.mark.exhaustive
def test_work_of_building_deep_loops_grows_as_what_is_built():
    edges, calls = [], []
    for depth in (2, 4, 8, 16):
        x, y = growth.deep(depth)
        edges.append(growth.n_edges([InferenceGraph([x], y).outputs]))
        calls.append(growth.n_calls(lambda x=x, y=y: InferenceGraph([x], y)))
    slopes = np.diff(calls[1:]) / np.diff(edges[1:])
    assert slopes[-1] < 1.2 * slopes[0]


def test_proving_the_lengths_of_loops_in_loops_is_a_small_part_of_building(
    monkeypatch: pytest.MonkeyPatch,
):
    x, y = growth.deep(12)
    whole = growth.n_calls(lambda: InferenceGraph([x], y))
    monkeypatch.setattr(export, "outside_of", lambda dependencies, boundary: set())
    without_proof = growth.n_calls(lambda: InferenceGraph([x], y))
    # To ask for the class of an op is a call of Python in PyTensor, whose ops are abstract classes.
    assert without_proof < whole < (1.1 if engine.AESARA else 1.2) * without_proof
