"""Whatever cannot be right is refused, with the place and the way out."""

import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import pytest

import engine
from bnrewrite import (
    InferenceGraph,
    export_statistics,
    get_inference_graph,
    mark_moments,
    mark_statistic,
    replace_statistics,
)
from engine import OpFromGraph, Scan, Variable
from engine import tensor as at


def centered(x: Variable, label: str = "mean") -> Variable:
    return x - mark_statistic(x.mean(axis=0), label)


def looped(x: Variable, name: str = "loop") -> Variable:
    return engine.scan(centered, sequences=[x], name=name)


def nested(x: Variable) -> Variable:
    return engine.scan(lambda x_s: looped(x_s, "words"), sequences=[x], name="sentences")


@pytest.fixture
def x() -> Variable:
    return at.dtensor3("x")


@pytest.fixture
def graph(x: Variable) -> InferenceGraph:
    return InferenceGraph([x], looped(x))


def batch(n_steps: int = 3, units: int = 2) -> dict[str, Any]:
    return {"x": np.random.default_rng(n_steps).normal(size=(n_steps, 4, units))}


def test_graph_without_marks_is_refused(x: Variable) -> None:
    plain = x - x.mean(axis=0)
    for refuse in (
        lambda: InferenceGraph([x], plain),
        lambda: export_statistics(plain),
        lambda: get_inference_graph([x], plain, [batch()]),
    ):
        with pytest.raises(ValueError, match=r"no marked statistic.*mark_statistic"):
            refuse()


def test_mark_that_the_outputs_do_not_need_is_none(x: Variable) -> None:
    centered(x)
    with pytest.raises(ValueError, match=r"no marked statistic.*outputs are computed from"):
        InferenceGraph([x], x * 2)


def test_mark_set_to_false_is_none(x: Variable) -> None:
    mean = x.mean(axis=0)
    mean.tag.bn_statistic = False
    with pytest.raises(ValueError, match="no marked statistic"):
        InferenceGraph([x], x - mean)


def test_inputs_that_do_not_cover_the_graph_are_named(x: Variable) -> None:
    y = at.dtensor3("y")
    with pytest.raises(ValueError, match=r"not among inputs: \['x', 'y'\]"):
        InferenceGraph([at.dmatrix("z")], centered(x) + y)


def test_inputs_that_are_none_are_refused(x: Variable) -> None:
    for computed in (x * 2, engine.shared(np.zeros((1, 1, 1)))):
        with pytest.raises(ValueError, match=r"inputs must not be computed, or shared"):
            InferenceGraph([x, computed], centered(x))
    with pytest.raises(TypeError, match=r"must be variables, got 'x' of type str"):
        InferenceGraph(["x"], centered(x))


def test_integer_statistic_is_refused() -> None:
    with pytest.raises(TypeError, match=r"floating-point.*n is int64"):
        mark_statistic(at.lvector("n"))
    with pytest.raises(TypeError, match=r"floating-point.*n is int64"):
        mark_moments(at.dvector("mean"), at.lvector("n"))
    with pytest.raises(TypeError, match=r"floating-point.*1.0 is float"):
        mark_statistic(1.0)


@pytest.mark.skipif(engine.AESARA, reason="Aesara has no xtensors")
@pytest.mark.filterwarnings("ignore:xtensor module is experimental")
def test_statistic_that_is_no_tensor_is_refused() -> None:
    from pytensor.xtensor.type import as_xtensor

    x = at.dmatrix("x")
    mean = as_xtensor(x, dims=("batch", "unit")).mean("batch")
    with pytest.raises(TypeError, match=r"floating-point tensor variable, .* of type XTensorType"):
        mark_statistic(mean)
    mean.tag.bn_statistic = True
    with pytest.raises(TypeError, match=r"the statistic .* is of type XTensorType"):
        InferenceGraph([x], x - mean.values)


def test_integer_marked_by_hand_is_placed() -> None:
    def step(x_t: Variable) -> Variable:
        total = x_t.sum(axis=0)
        total.tag.bn_statistic = True
        total.tag.bn_label = "total"
        return x_t - total

    x = at.ltensor3("x")
    message = r"'counts/total' is of type .*int64.* cast to floating point"
    with pytest.raises(TypeError, match=message):
        InferenceGraph([x], engine.scan(step, sequences=[x], name="counts"))


@pytest.mark.parametrize("batches", [[], iter(())])
def test_no_batches_are_refused(graph: InferenceGraph, batches: Any) -> None:
    with pytest.raises(ValueError, match="no batches"):
        graph.estimate(batches)


def test_iterator_that_was_read_before_is_refused(graph: InferenceGraph) -> None:
    batches = iter([batch()])
    graph.estimate(batches)
    with pytest.raises(ValueError, match=r"no batches.*read before is empty; pass a list"):
        graph.estimate(batches)


