"""A batch is in the sums whole or not at all, whatever interrupts the adding, and whenever."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from bnrewrite.population.elements import Elements
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading, Tally
from interrupts import interruptions


def reading(rng: np.random.Generator, shape: tuple[int, ...], count: Any) -> dict[str, Reading]:
    """A mean and a variance of two units, some of whose steps may be empty."""
    reached = count.reshape(*shape, -1).any(axis=-1)
    mean, variance = rng.normal(size=(2, *shape, 2))
    return {"mean": Reading(mean, reached, count), "variance": Reading(variance, reached, count)}


def state(tallies: Tallies) -> dict[str, Any]:
    """All that is in the sums, as bytes."""
    sums: dict[str, Mapping[str, Tally | Elements]]
    sums = {"tally": tallies.by_name, "elements": tallies.elements}
    found = {
        f"{name}.{kind}.{key}": (array.shape, array.tobytes())
        for kind, by_name in sums.items()
        for name, of in by_name.items()
        for key, array in of.to_arrays().items()
    }
    return {**found, "n": tallies.n_batches, "readable": sorted(tallies.readable)}


def counts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    drawn = rng.integers(0, 3, size=(*shape, 2)).astype(float)
    drawn[(0,) * len(shape)] = 2
    return drawn


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_batch_is_added_whole_or_not_at_all(depth: int, n_before: int) -> None:
    rng = np.random.default_rng(0)
    lengths = [(3, 2), (2, 4), (1, 1), (4, 3)]
    batches = []
    for i, length in enumerate(lengths):
        shape = length[:depth]
        same = np.full((*shape, 1), 5.0)
        batches.append(reading(rng, shape, same if i == 0 else counts(rng, shape)))

    tallies = Tallies({"mean": "float64", "variance": "float64"}, {"mean": "variance"})
    for batch in batches[:n_before]:
        tallies.add(batch)
    old, subject = state(tallies), deepcopy(tallies)
    tallies.add(batches[n_before])
    new, seen = state(tallies), []

    for error in interruptions(lambda: subject.add(batches[n_before]), "population/", stride=13):
        assert error is None or isinstance(error, KeyboardInterrupt)
        seen.append([old, new].index(state(subject)))
        if seen[-1] == 1:
            break
    assert seen[-1] == 1
    assert len(seen) > 40
