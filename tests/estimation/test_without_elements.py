"""A batch without elements for one statistic is left out of that average, and of no other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import Variable
from engine import tensor as at


def model(x: Variable, mask: Variable, depth: int) -> Variable:
    """One normalization behind a mask, and one without."""
    if depth:
        return engine.scan(lambda x_t, m_t: model(x_t, m_t, depth - 1), [x, mask], name="loop")
    behind = batch_normalize(x, 1.0, 0.0, mask=mask, label="masked")
    return behind + batch_normalize(x, 1.0, 0.0, label="whole")


def graph_at(depth: int) -> InferenceGraph:
    x, mask = (at.TensorType("float64", (None,) * (depth + n))(f"v{n}") for n in (2, 1))
    return InferenceGraph([x, mask], model(x, mask, depth))


@pytest.mark.parametrize("pooling", ["edge", "reached", "moments"])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_batch_behind_a_closed_mask_counts_for_the_other_statistic_alone(
    depth: int, pooling: str, place: int
) -> None:
    graph = graph_at(depth)
    shape = (3, 2)[:depth]
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(*shape, 16, 2)), np.ones((*shape, 16))) for _ in range(3)]
    batches[place][1][:] = 0
    population = graph.estimate(batches, pooling=pooling)  # type: ignore[arg-type]
    (masked,) = [name for name in population if name.endswith("masked.mean")]
    (whole,) = [name for name in population if name.endswith("whole.mean")]
    means = [x.mean(axis=-2) for x, _ in batches]
    assert_allclose(population[whole], np.mean(means, axis=0))
    assert_allclose(population[masked], np.mean([*means[:place], *means[place + 1 :]], axis=0))
    assert (population.coverage[whole] == 3).all()
    assert (population.coverage[masked] == 2).all()
    assert (population.count[masked] == 32).all()


def test_statistic_without_any_element_is_an_error_that_names_it() -> None:
    graph = graph_at(0)
    with pytest.raises(ValueError, match=r"none of the 2 batches .* \['masked.mean', 'masked.var"):
        graph.estimate([(np.ones((4, 2)), np.zeros(4))] * 2)
