"""The checks that make an inference graph right, on every model of the zoo.

Each model is checked twice: as built, and after a training function was compiled on it, which may
rewrite the inner graphs of loops in place, and an inference graph was made once already. In the
engine's default modes, which take long to compile, only the latter is checked.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
import oracle
import zoo
from bnrewrite import InferenceGraph, export_statistics, get_inference_graph
from engine import Apply, Scan, SharedVariable, Variable, ancestors, graph_inputs
from oracle import Array, Named

# The oracle averages all steps of all batches, however few elements they have: `min_count=0`.
pytestmark = pytest.mark.filterwarnings("ignore::bnrewrite.FewElements")


@dataclass(frozen=True, eq=False)
class Case:
    """A model, its inference graph, and batches of different lengths."""

    model: zoo.Model
    trained: bool
    graph: zoo.Graph
    before: "Fingerprint"
    loops: list[str]
    rebuilt: InferenceGraph
    evaluate: Any
    noise: dict[SharedVariable, Any]

    @cached_property
    def batches(self) -> list[Named]:
        """Some batches, no two of the same lengths."""
        rng = np.random.default_rng(0)
        return [self.model.draw(rng, lengths) for lengths in zoo.LENGTHS]

    @cached_property
    def longer(self) -> Named:
        """A batch with more steps, on every time axis, than any of `batches`."""
        return self.model.draw(np.random.default_rng(1), zoo.LONGER)

    def __call__(self, batch: Named) -> list[Array]:
        """Evaluate the inference graph, with the same noise each time."""
        for stream, state in self.noise.items():
            stream.set_value(state)
        return self.evaluate(*batch.values())

    def truth(self, batch: Named, batches: Sequence[Named]) -> list[Array]:
        """Compute what the inference graph should, after an estimate from `batches`."""
        return self.model.oracle(batch, oracle.average(self.oracles(batches))).outputs

    def enough(self, batch: Named) -> list[Named]:
        """The batch, and if it takes a branch, another one that takes the other."""
        if "choose" not in batch:
            return [batch]
        others = (b for b in self.batches if b["choose"] % 2 != batch["choose"] % 2)
        return [batch, next(others)]

    def oracles(self, batches: Sequence[Named]) -> list[oracle.Result]:
        return [self.model.oracle(batch) for batch in batches]


def assert_close(actual: Sequence[Array], desired: Sequence[Array]) -> None:
    for a, d in zip(actual, desired, strict=True):
        assert a.dtype == d.dtype
        tolerance = 1e-4 if a.dtype == "float32" else 1e-9
        assert_allclose(a, d, rtol=tolerance, atol=tolerance)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((*case.values, trained), id=f"{case.id}-{name}", marks=case.marks)
        for case in zoo.CASES
        for name, trained in {"fresh": False, "trained": True}.items()
        if trained or not case.marks
    ],
)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    model, trained = request.param
    with model.flags():
        graph = model.build()
        options = loop_options(graph.outputs)
        if trained:
            train(model, graph, request.config.getoption("all_gradients"))
        before, noise = fingerprint(graph), {r: r.get_value() for r in graph.updates}
        rebuilt = InferenceGraph(graph.inputs, [*graph.outputs, *graph.updates.values()])
        outputs = rebuilt.outputs[: len(graph.outputs)]
        updates = list(zip(graph.updates, rebuilt.outputs[len(outputs) :], strict=True))
        evaluate = engine.function(graph.inputs, outputs, updates=updates, on_unused_input="ignore")
        yield Case(model, trained, graph, before, options, rebuilt, evaluate, noise)


@pytest.fixture
def exact(case: Case) -> Case:
    """Leave out the models whose noise the oracle cannot foresee."""
    if case.model.random:
        pytest.skip("every batch draws fresh noise")
    return case


def train(model: zoo.Model, graph: zoo.Graph, all_gradients: bool) -> None:
    """Compile and run a training function, ask for an inference graph, and restore all values."""
    values = shared_values(graph)
    weights = [v for v in values if hasattr(v, "ndim")]
    cost = sum((output**2).mean() for output in graph.outputs)
    steps = [0.01 * weight for weight in weights]
    if model.differentiable and (model.quick or all_gradients):
        steps = engine.grad(cost, weights, disconnected_inputs="ignore")
    descent = {w: w - (0.1 * step).astype(w.dtype) for w, step in zip(weights, steps, strict=True)}
    step = engine.function(graph.inputs, cost, updates={**graph.updates, **descent})
    rng = np.random.default_rng(2)
    batches = [model.draw(rng, lengths) for lengths in zoo.LENGTHS[:2]]
    step(*batches[0].values())
    for variable, value in values.items():
        variable.set_value(value)
    get_inference_graph(graph.inputs, graph.outputs, batches)


# ---- looking into graphs, independently of the library


def variables(outputs: Sequence[Variable]) -> Iterator[Variable]:
    """Visit every variable at every depth."""
    for variable in ancestors(outputs):
        yield variable
        node = variable.owner
        if node and variable is node.outputs[0] and hasattr(node.op, "fgraph"):
            yield from variables(node.op.fgraph.outputs)


def loops(outputs: Sequence[Variable]) -> list[Apply]:
    """List every loop at every depth."""
    nodes = {v.owner: None for v in variables(outputs) if v.owner}
    return [node for node in nodes if isinstance(node.op, Scan)]


def loop_options(outputs: Sequence[Variable]) -> list[str]:
    """Describe every loop at every depth, in no order."""
    names = ("name", "mode", "strict", "truncate_gradient", "allow_gc", "profile")
    return sorted(
        str([*(getattr(node.op, name) for name in names), node.op.info.as_while])
        for node in loops(outputs)
    )


Fingerprint = tuple[str, list[tuple[Any, ...]]]


def fingerprint(graph: zoo.Graph) -> Fingerprint:
    """Return all that the library could change: the nodes themselves, and every tag."""
    outputs = [*graph.outputs, *graph.updates.values()]
    text = engine.module.printing.debugprint(outputs, file="str", print_type=True)
    objects = [(v, v.owner, v.owner and v.owner.op, tags(v)) for v in variables(outputs)]
    return re.sub(" at 0x[0-9A-F]+", "", text), objects


def tags(variable: Variable) -> dict[str, Any]:
    return {k: v for k, v in vars(variable.tag).items() if k.startswith("bn_")}


def shared_values(graph: zoo.Graph) -> dict[SharedVariable, Any]:
    inputs = graph_inputs([*graph.outputs, *graph.updates.values()])
    return {v: v.get_value() for v in inputs if isinstance(v, SharedVariable)}


def by_label(case: Case, population: dict[str, Array]) -> dict[str, list[Array]]:
    """Collect what has the same label, in any order: names are the library's own."""
    values = defaultdict(list)
    for statistic in case.rebuilt.statistics:
        values[statistic.label].append(population[statistic.name])
    return values


