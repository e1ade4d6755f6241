"""Populations as npz files: values by name, accumulators, and a header of JSON."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.tallies import Accumulators

FORMAT_VERSION = 1
_HEADER = "#header"
_Arrays = dict[str, NDArray[Any]]


def save(
    path: str | os.PathLike[str],
    values: Mapping[str, NDArray[Any]],
    accumulators: Accumulators,
    min_coverage: int,
) -> None:
    """Write a population, all of it or nothing."""
    header = {
        "format": FORMAT_VERSION,
        "library": f"bnrewrite {version('bnrewrite')}",
        "pooling": accumulators.pooling,
        "min_coverage": min_coverage,
        "n_batches": accumulators.n_batches,
        "dtypes": accumulators.dtypes,
        "variances": accumulators.variances,
    }
    arrays = {**values, **_pack(accumulators), _HEADER: np.array(json.dumps(header))}
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


def _pack(accumulators: Accumulators) -> _Arrays:
    return {
        f"{name}#{kind}.{parameter}": np.asarray(getattr(accumulator, parameter))
        for kind, its_type in accumulators.kinds.items()
        for name, accumulator in getattr(accumulators, kind).items()
        for parameter in signature(its_type).parameters
    }


def load(path: str | os.PathLike[str]) -> tuple[Accumulators, int, _Arrays]:
    """Read what `save` has written: accumulators, the coverage asked for, and the values."""
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
        accumulators = _unpack(header, arrays)
        return accumulators, int(header["min_coverage"]), arrays
    except (KeyError, TypeError, ValueError) as error:
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


def _unpack(header: dict[str, Any], arrays: _Arrays) -> Accumulators:
    accumulators = Accumulators(
        header["pooling"], header["dtypes"], header["variances"], int(header["n_batches"])
    )
    kinds = accumulators.kinds
    packed: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in kinds}
    for key in [key for key in arrays if "#" in key]:
        name, _, rest = key.rpartition("#")
        kind, parameter = rest.split(".")
        array = arrays.pop(key)
        packed[kind].setdefault(name, {})[parameter] = array if array.ndim else array[()]
    for kind, by_name in packed.items():
        getattr(accumulators, kind).update(
            {name: _accumulator(kinds[kind], values) for name, values in by_name.items()}
        )
    return accumulators


def _accumulator(kind: type[Any], values: dict[str, Any]) -> Any:
    integers = {key: int(values[key]) for key in ("n_time_axes", "n") if key in values}
    return kind(**{key: np.asarray(value) for key, value in values.items()} | integers)


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
