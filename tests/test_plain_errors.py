"""Whatever is given to a public function that it can't take is named, before anything is compiled.

A table: what is called, which error it is, and how the message begins. The beginning is ours: text
of NumPy or the engine may follow as a cause, and never stands alone.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import engine
from bnrewrite import (
    InferenceGraph,
    Population,
    ShardError,
    batch_normalize,
    estimate_population,
    export_statistics,
    get_inference_graph,
    mark_moments,
    mark_statistic,
    plot_population,
    replace_statistics,
)
from engine import Variable
from engine import tensor as at

# Any type will do here: that it is the wrong one is what is tested.
x: Any = at.dmatrix("x")
counts: Any = at.lvector("counts")
y: Any = batch_normalize(x, 1.0, 0.0, label="bn")
plain: Any = x - mark_statistic(x.mean(axis=0), "mean")
exported: Any = export_statistics(y)
graph: Any = InferenceGraph([x], y)
simple: Any = InferenceGraph([x], plain)
VALUES = np.random.default_rng(0).normal(size=(5, 3))
BATCH: Any = {"x": VALUES}
POPULATION: Any = estimate_population([x], exported, [BATCH])
OTHER: Any = estimate_population([x], export_statistics(plain), [BATCH])


def estimate(batches: Any = (BATCH,), **options: Any) -> Callable[[], Any]:
    return lambda: graph.estimate(batches, **options)


def every_estimate(**options: Any) -> Iterator[Callable[[], Any]]:
    """An option is the same, and wrong in the same way, wherever it is given."""
    yield lambda: graph.estimate([BATCH], **options)
    yield lambda: get_inference_graph([x], y, [BATCH], **options)
    yield lambda: estimate_population([x], exported, [BATCH], **options)
    yield lambda: graph.estimate_shards([list], Inline(), **options)


class Inline(Executor):
    """Runs at once, in the thread that calls."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def normalize(value: Any = x, gamma: Any = 1.0, beta: Any = 0.0, **options: Any) -> Any:
    return lambda: batch_normalize(value, gamma, beta, **options)


def assign(**values: Any) -> Any:
    both = {"bn.mean": np.zeros(3), "bn.variance": np.ones(3)}
    return lambda: graph.assign({**both, **{k.replace("_", "."): v for k, v in values.items()}})


def masked() -> Any:
    return np.ma.masked_less(VALUES, 0)


def axes() -> Any:
    return Figure().subplots()


Row = tuple[Callable[[], Any], type[Exception], str]

MARKS: list[Row] = [
    (lambda: mark_statistic(None), TypeError, "a batch statistic is .* and None is NoneType"),
    (lambda: mark_statistic(VALUES), TypeError, "a batch statistic is .*ndarray"),
    (lambda: mark_statistic([x]), TypeError, "a batch statistic is .*list"),
    (lambda: mark_statistic(counts), TypeError, "a batch statistic is .* counts is int64"),
    (lambda: mark_statistic(x, 3), TypeError, "a label is text, got 3 of type int"),
    (lambda: mark_statistic(x, b"a"), TypeError, "a label is text, got b'a' of type bytes"),
    (lambda: mark_moments(x, None), TypeError, "a batch statistic is .* None is NoneType"),
    (lambda: mark_moments(1.0, x), TypeError, "a batch statistic is .* 1.0 is float"),
    (lambda: mark_moments(x, x), ValueError, "mean and variance are the same variable, x"),
    (lambda: mark_moments(x, x.mean(axis=0)), ValueError, "mean and variance .* 2 and 1 axes"),
    (lambda: mark_moments(x, x + 1, "5"), TypeError, "count is the number .* got '5' of type str"),
    (lambda: mark_moments(x, x + 1, 1j), TypeError, "count is the number .* got 1j of type compl"),
    (lambda: mark_moments(x, x + 1, x[None]), ValueError, "count has 3 axes, and the mean only 2"),
    (lambda: mark_moments(x, x + 1, 5, 7), TypeError, "a label is text, got 7 of type int"),
]