def assert_same_values(case: Case, population: Any, expected: Named) -> None:
    """Compare values with those of the oracle, pairing equal labels in whatever order fits."""
    expected_by_label = defaultdict(list)
    for key, value in expected.items():
        expected_by_label[key.split("/")[-1]].append(value)
    actual_by_label = by_label(case, population)
    assert {k: len(v) for k, v in actual_by_label.items()} == {
        k: len(v) for k, v in expected_by_label.items()
    }
    for label, values in expected_by_label.items():
        assert_close(in_order(actual_by_label[label]), in_order(values))


def in_order(values: Sequence[Array]) -> list[Array]:
    return sorted(values, key=lambda value: (value.shape, float(value.sum())))


# ---- the checks


@pytest.mark.parametrize("model", zoo.CASES)
def test_training_graph_computes_what_the_oracle_says(model: zoo.Model) -> None:
    with model.flags():
        graph = model.build()
        train = engine.function(graph.inputs, graph.outputs, updates=graph.updates)
    batch = model.draw(np.random.default_rng(1), zoo.LONGER)
    assert_close(train(*batch.values()), model.oracle(batch).outputs)


def test_batch_that_was_estimated_from_gives_the_training_outputs(exact: Case) -> None:
    for batch in (exact.batches[0], exact.longer):
        exact.rebuilt.estimate(exact.enough(batch), min_count=0)
        assert_close(exact(batch), exact.model.oracle(batch).outputs)


def test_row_does_not_depend_on_the_others(case: Case) -> None:
    case.rebuilt.estimate(case.batches, min_count=0)
    others = case.model.draw(np.random.default_rng(3), zoo.LONGER)
    for name, word in case.model.words().items():
        if "n" in word.lstrip("?#") and not word.startswith("#"):
            first = (slice(None),) * word.lstrip("?").index("n") + (0,)
            others[name][first] = case.longer[name][first]
    n_outputs = len(case.graph.outputs)
    for i, (one, other) in enumerate(zip(case(case.longer), case(others), strict=True)):
        if i - n_outputs not in case.model.batchless:
            one, other = one[..., 0, :], other[..., 0, :]
        assert_close([one], [other])


