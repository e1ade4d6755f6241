"""Verification: what `verify` saw of each output, and what it did not see, and why.

There is no entry for a check that failed, as `verify` raises then. A check that could not be made
always has a reason, so a verification that left something out is never true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bnrewrite.tables import align, html_lines, html_table

CHECKS = ("structure", "rows", "size", "order", "longer", "after until")
DONE, NOT_DONE, NOTHING = "yes", "no", "-"


@dataclass(frozen=True)
class Verified:
    """What was checked of one output.

    Attributes
    ----------
    label : str
        The name of the output.
    checks : mapping of str to str
        For each check ``"yes"``, or ``"no"`` if it could not be made, or ``"-"`` if there is
        nothing to check.
    reasons : mapping of str to str
        Why the checks were not made that were not.
    """

    label: str
    checks: Mapping[str, str]
    reasons: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class Verification:
    """What `InferenceGraph.verify` saw. It prints as a table, and is true if nothing was left out.

    The checks of each output are

    - *structure*: no batch statistic is left, and the population statistics are read;
    - *rows*: an example's outputs stay the same when the other examples of its batch change;
    - *size*: and when it is alone, or in a larger batch;
    - *order*: and when it is in another place of the batch;
    - *longer*: all this in a batch with as many steps as the longest seen, and with one more;
    - *after until*: and in steps after those at which a while-loop stops.

    Attributes
    ----------
    outputs : tuple of Verified
        What was checked of each output.
    lengths : tuple of list of int
        The numbers of steps of the longer batches.
    batch_axes : mapping of str to int or None
        For each input the axis that was taken for that of the examples.
    notes : tuple of str
        What was not checked of any output, and why.
    """

    outputs: tuple[Verified, ...]
    lengths: tuple[list[int], ...] = ()
    batch_axes: Mapping[str, int | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether all was checked."""
        return not self.not_checked()

    def not_checked(self) -> list[str]:
        """A line for each reason why something was not checked."""
        of_outputs = [
            f"{output.label}: {', '.join(checks)}: {reason}"
            for output in self.outputs
            for reason, checks in _by_reason(output.reasons).items()
        ]
        return [*of_outputs, *self.notes]

    def __repr__(self) -> str:
        return "\n".join([align(self._rows()), *self._lines()])

    def _repr_html_(self) -> str:
        return html_table(self._rows()) + html_lines(self._lines())

    def _rows(self) -> list[list[str]]:
        rows = [[output.label, *(output.checks[c] for c in CHECKS)] for output in self.outputs]
        return [["output", *CHECKS], *rows]

    def _lines(self) -> list[str]:
        """What to say below the table."""
        lines = []
        if self.batch_axes:
            axes = ", ".join(f"{name} {axis}" for name, axis in self.batch_axes.items())
            lines.append(f"axes of examples: {axes}")
        if self.lengths:
            steps = " and ".join(" x ".join(map(str, length)) for length in self.lengths)
            lines.append(f"longer: batches of {steps} steps")
        if unchecked := self.not_checked():
            lines += ["not checked:", *(f"  {line}" for line in unchecked)]
        return lines


def verified(label: str, found: Mapping[str, str | None]) -> Verified:
    """What was `found`: for each check that there was, the reason why it was not made, or None."""
    checks = {check: NOTHING for check in CHECKS}
    checks |= {check: DONE if reason is None else NOT_DONE for check, reason in found.items()}
    reasons = {check: reason for check, reason in found.items() if reason is not None}
    return Verified(label, checks, reasons)


def structure_alone(labels: Sequence[str], reason: str) -> Verification:
    """Of a verification that compared no batches, for a reason."""
    found: dict[str, str | None] = dict.fromkeys(CHECKS[1:5], reason)
    return Verification(tuple(verified(label, {"structure": None, **found}) for label in labels))


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check, reason in reasons.items():
        found.setdefault(reason, []).append(check)
    return found
