"""Names and fingerprints of statistics: the same for every order of outputs, in every process."""

import itertools
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import Indistinguishable, InferenceGraph, batch_normalize, mark_statistic
from bnrewrite.graph.fingerprints import fingerprints
from engine import Variable
from engine import tensor as at


def weight(name: str | None, n_units: int = 3) -> Variable:
    return engine.shared(np.eye(3)[:, :n_units], name)


def layer(x: Variable, w: Variable) -> Variable:
    return batch_normalize(x @ w, 1.0, 0.0)


def in_loops(x: Variable, w: Variable, depth: int) -> Variable:
    if not depth:
        return layer(x, w)
    return engine.scan(lambda x_t: in_loops(x_t, w, depth - 1), [x], name="loop")


def names_of_layers(depth: int, order: tuple[int, ...]) -> dict[str, Variable]:
    """The statistics of three layers that differ by the name of a parameter, by name."""
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    layers = [in_loops(x, weight(name), depth) for name in ("V", "W", None)]
    graph = InferenceGraph([x], [layers[i] for i in order])
    found = {}
    for statistic in graph.statistics:
        label = fingerprints([statistic])[statistic.name]
        found[statistic.name] = label
    return found


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_names_do_not_depend_on_the_order_of_the_outputs(depth: int) -> None:
    first, *others = (names_of_layers(depth, order) for order in itertools.permutations(range(3)))
    assert len(first) == len(set(first.values())) == 6
    assert all(other == first for other in others)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_layers_of_parameters_of_other_shapes_are_told_apart(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    layers = [in_loops(x, weight(None, n), depth) for n in (1, 2)]
    one, other = (
        {s.name: s.variable.type for s in InferenceGraph([x], outputs).statistics}
        for outputs in (layers, layers[::-1])
    )
    prints = [
        fingerprints(InferenceGraph([x], outputs).statistics) for outputs in (layers, layers[::-1])
    ]
    assert one.keys() == other.keys()
    assert prints[0] == prints[1]


def test_of_layers_one_on_the_other_the_lower_comes_first() -> None:
    x = at.dmatrix("x")
    lower = layer(x, weight(None))
    upper = layer(lower, weight(None))
    for outputs in ([lower, upper], [upper, lower]):
        graph = InferenceGraph([x], outputs)
        by_name = {s.name: s.variable for s in graph.statistics}
        mean, mean_2 = by_name["batch_norm.mean"], by_name["batch_norm.mean_2"]
        assert mean in engine.ancestors([mean_2])


@pytest.mark.parametrize("is_first", [True, False])
def test_what_runs_backwards_has_the_same_name_under_both_engines(is_first: bool) -> None:
    x = at.dtensor3("x")
    both = [
        engine.scan(lambda x_t: layer(x_t, weight("W")), [x], go_backwards=backwards, name="loop")
        for backwards in (is_first, not is_first)
    ]
    (backward,) = {
        s.name.split("/")[0]
        for s in InferenceGraph([x], both).statistics
        if any(v is s.path[0].outputs[0] for v in engine.ancestors([both[not is_first]]))
    }
    assert backward == "loop"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_layers_that_nothing_tells_apart_are_warned_about(depth: int) -> None:
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    layers = [in_loops(x, weight(None), depth) for _ in range(2)]
    message = r"(loop/|batch_norm\.mean').*are computed alike at two places.*give labels"
    with pytest.warns(Indistinguishable, match=message):
        InferenceGraph([x], layers)


def test_one_computation_that_is_built_twice_needs_no_labels() -> None:
    x, w = at.dmatrix("x"), weight(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = InferenceGraph([x], [layer(x, w), layer(x, w)])
    assert len(graph.statistics) == 4


def test_fingerprint_does_not_depend_on_values_of_parameters() -> None:
    x, w = at.dmatrix("x"), weight("W")
    graph = InferenceGraph([x], layer(x, w))
    before = fingerprints(graph.statistics)
    w.set_value(np.ones((3, 3)))
    assert fingerprints(InferenceGraph([x], layer(x, w)).statistics) == before


CHANGES = {
    "label": lambda x: x - mark_statistic(x.mean(axis=0), "other"),
    "axis": lambda x: x - mark_statistic(x.mean(axis=1), "mean")[:, None],
    "op": lambda x: x - mark_statistic(x.sum(axis=0), "mean"),
    "upstream": lambda x: x - mark_statistic(at.tanh(x).mean(axis=0), "mean"),
    "constant": lambda x: x - mark_statistic((x + 1).mean(axis=0), "mean"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with_the_definition(change: str) -> None:
    x = at.dmatrix("x")
    graphs = [
        InferenceGraph([x], body(x))
        for body in (lambda x: x - mark_statistic(x.mean(axis=0), "mean"), CHANGES[change])
    ]
    one, other = (set(fingerprints(graph.statistics).values()) for graph in graphs)
    assert one != other


def recurrent(x_t: Variable, h: Variable, **changed: Any) -> Variable:
    """A step whose statistic comes first, and what makes the next state of it comes after."""
    options: dict[str, Any] = {"activation": at.tanh, "gamma": 0.5, "epsilon": 1e-5, "add": 0.0}
    options |= changed
    normalized = batch_normalize(h + x_t, options["gamma"], 0.0, epsilon=options["epsilon"])
    return options["activation"](normalized) + options["add"]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "changed",
    [{"activation": at.sigmoid}, {"gamma": 2.0}, {"epsilon": 1e-2}, {"add": 1.0}],
    ids="".join,
)
def test_fingerprint_changes_with_what_a_step_makes_of_a_statistic(
    changed: dict[str, Any], depth: int
) -> None:
    def built(**changed: Any) -> set[str]:
        x = at.TensorType("float64", (None,) * (depth + 2))("x")

        def layer(v: Variable) -> Variable:
            return engine.scan(lambda x_t, h: recurrent(x_t, h, **changed), [v], v[0])

        for _ in range(depth - 1):
            layer = (lambda inner: lambda v: engine.scan(inner, [v]))(layer)
        return set(fingerprints(InferenceGraph([x], layer(x)).statistics).values())

    assert built() == built()
    assert built().isdisjoint(built(**changed))


PRINT = """
import engine, zoo
from bnrewrite import InferenceGraph
from bnrewrite.graph.fingerprints import fingerprints
for layer in (zoo.bidirectional, zoo.op_in_loop):
    graph = zoo.Model(layer, zoo.SERIES, loops=1).build()
    print(fingerprints(InferenceGraph(graph.inputs, graph.outputs).statistics))
"""


@pytest.mark.exhaustive
def test_fingerprints_are_the_same_in_every_process() -> None:
    command = [sys.executable, "-c", PRINT]
    one, other = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert one == other
    assert one.count("h.mean") >= 3
