"""How near each pooling comes to the statistics of the whole training set, and what it is worth.

Trains the BN-LSTM of `examples/japanese_vowels.py` once, and estimates its population statistics
from batches of 4, 16 and 64 series with each pooling. The distance is to the statistics of all 270
training series in one batch: root mean square over the elements of all steps that at least
`COVERED` series reached, relative to the root mean square of the exact values, averaged over the
statistics. The input term depends on no other normalization, the others do.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "examples"))

import numpy as np

import japanese_vowels as vowels
from backend import at, engine
from bnrewrite import InferenceGraph, Population

POOLINGS = ("edge", "reached", "moments")
SIZES = (4, 16, 64)
N_SPLITS = 5
PARTS = ("mean", "variance", "input")
COVERED = 10


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
    """Relative root mean square difference of the statistics with `part` in their names."""
    errors = []
    for name, value in exact.items():
        if part in name:
            steps = exact.count[name] >= COVERED
            error = (population[name] - value)[steps]
            errors.append(np.sqrt(np.mean(error**2) / np.mean(value[steps] ** 2)))
    return float(np.mean(errors))


def without_speaker(batches: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """The inputs of the inference graph."""
    return [(b["x"], b["mask"]) for b in batches]


def main() -> None:
    """Print one line for each pooling and batch size."""
    graph, inputs = trained()
    series, test = vowels.load("TRAIN"), vowels.make_batches(vowels.load("TEST"), 370)
    predict = engine.function(inputs, graph.outputs)
    whole = without_speaker(vowels.make_batches(series, len(series)))
    exact = graph.estimate(whole, pooling="moments")
    print(f"all series in one batch: test accuracy {vowels.accuracy(predict, test):.1%}\n")
    print("pooling     batch    means  variances  input term  accuracy")
    for pooling in POOLINGS:
        for size in SIZES:
            rows = []
            for seed in range(N_SPLITS):
                order = np.random.default_rng(seed).permutation(len(series))
                batches = without_speaker(vowels.make_batches(series, size, order))
                population = graph.estimate(batches, pooling=pooling)
                distances = [distance(population, exact, part) for part in PARTS]
                rows.append((*distances, vowels.accuracy(predict, test)))
            mean, variance, from_input, accuracy = np.mean(rows, axis=0)
            figures = f"{mean:>9.3f}{variance:>11.3f}{from_input:>12.3f}{accuracy:>10.1%}"
            print(f"{pooling:<10}{size:>7}{figures}")


if __name__ == "__main__":
    main()