def test_missing_and_unknown_inputs_are_all_named(x: Variable) -> None:
    y = at.dtensor3("y")
    graph = InferenceGraph([x, y], centered(x) + y)
    good = {**batch(), "y": batch()["x"]}
    message = r"batch 2 .*inputs \['x', 'y'\]: missing \['x', 'y'\], unknown \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        graph.estimate([good, {"a": 1, "b": 2}])


def test_tuple_of_the_wrong_length_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"batch 1 has 2 values for the 1 inputs \['x'\]"):
        graph.estimate([(1, 2)])


@pytest.mark.parametrize("wrong", [np.zeros((3, 4, 2)), 3, "x", None, {1}])
def test_batch_of_another_kind_is_refused(graph: InferenceGraph, wrong: Any) -> None:
    kind = type(wrong).__name__
    with pytest.raises(ValueError, match=rf"batch 1 is of type {kind}\. A batch is a dict"):
        graph.estimate([wrong])


def test_value_of_another_kind_is_refused(graph: InferenceGraph) -> None:
    message = r"batch 2 does not fit the inputs: '.*' has shape \(\), and needs 3 axes\."
    with pytest.raises(ValueError, match=message):
        graph.estimate([batch(), ("no array",)])


def test_shape_that_differs_other_than_in_time_is_refused(graph: InferenceGraph) -> None:
    with pytest.raises(ValueError, match=r"'loop/mean' has shape \(3,\) in batch 2.*\(2,\)"):
        graph.estimate([batch(units=2), batch(units=3)])


def test_batch_without_steps_is_refused(graph: InferenceGraph) -> None:
    message = r"(loop 'loop' took no step in )?batch 2.* Leave empty sequences"
    with pytest.raises(ValueError, match=message):
        graph.estimate([batch(), batch(n_steps=0)])


