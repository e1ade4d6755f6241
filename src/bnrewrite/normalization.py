"""Normalization: batch normalization whose statistics are marked.

Written as ``x * scale + shift``, where scale and shift depend on statistics and parameters alone.
In an inference graph the statistics do not depend on the data, so the engine computes both in front
of a loop, and a multiply-add is left inside. For the same reason axes are inserted by DimShuffle:
the engine does not move a Reshape out of a loop.

Sharp edge: elements that the mask leaves out are normalized too, by statistics that they are not
part of. Mask the output where that matters.
"""

from __future__ import annotations

from typing import Any

from bnrewrite.graph.engine import Variable
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.marking import mark_moments


def batch_normalize(
    x: Variable,
    gamma: Any,
    beta: Any,
    *,
    axis: int | tuple[int, ...] = 0,
    mask: Variable | None = None,
    epsilon: float = 1e-5,
    label: str | None = None,
) -> Variable:
    """Normalize `x` by its mean and variance over `axis`, both marked as batch statistics.

    ``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` (Ioffe and Szegedy 2015, algorithm 1),
    computed as ``x * scale + shift``: in an inference graph scale and shift do not depend on the
    data, so the engine takes them out of the loop.

    Parameters
    ----------
    x : Variable
        Inside a loop usually (batch, units), outside (time, batch, units).
    gamma, beta : Variable or float
        Scale and shift, broadcast against the statistics: `x` without the axes of `axis`.
    axis : int or tuple of int
        The axes to average over. ``0`` inside a loop gives statistics for each step; ``(0, 1)`` of
        a (time, batch, units) tensor gives *sequence-wise* ones, the same for all steps.
    mask : Variable, optional
        True or 1 where an element counts, else False or 0. Its axes are the leading ones of `x`,
        so that (batch,) or (time, batch) will do. Where no element counts, mean and variance are
        0, and the step does not enter an estimate.
    epsilon : float
        Added to the variance.
    label : str, optional
        The statistics are labelled ``"<label>.mean"`` and ``"<label>.variance"``; by default the
        label is the name of `x`, or else ``"batch_norm"``.

    Returns
    -------
    Variable
        The normalized `x`. Masked elements are normalized too, by statistics that they are not
        part of.

    Raises
    ------
    TypeError
        If `x` is not of a floating-point dtype.
    ValueError
        If `axis` is not an axis of `x`, or `mask` has more axes than `x`.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import batch_normalize
    >>> y = batch_normalize(pt.matrix("x"), gamma=0.1, beta=0.0, label="hidden")
    """
    x = at.as_tensor_variable(x)
    if not x.dtype.startswith("float"):
        raise TypeError(f"x has dtype {x.dtype}; batch normalization needs floating point.")
    axes = _positive_axes(axis, x.ndim)
    mean, variance, count = _moments(x, axes, mask)
    mean, variance = mark_moments(mean, variance, count, label or x.name or "batch_norm")
    gamma, beta, mean, variance = (_align(v, axes, x) for v in (gamma, beta, mean, variance))
    scale = gamma / at.sqrt(variance + at.constant(epsilon, dtype=x.dtype))
    return x * scale + (beta - mean * scale)


def _positive_axes(axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    axes = axis if isinstance(axis, tuple) else (axis,)
    if not axes or any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axis={axis} does not name axes of a variable with {ndim} axes.")
    return tuple(sorted({a % ndim for a in axes}))


def _moments(
    x: Variable, axes: tuple[int, ...], mask: Variable | None
) -> tuple[Variable, Variable, Variable]:
    """Mean, variance and number of the elements over `axes`, which are dropped."""
    if mask is None:
        mean = x.mean(axis=axes)
        variance = at.square(x - _insert_axes(mean, axes)).mean(axis=axes)
        return mean, variance, _size(x, axes)
    weights, count = _weights_and_count(x, axes, mask)
    divisor = at.maximum(count, 1).astype(x.dtype)
    mean = at.switch(weights, x, 0).sum(axis=axes) / divisor
    deviations = at.switch(weights, x - _insert_axes(mean, axes), 0)
    return mean, at.square(deviations).sum(axis=axes) / divisor, count


def _weights_and_count(
    x: Variable, axes: tuple[int, ...], mask: Variable
) -> tuple[Variable, Variable]:
    """Bring the mask to the axes of `x`, and count over `axes` what it lets through."""
    mask = at.as_tensor_variable(mask)
    if mask.ndim > x.ndim:
        raise ValueError(f"mask has {mask.ndim} axes, and x only {x.ndim}.")
    leading = at.neq(at.broadcast_to(mask, tuple(x.shape[a] for a in range(mask.ndim))), 0)
    weights = at.shape_padright(leading, x.ndim - mask.ndim)
    counted = weights.sum(axis=axes, dtype="int64")
    return weights, counted * _size(x, tuple(a for a in axes if a >= mask.ndim))


def _size(x: Variable, axes: tuple[int, ...]) -> Variable:
    size = at.constant(1, dtype="int64")
    for a in axes:
        size = size * x.shape[a]
    return size


def _align(value: Any, axes: tuple[int, ...], x: Variable) -> Variable:
    """Give a value with the axes of the statistics those of `x`, of size 1 in `axes`."""
    value = at.as_tensor_variable(value)
    if value.ndim == 0:
        return value.astype(x.dtype)
    return _insert_axes(at.shape_padleft(value, x.ndim - len(axes) - value.ndim), axes)


def _insert_axes(value: Variable, axes: tuple[int, ...]) -> Variable:
    """Give `value` axes of size 1 at `axes`.

    By a DimShuffle: `at.expand_dims` makes a Reshape, which the engine does not take out of loops.
    """
    kept = iter(range(value.ndim))
    order = ["x" if a in axes else next(kept) for a in range(value.ndim + len(axes))]
    return value.dimshuffle(order)
