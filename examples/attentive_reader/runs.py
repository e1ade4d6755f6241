"""A run: what decides it, which questions it is about, and how it is kept.

The settings and the variant decide everything: all that is random is drawn from the seed and the
epoch, so a run that was stopped goes on as if it had not been. A checkpoint is one npz file with
the settings, parameters, optimizer, epoch and history; the population statistics lie beside it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from batches import Batch, Encoded, encode, make_batches
from data import Corpus, Question, Vocabulary, baseline_accuracies, build_vocabulary, read_corpus
from questions import write_questions

TRAINING, ESTIMATION, EVALUATION = range(3)  # each draws its random numbers by itself
QUICK_SIZES = {"train": 96, "valid": 16, "test": 16}

Arrays = dict[str, np.ndarray]


class Variant(NamedTuple):
    """What is normalized, and how a sequence is reversed.

    `input_term` has statistics per "step" or per "sequence" (over batch and time), or none ("").
    The recurrent and the cell term of a normalized LSTM are always per step.
    """

    lstm: bool = True
    input_term: str = "step"
    everywhere: bool = False
    embedding: bool = False
    reverse_unpadded: bool = False


VARIANTS = {
    "lstm": Variant(lstm=False, input_term=""),
    "bn-lstm": Variant(),
    "bn-everywhere": Variant(everywhere=True),
    "bn-e*": Variant(everywhere=True, input_term="sequence", embedding=True),
    "bn-e**": Variant(True, "sequence", everywhere=True, embedding=True, reverse_unpadded=True),
}


@dataclass(frozen=True)
class Settings:
    """What decides a run; everything random is drawn from `seed` and the epoch."""

    variant: str = "bn-e**"
    data: str = ""
    units: int = 64
    batch_size: int = 64
    learning_rate: float = 5e-3
    dropout: float = 0.3
    clip: float = 10.0
    epochs: int = 12
    patience: int = 4
    longest: int = 150
    min_count: int = 2
    estimate_batches: int = 20
    seed: int = 0
    quick: bool = False


@dataclass
class Run:
    """Where a training run stands after an epoch; `best` are the parameters to evaluate."""

    settings: Settings
    vocabulary: Vocabulary
    parameters: Arrays
    optimizer: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def file_name(variant: str) -> str:
    """The name of a variant without the stars that shells expand."""
    return variant.replace("*", "-star") + ".npz"


def population_path(checkpoint: Path) -> Path:
    """The population statistics lie beside their checkpoint."""
    return checkpoint.with_suffix(".population.npz")


def save_run(path: Path, run: Run) -> None:
    """Write the run; a crash while writing leaves the former file."""
    groups = {"parameters": run.parameters, "optimizer": run.optimizer, "best": run.best}
    arrays = {f"{group}/{name}": a for group, named in groups.items() for name, a in named.items()}
    facts = {
        "settings": asdict(run.settings),
        "n_entities": run.vocabulary.n_entities,
        "epoch": run.epoch,
        "history": run.history,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, facts=json.dumps(facts), words=np.array(run.vocabulary.words), **arrays)
    partial.replace(path)


def load_run(path: Path) -> Run:
    """Read what `save_run` wrote."""
    with np.load(path) as archive:
        facts = json.loads(str(archive["facts"]))
        groups: dict[str, Arrays] = {"parameters": {}, "optimizer": {}, "best": {}}
        for key in archive.files:
            group, _, name = key.partition("/")
            if group in groups:
                groups[group][name] = archive[key]
        vocabulary = Vocabulary(facts["n_entities"], tuple(archive["words"].tolist()))
    settings = Settings(**facts["settings"])
    return Run(settings, vocabulary, epoch=facts["epoch"], history=facts["history"], **groups)


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