NORMALIZATION: list[Row] = [
    (normalize(None), TypeError, "x must be a tensor variable or a number, got None"),
    (normalize("x"), TypeError, "x must be a tensor variable or a number, got 'x' of type str"),
    (normalize({"x": 1}), TypeError, "x must be a tensor variable .* of type dict"),
    (normalize(counts), TypeError, "x has dtype int64; batch normalization needs floating"),
    (normalize(gamma=None), TypeError, "gamma must be a tensor variable or a number, got None"),
    (normalize(beta="0"), TypeError, "beta must be a tensor variable .* got '0' of type str"),
    (normalize(gamma=1j), TypeError, "gamma must be a tensor variable .* 1j of type complex"),
    (normalize(gamma=x), ValueError, "gamma has 2 axes, and the statistics have 1: the 2 of x"),
    (normalize(beta=np.ones((5, 3))), ValueError, "beta has 2 axes, and the statistics have 1"),
    (normalize(axis=None), TypeError, "axis must be a whole number or a tuple .* got None"),
    (normalize(axis="0"), TypeError, "axis must be a whole number .* got '0' of type str"),
    (normalize(axis=0.0), TypeError, "axis must be a whole number .* got 0.0 of type float"),
    (normalize(axis=(0, None)), TypeError, "axis must be a whole number"),
    (normalize(axis=True), TypeError, "axis must be a whole number .* got True of type bool"),
    (normalize(axis=2), ValueError, "axis=2 does not name axes of a variable with 2 axes"),
    (normalize(axis=()), ValueError, r"axis=\(\) does not name axes"),
    (normalize(axis=(0, -2)), ValueError, r"axis=\(0, -2\) names an axis twice"),
    (normalize(mask="m"), TypeError, "mask must be a tensor variable .* got 'm' of type str"),
    (normalize(mask=x[None]), ValueError, "mask has 3 axes, and x only 2"),
    (normalize(epsilon=None), TypeError, "epsilon must be a number, got None"),
    (normalize(epsilon="1"), TypeError, "epsilon must be a number, got '1' of type str"),
    (normalize(epsilon=1e-5j), TypeError, "epsilon must be a number, got 1e-05j of type complex"),
    (normalize(epsilon=True), TypeError, "epsilon must be a number, got True of type bool"),
    (normalize(epsilon=0), ValueError, "epsilon must be above 0 and finite, and 0 is 0.0 in flo"),
    (normalize(epsilon=-1e-5), ValueError, "epsilon must be above 0 and finite, and -1e-05"),
    (normalize(epsilon=np.nan), ValueError, "epsilon must be above 0 and finite, and nan"),
    (normalize(epsilon=np.inf), ValueError, "epsilon must be above 0 and finite, and inf"),
    (normalize(at.fmatrix(), epsilon=1e-46), ValueError, "epsilon .* 1e-46 is 0.0 in float32"),
    (normalize(at.fmatrix(), epsilon=1e39), ValueError, "epsilon .* 1e.39 is inf in float32"),
    (normalize(label=3), TypeError, "a label is text, got 3 of type int"),
]