def test_longer_batch_holds_the_last_step_of_the_average(exact: Case) -> None:
    exact.rebuilt.estimate(exact.batches, min_count=0)
    for batch in (exact.batches[1], exact.longer):
        assert_close(exact(batch), exact.truth(batch, exact.batches))


def test_nothing_marked_is_left_at_any_depth(case: Case) -> None:
    left = [v for v in variables(case.rebuilt.outputs) if tags(v).get("bn_statistic")]
    assert left == []


def test_exported_values_are_the_batch_statistics(exact: Case) -> None:
    for batch in exact.batches:
        batches = exact.enough(batch)
        population = exact.rebuilt.estimate(batches, min_count=0)
        assert_same_values(exact, population, oracle.average(exact.oracles(batches)))


def test_population_is_the_padded_average(exact: Case) -> None:
    population = exact.rebuilt.estimate(exact.batches, min_count=0)
    results = exact.oracles(exact.batches)
    assert_same_values(exact, population, oracle.average(results))
    assert_same_values(exact, population.coverage, oracle.coverage(results))


def test_order_and_repetition_of_the_batches_do_not_matter(exact: Case) -> None:
    first, *same = (
        exact.rebuilt.estimate(batches, min_count=0)
        for batches in (exact.batches, exact.batches[::-1], exact.batches * 2)
    )
    for population in same:
        assert list(population) == list(first)
        assert_close(list(population.values()), list(first.values()))


def test_callers_graph_and_values_are_as_they_were(case: Case) -> None:
    values = shared_values(case.graph)
    case.rebuilt.estimate(case.batches, min_count=0)
    assert fingerprint(case.graph) == case.before
    for variable, value in shared_values(case.graph).items():
        assert state(value) == state(values[variable])


def state(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value.bit_generator.state


def test_loops_keep_their_options(case: Case) -> None:
    assert loop_options(case.rebuilt.outputs) == case.loops


def test_each_loop_runs_once_in_the_estimator(case: Case) -> None:
    exported = list(export_statistics(case.graph.outputs).values())
    assert len(loops(exported)) <= len(case.loops)


def test_gradient_of_the_inference_graph_is_its_slope(exact: Case) -> None:
    if not (exact.model.quick and exact.model.has_slope and exact.trained):
        pytest.skip("not quick to compile, or without a slope to compare with")
    exact.rebuilt.estimate(exact.batches, min_count=0)
    weight, value = next(iter(shared_values(exact.graph).items()))
    cost = sum((output**2).mean() for output in exact.rebuilt.outputs)
    gradient = engine.grad(cost, weight)
    inputs = exact.graph.inputs
    slope = engine.function(inputs, gradient, on_unused_input="ignore")(*exact.longer.values())
    direction = np.random.default_rng(4).normal(size=value.shape)
    costs = []
    for step in (1e-5, -1e-5):
        weight.set_value(value + step * direction)
        costs.append(sum((output**2).mean() for output in exact(exact.longer)))
    weight.set_value(value)
    assert_allclose((slope * direction).sum(), (costs[0] - costs[1]) / 2e-5, rtol=1e-5, atol=1e-8)


@pytest.fixture
def noisy(case: Case) -> Case:
    if not case.model.random:
        pytest.skip("no noise")
    return case


def test_noise_is_drawn_afresh_for_every_batch(noisy: Case) -> None:
    batch = noisy.batches[0]
    once = noisy.rebuilt.estimate([batch], min_count=0)
    twice = noisy.rebuilt.estimate([batch, batch], min_count=0)
    assert all((once[name] != twice[name]).all() for name in once)


def test_noise_in_the_inference_graph_is_that_of_the_stream(noisy: Case) -> None:
    population = noisy.rebuilt.estimate(noisy.batches, min_count=0)
    held = {label: values for label, (values,) in by_label(noisy, population).items()}
    assert_close(noisy(noisy.longer), noisy.model.oracle(noisy.longer, held).outputs)
    again = noisy.evaluate(*noisy.longer.values())
    assert (again[-1] != noisy(noisy.longer)[-1]).all()
