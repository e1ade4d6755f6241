"""A statistic in a branch is one of the batches, and of the steps, that took the branch.

Each model is built in 0, 1 and 2 loops, with a choice for each batch and with one for each step,
and has a twin in plain NumPy, which computes a statistic only where a branch is taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import engine
from bnrewrite import InferenceGraph, Population, batch_normalize, mark_moments, mark_statistic
from bnrewrite.population.tallies import POOLINGS
from engine import Variable, ifelse, until
from engine import tensor as at
from oracle import Array, Statistics

EPSILON = 1e-3
Index = tuple[int, ...]
Seen = dict[Index, Array]


# ---- the pieces, symbolic and in NumPy


def bn(x: Variable, label: str) -> Variable:
    return batch_normalize(x, 1.0, 0.0, epsilon=EPSILON, label=label)


def np_bn(s: Statistics, x: Array, label: str) -> Array:
    mean = s(f"{label}.mean", x.mean(axis=0))
    variance = s(f"{label}.variance", x.var(axis=0))
    return (x - mean) / np.sqrt(variance + EPSILON)


def mean(x: Variable, label: str) -> Variable:
    return mark_statistic(x.mean(axis=0), label)


# ---- the models: a layer of (examples, units) and a choice


def then(x: Variable, c: Variable) -> Variable:
    return ifelse(at.eq(c, 1), bn(x, "a"), 2 * x)


def np_then(s: Statistics, x: Array, c: int) -> Array:
    return np_bn(s, x, "a") if c == 1 else 2 * x


def otherwise(x: Variable, c: Variable) -> Variable:
    return ifelse(c, 2 * x, bn(x, "a"))


def np_otherwise(s: Statistics, x: Array, c: int) -> Array:
    return 2 * x if c else np_bn(s, x, "a")


def each_its_own(x: Variable, c: Variable) -> Variable:
    return ifelse(at.eq(c, 1), bn(x, "a"), bn(at.tanh(x), "b"))


def np_each_its_own(s: Statistics, x: Array, c: int) -> Array:
    return np_bn(s, x, "a") if c == 1 else np_bn(s, np.tanh(x), "b")


def in_both(x: Variable, c: Variable) -> Variable:
    m = mean(x, "m")
    return ifelse(at.eq(c, 1), x - m, x + m)


def np_in_both(s: Statistics, x: Array, c: int) -> Array:
    m = s("m", x.mean(axis=0))
    return x - m if c == 1 else x + m


def outside_too(x: Variable, c: Variable) -> Variable:
    m = mean(x, "m")
    return ifelse(at.eq(c, 1), bn(x - m, "a"), x) * m


def np_outside_too(s: Statistics, x: Array, c: int) -> Array:
    m = s("m", x.mean(axis=0))
    return (np_bn(s, x - m, "a") if c == 1 else x) * m


def nested(x: Variable, c: Variable) -> Variable:
    inner = ifelse(at.eq(c, 1), bn(x, "a"), bn(2 * x, "b"))
    return ifelse(at.ge(c, 1), inner, bn(at.tanh(x), "c"))


def np_nested(s: Statistics, x: Array, c: int) -> Array:
    if c < 1:
        return np_bn(s, np.tanh(x), "c")
    return np_bn(s, x, "a") if c == 1 else np_bn(s, 2 * x, "b")


def two_ways(x: Variable, c: Variable) -> Variable:
    m = mean(x, "m")
    return ifelse(at.eq(c, 1), x - m, x) * ifelse(at.eq(c, 2), m + x, x)


def np_two_ways(s: Statistics, x: Array, c: int) -> Array:
    if c not in (1, 2):
        return x * x
    m = s("m", x.mean(axis=0))
    return (x - m) * x if c == 1 else x * (m + x)


def condition_of_statistics(x: Variable, c: Variable) -> Variable:
    """The statistic in the condition is always needed, and that in its condition too."""
    level = mean(x * (1 - c), "level")
    return ifelse(at.gt(level[0], 0), bn(x, "a"), 2 * x)


def np_condition_of_statistics(s: Statistics, x: Array, c: int) -> Array:
    level = s("level", (x * (1 - c)).mean(axis=0))
    return np_bn(s, x, "a") if level[0] > 0 else 2 * x


def condition_in_a_branch(x: Variable, c: Variable) -> Variable:
    level = mean(x, "level")
    inner = ifelse(at.gt(level[0], 0), bn(x, "a"), 2 * x)
    return ifelse(at.eq(c, 1), inner, x)


def np_condition_in_a_branch(s: Statistics, x: Array, c: int) -> Array:
    if c != 1:
        return x
    return np_bn(s, x, "a") if s("level", x.mean(axis=0))[0] > 0 else 2 * x


def one_behind_the_other(x: Variable, c: Variable) -> Variable:
    """The first branch is read by one side of the second alone."""
    first = ifelse(at.le(c, 1), bn(x, "a"), 3 * x)
    return ifelse(at.ge(c, 1), bn(first, "b"), x)


def np_one_behind_the_other(s: Statistics, x: Array, c: int) -> Array:
    if c < 1:
        return x
    return np_bn(s, np_bn(s, x, "a") if c <= 1 else 3 * x, "b")


def several_values(x: Variable, c: Variable) -> Variable:
    first, second = ifelse(at.eq(c, 1), [bn(x, "a"), x], [x, bn(2 * x, "b")])
    return first - 2 * second


def np_several_values(s: Statistics, x: Array, c: int) -> Array:
    return np_bn(s, x, "a") - 2 * x if c == 1 else x - 2 * np_bn(s, 2 * x, "b")


def moments_and_their_use(x: Variable, c: Variable) -> Variable:
    """A mean needed outside takes its variance along: they are estimated together."""
    m, v = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "a")
    return ifelse(at.eq(c, 1), x / at.sqrt(v + EPSILON), x) - m


def np_moments_and_their_use(s: Statistics, x: Array, c: int) -> Array:
    m, v = s("a.mean", x.mean(axis=0)), s("a.variance", x.var(axis=0))
    return (x / np.sqrt(v + EPSILON) if c == 1 else x) - m


def op_around_a_branch(x: Variable, c: Variable) -> Variable:
    v, d = x.type(), c.type()
    return engine.op_of([v, d], [then(v, d)])(x, c)


np_op_around_a_branch = np_then


def op_in_a_branch(x: Variable, c: Variable) -> Variable:
    v = x.type()
    even, odd = engine.op_of([v], [bn(v, "a"), bn(at.tanh(v), "b")])(x)
    return ifelse(at.eq(c, 1), even, odd)


np_op_in_a_branch = np_each_its_own


def op_that_decides(x: Variable, c: Variable) -> Variable:
    v, d = x.type(), c.type()
    normal, decision = engine.op_of([v, d], [bn(v, "a"), at.eq(d, 1)])(x, c)
    return ifelse(decision, normal, 2 * x)


np_op_that_decides = np_then


def loop_in_a_branch(x: Variable, c: Variable) -> Variable:
    h = engine.scan(lambda h: at.tanh(bn(x + h, "a")), outputs_info=x, n_steps=3)
    return ifelse(at.eq(c, 1), h[-1], 2 * x)


def np_loop_in_a_branch(s: Statistics, x: Array, c: int) -> Array:
    h = x
    if c != 1:
        return 2 * x
    for _ in s.steps(3):
        h = np.tanh(np_bn(s, x + h, "a"))
    return h


def branch_in_a_loop(x: Variable, c: Variable) -> Variable:
    """The steps at which the inner loop takes the branch depend on the choice around it."""

    def step(t: Variable, h: Variable) -> Variable:
        return ifelse(at.eq(t, c), bn(x + h, "a"), h)

    return engine.scan(step, sequences=at.arange(3), outputs_info=x)[-1]


def np_branch_in_a_loop(s: Statistics, x: Array, c: int) -> Array:
    h = x
    for t in s.steps(3):
        h = np_bn(s, x + h, "a") if t == c else h
    return h


def branch_in_a_loop_in_a_branch(x: Variable, c: Variable) -> Variable:
    return ifelse(at.ge(c, 1), branch_in_a_loop(x, c), 2 * x)


def np_branch_in_a_loop_in_a_branch(s: Statistics, x: Array, c: int) -> Array:
    return np_branch_in_a_loop(s, x, c) if c >= 1 else 2 * x


def loop_of_two(x: Variable, c: Variable) -> Variable:
    """One loop, whose outputs are read by a branch each, and one of them by the condition."""

    def step(t: Variable) -> list[Variable]:
        return [bn(x + t, "a"), bn(at.tanh(x * (t + 1)), "b"), at.eq(c, 1)]

    a, b, decide = engine.scan(step, sequences=at.arange(2))
    return ifelse(decide[-1], a[-1], b[-1])


def np_loop_of_two(s: Statistics, x: Array, c: int) -> Array:
    for t in s.steps(2):
        y = np_bn(s, x + t, "a") if c == 1 else np_bn(s, np.tanh(x * (t + 1)), "b")
    return y


def state_behind_a_branch(x: Variable, c: Variable) -> Variable:
    """The state is read at some steps only, but is needed at each for the ones behind."""

    def step(t: Variable, h: Variable) -> list[Variable]:
        new = at.tanh(bn(x + h, "h"))
        return [new, ifelse(at.eq(t, c), bn(2 * new, "y"), x)]

    return engine.scan(step, sequences=at.arange(3), outputs_info=[x, None])[1].sum(axis=0)


def np_state_behind_a_branch(s: Statistics, x: Array, c: int) -> Array:
    h, total = x, 0.0
    for t in s.steps(3):
        h = np.tanh(np_bn(s, x + h, "h"))
        total = total + (np_bn(s, 2 * h, "y") if t == c else x)
    return total


def stopping_loop(x: Variable, c: Variable) -> Variable:
    """A loop that stops early, by the choice, and takes a branch at all steps but the first."""

    def step(t: Variable, h: Variable) -> Any:
        return ifelse(at.gt(t, 0), bn(x + h, "a"), h), until(at.gt(t, c))

    return engine.scan(step, sequences=at.arange(4), outputs_info=x)[-1]


def np_stopping_loop(s: Statistics, x: Array, c: int) -> Array:
    h = x
    for t in s.steps(c + 2):
        h = np_bn(s, x + h, "a") if t > 0 else h
    return h


def stopping_loop_in_a_branch(x: Variable, c: Variable) -> Variable:
    return ifelse(at.eq(c, 1), x, stopping_loop(x, c))


def np_stopping_loop_in_a_branch(s: Statistics, x: Array, c: int) -> Array:
    return x if c == 1 else np_stopping_loop(s, x, c)


def masked_branch(x: Variable, c: Variable) -> Variable:
    """The mask of the branch has its own say."""
    mask = at.gt(x[:, 0], 0)
    y = batch_normalize(x, 1.0, 0.0, epsilon=EPSILON, mask=mask, label="a")
    return ifelse(at.eq(c, 1), y, x)


def np_masked_branch(s: Statistics, x: Array, c: int) -> Array:
    if c != 1:
        return x
    rows = x[x[:, 0] > 0]
    m, v = s("a.mean", rows.mean(axis=0)), s("a.variance", rows.var(axis=0))
    return (x - m) / np.sqrt(v + EPSILON)


def not_a_number(x: Variable, c: Variable) -> Variable:
    """Where the branch is not taken, its statistics are not even numbers."""
    lost = x * at.switch(at.eq(c, 1), 1.0, np.nan)
    return ifelse(at.eq(c, 1), bn(lost, "a"), x)


def np_not_a_number(s: Statistics, x: Array, c: int) -> Array:
    return np_bn(s, x, "a") if c == 1 else x


@dataclass(frozen=True)
class Steps:
    """The steps that a batch takes: those of the loops around a layer, and of its own."""

    outer: Index
    own: dict[Index, int] | None

    def lengths(self, seen: Seen) -> Index:
        """The greatest numbers of steps. Loops that were not entered have none."""
        if self.own is None:
            return self.outer
        return (*self.outer, max(self.own[step[:-1]] for step in seen))

    def held(self, step: Index) -> Index:
        """The step itself, or the last one where there are fewer."""
        outer = tuple(min(i, n - 1) for i, n in zip(step, self.outer, strict=False))
        return outer if self.own is None else (*outer, min(step[-1], self.own[outer] - 1))


@dataclass(frozen=True)
class Case:
    layer: Callable[[Variable, Variable], Variable]
    depth: int
    per_step: bool
    own: Callable[[int], int] | None = None  # how many steps a loop of the layer takes for a choice

    def __str__(self) -> str:
        return f"{self.layer.__name__}-{self.depth}-{'step' if self.per_step else 'batch'}"

    @property
    def twin(self) -> Callable[..., Array]:
        twin: Callable[..., Array] = globals()[f"np_{self.layer.__name__}"]
        return twin

    def build(self) -> InferenceGraph:
        x = at.TensorType("float64", (None,) * (self.depth + 2))("x")
        c = at.TensorType("int64", (None,) * (self.depth * self.per_step))("c")

        def around(depth: int, x: Variable, c: Variable) -> Variable:
            if depth == 0:
                return self.layer(x, c)
            if self.per_step:
                return engine.scan(lambda x, c: around(depth - 1, x, c), sequences=[x, c])
            return engine.scan(lambda x, c: around(depth - 1, x, c), sequences=x, non_sequences=c)

        return InferenceGraph([x, c], around(self.depth, x, c))

    def batches(self) -> list[tuple[Array, Array]]:
        """Each choice is made by some batches, each step by some, and one step by none."""
        rng = np.random.default_rng(7)
        sizes = [(2, 3), (4, 1), (3, 2), (1, 4), (3, 1), (2, 2), (3, 3), (1, 1)]
        batches = []
        for i, size in enumerate(sizes):
            steps = size[: self.depth]
            x = rng.normal(0.5, 1, size=(*steps, 6, 2))
            c = np.arange(np.prod(steps, dtype=int)).reshape(steps) + i
            batches.append((x, c % 3 if self.per_step else np.array(i % 3)))
        return batches

    def steps(self, x: Array, c: Array) -> Steps:
        outer = x.shape[: self.depth]
        choices = np.broadcast_to(c, outer)
        if self.own is None:
            return Steps(outer, None)
        return Steps(outer, {s: self.own(int(choices[s])) for s in np.ndindex(*outer)})

    def run(
        self, x: Array, c: Array, population: dict[str, Array] | None = None
    ) -> tuple[Array, Statistics]:
        s = Statistics(population)

        def around(depth: int, x: Array, c: Array) -> Array:
            if depth == 0:
                return self.twin(s, x, int(c))
            steps = s.steps(len(x))
            return np.stack([around(depth - 1, x[t], c[t] if self.per_step else c) for t in steps])

        return around(self.depth, x, c), s


LOOPS: dict[Any, Callable[[int], int]] = {
    loop_in_a_branch: lambda c: 3,
    branch_in_a_loop: lambda c: 3,
    branch_in_a_loop_in_a_branch: lambda c: 3,
    loop_of_two: lambda c: 2,
    state_behind_a_branch: lambda c: 3,
    stopping_loop: lambda c: c + 2,
    stopping_loop_in_a_branch: lambda c: c + 2,
}
LAYERS = [
    then,
    otherwise,
    each_its_own,
    in_both,
    outside_too,
    nested,
    two_ways,
    condition_of_statistics,
    condition_in_a_branch,
    one_behind_the_other,
    several_values,
    moments_and_their_use,
    op_around_a_branch,
    op_in_a_branch,
    op_that_decides,
    masked_branch,
    not_a_number,
    *LOOPS,
]
CASES = [
    Case(layer, depth, per_step, LOOPS.get(layer))
    for layer in LAYERS
    for depth, per_step in ((0, False), (1, False), (1, True), (2, True))
]


# ---- what a population is, in plain words


def truth(batches: Sequence[Seen], steps: Sequence[Steps], pooling: str) -> tuple[Array, Array]:
    """The mean over the batches that have a step, and how many these are."""
    entered = [(seen, steps) for seen, steps in zip(batches, steps, strict=True) if seen]
    lengths = [steps.lengths(seen) for seen, steps in entered]
    longest = tuple(np.max(lengths, axis=0)) if lengths[0] else ()
    values: dict[Index, Array] = {}
    coverage = np.zeros(longest, int)
    for step in product(*map(range, longest)):
        coverage[step] = sum(step in seen for seen in batches)
        there = [
            seen[held]
            for seen, steps in entered
            if (held := steps.held(step) if pooling == "edge" else step) in seen
        ]
        if there:
            values[step] = np.mean(there, axis=0)
    full = [found(values, step, longest) for step in product(*map(range, longest))]
    return np.reshape(full, longest + full[0].shape), coverage


def found(values: Seen, step: Index, longest: Index) -> Array:
    """The value of a step; else that before it, on the last axis first; else the next."""
    if not longest:
        return values[()]
    *outer, n = step
    for others in orders(tuple(outer), longest[:-1]):
        row = [t for t in range(longest[-1]) if (*others, t) in values]
        if row:
            before = [t for t in row if t <= n]
            return values[(*others, before[-1] if before else row[0])]
    raise AssertionError("no value at all")


def orders(step: Index, longest: Index) -> Iterator[Index]:
    """The step itself, then those before it, then those behind."""
    if not step:
        yield ()
        return
    *outer, n = step
    for others in orders(tuple(outer), longest[:-1]):
        yield from ((*others, t) for t in [*range(n, -1, -1), *range(n + 1, longest[-1])])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_batches_and_steps_that_did_not_take_a_branch_do_not_count(case: Case) -> None:
    graph, batches = case.build(), case.batches()
    seen = [case.run(*batch)[1].seen for batch in batches]
    labels = {label for s in seen for label in s}
    steps = [case.steps(*batch) for batch in batches]
    assert {s.label for s in graph.statistics} == labels
    names = {s.label: s.name for s in graph.statistics}
    predict = engine.function(graph._inputs, graph.outputs, on_unused_input="ignore")
    for pooling in ("edge", "reached"):
        population = graph.estimate(batches, pooling=pooling, min_count=0)  # type: ignore[arg-type]
        expected = {}
        for label in labels:
            of_batches = [s.get(label, {}) for s in seen]
            value, coverage = truth(of_batches, steps, pooling)
            assert_same(population, names[label], value, coverage)
            expected[label] = value
        for batch in batches:
            assert_allclose(predict(*batch), case.run(*batch, expected)[0], rtol=1e-9, atol=1e-12)


def assert_same(population: Population, name: str, value: Array, coverage: Array) -> None:
    assert_allclose(population[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    assert_array_equal(population.coverage[name], coverage, err_msg=name)


# ---- what else is counted by batch


@pytest.fixture(params=[0, 1, 2])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(each_its_own, request.param, per_step=request.param > 0)


def test_moments_are_those_of_all_elements_that_took_the_branch(case: Case) -> None:
    graph, batches = case.build(), case.batches()
    population = graph.estimate(batches, pooling="moments", min_count=0)
    names = {s.label: s.name for s in graph.statistics}
    for step in np.ndindex(*population.coverage[names["a.mean"]].shape):
        there = [x[step] for x, c in batches if took(c, step)]
        if there:
            elements = np.concatenate(there)
            assert_allclose(population[names["a.mean"]][step], elements.mean(axis=0))
            assert_allclose(population[names["a.variance"]][step], elements.var(axis=0))
        assert population.coverage[names["a.mean"]][step] == len(there)
        assert population.count[names["a.mean"]][step] == 6 * len(there)


def took(c: Array, step: Index) -> bool:
    return all(i < n for i, n in zip(step, c.shape, strict=True)) and bool(c[step] == 1)


@pytest.mark.parametrize("pooling", ["edge", "reached", "moments"])
def test_batches_can_be_merged_that_took_different_branches(
    case: Case, pooling: Any, tmp_path: Path
) -> None:
    graph, batches = case.build(), case.batches()
    whole = graph.estimate(batches, pooling=pooling)
    for order in (batches[::-1], [*batches[3:], *batches[:3]]):
        again = graph.estimate(order, pooling=pooling)
        for name in whole:
            assert_same(again, name, whole[name], whole.coverage[name])
    for cut in (3, 5):
        parts = [graph.estimate(part, pooling=pooling) for part in (batches[:cut], batches[cut:])]
        parts[0].save(tmp_path / "part.npz")
        merged = Population.load(tmp_path / "part.npz").merge(parts[1])
        for name in whole:
            assert_same(merged, name, whole[name], whole.coverage[name])
            assert_array_equal(merged.count[name], whole.count[name])
    merged.save(tmp_path / "merged.npz")
    for other in POOLINGS:
        loaded = Population.load(tmp_path / "merged.npz").pooled(other)
        expected = whole.pooled(other)
        for name in whole:
            assert_same(loaded, name, expected[name], expected.coverage[name])


def test_tallies_merge_with_those_that_never_took_a_branch(case: Case) -> None:
    """As those of shards do, of which some may have no value for a statistic."""
    graph = case.build()
    ones, others = ([(x, np.full_like(c, v)) for x, c in case.batches()] for v in (1, 0))
    whole = graph.estimate([*ones, *others])
    one, other = (graph._estimator.begun("edge", "auto") for _ in range(2))
    for part, tallies in ((ones, one), (others, other)):
        graph._estimator.add(part, tallies, "edge")
    for merged in (one.merged(other), other.merged(one)):
        population = Population(merged)
        assert population.n_batches == len(ones) + len(others)
        for name in whole:
            assert_same(population, name, whole[name], whole.coverage[name])


def test_a_branch_that_no_batch_took_is_an_error_that_names_its_statistics(case: Case) -> None:
    graph = case.build()
    batches = [(x, np.zeros_like(c)) for x, c in case.batches()]
    with pytest.raises(ValueError, match=r"none of the 8 batches had .*a\.mean.* took the branch"):
        graph.estimate(batches)
    assert graph.population is None


def test_what_is_not_a_number_in_the_branch_that_was_taken_is_refused(case: Case) -> None:
    graph = case.build()
    (x, c), *rest = case.batches()
    broken = [*rest, (np.full_like(x, np.nan), np.ones_like(c))]
    with pytest.raises(ValueError, match=r"a\.mean' is not finite in batch 8"):
        graph.estimate(broken)
    graph.estimate([*rest, (x, c)])


# ---- batches that a branch can't be computed of


@pytest.mark.parametrize("mode", engine.BOTH_MODES)
def test_batch_that_did_not_take_a_branch_need_not_suit_it(mode: str) -> None:
    x, c = at.dmatrix("x"), at.lscalar("c")
    wide = bn(x[:, 3:].reshape((-1, 2)), "wide")
    graph = InferenceGraph([x, c], ifelse(at.eq(c, 1), wide, x), mode=mode)
    taking, other = np.random.default_rng(0).normal(size=(4, 5)), np.ones((5, 4))
    population = graph.estimate([(other, 0), (taking, 1), (other[:, :1], 0)])
    assert_allclose(population["wide.mean"], taking[:, 3:].mean(axis=0))
    assert population.coverage["wide.mean"] == 1
    with pytest.raises(RuntimeError, match="stopped at batch 2"):
        graph.estimate([(taking, 1), (other, 1)])


@pytest.mark.parametrize("depth", [1, 2])
def test_loop_without_steps_is_refused_in_the_branch_that_was_taken_alone(depth: int) -> None:
    x, c = at.TensorType("float64", (None,) * (depth + 2))("x"), at.lscalar("c")

    def loop(x: Variable, depth: int = depth) -> Variable:
        if depth == 0:
            return bn(x, "a")
        return engine.scan(lambda x_t: loop(x_t, depth - 1), sequences=x)

    graph = InferenceGraph([x, c], ifelse(at.eq(c, 1), loop(x), x))
    full = np.random.default_rng(0).normal(size=(*(2, 3)[:depth], 4, 2))
    population = graph.estimate([(full, 1), (full[:0], 0)])
    (mean, _) = population
    assert_allclose(population[mean], full.mean(axis=depth))
    with pytest.raises(ValueError, match=r"took no step in batch 2"):
        graph.estimate([(full, 1), (full[:0], 1)])


@pytest.mark.parametrize("mode", engine.BOTH_MODES)
def test_branches_are_counted_in_every_mode(mode: str) -> None:
    x, c = at.dtensor3("x"), at.lvector("c")
    y = engine.scan(each_its_own, sequences=[x, c], name="loop")
    outputs = ifelse(at.eq(c[0], 1), mean(x[0], "m") + y[-1], x[0]) + y
    graph = InferenceGraph([x, c], outputs, mode=mode)
    one, other = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    population = graph.estimate([(one, [1, 1, 0]), (other, [0, 1, 0]), (other, [1, 0, 1])])
    assert {name: c.tolist() for name, c in population.coverage.items()} == {
        "m": 2,
        "loop/a.mean": [2, 2, 1],
        "loop/a.variance": [2, 2, 1],
        "loop/b.mean": [1, 1, 2],
        "loop/b.variance": [1, 1, 2],
    }
    assert_allclose(population["m"], (one[0].mean(axis=0) + other[0].mean(axis=0)) / 2)
