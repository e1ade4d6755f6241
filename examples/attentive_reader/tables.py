"""The table of accuracies under each kind of statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from baselines import BASELINES
from batches import split_batch
from data import Question
from judge import Judge, Predict, Score, score
from model import FAR_BELOW
from problem import Problem

EVALUATED = ("valid", "test")

Statistics = Mapping[str, np.ndarray]


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
