"""What poolings and `min_count` are worth in the Attentive Reader, from the checkpoint of a run:

    python examples/attentive_reader/train.py --units 32 --epochs 6 --out runs
    python benchmarks/pooling_reader.py runs/bn-e-star-star.npz

Batches are drawn at random, and not of passages of like length as the example draws them, so that
their masks leave few elements at the end. Columns are those of `pooling.py`: distances are from the
statistics of `N_EXACT` questions in one batch, and accuracies those on all test questions and on
those with passages longer than any trained on.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "examples" / "attentive_reader"))
sys.path.append(str(Path(__file__).parent.parent / "examples"))

import numpy as np
from batches import make_batch, permute_entities
from evaluate import Judge, score
from model import flags
from runs import Problem, load_problem, load_run

from backend import engine
from bnrewrite import FewElements
from pooling import distance, last_variance

SIZES = (8, 32)
MIN_COUNTS = (0, 2, 8, 32, "auto")
N_EXACT, N_BATCHES = 512, 16


def batches(problem: Problem, judge: Judge, size: int, n: int, seed: int) -> list[Any]:
    """`n` batches of training questions at random, as the estimate takes them."""
    rng = np.random.default_rng(seed)
    questions, n_entities = problem.encoded["train"], problem.vocabulary.n_entities
    drawn = []
    for _ in range(n):
        chosen = rng.choice(len(questions), size, replace=False)
        batch = make_batch([permute_entities(questions[i], rng) for i in chosen], n_entities)
        drawn.append([batch[variable.name] for variable in judge.inputs])
    return drawn


def main(checkpoint: Path) -> None:
    """Print one line for each pooling, `min_count` and batch size."""
    warnings.simplefilter("ignore", FewElements)
    run = load_run(checkpoint)
    problem = load_problem(run.settings, run.vocabulary)
    with flags(run.settings.quick):
        parameters = {name: engine.shared(value, name) for name, value in run.best.items()}
        judge = Judge(run.settings.variant, parameters)
        graph = judge.inference
        assert graph is not None
        exact = graph.estimate(batches(problem, judge, N_EXACT, 1, 0), min_count=0)
        test = problem.evaluation_batches("test")

        def accuracies() -> str:
            result = score(judge.predict, test)
            long = result.correct[result.lengths > problem.longest]
            return f"{result.accuracy:>10.1%}{long.mean():>9.1%}"

        print(f"{N_EXACT} questions in one batch: {accuracies()}\n")
        print("pooling  min_count  batch    means  variances   last  accuracy  longer")
        for pooling in ("edge", "reached", "moments"):
            for min_count in MIN_COUNTS:
                for size in SIZES:
                    drawn = batches(problem, judge, size, N_BATCHES, 1)
                    head = f"{pooling:<8}{min_count!s:>10}{size:>7}"
                    try:
                        population = graph.estimate(drawn, pooling=pooling, min_count=min_count)
                    except ValueError:
                        print(f"{head}        -", flush=True)
                        continue
                    means, variances = (
                        distance(population, exact, part) for part in ("mean", "variance")
                    )
                    last = last_variance(population, exact)
                    figures = f"{means:>9.3f}{variances:>11.3f}{last:>7.2f}{accuracies()}"
                    print(f"{head}{figures}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