GRAPHS: list[Row] = [
    (
        lambda: graph.compile(givens=[1]),
        TypeError,
        r"givens must be a dict .* got \[1\] of type list",
    ),
    (lambda: graph.compile(givens={"x": x}), TypeError, "givens must be a dict from variables to"),
    (lambda: graph.compile(updates={x: x}), TypeError, "updates must be a dict from shared variab"),
    (
        lambda: graph.save("a.npz", givens=3),
        TypeError,
        "givens must be a dict .* got 3 of type int",
    ),
    (lambda: InferenceGraph(None, y), TypeError, "inputs must be a list of variables, got None"),
    (lambda: InferenceGraph(x, y), TypeError, r"inputs is a list of variables, got x .* \[x\]"),
    (lambda: InferenceGraph("x", y), TypeError, "inputs must be a list of variables, got 'x'"),
    (lambda: InferenceGraph({"x": x}, y), TypeError, "inputs must be a list of variables, got {"),
    (lambda: InferenceGraph(["x"], y), TypeError, "inputs must be variables, got 'x' of type str"),
    (lambda: InferenceGraph([x, x], y), ValueError, r"inputs are given more than once: \['x'\]"),
    (lambda: InferenceGraph([y], y), ValueError, "inputs must not be computed"),
    (lambda: InferenceGraph([], y), ValueError, r"the outputs depend on .* not among.*\['x'\]"),
    (lambda: InferenceGraph([x], None), TypeError, "batch_outputs must be a list of var.* None"),
    (lambda: InferenceGraph([x], 3), TypeError, "batch_outputs must be a list of variables, got 3"),
    (lambda: InferenceGraph([x], [y, 3]), TypeError, "batch_outputs must be variables, got 3 of"),
    (lambda: InferenceGraph([x], {"y": y}), TypeError, "batch_outputs must be a list of variab"),
    (lambda: InferenceGraph([x], []), ValueError, "batch_outputs is empty: there is nothing"),
    (lambda: InferenceGraph([x], x), ValueError, "there is no marked statistic"),
    (lambda: InferenceGraph([x], y, mode="FAST"), ValueError, "mode='FAST' is none that"),
    (lambda: InferenceGraph([x], y, mode=3), TypeError, "mode must be the name of a mode.* 3 of"),
    (lambda: get_inference_graph([x], y, None), TypeError, "batches is an iterable .* got None"),
    (lambda: get_inference_graph(x, y, [BATCH]), TypeError, "inputs is a list of variables"),
    (lambda: export_statistics(None), TypeError, "outputs must be a list of variables, got None"),
    (lambda: export_statistics([None]), TypeError, "outputs must be variables, got None"),
    (lambda: export_statistics([]), ValueError, "outputs is empty: there is nothing to compute"),
    (lambda: export_statistics(VALUES), TypeError, "outputs must be variables, got array"),
    (lambda: replace_statistics(None, {}), TypeError, "outputs must be a list of var.* got None"),
    (lambda: replace_statistics(y, None), TypeError, "values must be a dict of stat.* got None"),
    (lambda: replace_statistics(y, [x]), TypeError, "values must be a dict of .* of type list"),
    (lambda: replace_statistics(y, {}), ValueError, "statistics without a value: .*bn.mean"),
    (
        lambda: replace_statistics(y, {**exported, "a": x}),
        ValueError,
        r"statistics without a value: \[\]; .* \[\"'a' of type str\"\]",
    ),
    (
        lambda: replace_statistics(y, dict.fromkeys(exported, np.zeros(3))),
        TypeError,
        "the value of 'bn.mean' must be a variable, got array",
    ),
    (
        lambda: replace_statistics(y, dict.fromkeys(exported, x)),
        TypeError,
        "the value of 'bn.mean' must have 1 axes",
    ),
]

ESTIMATES: list[Row] = [
    (estimate(None), TypeError, "batches is an iterable of batches.* got None"),
    (estimate(3), TypeError, "batches is an iterable of batches.* got 3 of type int"),
    (estimate("a.npz"), TypeError, "batches is an iterable of batches.* got 'a.npz' of type str"),
    (estimate(BATCH), TypeError, r"batches is an iterable of batches, got a dict.* \[batch\]"),
    (estimate(lambda path: [BATCH]), TypeError, "batches is a function .*without arguments, got"),
    (
        lambda: estimate_population([x], exported, BATCH),
        TypeError,
        "batches is an iterable of batches, got a dict",
    ),
    (
        lambda: estimate_population([x], [x], [BATCH]),
        TypeError,
        "exported is what `export_statistics` returns, .* of type list",
    ),
    (lambda: estimate_population([x], None, [BATCH]), TypeError, "exported is what .* got None"),
    (lambda: estimate_population([x], {}, [BATCH]), ValueError, "exported is empty"),
    (
        lambda: estimate_population([x], {"bn": x}, [BATCH]),
        TypeError,
        "exported is what `export_statistics` returns",
    ),
    (
        lambda: estimate_population(None, exported, [BATCH]),
        TypeError,
        "inputs must be a list of variables, got None",
    ),
    (
        lambda: estimate_population([], exported, [BATCH]),
        ValueError,
        r"the outputs depend on variables that are not among inputs: \['x'\]",
    ),
    (
        lambda: estimate_population([x], exported, [BATCH], mode="FAST"),
        ValueError,
        "mode='FAST' is none that",
    ),
    (
        lambda: simple.estimate([BATCH], pooling="moments"),
        ValueError,
        'pooling="moments" needs means and variances that belong together',
    ),
    (lambda: graph.estimate_shards(None, Inline()), TypeError, "shards is a list .* got None"),
    (lambda: graph.estimate_shards("a", Inline()), TypeError, "shards is a list .* got 'a' of"),
    (lambda: graph.estimate_shards({}, Inline()), TypeError, "shards is a list .* type dict"),
    (lambda: graph.estimate_shards([], Inline()), ValueError, "there are no shards to estimate"),
    (lambda: graph.estimate_shards([[BATCH]], Inline()), TypeError, "shard 0 is .* no function"),
    (lambda: graph.estimate_shards(["a.npz"], Inline()), TypeError, "shard 0 is 'a.npz' of type"),
    (lambda: graph.estimate_shards([list], None), TypeError, "executor is an executor .* got None"),
    (lambda: graph.estimate_shards([list], 4), TypeError, "executor is an executor .* got 4 of"),
]

OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"pooling": "mean"}, ValueError, r"pooling is one of \('edge', .*\), and not 'mean'"),
    ({"pooling": None}, ValueError, r"pooling is one of \('edge', .*\), and not None"),
    ({"pooling": ["edge"]}, ValueError, r"pooling is one of \('edge', .*\), and not \['edge'\]"),
    ({"min_coverage": np.nan}, TypeError, "min_coverage is a whole number .* not nan of type fl"),
    ({"min_coverage": -1}, ValueError, "min_coverage is a whole number .*, 0 or more, and not -1"),
    ({"min_coverage": 0.5}, TypeError, "min_coverage is a whole number .* not 0.5 of type float"),
    ({"min_coverage": "2"}, TypeError, "min_coverage is a whole number .* not '2' of type str"),
    ({"min_coverage": True}, TypeError, "min_coverage is a whole number .* not True of type bool"),
    ({"min_coverage": None}, TypeError, "min_coverage is a whole number .* not None"),
    ({"min_count": np.nan}, TypeError, 'min_count is a whole number .* or "auto", and not nan of'),
    ({"min_count": -2}, ValueError, 'min_count is a whole number .* or "auto", 0 or more, and not'),
    ({"min_count": 2.0}, TypeError, "min_count is a whole number .* not 2.0 of type float"),
    ({"min_count": "all"}, TypeError, "min_count is a whole number .* not 'all' of type str"),
    ({"min_count": False}, TypeError, "min_count is a whole number .* not False of type bool"),
    ({"min_count": None}, TypeError, "min_count is a whole number .* not None"),
    ({"progress": "no"}, TypeError, "progress is True or False, and not 'no' of type str"),
    ({"progress": None}, TypeError, "progress is True or False, and not None"),
    ({"extra": "keep"}, ValueError, r"extra is one of \('raise', 'ignore'\), and not 'keep'"),
    ({"extra": True}, ValueError, r"extra is one of \('raise', 'ignore'\), and not True"),
    ({"resume": "a.npz"}, TypeError, r"`resume` is a Population, .* got str"),
    ({"resume": {}}, TypeError, r"`resume` is a Population, .* got dict"),
    (
        {"resume": OTHER},
        ValueError,
        r"an estimate can't go on from this population:\n  only in one: bn.mean",
    ),
]

VALUES_OF: list[Row] = [
    (lambda: graph.assign(None), TypeError, "a population is a Population, or a dict .* got None"),
    (lambda: graph.assign("a.npz"), TypeError, "a population is .* 'a.npz' .*`Population.load`"),
    (lambda: graph.assign(Path("a")), TypeError, "a population is .*Path.*`Population.load` reads"),
    (lambda: graph.assign([VALUES]), TypeError, "a population is a Population.* of type list"),
    (lambda: graph.assign({}), ValueError, r"the population does.*missing: bn.mean\n  missing"),
    (lambda: graph.assign(OTHER), ValueError, r"the population does not.*unexpected: mean"),
    (assign(bn_mean=None), ValueError, r"the population.*bn.mean is of dtype object"),
    (assign(bn_mean=[[1], [1, 2]]), ValueError, r"the population.*not finite numbers: bn.mean"),
    (assign(bn_mean=x), ValueError, r"the population.*bn.mean is a symbolic variable"),
    (
        assign(bn_mean=np.zeros((3, 3))),
        ValueError,
        r"the pop.*wrong shape: bn.mean is \(3, 3\)",
    ),
    (assign(bn_mean=0), ValueError, r"the population.*wrong shape: bn.mean is \(\)"),
]

