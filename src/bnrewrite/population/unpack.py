"""Unpack: sums from the header and the arrays of a file, which may be anything.

Everything is checked before it is used: that the header has what it should, of the kinds it should,
and that the shapes of the sums of a statistic fit each other. So no sum is ever broadcast to
something larger than what is in the file, and what a file can do is to be refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.archive import Arrays
from bnrewrite.population.counts import MinCount
from bnrewrite.population.elements import Elements
from bnrewrite.population.options import checked_min_count
from bnrewrite.population.origin import Origin
from bnrewrite.population.tallies import POOLINGS, Pooling, Tallies
from bnrewrite.population.tally import Tally

_SUMS = re.compile(r"(.*)#(\w+)\.(\w+)", re.DOTALL)
_TEXTS = ("numbered", "fingerprints", "parameters")
_MOST = 2.0**53  # above, floating-point numbers do not count
_Packed = dict[str, dict[str, Arrays]]


class Loaded(NamedTuple):
    """What is in a file."""

    tallies: Tallies
    pooling: Pooling
    min_coverage: int
    min_count: MinCount
    values: Arrays


def unpack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Loaded:
    """What is in a file, from its header and its arrays.

    Raises whatever it is led to by a file that was not written by `Population.save`.
    """
    _check_header(header)
    names: dict[str, str] = {member: name for name, member in header.get("numbered", {}).items()}
    packed: _Packed = {"tally": {}, "elements": {}}
    values: Arrays = {}
    for key, array in arrays.items():
        if sums := _SUMS.fullmatch(key):
            member, kind, parameter = sums[1], sums[2], sums[3]
            by_name = packed.setdefault(kind, {})
            by_name.setdefault(names.get(member, member), {})[parameter] = array
        else:
            values[names.get(key, key)] = array
    readable = {*header.get("readable", ())}
    if header["format"] == 1:
        packed, readable = _of_format_1(packed, header), {"reached", header["pooling"]}
    _check_sums(header["dtypes"], header["variances"], packed)
    min_count = checked_min_count(header.get("min_count_in_a_batch", 0))
    origin = Origin(
        header.get("made_by", ""), header.get("fingerprints", {}), header.get("parameters", {})
    )
    tallies = Tallies(header["dtypes"], header["variances"], min_count, origin)
    tallies.by_name = {name: Tally.from_arrays(packed["tally"][name]) for name in header["dtypes"]}
    tallies.elements |= {n: Elements.from_arrays(a) for n, a in packed["elements"].items()}
    tallies.n_batches = header["n_batches"]
    tallies.readable = readable & set(POOLINGS)
    min_count = checked_min_count(header.get("min_count", 0))
    return Loaded(tallies, header["pooling"], header["min_coverage"], min_count, values)


def _of_format_1(packed: _Packed, header: Mapping[str, Any]) -> _Packed:
    """The arrays of the first format, by the names of today; what it lacks is never read."""
    tally: dict[str, Arrays] = {}
    for name, reached in packed["reached"].items():
        n = np.array(header["n_batches"])
        tally[name] = {"held": np.zeros_like(reached["mean"]), "n": n, **reached}
    for name, counts in packed.get("counts", {}).items():
        tally[name]["count"] = counts["total"]
    return {"tally": tally, "elements": packed["elements"]}


def _check_header(header: Mapping[str, Any]) -> None:
    dtypes, variances = header["dtypes"], header["variances"]
    for numbers in ("n_batches", "min_coverage"):
        _require(type(header[numbers]) is int and header[numbers] >= 0, f"{numbers} is no number")
    _require(header["n_batches"] > 0, "it has no batches")
    _require(header["pooling"] in POOLINGS, f"{header['pooling']!r} is no pooling")
    _require(isinstance(header.get("made_by", ""), str), "what made it is no text")
    for texts in (dtypes, variances, *(header.get(k, {}) for k in _TEXTS)):
        _require(isinstance(texts, dict) and _are_texts(texts.values()), "it is no dict of texts")
    _require(_are_texts(header.get("readable", [])), "poolings are texts")
    _require({*variances, *variances.values()} <= {*dtypes}, "a variance is no statistic")
    kinds = {name: np.dtype(dtype).kind for name, dtype in dtypes.items()}
    _require({*kinds.values()} == {"f"}, "a statistic is not of floating point")


def _check_sums(
    dtypes: Mapping[str, str], variances: Mapping[str, str], packed: Mapping[str, Any]
) -> None:
    tallies, elements = packed["tally"], packed["elements"]
    _require({*tallies} == {*dtypes}, f"it has sums of {[*tallies]} for {[*dtypes]}")
    _require({*elements} <= {*variances}, "it has elements of what is no mean")
    for name, arrays in tallies.items():
        _check_moments(name, arrays)
        _require(arrays["held"].shape == arrays["mean"].shape, f"{name!r} has another shape held")
        _check_batches(name, arrays)
        for key in {"count", "batches"} & {*arrays}:
            _check_weight(name, arrays, key)
        if "least" in arrays:
            n_steps = arrays["mean"].shape[: int(arrays["n_time_axes"])]
            _require(arrays["least"].shape == n_steps, f"{name!r} has fewest elements of no step")
            _require(arrays["least"].dtype.kind == "f", f"{name!r} has fewest elements of no kind")
    for mean, variance in variances.items():
        _require(_shape(tallies[mean]) == _shape(tallies[variance]), f"{mean!r} has another shape")
    for name, arrays in elements.items():
        if "same" in arrays:
            _require(float(arrays["same"]) >= 0, f"{name!r} has a negative number of elements")
        else:
            _check_moments(name, arrays)
            _require(_shape(arrays) == _shape(tallies[name]), f"{name!r} has other elements")


def _check_moments(name: str, arrays: Arrays) -> None:
    mean, deviations = arrays["mean"], arrays["deviations"]
    n_time_axes = _whole(arrays["n_time_axes"])
    _require(n_time_axes <= mean.ndim, f"{name!r} has more time axes than axes")
    _require(0 not in mean.shape[:n_time_axes], f"{name!r} has no steps")
    _require(mean.shape == deviations.shape, f"{name!r} has deviations of another shape")
    _require(mean.dtype.kind == deviations.dtype.kind == "f", f"{name!r} is not of floating point")
    _require(bool(np.isfinite(mean).all()), f"{name!r} has a mean that is not finite")
    _require(bool((deviations >= 0).all()), f"{name!r} has negative deviations")
    _check_weight(name, arrays, "weight")


def _check_batches(name: str, arrays: Arrays) -> None:
    n, n_time_axes, n_axes = arrays["n"], int(arrays["n_time_axes"]), arrays["mean"].ndim
    if n.ndim:  # one for each step
        steps = arrays["mean"].shape[:n_time_axes]
        _require(
            n.shape == steps + (1,) * (n_axes - n_time_axes), f"{name!r} has batches elsewhere"
        )
    sane = n.dtype.kind in "iu" and bool((n >= 0).all() and (n < _MOST).all() and (n > 0).any())
    _require(sane, f"{name!r} has no number of batches")


def _check_weight(name: str, arrays: Arrays, key: str) -> None:
    weight, mean = arrays[key], arrays["mean"]
    n_time_axes = int(arrays["n_time_axes"])
    fits = weight.ndim == mean.ndim and all(
        n == m or (n == 1 and axis >= n_time_axes)
        for axis, (n, m) in enumerate(zip(weight.shape, mean.shape, strict=True))
    )
    _require(fits, f"{name!r} has a {key} of shape {weight.shape} for one of {mean.shape}")
    sane = weight.dtype.kind == "f" and bool(((weight >= 0) & (weight < _MOST)).all())
    _require(sane, f"{name!r} has a {key} that is no number of batches or elements")


def _shape(arrays: Arrays) -> tuple[int, tuple[int, ...]]:
    return int(arrays["n_time_axes"]), arrays["mean"].shape


def _whole(array: NDArray[Any]) -> int:
    """The number in an array of one whole number, which is not negative."""
    _require(array.shape == () and array.dtype.kind in "iu", "it is no whole number")
    _require(int(array) >= 0, "it is a negative number")
    return int(array)


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
