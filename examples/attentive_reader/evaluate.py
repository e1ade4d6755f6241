"""Evaluate a checkpoint of train.py: `python evaluate.py runs/bn-e-star-star.npz`.

Rebuilds the graph in a new process, loads the parameters and the population statistics, and prints
the same table as the training run did.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # flags count before aesara is imported
    os.environ.setdefault("AESARA_FLAGS", "blas__ldflags=")

import aesara
from checkpoint import Run, load_run, population_path
from judge import Judge
from model import flags
from problem import Problem, describe, load_problem
from tables import format_table, make_rows

from bnrewrite import Population


def evaluate(path: Path, run: Run, problem: Problem) -> str:
    """The table of a finished run, from its files alone."""
    parameters = {name: aesara.shared(value, name) for name, value in run.best.items()}
    judge = Judge(run.settings.variant, parameters)
    population = Population.load(population_path(path)) if judge.inference else None
    return format_table(make_rows(judge, problem, population), problem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", help="where the questions are, if not where they were")
    options = parser.parse_args()
    run = load_run(options.checkpoint)
    settings = replace(run.settings, data=options.data or run.settings.data)
    problem = load_problem(settings, run.vocabulary)
    print(describe(problem))
    with flags(settings.quick):
        print(evaluate(options.checkpoint, run, problem))


if __name__ == "__main__":
    main()
