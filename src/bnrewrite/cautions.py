"""Cautions: the warnings that the library gives, and the one way in which it gives them.

A warning is for what is right but weak, or can't be checked. It points at the line of the caller
that asked, however deep in the library it comes from.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_HERE = str(Path(__file__).parent)


class LostTags(UserWarning):
    """Tags that were set by hand inside a loop may be gone."""


class UnmarkedStatistic(UserWarning):
    """A sum over the examples of a batch looks like a statistic whose mark was forgotten."""


def caution(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of this package that called into it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
