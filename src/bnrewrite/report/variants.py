"""Variants: the batches made of the examples of another, to be compared with it.

If an example's outputs depend on nothing but the example, then any batch made of some examples has
their outputs, in any order and number. Variants are lists of examples, those of a batch in order.

Of a batch of the same size, the examples that stay where they are must keep their outputs. Of any
two places there is a variant in which the one keeps its example and the other gets another, so what
an example reads of any other will change. Those that moved must take their outputs along. And an
example that is alone, or in a larger batch, must have them too.
"""

from __future__ import annotations

_MOST_ALONE = 8
Variant = list[int]


def variants(n: int) -> list[Variant]:
    """The variants of a batch of `n` examples, those of its own size first."""
    places = range(n)
    bits = range((n - 1).bit_length())
    split = [
        [(i + 1) % n if (i >> bit & 1) == moved else i for i in places]
        for bit in bits
        for moved in (0, 1)
    ]
    moved = [list(places)[::-1], [*range(1, n), 0]]
    few = sorted({i * (n - 1) // (_MOST_ALONE - 1) for i in range(_MOST_ALONE)})
    return [*_repeated(n), *split, *moved, *([i] for i in few), *_larger(n), [*places] * 2]


def few_variants(n: int) -> list[Variant]:
    """One or two of each sort."""
    return [*_repeated(n), list(range(n))[::-1], [0], *_larger(n)]


def described(variant: Variant) -> str:
    """The examples of a variant in words."""
    if len(set(variant)) == 1:
        times = "alone" if len(variant) == 1 else f"in all {len(variant)} places"
        return f"{variant[0]} {times}"
    shown = ", ".join(map(str, variant[:8]))
    return shown + (f" and so on, {len(variant)} of them" if len(variant) > 8 else "")


def _repeated(n: int) -> list[Variant]:
    """The first example in all places, and the last: a change of all others."""
    return [[0] * n, [n - 1] * n]


def _larger(n: int) -> list[Variant]:
    return [[*range(n), 0]]
