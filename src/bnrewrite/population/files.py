"""Files: populations as npz files.

A file has the values by name, for whoever reads it without this library, and after a ``#`` the
sums they were read from, with a header of JSON: so a loaded population can be merged and read under
another pooling. Where a name can't be that of a file in a zip file, a number stands for it, and the
header says which. It is written all at once (`write_whole`), and its last bytes are a digest of all
others, so a file that was changed or cut off is refused. What has no such digest, or has one and
does not make sense, is refused by `unpack`. The file of a predictor has the same arrays in a folder
``population``, and is read alike.

Format 1 kept only the sums of its own pooling: other poolings are refused. Formats 1 and 2 have no
digest. There the values must be those of the sums, or the file was changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.archive import Arrays, check_seal, is_sealed, packed, unpacked
from bnrewrite.population.counts import MinCount
from bnrewrite.population.elements import Elements
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.tally import Tally
from bnrewrite.population.unpack import Loaded, unpack
from bnrewrite.population.whole import write_whole

FORMAT_VERSION = 3
FOLDER = "population/"
_HEADER = "#header"


def to_arrays(
    values: Mapping[str, NDArray[Any]],
    tallies: Tallies,
    pooling: Pooling,
    min_coverage: int,
    min_count: MinCount,
) -> Arrays:
    """What is in the file of a population."""
    members = {name: name if is_plain(name) else f"#{i}" for i, name in enumerate(values)}
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
        "parameters": dict(tallies.origin.parameters),
        "numbered": {name: member for name, member in members.items() if name != member},
    }
    arrays: Arrays = {members[name]: value for name, value in values.items()}
    arrays |= _pack(tallies, members)
    # As they are: halves of surrogate pairs that are escaped would come back as whole ones.
    arrays[_HEADER] = np.array(json.dumps(header, ensure_ascii=False))
    return arrays


def save(path: str | os.PathLike[str], arrays: Arrays) -> None:
    """Write arrays, all of them or nothing."""
    write_whole(path, packed(arrays))


def is_plain(name: str) -> bool:
    """Whether a file in a zip file can have this name on every system."""
    return 0 < len(name) <= 200 and name.isprintable() and not {"#", "\\"} & {*name}


def _pack(tallies: Tallies, members: Mapping[str, str]) -> Arrays:
    kinds: dict[str, Mapping[str, Tally | Elements]]
    kinds = {"tally": tallies.by_name, "elements": tallies.elements}
    return {
        f"{members[name]}#{kind}.{key}": array
        for kind, by_name in kinds.items()
        for name, sums in by_name.items()
        for key, array in sums.to_arrays().items()
    }


def check_values(loaded: Loaded, expected: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a file whose values are not those of its sums."""
    values = loaded.values
    changed = sorted({*values} ^ {*expected})
    changed += [n for n in expected if n in values and not np.array_equal(values[n], expected[n])]
    if changed:
        raise ValueError(
            f"the values of {changed} are not what its batches average to: it was changed after "
            "it was saved. `assign` takes a dict of other values."
        )


@contextmanager
def loading(path: str | os.PathLike[str]) -> Iterator[Loaded]:
    """What `save` has written. Whatever goes wrong inside is a ValueError about the file."""
    content = Path(path).read_bytes()
    try:
        check_seal(content)
        arrays = unpacked(content)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a population file, or not a whole one, or was changed after it was "
            f"saved. Only what `Population.save` has written can be loaded. {error}"
        ) from error
    if _HEADER not in arrays:
        arrays = in_folder(arrays, FOLDER)
    with unpacking(path, arrays, is_sealed(content)) as loaded:
        yield loaded


def in_folder(arrays: Arrays, folder: str) -> Arrays:
    """The arrays of a file whose names begin with `folder`, by the rest of their names."""
    return {k.removeprefix(folder): v for k, v in arrays.items() if k.startswith(folder)}


@contextmanager
def unpacking(path: str | os.PathLike[str], arrays: Arrays, sealed: bool) -> Iterator[Loaded]:
    """What `to_arrays` gave. Whatever goes wrong inside is a ValueError about the file."""
    header = _header(path, arrays)
    if header["format"] >= 3 and not sealed:
        raise ValueError(
            f"{path} was changed after it was saved: it has lost the digest of its content. "
            "`assign` takes a dict of other values."
        )
    try:
        with np.errstate(all="ignore"):
            yield unpack(header, arrays)
    except Exception as error:  # whatever foreign numbers lead to
        raise ValueError(
            f"{path} does not have what `Population.save` writes: it was changed, or written by "
            f"another version. {type(error).__name__}: {error}"
        ) from error


def _header(path: str | os.PathLike[str], arrays: Arrays) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(str(arrays.pop(_HEADER)))
        if type(header["format"]) is not int or header["format"] < 1:
            raise ValueError("the format is no number")
    except Exception as error:  # it may be anything, and so deep that it can't be read
        raise ValueError(
            f"{path} was not written by `Population.save`: it has no header that can be read."
        ) from error
    if header["format"] > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {header['format']}, written by {header.get('library')}, and this "
            f"is bnrewrite {version('bnrewrite')}, which knows formats up to {FORMAT_VERSION}. "
            "Load it with a later release."
        )
    return header
