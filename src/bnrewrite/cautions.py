"""Cautions: the warnings that the library gives, and the one way in which it gives them.

A warning is for what is right but weak, or can't be checked. It points at the line of the caller
that asked, however deep in the library it comes from. What a caller gave is shown in warnings and
errors by its type and the beginning of its text (`shown`), as an array has no end.

`docs/faq.md` has a section for each class, on why it comes and what to do.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

_HERE = str(Path(__file__).parent)


class LostTags(UserWarning):
    """Tags that were set by hand inside a loop may be gone."""


class Indistinguishable(UserWarning):
    """Two statistics have one name, and nothing tells them apart."""


class UnmarkedStatistic(UserWarning):
    """A sum over the examples of a batch looks like a statistic whose mark was forgotten."""


class NotChecked(UserWarning):
    """Something of an inference graph could not be verified."""


class OtherOrigin(UserWarning):
    """It can't be checked whether a population is one of this graph."""


class StaleStatistics(UserWarning):
    """Parameters have changed since the population was estimated."""


class FewElements(UserWarning):
    """A variance rests on fewer than two elements, or is 0."""


def caution(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of this package that called into it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def shown(value: Any) -> str:
    """How to show what a caller gave, in a message."""
    if value is None:
        return "None"
    text = " ".join(repr(value).split())
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{text} of type {type(value).__name__}"