POPULATIONS: list[Row] = [
    (lambda: Population(None), TypeError, "a population is made by an estimate.* got None"),
    (lambda: Population("a.npz"), TypeError, "a population is made by an estimate.* 'a.npz'"),
    (lambda: Population.load(None), TypeError, "path must be text or a path, got None"),
    (lambda: Population.load(3), TypeError, "path must be text or a path, got 3 of type int"),
    (lambda: Population.load(POPULATION), TypeError, "path must be text or a path, got Population"),
    (lambda: POPULATION.save(None), TypeError, "path must be text or a path, got None"),
    (lambda: POPULATION.save(b"a"), TypeError, "path must be text or a path, got b'a' of type b"),
    (lambda: POPULATION.merge(None), TypeError, "other must be a Population, got None"),
    (
        lambda: POPULATION.merge("a.npz"),
        TypeError,
        "other must be a Population, got 'a.npz' .*load",
    ),
    (lambda: POPULATION.merge(dict(POPULATION)), TypeError, "other must be a Population, got {"),
    (lambda: POPULATION.merge(OTHER), ValueError, r"these populations can't be merged:\n  only in"),
    (lambda: POPULATION.pooled("mean"), ValueError, "pooling is one of .* and not 'mean'"),
    (lambda: POPULATION.pooled(None), ValueError, "pooling is one of .* and not None"),
    (lambda: POPULATION.pooled("edge", 0.5), TypeError, "min_coverage is a whole number"),
    (lambda: POPULATION.pooled("edge", 9), ValueError, "no step of 'bn.mean' was reached"),
    (lambda: POPULATION.pooled("edge", 0, -1), ValueError, "min_count is a whole number"),
    (lambda: POPULATION.pooled("edge", 0, 3), ValueError, "pooling='edge' with min_count=3 can't"),
    (lambda: OTHER.pooled("moments"), ValueError, 'pooling="moments" needs means and variances'),
    (lambda: POPULATION["bn"], KeyError, "\"'bn' is none of the statistics .*bn.mean"),
    (lambda: POPULATION[None], KeyError, "'None is none of the statistics|\"None is none of"),
    (lambda: plot_population(None), TypeError, "population must be a Population, got None"),
    (lambda: plot_population("a.npz"), TypeError, "population must be a Population, got 'a.npz'"),
    (
        lambda: plot_population(dict(POPULATION)),
        TypeError,
        "population must be a Population, got {",
    ),
    (lambda: plot_population(POPULATION, 3), TypeError, "path must be text or a path, got 3 of"),
    (lambda: plot_population(POPULATION, name=3), TypeError, "name must be that of a stat.* got 3"),
    (lambda: plot_population(POPULATION, name="b"), ValueError, "name='b' is none of the stat.*bn"),
    (lambda: plot_population(POPULATION, ax=3), TypeError, "ax must be Axes of Matplotlib, got 3"),
    (lambda: plot_population(POPULATION, ax=axes()), ValueError, "ax takes one statistic: say by"),
    (
        lambda: plot_population(POPULATION, "here", name="bn.mean", ax=axes()),
        ValueError,
        "ax belongs to a figure of yours",
    ),
]

BATCHES_OF_ONE: list[Row] = [
    (lambda: graph.verify(3), ValueError, "the batch is of type int. A batch is a dict"),
    (lambda: graph.verify(VALUES), ValueError, "the batch is of type ndarray. A batch is a dict"),
    (lambda: graph.verify(()), ValueError, "the batch has 0 values for the 1 inputs"),
    (lambda: graph.gap(None), ValueError, "the batch is of type NoneType. A batch is a dict"),
    (lambda: graph.gap("a.npz"), ValueError, "the batch is of type str. A batch is a dict"),
    (lambda: graph.gap([VALUES, VALUES]), ValueError, "the batch has 2 values for the 1 inputs"),
    (lambda: graph.gap({"z": 1}), ValueError, r"the batch .* missing \['x'\], unknown \['z'\]"),
    (lambda: graph.gap({"x": masked()}), ValueError, r"the batch has masked arrays for \['x'\]"),
]

TABLE = [
    *MARKS,
    *NORMALIZATION,
    *GRAPHS,
    *ESTIMATES,
    *((call, e, m) for options, e, m in OPTIONS for call in every_estimate(**options)),
    *VALUES_OF,
    *POPULATIONS,
    *BATCHES_OF_ONE,
]


def begins(message: str) -> Any:
    """A pattern that has to be found at the beginning."""
    return re.compile(rf"\A(?:{message})", re.DOTALL)


