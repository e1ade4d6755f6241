"""Batches: values for the inputs of a graph, in one of three forms.

A dict by name of the inputs, a dict by input, or a sequence in the order of the inputs. Whatever
does not fit is named, all of it in one message, before anything is computed. Nothing is converted
here: what the values have to be is the engine's to say, and it takes whatever NumPy makes an array
of. But masked arrays are refused, as the engine would read what is behind the mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnrewrite.graph.engine import Variable

Batch = Mapping[str, Any] | Mapping[Variable, Any] | Sequence[Any]
# A function is called at each estimate, so that what it returns may be read once.
Batches = Iterable[Batch] | Callable[[], Iterable[Batch]]
Extra = Literal["raise", "ignore"]


class BatchError(ValueError):
    """Something is wrong with a batch, and the message says what."""


def in_order(
    batch: Batch, inputs: Sequence[Variable], name: str, extra: Extra | None = None
) -> list[Any]:
    """The values of a batch in the order of the inputs.

    `name` is that of the batch in errors; `extra` says what happens to keys that are no inputs,
    if the caller has a say in it.
    """
    if isinstance(batch, Mapping):
        values = _mapping_in_order(batch, inputs, name, extra)
    elif not isinstance(batch, Sequence) or isinstance(batch, str | bytes):
        raise BatchError(
            f"{name} is of type {type(batch).__name__}. A batch is a dict by name of the "
            f"inputs, a dict by input, or a tuple in the order of the inputs {names(inputs)}."
        )
    else:
        values = list(batch)
    if len(values) != len(inputs):
        raise BatchError(
            f"{name} has {len(values)} values for the {len(inputs)} inputs {names(inputs)}."
        )
    if masked := names(v for v, a in zip(inputs, values, strict=True) if is_masked(a)):
        raise BatchError(
            f"{name} has masked arrays for {masked}, whose masks would be overlooked. Fill them, "
            "and give the mask to the graph as an input of its own."
        )
    return values


def _mapping_in_order(
    batch: Mapping[Any, Any], inputs: Sequence[Variable], name: str, extra: Extra | None
) -> list[Any]:
    keys = {v: v if v in batch else v.name for v in inputs}
    missing = [v for v, key in keys.items() if key is None or key not in batch]
    known = set(keys.values())
    unknown = [str(key) for key in batch if key not in known] if extra != "ignore" else []
    ambiguous = [k for k, n in Counter(keys.values()).items() if n > 1 and k is not None]
    wrong = {"missing": names(missing), "unknown": unknown, "shared by several inputs": ambiguous}
    if found := ", ".join(f"{what} {which}" for what, which in wrong.items() if which):
        hint = ' Keys that are no inputs are left out with `extra="ignore"`.'
        by_input = (
            " Unnamed inputs, and inputs of equal names, can be given in a dict by input or in a "
            "tuple."
        )
        raise BatchError(
            f"{name} does not fit the inputs {names(inputs)}: {found}."
            f"{hint if unknown and extra else ''}{by_input if missing or ambiguous else ''}"
        )
    return [batch[key] for key in keys.values()]


def misfits(values: Sequence[Any], inputs: Sequence[Variable], function: Any) -> str:
    """The arrays that a compiled function does not take, and why; nothing if it takes all."""
    found = []
    for name, storage, value in zip(names(inputs), function.input_storage, values, strict=False):
        try:
            storage.type.filter(value, strict=storage.strict, allow_downcast=storage.allow_downcast)
        except Exception:  # also what the engine did not foresee
            found.append(f"{name!r} {_misfit(np.asarray(value), storage.type)}")
    return "; ".join(found)


def _misfit(array: NDArray[Any], needed: Any) -> str:
    if array.ndim != needed.ndim:
        return f"has shape {array.shape}, and needs {needed.ndim} axes"
    if any(n not in (None, m) for n, m in zip(needed.shape, array.shape, strict=True)):
        return f"has shape {array.shape}, and needs {tuple(needed.shape)}"
    return (
        f"has dtype {array.dtype}, and {needed.dtype} can't hold every number of that kind: "
        f"convert it by `.astype({needed.dtype!r})`, if that keeps its values"
    )


def is_masked(value: Any) -> bool:
    """Whether `value` is a masked array with something behind its mask."""
    return isinstance(value, np.ma.MaskedArray) and bool(np.any(value.mask))


def names(variables: Iterable[Variable]) -> list[str]:
    """What to call variables in errors."""
    return [v.name or f"<unnamed {v.type}>" for v in variables]


def empty_inputs(values: Sequence[Any], inputs: Sequence[Variable]) -> list[str]:
    """The names of the inputs that have an axis of length 0."""
    return names(v for v, value in zip(inputs, values, strict=True) if 0 in np.shape(value))
