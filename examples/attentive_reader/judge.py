"""Accuracy of a reader under batch statistics and under population statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import aesara
import numpy as np
from batches import Batch
from model import Parameters, Reader
from variants import VARIANTS

from bnrewrite import InferenceGraph, Population

Predict = Callable[[Batch], tuple[np.ndarray, np.ndarray]]  # scores, attention


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

    def _compile(self, outputs: Sequence[aesara.Variable]) -> Predict:
        function = aesara.function(self.inputs, outputs)
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
