"""What poolings and `min_count` are worth: on sequences of different lengths, with masks.

Trains the BN-LSTM of `examples/japanese_vowels.py` once, and estimates its population statistics
from batches of 5, 10, 30 and 90 series with each pooling and several values of `min_count`. What is
printed are means over `N_SPLITS` splits into batches:

means, variances
    The distance from the statistics of all 270 training series in one batch: root mean square over
    the elements of all steps that at least `COVERED` series reached, relative to the root mean
    square of those, averaged over the statistics. The input term depends on no other normalization.
last
    The variance at the last step, which all longer sequences are given, relative to that of all
    series at the last step that `COVERED` of them reached: the median over units.
accuracy, of 20 steps
    The test accuracy, and that on the 54 test series of 20 steps or more.

A dash says that no batch has as many elements as `min_count` asks for.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "examples"))

import numpy as np

import japanese_vowels as vowels
from backend import at, engine
from bnrewrite import FewElements, InferenceGraph, Population

SIZES = (5, 10, 30, 90)
MIN_COUNTS = (0, 2, 8, 32, "auto")
N_SPLITS = 5
COVERED = 20
LONG = 20


def trained() -> tuple[InferenceGraph, list[Any]]:
    """Train as the example does; return the inference graph of the scores, and the inputs."""
    engine.config.floatX = "float32"
    rng = np.random.default_rng(0)
    series = vowels.load("TRAIN")
    x, mask, speaker = at.tensor3("x"), at.matrix("mask"), at.ivector("speaker")
    p = vowels.make_parameters(rng)
    scores = vowels.bn_lstm(x, mask, p) @ p["W_out"] + p["b_out"]
    log_likelihood = at.log(at.special.softmax(scores, axis=1))
    loss = -log_likelihood[at.arange(speaker.shape[0]), speaker].mean()
    updates = vowels.adam(loss, list(p.values()))
    train = engine.function([x, mask, speaker], loss, updates=updates)
    for batch in vowels.epochs(series, rng):
        train(**batch)
    return InferenceGraph([x, mask], scores), [x, mask]


def distance(population: Population, exact: Population, part: str) -> float:
    """Relative root mean square difference of statistics in loops, with `part` in their names."""
    errors = []
    for name, value in exact.items():
        if part in name and exact.coverage[name].ndim:
            n = min(len(value), len(population[name]))
            steps = exact.count[name][:n] >= COVERED
            error = (population[name][:n] - value[:n])[steps]
            errors.append(np.sqrt(np.mean(error**2) / np.mean(value[:n][steps] ** 2)))
    return float(np.mean(errors))


def last_variance(population: Population, exact: Population) -> float:
    """That of the last step relative to the last one that is covered."""
    ratios = []
    for name, value in exact.items():
        if name.endswith("variance") and exact.coverage[name].ndim:
            covered = value[exact.count[name] >= COVERED][-1]
            ratios.append(np.median(population[name][-1] / covered))
    return float(np.mean(ratios))


class Test:
    """The test series, and how many of them a graph gets right."""

    def __init__(self, graph: InferenceGraph, inputs: list[Any]) -> None:
        series = vowels.load("TEST")
        (self._batch,) = vowels.make_batches(series, len(series))
        self._long = np.array([len(values) >= LONG for values, _ in series])
        self._predict = vowels.engine.function(inputs, graph.outputs)

    def accuracy(self) -> tuple[float, float]:
        """Of all series, and of the long ones."""
        scores = self._predict(self._batch["x"], self._batch["mask"])
        hits = scores.argmax(axis=1) == self._batch["speaker"]
        return float(hits.mean()), float(hits[self._long].mean())


def without_speaker(batches: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """The inputs of the inference graph."""
    return [(b["x"], b["mask"]) for b in batches]


def figures(graph: InferenceGraph, test: Test, exact: Population, size: int, **how: Any) -> str:
    """The line for one size of batches, averaged over splits."""
    series, rows = vowels.load("TRAIN"), []
    for seed in range(N_SPLITS):
        order = np.random.default_rng(seed).permutation(len(series))
        batches = without_speaker(vowels.make_batches(series, size, order))
        try:
            population = graph.estimate(batches, **how)
        except ValueError:
            return "        -"
        distances = [distance(population, exact, part) for part in ("mean", "variance", "input")]
        rows.append((*distances, last_variance(population, exact), *test.accuracy()))
    *distances, last, accuracy, long = np.mean(rows, axis=0)
    columns = (f"{d:>9.3f}{v:>11.3f}{i:>12.3f}" for d, v, i in [distances])
    return f"{''.join(columns)}{last:>7.2f}{accuracy:>10.1%}{long:>13.1%}"


def main() -> None:
    """Print one line for each pooling, `min_count` and batch size."""
    warnings.simplefilter("ignore", FewElements)
    graph, inputs = trained()
    test, series = Test(graph, inputs), vowels.load("TRAIN")
    whole = without_speaker(vowels.make_batches(series, len(series)))
    graph.estimate(whole, pooling="moments", min_count=COVERED)
    print("all series in one batch: test accuracy {:.1%}, {:.1%}\n".format(*test.accuracy()))
    exact = graph.estimate(whole, pooling="moments", min_count=0)
    columns = "means  variances  input term   last  accuracy  of 20 steps"
    print(f"pooling  min_count  batch    {columns}")
    for pooling in ("edge", "reached", "moments"):
        for min_count in MIN_COUNTS:
            for size in SIZES:
                line = figures(graph, test, exact, size, pooling=pooling, min_count=min_count)
                print(f"{pooling:<8}{min_count!s:>10}{size:>7}{line}", flush=True)


if __name__ == "__main__":
    main()
