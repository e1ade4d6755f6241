"""The questions of a run, in numbers: batches to train on, to estimate from and to evaluate on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from baselines import baseline_accuracies
from batches import Batch, Encoded, encode, make_batches
from checkpoint import Settings
from data import Corpus, Question, Vocabulary, build_vocabulary, read_corpus
from questions import write_questions

TRAINING, ESTIMATION, EVALUATION = range(3)  # each draws its random numbers by itself
QUICK_SIZES = {"train": 96, "valid": 16, "test": 16}


class Problem(NamedTuple):
    """Questions as text and in numbers, by split; long passages are left out of training only."""

    settings: Settings
    corpus: Corpus
    vocabulary: Vocabulary
    encoded: dict[str, list[Encoded]]

    @property
    def longest(self) -> int:
        """The length of the longest passage that training sees."""
        return max(len(question.passage) for question in self.encoded["train"])

    def training_batches(self, epoch: int) -> list[Batch]:
        """The batches of an epoch, all full."""
        return self._batches("train", (TRAINING, epoch), full_only=True)

    def estimation_batches(self) -> list[Batch]:
        """Training batches for the population statistics, always the same ones."""
        return self._batches("train", (ESTIMATION, 0), full_only=True)

    def evaluation_batches(self, split: str) -> list[Batch]:
        """Every question of a split, always in the same batches."""
        return self._batches(split, (EVALUATION, 0))

    def _batches(
        self, split: str, stream: tuple[int, int], *, full_only: bool = False
    ) -> list[Batch]:
        rng = np.random.default_rng([self.settings.seed, *stream])
        size = self.settings.batch_size
        n_entities = self.vocabulary.n_entities
        return make_batches(self.encoded[split], n_entities, size, rng, full_only=full_only)


def load_problem(settings: Settings, vocabulary: Vocabulary | None = None) -> Problem:
    """Read the questions, with the vocabulary of a former run or a new one."""
    folder = Path(settings.data) if settings.data else write_questions()
    corpus = read_corpus(folder, settings.seed)
    if settings.quick:
        corpus = keep_shortest(corpus, QUICK_SIZES)
    vocabulary = vocabulary or build_vocabulary(corpus, settings.min_count)
    encoded = {split: encode(questions, vocabulary) for split, questions in corpus.splits.items()}
    encoded["train"] = [q for q in encoded["train"] if len(q.passage) <= settings.longest]
    if len(encoded["train"]) < settings.batch_size:
        raise ValueError(
            f"{len(encoded['train'])} training questions have passages of at most "
            f"{settings.longest} tokens, too few for a batch of {settings.batch_size}: "
            "raise --longest or lower --batch-size."
        )
    return Problem(settings, corpus, vocabulary, encoded)


def keep_shortest(corpus: Corpus, sizes: dict[str, int]) -> Corpus:
    """Only the shortest questions of each split, to try things out."""

    def length(question: Question) -> int:
        return len(question.passage) + len(question.query)

    splits = {s: sorted(corpus.splits[s], key=length)[:size] for s, size in sizes.items()}
    return corpus._replace(splits=splits)


def describe(problem: Problem) -> str:
    """Number of questions and candidates, and what the trivial baselines reach."""
    corpus, lines = problem.corpus, []
    if corpus.n_skipped:
        lines.append(f"skipped {corpus.n_skipped} files: {'; '.join(corpus.reasons)}")
    for split, questions in corpus.splits.items():
        candidates = np.mean([len(question.candidates) for question in questions])
        rules = baseline_accuracies(questions).items()
        scores = ", ".join(f"{name} {100 * value:.1f} %" for name, value in rules)
        lines.append(f"{split}: {len(questions)} questions, {candidates:.1f} candidates; {scores}")
    n_used, n_all = len(problem.encoded["train"]), len(corpus.splits["train"])
    lines.append(
        f"trained on the {n_used} of {n_all} questions with passages of at most "
        f"{problem.settings.longest} tokens; {len(problem.vocabulary.words)} words"
    )
    return "\n".join(lines)
