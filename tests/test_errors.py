"""Whatever cannot be right is refused, with the place and the way out."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import aesara
import aesara.tensor as at
import numpy as np
import pytest
from aesara.graph.basic import Variable

from bnrewrite import InferenceGraph, mark_statistic, replace_statistics


def centered(x: Variable, label: str = "mean") -> Variable:
    return x - mark_statistic(x.mean(axis=0), label)


def looped(x: Variable, name: str = "loop") -> Variable:
    return aesara.scan(centered, sequences=[x], name=name)[0]


@pytest.fixture
def x() -> Variable:
    return at.dtensor3("x")


@pytest.fixture
def graph(x: Variable) -> InferenceGraph:
    return InferenceGraph([x], looped(x))


def batch(n_steps: int = 3, units: int = 2) -> dict[str, Any]:
    return {"x": np.random.default_rng(n_steps).normal(size=(n_steps, 4, units))}


def test_graph_without_marks_is_refused(x: Variable) -> None:
    with pytest.raises(ValueError, match=r"no marked statistic.*mark_statistic"):
        InferenceGraph([x], x * 2)


def test_mark_set_to_false_is_none(x: Variable) -> None:
    mean = x.mean(axis=0)
    mean.tag.bn_statistic = False
    with pytest.raises(ValueError, match="no marked statistic"):
        InferenceGraph([x], x - mean)


def test_inputs_that_do_not_cover_the_graph_are_named(x: Variable) -> None:
    with pytest.raises(ValueError, match=r"not among inputs: \['x'\]"):
        InferenceGraph([at.dmatrix("z")], centered(x))


def test_integer_statistic_is_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        mark_statistic(at.lvector("n"))


@pytest.mark.parametrize("batches", [[], iter(())])
def test_no_batches_are_refused(graph: InferenceGraph, batches: Any) -> None:
    with pytest.raises(ValueError, match="no batches"):
        graph.estimate(batches)


def test_missing_and_unknown_inputs_are_all_named(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"batch 2 .*missing \['x'\], unknown \['a', 'b'\]"):
        graph.estimate([batch(), {"a": 1, "b": 2}])


def test_tuple_of_the_wrong_length_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"batch 1 has 2 values for the 1 inputs \['x'\]"):
        graph.estimate([(1, 2)])


def test_batch_of_another_kind_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match="batch 1 is of type ndarray"):
        graph.estimate(batch()["x"])


def test_shape_that_differs_other_than_in_time_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"'loop/mean' has shape \(3,\) in batch 2.*\(2,\)"):
        graph.estimate([batch(units=2), batch(units=3)])


def test_batch_without_steps_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"batch 1"):
        graph.estimate([batch(n_steps=0)])


def test_value_that_is_not_finite_is_placed(graph: InferenceGraph) -> None:
    bad = batch(n_steps=5)
    bad["x"][3, 0, 1] = np.nan
    with pytest.raises(ValueError, match="'loop/mean' is not finite in batch 2 at step 3"):
        graph.estimate([batch(), bad])


def test_evaluating_before_an_estimate_is_an_error(x: Variable, graph: InferenceGraph) -> None:
    with pytest.raises(RuntimeError, match="no population statistics yet"):
        aesara.function([x], graph.outputs)(batch()["x"])


@pytest.mark.parametrize(
    ("error", "kept"), [(OSError("disk"), RuntimeError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_failure_keeps_the_population_and_counts_the_batches(
    x: Variable, graph: InferenceGraph, error: BaseException, kept: type[BaseException]
) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from [batch(7), batch(8)]
        raise error

    population = graph.estimate([batch()])
    evaluate = aesara.function([x], graph.outputs)
    before = evaluate(batch()["x"])
    with pytest.raises(kept, match="after 2 batches"):
        graph.estimate(failing())
    assert graph.population is population
    np.testing.assert_array_equal(evaluate(batch()["x"]), before)


def test_population_that_does_not_fit_is_listed_and_not_assigned(x: Variable) -> None:
    hidden = looped(x)
    graph = InferenceGraph([x], looped(hidden, "second") + centered(x, "outer").sum())
    population = graph.estimate([batch()])
    wrong = {"loop/mean": np.zeros(2), "outer": population["outer"], "other": np.zeros(2)}
    with pytest.raises(ValueError, match=r"(?s)missing: second/mean.*unexpected: other.*loop/mean"):
        graph.assign(wrong)
    assert graph.population is population


def test_values_for_other_statistics_are_refused(x: Variable, graph: InferenceGraph) -> None:
    (statistic,) = graph.statistics
    with pytest.raises(ValueError, match=r"without a value: \['outer'\].*\['loop/mean'\]"):
        replace_statistics(centered(x, "outer"), {statistic: at.dmatrix()})


def test_value_of_the_wrong_rank_is_refused(x: Variable) -> None:
    y = looped(x)
    (statistic,) = InferenceGraph([x], y).statistics
    with pytest.raises(TypeError, match=r"'loop/mean' must have 2 axes \(1 of time\)"):
        replace_statistics(y, {statistic: at.dvector()})


def test_mark_on_an_input_of_a_step_is_refused(x: Variable) -> None:
    def step(x_t: Variable) -> Variable:
        x_t.tag.bn_statistic = True
        return x_t * 2

    with pytest.raises(ValueError, match=r"input of the step of loop 'encoder'"):
        aesara.scan(step, sequences=[x], name="encoder")


@pytest.mark.parametrize("recurrent", [False, True])
def test_derivative_of_a_marked_loop_is_refused(x: Variable, recurrent: bool) -> None:
    weight = aesara.shared(np.eye(2))
    h, _ = aesara.scan(
        (lambda x_t, h: at.tanh(centered(x_t + h @ weight)))
        if recurrent
        else (lambda x_t: at.tanh(centered(x_t @ weight))),
        sequences=[x],
        outputs_info=[at.zeros_like(x[0])] if recurrent else None,
        name="encoder",
    )
    with pytest.raises(ValueError, match=r"loop 'grad_of_encoder' computes a derivative"):
        InferenceGraph([x], [h, aesara.grad((h**2).sum(), weight)])


def test_inner_loop_whose_number_of_steps_changes_is_refused() -> None:
    x, lengths = at.dtensor4("x"), at.lvector("lengths")

    def outer(x_s: Variable, n: Variable) -> Variable:
        return aesara.scan(centered, sequences=[x_s], n_steps=n, name="words")[0].sum(axis=0)

    y, _ = aesara.scan(outer, sequences=[x, lengths], name="sentences")
    with pytest.raises(ValueError, match=r"steps of loop 'sentences/words' changes.*'sentences'"):
        InferenceGraph([x, lengths], y)


def run(code: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


NESTED = """
import aesara, aesara.tensor as at
{first}
def step(x_t):
    mean = x_t.mean(axis=0)
    mean.tag.bn_statistic = True
    return x_t - mean
x = at.dtensor4("x")
y, _ = aesara.scan(lambda x_s: aesara.scan(step, sequences=[x_s])[0], sequences=[x])
aesara.function([x], y)
import bnrewrite
print(bnrewrite.InferenceGraph([x], y).statistics[0].name)
"""


def test_nested_loop_compiled_before_the_import_is_refused() -> None:
    assert "import it first, and build the graph again" in run(NESTED.format(first=""))


def test_nested_loop_compiled_after_the_import_keeps_its_marks() -> None:
    assert run(NESTED.format(first="import bnrewrite")).startswith("scan_fn/scan_fn/mean")


def test_import_prints_nothing_imports_no_matplotlib_and_changes_no_flag() -> None:
    code = """
    import sys, aesara
    before = str(aesara.config)
    import bnrewrite
    print("matplotlib" in sys.modules, str(aesara.config) == before)
    """
    assert run(code).splitlines()[0] == "False True"
