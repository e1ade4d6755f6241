"""A population fits the graph that it was estimated for, and no other of the same names."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, OtherOrigin, Population, batch_normalize
from bnrewrite.population.origin import Origin
from engine import Variable
from engine import tensor as at

RNG = np.random.default_rng(0)


def graph_at(depth: int, squash: bool = False) -> InferenceGraph:
    def body(x: Variable, depth: int) -> Variable:
        if depth:
            return engine.scan(lambda x_t: body(x_t, depth - 1), [x], name="loop")
        return batch_normalize(at.tanh(x) if squash else x, 1.0, 0.0, label="h")

    x = at.TensorType("float64", (None,) * (depth + 2))("x")
    return InferenceGraph([x], body(x, depth))


def estimated(graph: InferenceGraph, depth: int) -> Population:
    return graph.estimate([(RNG.normal(size=(*(3, 2)[:depth], 8, 2)),)])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_population_of_another_graph_does_not_fit(depth: int, tmp_path: Path) -> None:
    graph, other = graph_at(depth), graph_at(depth, squash=True)
    population = estimated(other, depth)
    before = estimated(graph, depth)
    population.save(tmp_path / "other.npz")
    for foreign in (population, Population.load(tmp_path / "other.npz")):
        assert list(foreign) == list(before)
        with pytest.raises(ValueError, match=r"of another graph: .*h\.mean is computed in another"):
            graph.assign(foreign)
        assert graph.population is before
        with pytest.raises(ValueError, match=r"of different graphs: .*h\.mean"):
            before.merge(foreign)
        with pytest.raises(ValueError, match=r"of different graphs: .*h\.mean"):
            graph.estimate([], resume=foreign)
    graph.assign(dict(population))
    assert graph.population is None


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_population_of_the_same_model_built_again_fits(depth: int, tmp_path: Path) -> None:
    estimated(graph_at(depth), depth).save(tmp_path / "population.npz")
    graph = graph_at(depth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph.assign(Population.load(tmp_path / "population.npz"))


@pytest.mark.parametrize("made_by", ["", "theano 1.0"])
def test_population_of_unknown_origin_is_used_with_a_warning(made_by: str) -> None:
    graph = graph_at(1)
    population = estimated(graph_at(1), 1)
    population._tallies.origin = Origin(made_by, {})
    with pytest.warns(OtherOrigin, match=f"estimated with {made_by or 'an earlier release'}"):
        graph.assign(population)
    assert graph.population is population


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_only_what_is_chosen_gets_new_values(depth: int) -> None:
    graph = graph_at(depth)
    first, second = (dict(estimated(graph, depth)) for _ in range(2))
    (mean,) = [name for name in first if name.endswith("mean")]
    (variance,) = [name for name in first if name.endswith("variance")]
    graph.assign(first)
    only: Any
    for only in (mean, "*mean", [mean], lambda s: s.label == "h.mean"):
        graph.assign(first)
        graph.assign(second, only=only)
        values = {s.name: v.get_value() for s, v in graph._stored.variables.items()}
        assert_allclose(values[mean], second[mean])
        assert_allclose(values[variance], first[variance])
    with pytest.raises(ValueError, match=r"only=\['x'\] fits none"):
        graph.assign(second, only="x")


def test_the_rest_must_have_values_to_keep() -> None:
    population = dict(estimated(graph_at(0), 0))
    with pytest.raises(ValueError, match=r"no values yet that \['h.variance'\] could keep"):
        graph_at(0).assign(population, only="h.mean")
