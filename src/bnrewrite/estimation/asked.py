"""Asked: what a caller wants estimated, and from what, checked before anything is compiled.

An estimate may take hours, so what can be known to be wrong without a batch is refused here.
Batches are not read: they may be an iterator, which can be read only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from inspect import signature
from typing import Any, get_args

import numpy as np

from bnrewrite.cautions import shown
from bnrewrite.estimation.batches import Batch, BatchError, Batches, Extra
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.fingerprints import MADE_BY
from bnrewrite.graph.statistics import Statistic
from bnrewrite.population.options import checked_min_count, checked_min_coverage
from bnrewrite.population.origin import Origin
from bnrewrite.population.resume import resumed
from bnrewrite.population.tallies import Tallies, check_pooling


def checked_exported(exported: Any) -> Exported:
    """`exported` as what `export_statistics` returns.

    Raises
    ------
    TypeError
        If it is no mapping of statistics to variables.
    ValueError
        If it is empty.
    """
    if isinstance(exported, Exported):
        return exported
    if not isinstance(exported, Mapping) or not all(
        isinstance(s, Statistic) and isinstance(v, Variable) for s, v in exported.items()
    ):
        raise TypeError(
            "exported is what `export_statistics` returns, a dict of statistics to variables, got "
            f"{shown(exported)}."
        )
    if not exported:
        raise ValueError("exported is empty: there are no statistics to estimate.")
    return Exported({s: Export(variable) for s, variable in exported.items()})


def check_rule(
    exported: Exported,
    pooling: Any,
    min_coverage: Any,
    min_count: Any,
    progress: Any,
    extra: Any,
    resume: Any,
) -> None:
    """Refuse what is no way to average, or none for these statistics, or not to go on from."""
    checked_min_coverage(min_coverage)
    checked_min_count(min_count)
    if not isinstance(progress, bool | np.bool_):
        raise TypeError(f"progress is True or False, and not {shown(progress)}.")
    if not isinstance(extra, str) or extra not in get_args(Extra):
        raise ValueError(f"extra is one of {get_args(Extra)}, and not {extra!r}.")
    variances = {mean.name: v.name for mean, v in exported.variance_of.items()}
    check_pooling(pooling, [s.name for s in exported], variances)
    if resume is not None:
        dtypes = {s.name: str(s.variable.dtype) for s in exported}
        origin = Origin(MADE_BY, exported.fingerprints)
        resumed(Tallies(dtypes, variances, min_count, origin), resume, pooling)


def check_batches(batches: Any) -> None:
    """Refuse what is no iterable of batches, or most likely meant as something else."""
    if isinstance(batches, Mapping):
        raise TypeError(
            "batches is an iterable of batches, got a dict, which looks like one batch. Put it "
            "into a list: [batch]."
        )
    if isinstance(batches, Iterable) and not isinstance(batches, str | bytes):
        return
    if not callable(batches):
        raise TypeError(
            "batches is an iterable of batches, such as a list of dicts, or a function that "
            f"returns one, got {shown(batches)}."
        )
    if not _needs_nothing(batches):
        raise TypeError(
            "batches is a function that returns batches, and has to be called without arguments, "
            f"got {shown(batches)}. `functools.partial(function, *arguments)` is such a function."
        )


def _needs_nothing(function: Any) -> bool:
    """Whether a function can be called without arguments, as far as it says."""
    try:
        signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # written in C, it does not say
        return True
    return True


def opened(batches: Batches) -> Iterable[Batch]:
    """The batches, which a function returns anew each time.

    Raises
    ------
    BatchError
        If a function returns something else.
    """
    if isinstance(batches, Iterable):
        return batches
    returned: Any = batches()
    if isinstance(returned, Mapping | str | bytes) or not isinstance(returned, Iterable):
        raise BatchError(
            f"the function that was given as batches returned {shown(returned)}, and no iterable "
            "of batches."
        )
    found: Iterable[Batch] = returned
    return found


def checked_shards(shards: Any, executor: Any) -> Sequence[Any]:
    """`shards` as a list of callables, and an executor that can run them."""
    if isinstance(shards, Mapping | str | bytes) or not isinstance(shards, Iterable):
        raise TypeError(f"shards is a list of functions that return batches, got {shown(shards)}.")
    listed = list(shards)
    for i, shard in enumerate(listed):
        if not callable(shard):
            raise TypeError(
                f"shard {i} is {shown(shard)}, and no function that returns batches. "
                "`functools.partial(load_batches, path)` makes one of a function and its arguments."
            )
    if not listed:
        raise ValueError("there are no shards to estimate from.")
    if isinstance(executor, ThreadPoolExecutor):
        raise TypeError(
            "a compiled function can't be shared by threads: give estimate_shards an executor of "
            "processes, such as concurrent.futures.ProcessPoolExecutor."
        )
    if not (isinstance(executor, Executor) or callable(executor)):
        raise TypeError(
            "executor is an executor of concurrent.futures, or a function that makes one, got "
            f"{shown(executor)}."
        )
    return listed
