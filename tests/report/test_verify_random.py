"""Random programs: `verify` refuses those that leak, and no others.

Which leak is computed by the programs as plain NumPy, with the population statistics in place: an
example's output is compared with that of the example alone.
"""

import warnings
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import oracle
import test_random_graphs as random_graphs
from bnrewrite import InferenceGraph, UnmarkedStatistic
from bnrewrite.graph.axis_kinds import AxisKinds
from bnrewrite.graph.batch_kind import batch_kind
from engine import tensor as at
from test_random_graphs import Program

N, BATCH_AXIS = 4, 3
N_EXAMPLES = 30
SETTINGS = settings(
    phases=(Phase.generate,),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
PROGRAMS = st.builds(
    lambda first, others: (first, *others),
    st.tuples(st.sampled_from(random_graphs.KINDS), random_graphs.programs(2)),
    random_graphs.programs(1),
).filter(random_graphs.is_marked)


def leak(program: Program, x: np.ndarray, population: oracle.Named) -> float:
    together = random_graphs.truth(program, x, population).outputs[0]
    alone = [
        random_graphs.truth(program, x[..., i : i + 1, :], population).outputs[0] for i in range(N)
    ]
    return float(np.abs(together - np.concatenate(alone, axis=-2)).max())


def graph_of(program: Program) -> InferenceGraph:
    x = at.TensorType("float64", (None,) * 5)("x")
    y = random_graphs.build(program, x, random_graphs.UNOPTIMIZED)
    with warnings.catch_warnings():
        if "plain" in str(program):  # which has sums without a mark
            warnings.simplefilter("ignore", UnmarkedStatistic)
        return InferenceGraph([x], y, mode=random_graphs.UNOPTIMIZED)


def check(program: Program) -> None:
    program = random_graphs.numbered(program, count())
    graph = graph_of(program)
    batches = [random_graphs.draw(i, lengths) for i, lengths in enumerate(random_graphs.LENGTHS)]
    graph.estimate([(batch,) for batch in batches])
    population = oracle.average([random_graphs.truth(program, batch) for batch in batches])
    x = random_graphs.draw(3, (2, 2, 2))
    if leak(program, x, population) > 1e-6:
        assert "plain" in str(program)
        with pytest.raises(RuntimeError, match="other examples of its batch"):
            graph.verify((x,), (BATCH_AXIS,))
    else:
        assert graph.verify((x,), (BATCH_AXIS,))


def test_random_program_that_leaks_is_refused_and_no_other(repeats: Callable[[int], int]) -> None:
    settings(SETTINGS, max_examples=repeats(N_EXAMPLES))(given(PROGRAMS)(check))()


def check_axes(program: Program) -> None:
    graph = graph_of(random_graphs.numbered(program, count()))
    kinds = AxisKinds(graph._batch_outputs)
    kind, _ = batch_kind(graph._scope, kinds, graph._inputs, graph._batch_outputs)
    (x,) = graph._inputs
    found = [axis for axis in range(x.ndim) if kind in kinds.of(x, axis)]
    FOUND.append(found)
    assert found in ([], [BATCH_AXIS])


FOUND: list[list[int]] = []


def test_axis_of_the_examples_of_a_random_program_is_found_or_left_open(
    repeats: Callable[[int], int],
) -> None:
    settings(SETTINGS, max_examples=repeats(N_EXAMPLES))(given(PROGRAMS)(check_axes))()
    assert FOUND.count([BATCH_AXIS]) > len(FOUND) / 4
