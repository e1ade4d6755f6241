"""Pictures of a run: its population statistics, its learning curve among others, its attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from batches import make_batch, permute_entities
from data import FIRST_ENTITY, PLACEHOLDER, Question
from evaluate import Judge
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from runs import VARIANTS, Problem, Run, file_name, load_run

from bnrewrite import Population

DIRECTIONS = {"backward": "tab:orange", "forward": "tab:blue"}
LINE_WIDTH = 86  # characters in a line of the picture of attention


class Reading(NamedTuple):
    """What a reader made of one question: a weight for each token, and the answer it chose."""

    question: Question
    weights: np.ndarray
    answer: str


def draw_pictures(
    folder: Path, run: Run, judge: Judge, problem: Problem, population: Population | None
) -> Iterator[Path]:
    """Draw everything there is to see of a run, and name the files."""
    name = Path(file_name(run.settings.variant)).stem
    figures = {"learning-curves": draw_curves(folder)}
    figures[f"{name}.attention"] = draw_attention(find_reading(judge, problem))
    if population is not None:
        figures[f"{name}.population"] = draw_population(population)
    for title, figure in figures.items():
        path = folder / f"{title}.png"
        figure.savefig(path, dpi=120)
        yield path


def draw_population(population: Population) -> Figure:
    """Statistics per step for both encoders: median and middle 80 % of the units, and coverage."""
    rows = ["recurrent.mean", "recurrent.variance", "cell.mean", "cell.variance"]
    figure = Figure(figsize=(11, 12), layout="constrained")
    axes = figure.subplots(len(rows) + 1, 2, sharex="col")
    for column, encoder in zip(axes.T, ("passage", "query"), strict=True):
        column[0].set_title(f"{encoder} encoder")
        for (direction, color), row in ((pair, row) for pair in DIRECTIONS.items() for row in rows):
            values = population[f"{encoder}_{direction}/{row}"]
            axis = column[rows.index(row)]
            low, middle, high = np.percentile(values, [10, 50, 90], axis=1)
            axis.fill_between(np.arange(len(values)), low, high, color=color, alpha=0.2, lw=0)
            axis.plot(middle, color=color, label=direction)
            axis.set_ylabel(row.replace(".", " "))
        for direction, color in DIRECTIONS.items():
            coverage = population.coverage[f"{encoder}_{direction}/recurrent.mean"]
            width = 1.5 if direction == "forward" else 4  # one would hide the other
            column[-1].plot(coverage, color=color, linewidth=width)
        column[-1].set(xlabel="step", ylabel="coverage (batches)", ylim=(0, None))
    axes[-1, -1].legend(*axes[0, 0].get_legend_handles_labels())
    figure.suptitle("Population statistics per step: median and middle 80 % of the units")
    return figure


def draw_curves(folder: Path) -> Figure:
    """The learning curves of every checkpoint in the folder, on the same axes."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for variant in VARIANTS:
        path = folder / file_name(variant)
        if path.exists():
            history = load_run(path).history
            epochs = range(1, len(history) + 1)
            for axis, key in ((left, "valid accuracy"), (right, "valid loss")):
                axis.plot(epochs, [facts[key] for facts in history], marker=".", label=variant)
    left.set(xlabel="epoch", ylabel="validation accuracy (population statistics)")
    right.set(xlabel="epoch", ylabel="validation loss (population statistics)")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    left.legend()
    return figure


def find_reading(judge: Judge, problem: Problem) -> Reading:
    """The first rightly answered test question with a passage that fits a picture, or any."""
    pairs = zip(problem.corpus.splits["test"], problem.encoded["test"], strict=True)
    pairs = sorted(pairs, key=lambda pair: abs(len(pair[0].passage) - 80))[:50]
    rng = np.random.default_rng(problem.settings.seed)
    for question, encoded in pairs:
        numbered = permute_entities(encoded, rng)
        scores, attention = judge.predict(make_batch([numbered], problem.vocabulary.n_entities))
        chosen = np.flatnonzero(numbered.passage == FIRST_ENTITY + scores[0].argmax())[0]
        reading = Reading(question, attention[0], question.passage[chosen])
        if reading.answer == question.answer and len(question.candidates) > 3:
            break
    return reading


def draw_attention(reading: Reading) -> Figure:
    """The passage with each token the darker the more it is attended to; then query and answer."""
    question, names = reading.question, reading.question.names
    lines = wrap(
        [names.get(t) or t for t in question.passage], reading.weights / reading.weights.max()
    )
    asked = [names.get(t) or t for t in question.query]
    below = wrap(asked, np.array([0.0] * len(asked)))
    answers = f"read: {names.get(reading.answer)}    right: {names.get(question.answer)}"
    figure = Figure(figsize=(8.2, 0.3 * (len(lines) + len(below) + 4)))
    axis = figure.add_axes((0.02, 0, 0.96, 1), frame_on=False, xticks=[], yticks=[])
    axis.set(xlim=(0, LINE_WIDTH), ylim=(len(lines) + len(below) + 2.5, -1))
    for y, line in enumerate([*lines, [], *below]):
        write_line(axis, y, line)
    axis.text(0, len(lines) + len(below) + 1.5, answers, family="monospace", weight="bold")
    return figure


Placed = tuple[int, str, float]


def wrap(tokens: list[str], weights: np.ndarray) -> list[list[Placed]]:
    """Break tokens into lines of (column, token, weight)."""
    lines: list[list[Placed]] = [[]]
    column = 0
    for token, weight in zip(tokens, weights, strict=True):
        if column + len(token) > LINE_WIDTH:
            lines.append([])
            column = 0
        lines[-1].append((column, token, float(weight)))
        column += len(token) + 1
    return lines


def write_line(axis: Axes, y: int, line: list[Placed]) -> None:
    """Write tokens in a fixed-width font, on a ground that shows their weight."""
    style: dict[str, Any] = {"family": "monospace", "fontsize": 10.5, "va": "center"}
    for x, token, weight in line:
        ground = {"facecolor": (1, 0.55, 0, weight), "edgecolor": "none", "pad": 1.5}
        bold = "bold" if token == PLACEHOLDER else "normal"
        axis.text(x, y, token, bbox=ground, weight=bold, **style)