@pytest.mark.parametrize(("call", "error", "message"), TABLE, ids=[m for *_, m in TABLE])
def test_what_can_not_be_taken_is_named_before_anything_is_compiled(
    call: Callable[[], Any], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_nothing(*_: Any, **__: Any) -> None:
        raise AssertionError("something was compiled")

    monkeypatch.setattr("bnrewrite.graph.engine.function", compile_nothing)
    before = graph.population
    with pytest.raises(error) as caught:
        call()
    assert begins(message).match(str(caught.value)), str(caught.value)
    assert graph.population is before


# ---- what shows when a batch is computed

WRONG_BATCHES: list[Row] = [
    (estimate([None]), ValueError, "batch 1 is of type NoneType. A batch is a dict"),
    (estimate(VALUES), ValueError, "batch 1 is of type ndarray. A batch is a dict"),
    (estimate(["a.npz"]), ValueError, "batch 1 is of type str. A batch is a dict"),
    (estimate([]), ValueError, "there are no batches to estimate from"),
    (estimate([BATCH, {"x": masked()}]), ValueError, r"batch 2 has masked arrays for \['x'\]"),
    (estimate([{"x": None}]), ValueError, r"batch 1 does not fit the inputs: 'x' has shape \(\),"),
    (estimate([{"x": VALUES[0]}]), ValueError, r"batch 1 does not fit .* and needs \d axes"),
    (estimate([{"x": "no"}]), ValueError, r"batch 1 does not fit the inputs: 'x' has shape \(\),"),
    (estimate([{"x": VALUES + 1j}]), ValueError, "batch 1 does not fit .* has dtype complex128"),
    (estimate([{"x": VALUES.astype(object)}, BATCH]), ValueError, "batch 1 .* has dtype object"),
    (estimate([BATCH], min_coverage=2), ValueError, "no step of 'bn.mean' was reached"),
    (estimate([BATCH], min_count=6), ValueError, "no step of 'bn.mean' .* at least 6 elements"),
    (lambda: graph.gap({"x": VALUES[0]}), RuntimeError, "the outputs can't be computed for the ba"),
]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    WRONG_BATCHES,
    ids=[f"{m}{i}" for i, (*_, m) in enumerate(WRONG_BATCHES)],
)
def test_batch_that_can_not_be_taken_is_named(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    before = graph.population
    with pytest.raises(error) as caught:
        call()
    assert begins(message).match(str(caught.value)), str(caught.value)
    assert graph.population is before


def test_keys_that_are_no_inputs_are_refused_or_left_out() -> None:
    more = {**BATCH, "speaker": np.arange(5), counts: 3}
    hint = r"batch 1 .* unknown \['speaker', 'counts'\].* left out with `extra=\"ignore\"`"
    for call in (
        lambda **how: graph.estimate([more], **how),
        lambda **how: estimate_population([x], exported, [more], **how),
        lambda **how: get_inference_graph([x], y, [more], **how),
    ):
        with pytest.raises(ValueError, match=hint):
            call()
        call(extra="ignore")
    assert (graph.population["bn.mean"] == POPULATION["bn.mean"]).all()
    shards = [lambda: [more]]
    with pytest.raises(ShardError, match=hint):
        graph.estimate_shards(shards, Inline())
    graph.estimate_shards(shards, Inline(), extra="ignore")
    with pytest.raises(ValueError, match=r"unknown \['speaker', 'counts'\]"):
        graph.verify(more)
    with pytest.raises(ValueError, match=r"unknown \['speaker', 'counts'\]"):
        graph.gap(more)
    graph.verify(more, (0,), extra="ignore")
    graph.gap(more, extra="ignore")


def test_missing_inputs_are_named_whatever_else_there_is() -> None:
    with pytest.raises(ValueError, match=r"batch 1 .*\]: missing \['x'\]\. Unnamed"):
        graph.estimate([{"z": 1}], extra="ignore")


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(TypeError) as caught:
        graph.assign(list(range(100_000)))
    assert len(str(caught.value)) < 300


def test_masked_arrays_without_anything_behind_the_mask_are_arrays() -> None:
    population = graph.estimate([{"x": np.ma.masked_array(VALUES)}])
    graph.assign({k: np.ma.masked_array(v) for k, v in population.items()})
    assert (population["bn.mean"] == POPULATION["bn.mean"]).all()


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    population = graph.estimate([BATCH], min_coverage=np.int64(1), min_count=np.int8(2))
    assert (population.min_coverage, population.min_count) == (1, 2)


def test_axes_may_be_listed() -> None:
    z: Variable = at.dtensor3("z")
    one, other = (batch_normalize(z, 1.0, 0.0, axis=axes) for axes in ([0, 1], (1, -3)))
    compute = engine.function([z], one - other)
    assert (compute(np.random.default_rng(0).normal(size=(2, 4, 3))) == 0).all()
