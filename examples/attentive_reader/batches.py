"""Questions into padded and masked batches of similar length; entities are numbered anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from data import FIRST_ENTITY, PAD, PLACE, PLACEHOLDER, UNK, Question, Vocabulary

POOL = 24  # this many batches are sorted by passage length together,
SHELF = 4  # and of these, this many by query length

Batch = dict[str, np.ndarray]


class Encoded(NamedTuple):
    """A question in numbers; entity k of the question stands as -1 - k until it is numbered."""

    passage: np.ndarray
    query: np.ndarray
    answer: int
    n_entities: int


def encode(questions: Sequence[Question], vocabulary: Vocabulary) -> list[Encoded]:
    """Turn questions into numbers, words that the vocabulary lacks into `<unk>`."""
    first_word = FIRST_ENTITY + vocabulary.n_entities
    words = {word: first_word + i for i, word in enumerate(vocabulary.words)}
    words[PLACEHOLDER] = PLACE
    most = max((len(question.entities) for question in questions), default=0)
    if most > vocabulary.n_entities:
        raise ValueError(
            f"a question has {most} entities; the vocabulary has numbers for "
            f"{vocabulary.n_entities}."
        )
    return [_encode_one(question, words) for question in questions]


def _encode_one(question: Question, words: dict[str, int]) -> Encoded:
    slots = {entity: -1 - k for k, entity in enumerate(question.entities)}
    numbers = {**words, **slots}.get
    passage = np.array([numbers(token, UNK) for token in question.passage], "int32")
    query = np.array([numbers(token, UNK) for token in question.query], "int32")
    return Encoded(passage, query, -1 - slots[question.answer], len(question.entities))


def permute_entities(question: Encoded, rng: np.random.Generator) -> Encoded:
    """Give the n entities of a question the numbers 0..n-1 in a random order."""
    numbers = rng.permutation(question.n_entities).astype("int32")

    def fill(tokens: np.ndarray) -> np.ndarray:
        slot = np.where(tokens < 0, -1 - tokens, 0)
        return np.where(tokens < 0, FIRST_ENTITY + numbers[slot], tokens)

    answer = int(numbers[question.answer])
    return Encoded(fill(question.passage), fill(question.query), answer, question.n_entities)


def make_batch(questions: Sequence[Encoded], n_entities: int) -> Batch:
    """Pad to (time, batch) with masks; `candidates` (batch, entities) marks possible answers."""
    passage, passage_mask = _pad([question.passage for question in questions])
    query, query_mask = _pad([question.query for question in questions])
    candidates = np.zeros((len(questions), n_entities), "float32")
    for row, question in enumerate(questions):
        numbers = question.passage - FIRST_ENTITY
        candidates[row, numbers[(numbers >= 0) & (numbers < n_entities)]] = 1
    return {
        "passage": passage,
        "passage_mask": passage_mask,
        "query": query,
        "query_mask": query_mask,
        "candidates": candidates,
        "answer": np.array([question.answer for question in questions], "int32"),
    }


def _pad(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = np.arange(lengths.max())[:, None] < lengths
    padded = np.full(mask.shape, PAD, "int32")
    padded.T[mask.T] = np.concatenate(sequences)
    return padded, mask.astype("float32")


def sort_by_length(
    questions: Sequence[Encoded], order: Sequence[int], batch_size: int
) -> list[int]:
    """Bring questions of similar length together: passages first, among these queries."""
    pool, shelf = POOL * batch_size, SHELF * batch_size
    by_passage: list[int] = []
    for i in range(0, len(order), pool):
        by_passage += sorted(order[i : i + pool], key=lambda k: len(questions[k].passage))
    by_query: list[int] = []
    for i in range(0, len(order), shelf):
        by_query += sorted(by_passage[i : i + shelf], key=lambda k: len(questions[k].query))
    return by_query


def make_batches(
    questions: Sequence[Encoded],
    n_entities: int,
    batch_size: int,
    rng: np.random.Generator,
    *,
    full_only: bool = False,
) -> list[Batch]:
    """Number the entities anew, sort pools of questions by length, cut and shuffle batches.

    With `full_only` the questions that do not fill a last batch wait for another epoch.
    """
    order = sort_by_length(questions, rng.permutation(len(questions)), batch_size)
    chunks = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if full_only:
        chunks = [chunk for chunk in chunks if len(chunk) == batch_size]
    numbered = [[permute_entities(questions[i], rng) for i in chunk] for chunk in chunks]
    return [make_batch(numbered[i], n_entities) for i in rng.permutation(len(numbered))]


def split_batch(batch: Batch) -> list[Batch]:
    """Batches of one question each, without padding."""
    rows = range(len(batch["answer"]))
    return [{name: _one(name, array, batch, row) for name, array in batch.items()} for row in rows]


def _one(name: str, array: np.ndarray, batch: Batch, row: int) -> np.ndarray:
    """Question `row` of an array of the batch: a column of the texts, a row of the others."""
    text = name.removesuffix("_mask")
    if text not in ("passage", "query"):
        return array[row : row + 1]
    return array[: int(batch[f"{text}_mask"][:, row].sum()), row : row + 1]
