"""The variants of the paper: where a reader is batch-normalized, and how it reverses a text."""

from __future__ import annotations

from typing import NamedTuple


class Variant(NamedTuple):
    """What is normalized, and how a sequence is reversed.

    `input_term` has statistics per "step" or per "sequence" (over batch and time), or none ("").
    The recurrent and the cell term of a normalized LSTM are always per step.
    """

    lstm: bool = True
    input_term: str = "step"
    everywhere: bool = False
    embedding: bool = False
    reverse_unpadded: bool = False


VARIANTS = {
    "lstm": Variant(lstm=False, input_term=""),
    "bn-lstm": Variant(),
    "bn-everywhere": Variant(everywhere=True),
    "bn-e*": Variant(everywhere=True, input_term="sequence", embedding=True),
    "bn-e**": Variant(True, "sequence", everywhere=True, embedding=True, reverse_unpadded=True),
}
