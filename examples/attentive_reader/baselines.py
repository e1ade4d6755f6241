"""What a reader reaches without reading: chance, the most frequent and the last entity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from data import Question, is_entity


def chance(question: Question) -> float:
    """The chance that a random candidate is right."""
    return 1 / len(question.candidates)


def most_frequent(question: Question) -> float:
    """Whether the entity with the most mentions is right (of several, the last mentioned)."""
    counts = Counter(filter(is_entity, question.passage))
    best = max(counts.values())
    tied = [token for token in question.passage if counts[token] == best]
    return float(tied[-1] == question.answer)


def last_mentioned(question: Question) -> float:
    """Whether the entity that was mentioned last is right."""
    return float(list(filter(is_entity, question.passage))[-1] == question.answer)


BASELINES = {"chance": chance, "most frequent": most_frequent, "last mentioned": last_mentioned}


def baseline_accuracies(questions: Sequence[Question]) -> dict[str, float]:
    """The accuracy of each baseline."""
    return {name: fmean(map(rule, questions)) for name, rule in BASELINES.items()}
