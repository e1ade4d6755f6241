"""Files: populations as npz files.

A file has the values by name, for whoever reads it without this library, and behind a ``#`` the
sums they were read from, with a header of JSON: so a loaded population can be merged and read under
another pooling. It is written under another name first, and moved when it is whole. When it is
read, the values must be those of the sums, or the file was changed.

Format 1 kept only the sums of its own pooling. It can still be loaded, and other poolings are
refused.
"""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.counts import MinCount
from bnrewrite.population.elements import Elements
from bnrewrite.population.options import checked_min_count, checked_min_coverage
from bnrewrite.population.origin import Origin
from bnrewrite.population.tallies import POOLINGS, Pooling, Tallies
from bnrewrite.population.tally import Tally

FORMAT_VERSION = 2
_HEADER = "#header"
_Arrays = dict[str, NDArray[Any]]


class Loaded(NamedTuple):
    """What is in a file."""

    tallies: Tallies
    pooling: Pooling
    min_coverage: int
    min_count: MinCount
    values: _Arrays


def save(
    path: str | os.PathLike[str],
    values: Mapping[str, NDArray[Any]],
    tallies: Tallies,
    pooling: Pooling,
    min_coverage: int,
    min_count: MinCount,
) -> None:
    """Write a population, all of it or nothing."""
    header = {
        "format": FORMAT_VERSION,
        "library": f"bnrewrite {version('bnrewrite')}",
        "pooling": pooling,
        "min_coverage": min_coverage,
        "min_count": min_count,
        "min_count_in_a_batch": tallies.min_count,
        "n_batches": tallies.n_batches,
        "dtypes": tallies.dtypes,
        "variances": tallies.variances,
        "readable": sorted(tallies.readable),
        "made_by": tallies.origin.made_by,
        "fingerprints": dict(tallies.origin.fingerprints),
    }
    arrays: dict[str, Any] = {**values, **_pack(tallies), _HEADER: np.array(json.dumps(header))}
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _pack(tallies: Tallies) -> _Arrays:
    kinds: dict[str, Mapping[str, Tally | Elements]]
    kinds = {"tally": tallies.by_name, "elements": tallies.elements}
    return {
        f"{name}#{kind}.{key}": array
        for kind, by_name in kinds.items()
        for name, sums in by_name.items()
        for key, array in sums.to_arrays().items()
    }


def load(path: str | os.PathLike[str]) -> Loaded:
    """Read what `save` has written."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = dict(loaded)
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a population file, or not a whole one. Only what `Population.save` "
            f"has written can be loaded. {type(error).__name__}: {error}"
        ) from error
    header = _header(path, arrays)
    try:
        tallies = _unpack(header, arrays)
        min_count = checked_min_count(header.get("min_count", 0))
        min_coverage = checked_min_coverage(header["min_coverage"])
        return Loaded(tallies, header["pooling"], min_coverage, min_count, arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not have the arrays that `Population.save` writes: it was changed, or "
            f"written by another version. {type(error).__name__}: {error}"
        ) from error


def _header(path: str | os.PathLike[str], arrays: _Arrays) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(str(arrays.pop(_HEADER)))
        format_version = int(header["format"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} was not written by `Population.save`: it has no header that can be read."
        ) from error
    if format_version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {format_version}, written by {header.get('library')}, and this is "
            f"bnrewrite {version('bnrewrite')}, which knows formats up to {FORMAT_VERSION}. "
            "Load it with a later release."
        )
    return header


def _unpack(header: Mapping[str, Any], arrays: _Arrays) -> Tallies:
    """The sums, which are taken out of `arrays`."""
    min_count = checked_min_count(header.get("min_count_in_a_batch", 0))
    origin = Origin(str(header.get("made_by", "")), dict(header.get("fingerprints", {})))
    tallies = Tallies(header["dtypes"], header["variances"], min_count, origin)
    packed: dict[str, dict[str, _Arrays]] = {}
    for key in [key for key in arrays if "#" in key]:
        name, _, rest = key.rpartition("#")
        kind, parameter = rest.split(".")
        packed.setdefault(kind, {}).setdefault(name, {})[parameter] = arrays.pop(key)
    if int(header["format"]) == 1:
        packed = _of_format_1(packed, int(header["n_batches"]))
        readable = {"reached", str(header["pooling"])}
    else:
        readable = set(header["readable"])
    tallies.by_name = {name: Tally.from_arrays(a) for name, a in packed["tally"].items()}
    elements = packed.get("elements", {})
    tallies.elements |= {name: Elements.from_arrays(a) for name, a in elements.items()}
    tallies.n_batches = int(header["n_batches"])
    tallies.readable = readable & set(POOLINGS)
    return tallies


def _of_format_1(
    packed: Mapping[str, Mapping[str, _Arrays]], n_batches: int
) -> dict[str, dict[str, _Arrays]]:
    """The arrays of the first format, by the names of today; what it lacks is never read."""
    tally: dict[str, _Arrays] = {}
    for name, reached in packed["reached"].items():
        lacking = {"held": np.zeros_like(reached["mean"]), "n": np.array(n_batches)}
        tally[name] = {**lacking, **reached}
    for name, counts in packed.get("counts", {}).items():
        tally[name]["count"] = counts["total"]
    return {"tally": tally, "elements": dict(packed.get("elements", {}))}


def check_values(
    path: str | os.PathLike[str], values: _Arrays, expected: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse a file whose values are not those of its accumulators."""
    changed = sorted({*values} ^ {*expected})
    changed += [n for n in expected if n in values and not np.array_equal(values[n], expected[n])]
    if changed:
        raise ValueError(
            f"the values of {changed} in {path} are not what its batches average to: it was "
            "changed after it was saved. `assign` takes a dict of other values."
        )