@pytest.mark.parametrize("lengths", [(0, 3), (2, 0)])
def test_batch_without_inner_steps_is_refused(lengths: tuple[int, int]) -> None:
    x = at.dtensor4("x")
    graph = InferenceGraph([x], nested(x))
    message = r"(loop 'sentences.*' took no step in )?batch 1.* Leave empty sequences"
    with pytest.raises(ValueError, match=message):
        graph.estimate([(np.zeros((*lengths, 4, 2)),)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@np.errstate(invalid="ignore")
def test_value_that_is_not_finite_is_placed(graph: InferenceGraph, value: float) -> None:
    bad = batch(n_steps=5)
    bad["x"][3, 0, 1] = value
    message = r"'loop/mean' is not finite in batch 2 at step 3 .* Check the parameters"
    with pytest.raises(ValueError, match=message):
        graph.estimate([batch(), bad])


@np.errstate(invalid="ignore")
def test_value_that_is_not_finite_is_placed_in_nested_loops() -> None:
    x, bad = at.dtensor4("x"), np.zeros((3, 2, 4, 2))
    bad[2, 1, 0, 0] = np.inf
    message = r"'sentences/words/mean' is not finite in batch 1 at step \(2, 1\)"
    with pytest.raises(ValueError, match=message):
        InferenceGraph([x], nested(x)).estimate([(bad,)])


def test_evaluating_before_an_estimate_is_an_error(x: Variable, graph: InferenceGraph) -> None:
    with pytest.raises(RuntimeError, match="no population statistics yet"):
        engine.function([x], graph.outputs)(batch()["x"])


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
    evaluate = engine.function([x], graph.outputs)
    before = evaluate(batch()["x"])
    with pytest.raises(kept, match="after 2 batches"):
        graph.estimate(failing())
    assert graph.population is population
    np.testing.assert_array_equal(evaluate(batch()["x"]), before)


def test_bad_batch_keeps_the_population(x: Variable, graph: InferenceGraph) -> None:
    population = graph.estimate([batch()])
    evaluate = engine.function([x], graph.outputs)
    before = evaluate(batch()["x"])
    with pytest.raises(ValueError, match="batch 2 has 2 values"):
        graph.estimate([batch(7), (1, 2)])
    assert graph.population is population
    np.testing.assert_array_equal(evaluate(batch()["x"]), before)


@pytest.mark.parametrize("value", [np.full((2, 2), np.nan), np.full((2, 2), "a")])
def test_population_that_is_not_finite_is_refused(graph: InferenceGraph, value: Any) -> None:
    with pytest.raises(ValueError, match=r"(?s)nothing was assigned.*not finite.*loop/mean"):
        graph.assign({"loop/mean": value})


@pytest.mark.parametrize(("shape", "wanted"), [((0, 2), ", and at least one step$"), ((2,), "$")])
def test_population_without_steps_is_refused(
    graph: InferenceGraph, shape: Any, wanted: str
) -> None:
    message = r"(?s)nothing was assigned.*wrong shape: loop/mean is \(.*\), expected \('\?', .*\)"
    with pytest.raises(ValueError, match=message + wanted):
        graph.assign({"loop/mean": np.zeros(shape)})


def test_population_that_does_not_fit_is_listed_and_not_assigned(x: Variable) -> None:
    hidden = looped(x)
    graph = InferenceGraph([x], looped(hidden, "second") + centered(x, "outer"))
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
        engine.scan(step, sequences=[x], name="encoder")


def test_mark_on_a_state_of_a_step_is_refused(x: Variable) -> None:
    def step(x_t: Variable, h: Variable) -> Variable:
        return mark_statistic(h, "state") + x_t

    initial = at.zeros_like(x[0])
    with pytest.raises(ValueError, match=r"'state' would be lost.*loop 'encoder'.*copy"):
        engine.scan(step, sequences=[x], outputs_info=[initial], name="encoder")


def test_mark_on_a_copy_of_an_input_of_a_step_is_found(x: Variable) -> None:
    y = engine.scan(lambda x_t: mark_statistic(x_t.copy(), "row"), sequences=[x], name="rows")
    assert [s.name for s in InferenceGraph([x], y).statistics] == ["rows/row"]


@pytest.mark.parametrize("recurrent", [False, True])
def test_derivative_of_a_marked_loop_is_refused(x: Variable, recurrent: bool) -> None:
    weight = engine.shared(np.eye(2))
    h = engine.scan(
        (lambda x_t, h: at.tanh(centered(x_t + h @ weight)))
        if recurrent
        else (lambda x_t: at.tanh(centered(x_t @ weight))),
        sequences=[x],
        outputs_info=[at.zeros_like(x[0])] if recurrent else None,
        name="encoder",
    )
    gradient = engine.grad((h**2).sum(), weight)
    message = r"'encoder': the outputs need a derivative .* derivatives of the inference graph"
    for outputs in (gradient, [h, gradient]):
        with pytest.raises(ValueError, match=message):
            InferenceGraph([x], outputs)


def test_inner_loop_whose_number_of_steps_changes_is_refused() -> None:
    x, lengths = at.dtensor4("x"), at.lvector("lengths")

    def outer(x_s: Variable, n: Variable) -> Variable:
        return engine.scan(centered, sequences=[x_s], n_steps=n, name="words").sum(axis=0)

    y = engine.scan(outer, sequences=[x, lengths], name="sentences")
    message = r"steps of loop 'sentences/words' changes.*'sentences' to the next.*mask or stop"
    with pytest.raises(ValueError, match=message):
        InferenceGraph([x, lengths], y)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("around", [False, True])
def test_one_inner_loop_among_others_whose_number_of_steps_changes_is_named(
    place: int, around: bool
) -> None:
    x, n = at.dtensor4("x"), at.lscalar("n")

    def outer(x_s: Variable) -> Variable:
        # What is known at once, what a rewrite shows, and what is not so.
        lengths = [("given", n), ("as_x", None), ("shown", at.tanh(x_s).shape[0])]
        changing = at.abs(x_s).sum().astype("int64") % 3 + 1
        lengths.insert(place, ("changing", changing))
        return at.add(
            *(engine.scan(centered, [x_s], n_steps=m, name=name)[-1] for name, m in lengths)
        )

    y = engine.scan(outer, sequences=[x], name="sentences")
    path = "sentences"
    if around:
        y = engine.scan(lambda x_p: engine.scan(outer, [x_p], name="sentences"), [x[None]])
        path = "scan.*/sentences"
    message = rf"steps of loop '{path}/changing' changes from one step of loop '{path}' to the next"
    with pytest.raises(ValueError, match=message):
        InferenceGraph([x, n], y)


def test_inner_loop_of_as_many_steps_as_an_axis_has_is_fine() -> None:
    def outer(x_s: Variable) -> Variable:
        steps = engine.scan(
            lambda h: at.tanh(centered(h)), outputs_info=[x_s], n_steps=x_s.shape[1], name="words"
        )
        return steps[-1]

    x = at.dtensor3("x")
    y = engine.scan(outer, sequences=[x], name="sentences")
    population = InferenceGraph([x], y).estimate([(np.ones((4, 2, 3)),)])
    assert population["sentences/words/mean"].shape == (4, 3, 3)


def run(code: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


NESTED = """
import engine
from engine import tensor as at
{first}
def step(x_t):
    mean = x_t.mean(axis=0)
    mean.tag.bn_statistic = True
    return x_t - mean
x = at.dtensor4("x")
y = engine.scan(lambda x_s: engine.scan(step, sequences=[x_s]), sequences=[x])
engine.function([x], y)
import bnrewrite
print(bnrewrite.InferenceGraph([x], y).statistics[0].name)
"""


def test_nested_loop_compiled_before_the_import_is_refused() -> None:
    way_out = (
        "import it first, and build the graph again"
        if engine.AESARA
        else "Import bnrewrite before you build the model"
    )
    assert way_out in run(NESTED.format(first=""))


def test_nested_loop_compiled_after_the_import_keeps_its_marks() -> None:
    assert run(NESTED.format(first="import bnrewrite")).startswith("scan_fn/scan_fn/mean")


def test_import_prints_nothing_imports_no_matplotlib_and_changes_no_flag() -> None:
    code = """
    import sys, engine
    before = str(engine.config)
    import bnrewrite
    print("matplotlib" in sys.modules, str(engine.config) == before)
    """
    assert run(code).splitlines()[0] == "False True"


@pytest.mark.skipif(not engine.AESARA, reason="PyTensor has no MRG_RandomStream")
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_noise_that_every_batch_would_draw_alike_is_refused(depth: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from aesara.sandbox.rng_mrg import MRG_RandomStream

    noise = MRG_RandomStream(1)
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def body(x_t: Variable) -> Variable:
        return mark_statistic((x_t + noise.normal(x_t.shape)).mean(axis=0), "mean")

    for _ in range(depth):
        body = (lambda inner: lambda x_t: engine.scan(inner, [x_t], name="loop"))(body)
    place = "/".join(["loop"] * depth) or "outer graph"
    with pytest.raises(ValueError, match=rf"^{place} draws noise .* Use `aesara.tensor.random.Ra"):
        InferenceGraph([x], body(x))


def test_mark_on_an_input_of_an_op_with_a_graph_inside_is_refused() -> None:
    x, mean = at.dmatrix("x"), at.dvector("mean")
    mean.tag.bn_statistic = True
    with pytest.raises(ValueError, match=r"'mean' would be lost.*inside 'OpFromGraph'.*copy"):
        OpFromGraph([x, mean], [x - mean])


class OwnLoop(Scan):  # type: ignore[misc]
    """A loop of a kind that the library does not know."""


@pytest.mark.parametrize("depth", [0, 1])
def test_mark_inside_of_an_op_that_can_not_be_opened_is_refused(depth: int) -> None:
    def body(x: Variable) -> Variable:
        loop = looped(x, "own").owner
        op = copy(loop.op)
        op.__class__ = OwnLoop
        return centered(op(*loop.inputs), "behind")

    x = at.TensorType("float64", (None,) * (depth + 3))("x")
    y = engine.scan(body, [x], name="outer") if depth else body(x)
    where = "outer/own" if depth else "own"
    with pytest.raises(ValueError, match=rf"'{where}' is inside an op of type OwnLoop.*opened"):
        InferenceGraph([x], y)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_marks_that_the_outputs_do_not_need_are_named(depth: int) -> None:
    def body(x: Variable) -> list[Variable]:
        return [centered(x), x * 2]

    for name in ("loop0", "loop1")[:depth]:
        body = partial(engine.scan, body, name=name)
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    where = ["", r"'loop0/mean'", r"'loop1/loop0/mean'"][depth]
    message = rf"marks on \[{where}\], in parts of loops" if depth else r"from\.$"
    with pytest.raises(ValueError, match=message):
        InferenceGraph([x], body(x)[1])


def test_mark_whose_result_was_ignored_is_named(x: Variable) -> None:
    mean, variance = x.mean(axis=1), x.var(axis=1)
    kept = mark_moments(mean, variance, label="h")  # or else it is forgotten
    assert len(kept) == 2
    message = r"read the variables that were marked as \['h.mean', 'h.variance'\], and not the var"
    with pytest.raises(ValueError, match=message):
        InferenceGraph([x], (x - mean[:, None]) / variance[:, None])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_op_in_an_op_with_a_parameter_for_the_steps_of_its_loop_is_not_refused(depth: int) -> None:
    n_steps, weight = engine.shared(np.array(3)), engine.shared(np.eye(2))

    def repeated(v: Variable) -> Variable:
        u = v.type()
        h = engine.scan(lambda h: centered(h @ weight), outputs_info=[u], n_steps=n_steps)
        return engine.op_of([u], [h[-1]])(v)

    def body(v: Variable) -> Variable:
        u = v.type()
        return engine.op_of([u], [repeated(u) * 2])(v)

    for _ in range(depth):
        body = partial(engine.scan, body)
    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    graph = InferenceGraph([x], body(x))
    shape = (4,) * depth
    values = np.random.default_rng(0).normal(size=(*shape, 5, 2))
    (mean,) = graph.estimate([(values,)]).values()
    assert mean.shape == (*shape, 3, 2)
    expected = np.stack([values.mean(axis=-2), *[np.zeros((*shape, 2))] * 2], axis=-2)
    np.testing.assert_allclose(mean, expected, atol=1e-15)
