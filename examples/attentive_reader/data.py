"""Questions in the layout of the CNN/Daily Mail corpus: read, check, split, count the words.

A `.question` file holds a URL, a passage, a query, an answer and a list of `@entityN:Name` lines,
separated by blank lines. Tokens are what white space separates. Nothing else is assumed.

At the end there is what anyone reaches who counts entities and does not read: the baselines.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

ENTITY = re.compile(r"@entity\d+")
PLACEHOLDER = "@placeholder"
SPLITS = {"train": ("train", "training"), "valid": ("valid", "validation"), "test": ("test",)}
PAD, UNK, PLACE, FIRST_ENTITY = 0, 1, 2, 3  # the first numbers of the vocabulary


class Question(NamedTuple):
    """One cloze question; `entities` are the markers of passage and query, by first mention."""

    url: str
    passage: tuple[str, ...]
    query: tuple[str, ...]
    answer: str
    entities: tuple[str, ...]
    names: dict[str, str]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The entities of the passage, which are the possible answers."""
        return tuple(dict.fromkeys(filter(is_entity, self.passage)))


class Corpus(NamedTuple):
    """The questions of the three splits, and what had to be skipped."""

    splits: dict[str, list[Question]]
    n_skipped: int
    reasons: list[str]


def is_entity(token: str) -> bool:
    """Whether a token is an entity marker such as `@entity12`."""
    return ENTITY.fullmatch(token) is not None


def parse_question(text: str) -> Question:
    """Read one question; a ValueError says what is wrong with a malformed one."""
    blocks = re.split(r"\n\s*\n\s*", text.strip())
    if len(blocks) != 5:
        raise ValueError(f"{len(blocks)} blocks between blank lines instead of 5")
    url, passage, query, answer, listing = (block.strip() for block in blocks)
    names = dict(line.strip().partition(":")[::2] for line in listing.splitlines())
    tokens, asked = (tuple(map(sys.intern, text.split())) for text in (passage, query))
    if PLACEHOLDER not in asked:
        raise ValueError(f"no {PLACEHOLDER} in the query")
    if not is_entity(answer):
        raise ValueError(f"the answer is no entity marker: {answer[:30]!r}")
    if not all(map(is_entity, names)):
        raise ValueError("a line of the entity list does not look like @entityN:Name")
    if answer not in tokens:
        raise ValueError(f"the answer {answer} is not in the passage")
    entities = tuple(dict.fromkeys(filter(is_entity, tokens + asked)))
    return Question(url, tokens, asked, answer, entities, names)


def read_corpus(folder: Path, seed: int = 0) -> Corpus:
    """Read every `.question` file below `folder`.

    The subfolders train, valid and test are the splits; where there are none, a hash of the seed
    and the passage decides (80, 10 and 10 of 100), so that a passage is in one split only.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    skipped: list[str] = []
    splits: dict[str, list[Question]] = {split: [] for split in SPLITS}
    folders = _split_folders(folder)
    for split, path in folders.items():
        splits[split] = list(_read_files(path, skipped))
    if not folders:
        for question in _read_files(folder, skipped):
            splits[split_of(question.passage, seed)].append(question)
    empty = [split for split, questions in splits.items() if not questions]
    if empty:
        why = f" Skipped {len(skipped)} files: {'; '.join(skipped[:3])}." if skipped else ""
        raise ValueError(f"no readable .question files in {folder} for {', '.join(empty)}.{why}")
    return Corpus(splits, len(skipped), skipped[:3])


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split that has one."""
    pairs = [(split, folder / name) for split, names in SPLITS.items() for name in names]
    return {split: path for split, path in pairs if path.is_dir()}


def _read_files(folder: Path, skipped: list[str]) -> Iterator[Question]:
    for path in sorted(folder.rglob("*.question")):
        try:
            yield parse_question(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            skipped.append(f"{path.name}: {error}")


def split_of(passage: Sequence[str], seed: int) -> str:
    """The split of a passage, whatever the numbers on its entity markers."""
    text = " ".join("@entity" if is_entity(token) else token for token in passage)
    share = int(hashlib.sha256(f"{seed} {text}".encode()).hexdigest(), 16) % 100
    return "train" if share < 80 else "valid" if share < 90 else "test"


class Vocabulary(NamedTuple):
    """Numbers of tokens: padding, unknown, placeholder, the entity markers, then the words."""

    n_entities: int
    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return FIRST_ENTITY + self.n_entities + len(self.words)


def build_vocabulary(corpus: Corpus, min_count: int = 2, max_words: int = 50_000) -> Vocabulary:
    """Words of the training questions by count; markers enough for the longest entity list."""
    counts: Counter[str] = Counter()
    for question in corpus.splits["train"]:
        counts.update(question.passage)
        counts.update(question.query)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    words = [word for word, count in ranked if count >= min_count and not is_entity(word)]
    words = [word for word in words if word != PLACEHOLDER][:max_words]
    n_entities = max(len(q.entities) for split in corpus.splits.values() for q in split)
    return Vocabulary(n_entities, tuple(words))


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
