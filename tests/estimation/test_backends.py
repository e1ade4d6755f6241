"""Whatever the estimator is compiled by, it estimates the same, in other processes too."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import tensor as at
from shards import noise_free_batches

LENGTHS = [(4, 3), (2, 6)]


@pytest.mark.exhaustive  # half a minute for each
@pytest.mark.parametrize("mode", engine.DEFAULT_MODES)
def test_workers_estimate_with_the_default_compilers(mode: str) -> None:
    x = at.dtensor3("x")
    with engine.flags(mode=mode):
        y = engine.scan(lambda x_t: batch_normalize(x_t, 1.0, 0.0, label="bn"), sequences=[x])
        graph = InferenceGraph([x], y, mode=mode)
        shards = [partial(noise_free_batches, lengths) for lengths in LENGTHS]
        expected = InferenceGraph([x], y, mode="FAST_COMPILE").estimate(
            [batch for shard in shards for batch in shard()]
        )
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            population = graph.estimate_shards(shards, pool)
    assert population.n_batches == 4
    for name in expected:
        assert_allclose(population[name], expected[name], rtol=1e-12)
