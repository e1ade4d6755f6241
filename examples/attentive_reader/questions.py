"""Questions made from the narrative books of the American Standard Version (public domain).

A name is a word that stands with a capital inside a sentence at least twice, never without one,
and is not in `NO_NAMES`. A passage is a run of verses of one chapter, its query the next verse with
one name replaced by `@placeholder`, its answer a name of the passage. Names become `@entityN`.
Chapters are dealt out to train, valid and test, so that no passage reaches into two splits.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

BOOKS = (
    *("GENESIS", "EXODUS", "NUMBERS", "JOSHUA", "JUDGES", "RUTH", "SAMUEL_1", "SAMUEL_2"),
    *("KINGS_1", "KINGS_2", "EZRA", "NEHEMIAH", "ESTHER", "DANIEL", "JONAH"),
    *("MATTHEW", "MARK", "LUKE", "JOHN", "ACTS"),
)
NO_NAMES = frozenset(
    ("I", "O", "Oh", "C", "God", "Jehovah", "Lord", "Christ", "Passover", "Sabbath", "Amen")
)
TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|’s|[.,;:?!()]")
SENTENCE_ENDS = frozenset(".?!:(")
VERSES = (2, 4)  # a passage has this many verses, drawn anew for each query
RULES = 1  # part of the cache folder's name: raise it when a rule changes

Verse = list[str]


class Chapter(NamedTuple):
    """The tokens of each verse of a chapter."""

    book: str
    number: int
    verses: list[Verse]


def read_chapters() -> Iterator[Chapter]:
    """The chapters of the narrative books, as `pythonbible` carries them."""
    pythonbible = _import_pythonbible()

    for book in BOOKS:
        which = pythonbible.Book[book]
        for number in range(1, pythonbible.get_number_of_chapters(which) + 1):
            last = pythonbible.get_number_of_verses(which, number)
            texts = (_verse_text(which, number, verse) for verse in range(1, last + 1))
            verses = [TOKEN.findall(text) for text in texts]
            verses = [verse for verse in verses if verse]
            if verses:
                yield Chapter(book.lower(), number, verses)


def _import_pythonbible() -> ModuleType:
    """The package with the text, or an error that says how to get it."""
    try:
        import pythonbible

        pythonbible.get_verse_text(1001001, version=pythonbible.Version.AMERICAN_STANDARD)
    except Exception as error:
        raise RuntimeError(
            f"pythonbible does not give the text ({error!r}); its releases up to 0.14 carry it: "
            'pip install "pythonbible>=0.10,<0.15", or pass --data with questions of your own.'
        ) from error
    return pythonbible


def _verse_text(book: object, chapter: int, verse: int) -> str:
    """The text of a verse; empty where this version lacks a verse that others number."""
    import pythonbible

    version = pythonbible.Version.AMERICAN_STANDARD
    try:
        verse_id = pythonbible.get_verse_id(book, chapter, verse)
        return pythonbible.get_verse_text(verse_id, version=version)
    except pythonbible.VersionMissingVerseError:
        return ""


def find_names(chapters: Sequence[Chapter]) -> frozenset[str]:
    """Words with a capital inside a sentence at least twice, and nowhere without one."""
    inside: Counter[str] = Counter()
    lower: set[str] = set()
    for chapter in chapters:
        before = "."
        for token in (token for verse in chapter.verses for token in verse):
            if token[0].isupper() and before not in SENTENCE_ENDS:
                inside[token] += 1
            elif token[0].islower():
                lower.add(token)
            before = token
    names = {token for token, count in inside.items() if count > 1 and token.lower() not in lower}
    return frozenset(names - NO_NAMES)


def make_questions(chapter: Chapter, names: frozenset[str], seed: int = 0) -> Iterator[str]:
    """The `.question` texts of a chapter: one for each name of a verse that its passage has."""
    url = f"asv://{chapter.book}/{chapter.number}"
    rng = np.random.default_rng([seed, *url.encode()])
    for verse in range(VERSES[0], len(chapter.verses)):
        start = max(0, verse - int(rng.integers(VERSES[0], VERSES[1] + 1)))
        passage = [token for tokens in chapter.verses[start:verse] for token in tokens]
        query = chapter.verses[verse]
        mentioned = list(dict.fromkeys(token for token in passage + query if token in names))
        markers = {name: f"@entity{i}" for i, name in enumerate(mentioned)}
        if len(names.intersection(passage)) < 2:
            continue
        for answer in (name for name in mentioned if name in passage and name in query):
            asked = {**markers, answer: "@placeholder"}
            yield _format(f"{url}/{verse + 1}", passage, query, answer, markers, asked)


def _format(
    url: str,
    passage: Verse,
    query: Verse,
    answer: str,
    markers: dict[str, str],
    asked: dict[str, str],
) -> str:
    """The five blocks of a `.question` file."""
    text = " ".join(markers.get(token, token.lower()) for token in passage)
    cloze = " ".join(asked.get(token, token.lower()) for token in query)
    listing = "\n".join(f"{marker}:{name}" for name, marker in markers.items())
    return "\n\n".join([url, text, cloze, markers[answer], listing]) + "\n"


def split_of_chapter(chapter: Chapter, seed: int = 0) -> str:
    """Four chapters of five are for training, the others for validation and test in turn."""
    text = f"{seed} {chapter.book} {chapter.number}"
    share = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    return "train" if share < 80 else "valid" if share < 90 else "test"


def default_cache() -> Path:
    """Where the questions are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache"
    return Path(base) / "bnrewrite"


def write_questions(cache: Path | None = None, seed: int = 0) -> Path:
    """Write the questions below the cache folder unless they are there; return their folder."""
    folder = (cache or default_cache()) / f"asv-questions-{RULES}-seed{seed}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    chapters = list(read_chapters())
    names = find_names(chapters)
    for chapter in chapters:
        target = unfinished / split_of_chapter(chapter, seed)
        target.mkdir(parents=True, exist_ok=True)
        for i, text in enumerate(make_questions(chapter, names, seed)):
            name = f"{chapter.book}-{chapter.number:03}-{i:03}.question"
            (target / name).write_text(text, encoding="utf-8")
    try:
        unfinished.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)
    return folder
