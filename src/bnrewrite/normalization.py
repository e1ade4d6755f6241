"""Normalization: batch normalization whose statistics are marked.

Written as ``x * scale + shift``, where scale and shift depend on statistics and parameters alone.
In an inference graph the statistics do not depend on the data, so the engine computes both in front
of a loop, and a multiply-add is left inside. For the same reason axes are inserted by DimShuffle:
the engine does not move a Reshape out of a loop.

Sharp edges
-----------
- Elements that the mask leaves out are normalized too, by statistics that they are not part of.
  Mask the output where that matters.
- A mask with other values than 0 and 1 is refused when statistics are estimated, and not while
  training: a check at each step of a loop took 1 to 2 % of the time of a small BN-LSTM, and what is
  marked is to cost nothing there. What tells the estimate is a count of -1.
"""

from __future__ import annotations

from typing import Any

from bnrewrite.arguments import as_tensor, checked_axes, checked_epsilon
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
        0, and the step does not enter an estimate. Other values than 0 and 1 count as 1 in
        training, and are refused by an estimate.
    epsilon : float
        Added to the variance: above 0, in the dtype of `x` too.
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
        If `x` is not of a floating-point dtype, or an argument is of the wrong type.
    ValueError
        If `axis` does not name different axes of `x`, `mask` has more axes than `x`, `gamma` or
        `beta` more than the statistics, or `epsilon` is not above 0 and finite.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import batch_normalize
    >>> y = batch_normalize(pt.matrix("x"), gamma=0.1, beta=0.0, label="hidden")
    """
    x = as_tensor(x, "x")
    if not x.dtype.startswith("float"):
        raise TypeError(f"x has dtype {x.dtype}; batch normalization needs floating point.")
    axes = checked_axes(axis, x.ndim)
    epsilon = checked_epsilon(epsilon, x.dtype)
    gamma, beta = _align(gamma, "gamma", axes, x), _align(beta, "beta", axes, x)
    mask = None if mask is None else as_tensor(mask, "mask")
    mean, variance, count = _moments(x, axes, mask)
    mean, variance = mark_moments(mean, variance, count, label or x.name or "batch_norm")
    mean, variance = _insert_axes(mean, axes), _insert_axes(variance, axes)
    scale = gamma / at.sqrt(variance + at.constant(epsilon, dtype=x.dtype))
    return x * scale + (beta - mean * scale)


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
    variance = at.square(deviations).sum(axis=axes) / divisor
    return mean, variance, _negative_if_no_mask(count, mask)


def _negative_if_no_mask(count: Variable, mask: Variable) -> Variable:
    """-1 in the place of `count` if the mask has other values than 0 and 1, for the estimate."""
    if mask.dtype == "bool":
        return count
    return at.switch(at.all(at.or_(at.eq(mask, 0), at.eq(mask, 1))), count, -1)


def _weights_and_count(
    x: Variable, axes: tuple[int, ...], mask: Variable
) -> tuple[Variable, Variable]:
    """Bring the mask to the axes of `x`, and count over `axes` what it lets through."""
    if mask.ndim > x.ndim:
        raise ValueError(f"mask has {mask.ndim} axes, and x only {x.ndim}.")
    # `broadcast_to` of Aesara ends the process where a mask has other lengths than `x`.
    leading = at.neq(at.alloc(mask, *(x.shape[a] for a in range(mask.ndim))), 0)
    weights = at.shape_padright(leading, x.ndim - mask.ndim)
    counted = weights.sum(axis=axes, dtype="int64")
    return weights, counted * _size(x, tuple(a for a in axes if a >= mask.ndim))


def _size(x: Variable, axes: tuple[int, ...]) -> Variable:
    size = at.constant(1, dtype="int64")
    for a in axes:
        size = size * x.shape[a]
    return size


def _align(value: Any, name: str, axes: tuple[int, ...], x: Variable) -> Variable:
    """Give a value with the axes of the statistics those of `x`, of size 1 in `axes`."""
    value = as_tensor(value, name)
    if value.ndim == 0:
        return value.astype(x.dtype)
    n_axes = x.ndim - len(axes)
    if value.ndim > n_axes:
        raise ValueError(
            f"{name} has {value.ndim} axes, and the statistics have {n_axes}: the {x.ndim} of x "
            f"without {axes}."
        )
    return _insert_axes(at.shape_padleft(value, n_axes - value.ndim), axes)


def _insert_axes(value: Variable, axes: tuple[int, ...]) -> Variable:
    """Give `value` axes of size 1 at `axes`.

    By a DimShuffle: `at.expand_dims` makes a Reshape, which the engine does not take out of loops.
    """
    kept = iter(range(value.ndim))
    order = ["x" if a in axes else next(kept) for a in range(value.ndim + len(axes))]
    return value.dimshuffle(order)
