"""Evaluate a reader under each kind of statistics: `python evaluate.py runs/bn-e-star-star.npz`.

As a command it rebuilds the graph in a new process, loads the parameters and the population
statistics, and prints the same table as the training run did.

`Judge` is the library at work: one `InferenceGraph`, compiled once, for every estimate there is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parent.parent))  # where `backend` is

import numpy as np
from batches import Batch, split_batch
from data import BASELINES, Question
from model import FAR_BELOW, Parameters, Reader, flags
from runs import VARIANTS, Problem, Run, describe, load_problem, load_run, population_path

from backend import Variable, engine
from bnrewrite import InferenceGraph, Population

EVALUATED = ("valid", "test")

Predict = Callable[[Batch], tuple[np.ndarray, np.ndarray]]  # scores, attention
Statistics = Mapping[str, np.ndarray]


class Score(NamedTuple):
    """The mean loss, and for each question its length and whether the reader was right."""

    loss: float
    correct: np.ndarray
    lengths: np.ndarray
    scores: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(self.correct.mean())


class Judge:
    """Compiles the inference graph of a reader once; new estimates need no new compilation."""

    def __init__(self, variant: str, parameters: Parameters) -> None:
        graph = Reader(VARIANTS[variant], parameters).build()
        self.inputs = [v for name, v in graph.inputs.items() if name != "answer"]
        self.batch_outputs = [graph.scores, graph.attention]
        self.inference: InferenceGraph | None = None
        outputs = self.batch_outputs
        if VARIANTS[variant].lstm:
            self.inference = InferenceGraph(self.inputs, outputs)
            outputs = self.inference.outputs
        self.predict = self._compile(outputs)

    def _compile(self, outputs: Sequence[Variable]) -> Predict:
        function = engine.function(self.inputs, outputs)
        return lambda batch: function(*self._arrays(batch))

    def _arrays(self, batch: Batch) -> list[np.ndarray]:
        return [batch[variable.name] for variable in self.inputs]

    def compile_batch_statistics(self) -> Predict:
        """A function that computes the statistics from the very batch it is given."""
        return self._compile(self.batch_outputs)

    def estimate(self, batches: Iterable[Batch], *, progress: bool = False) -> Population | None:
        """Estimate the population statistics, and use them from now on."""
        if self.inference is None:
            return None
        return self.inference.estimate(map(self._arrays, batches), progress=progress)


def score(predict: Predict, batches: Sequence[Batch]) -> Score:
    """Answer every question of the batches."""
    scores = np.concatenate([predict(batch)[0] for batch in batches])
    answers = np.concatenate([batch["answer"] for batch in batches])
    lengths = np.concatenate([batch["passage_mask"].sum(axis=0) for batch in batches])
    loss = -scores[np.arange(len(answers)), answers].mean()
    return Score(float(loss), scores.argmax(axis=1) == answers, lengths, scores)


class Row(NamedTuple):
    """The scores of one way to get the statistics, by split."""

    statistics: str
    scores: dict[str, Score]


def make_rows(judge: Judge, problem: Problem, population: Statistics | None) -> list[Row]:
    """Answer the validation and test questions under each kind of statistics."""
    full = {split: problem.evaluation_batches(split) for split in EVALUATED}
    single = {split: [one for b in full[split] for one in split_batch(b)] for split in full}

    def row(statistics: str, predict: Predict, batches: dict[str, list]) -> Row:
        return Row(statistics, {split: score(predict, batches[split]) for split in batches})

    if population is None:
        return [row("none", judge.predict, full)]
    from_batch = judge.compile_batch_statistics()
    rows = [
        row("batch, full batches", from_batch, full),
        row("batch, batches of one", from_batch, single),
    ]
    judge.inference.assign(population)
    rows.append(row("population, per step", judge.predict, full))
    judge.inference.assign(population.averaged_over_time())
    rows.append(row("population, averaged over time", judge.predict, full))
    judge.inference.assign(population)
    return rows


def format_table(rows: Sequence[Row], problem: Problem) -> str:
    """Accuracies in percent: all questions, then those with passages longer than any trained on.

    The last columns compare the test answers with those under full batches: how often they are the
    same, and how far the log-probabilities of the candidates are apart on average.
    """
    scores = rows[0].scores
    is_long = {split: scores[split].lengths > problem.longest for split in EVALUATED}
    heads = [f"{split} ({len(is_long[split])})" for split in EVALUATED]
    heads += [f"{split}, longer ({is_long[split].sum()})" for split in EVALUATED]
    lines = [["statistics", *heads, "same answer", "log p apart"]]
    lines += [
        [f"baseline: {name}", *_baseline(rule, problem), "", ""] for name, rule in BASELINES.items()
    ]
    for row in rows:
        right = [row.scores[split].correct for split in EVALUATED]
        right += [row.scores[split].correct[is_long[split]] for split in EVALUATED]
        compared = _compare(row.scores["test"], scores["test"])
        lines.append([row.statistics, *map(_percent, right), *compared])
    return _align(lines)


def _baseline(rule: Callable[[Question], float], problem: Problem) -> list[str]:
    """The accuracies of a trivial rule, in the order of the columns."""
    questions = [problem.corpus.splits[split] for split in EVALUATED]
    questions += [[q for q in some if len(q.passage) > problem.longest] for some in questions]
    return [_percent(np.array([rule(question) for question in some])) for some in questions]


def _percent(right: np.ndarray) -> str:
    return f"{100 * right.mean():.2f}" if right.size else "-"


def _compare(score: Score, reference: Score) -> tuple[str, str]:
    same = score.scores.argmax(axis=1) == reference.scores.argmax(axis=1)
    candidates = reference.scores > FAR_BELOW / 2
    apart = np.abs(score.scores - reference.scores)[candidates].mean()
    return _percent(same), f"{apart:.4f}"


def _align(lines: Sequence[Sequence[str]]) -> str:
    """A table as Markdown has it: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    rows = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]
        for line in [lines[0], rule, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def evaluate(path: Path, run: Run, problem: Problem) -> str:
    """The table of a finished run, from its files alone."""
    parameters = {name: engine.shared(value, name) for name, value in run.best.items()}
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
