"""Versions: what has written a file, and whether a graph in it is the same graph here.

Ops of an engine change from one minor version to the next: a graph that loads may not compute what
it did, or may compute it wrongly. So another engine, or another minor version, is refused. What
differs else does no harm: releases of Python and NumPy read the same pickles, and bnrewrite numbers
its formats.
"""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from bnrewrite.graph.engine import NAME, VERSION

FORMAT_VERSION = 1
WITHOUT_PICKLE = (
    "`numpy.load` reads its parameters (`parameters/...`), and `Population.load` its population"
)


def versions() -> dict[str, Any]:
    """What a file is told of what has written it."""
    return {
        "format": FORMAT_VERSION,
        "bnrewrite": version("bnrewrite"),
        "engine": NAME,
        "engine_version": VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def checked_versions(path: str | os.PathLike[str], told: str) -> dict[str, Any]:
    """What the file in `path` was told, as JSON, by what has written it.

    Raises
    ------
    ValueError
        If it says nothing of the kind, if its format is a later one, or if its graph is one of
        another engine, or another minor version.
    """
    theirs = _told(path, told)
    if theirs["format"] > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {theirs['format']}, written by bnrewrite {theirs['bnrewrite']}, "
            f"and this is bnrewrite {version('bnrewrite')}, which knows formats up to "
            f"{FORMAT_VERSION}. Load it with a later release."
        )
    saved = theirs["engine"], _minor(theirs["engine_version"])
    if saved != (NAME, _minor(VERSION)):
        raise ValueError(
            f"{path} was saved with {saved[0]} {theirs['engine_version']} on Python "
            f"{theirs['python']}, and this is {NAME} {VERSION} on Python "
            f"{platform.python_version()}: ops of another engine, or another minor version, may "
            f"compute something else. Load it with {saved[0]} {saved[1]}, or build the model here "
            f"and save it again: {WITHOUT_PICKLE}."
        )
    return theirs


def _told(path: str | os.PathLike[str], told: str) -> dict[str, Any]:
    try:
        theirs: dict[str, Any] = json.loads(told)
        if any(type(theirs[key]) is not type(value) for key, value in versions().items()):
            raise ValueError("a version is of another type")
    except Exception as error:  # it may be anything
        raise ValueError(
            f"{path} was not written by `InferenceGraph.save`: it does not say by which versions."
        ) from error
    return theirs


def _minor(release: str) -> str:
    return ".".join(release.split(".")[:2])
