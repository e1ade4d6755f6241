"""Origin: what ties sums and populations to the graph that they are of.

Names alone do not: layers without labels have names with numbers, and another model may have the
same ones. So a fingerprint of each statistic's definition goes with it, wherever the sums go. Only
fingerprints that were made in the same way compare; about others it can only be said that it is not
known.

The same graph with other parameters has another population. So digests of these go with it, too: of
the values that each name has in a graph, as names are the same wherever it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bnrewrite.cautions import StaleStatistics, caution

SEVERAL = "several"  # in the place of a digest, after sums of different parameters were added


@dataclass(frozen=True)
class Origin:
    """Where statistics come from.

    Attributes
    ----------
    made_by : str
        The engine that built the graph, with its version; empty if that is not known.
    fingerprints : dict of str to str
        Of the definition of each statistic, by name.
    parameters : dict of str to str
        Digests of the parameters that statistics were computed from, by name, as far as known.
    """

    made_by: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def is_comparable(self, other: Origin) -> bool:
        """Whether equal fingerprints say anything."""
        return bool(self.made_by) and self.made_by == other.made_by

    def differing(self, other: Origin) -> list[str]:
        """The names of statistics that are defined in two ways, as far as is known."""
        if not self.is_comparable(other):
            return []
        return _differing(self.fingerprints, other.fingerprints)

    def changed(self, parameters: Mapping[str, str]) -> list[str]:
        """The names of parameters that have other values in `parameters`, as far as is known."""
        several = {name for name, digest in self.parameters.items() if digest == SEVERAL}
        return sorted({*_differing(self.parameters, parameters)} | several)

    def together(self, other: Origin) -> Origin:
        """That of sums of both; warns if they were estimated with different parameters."""
        mine, theirs = self.parameters, other.parameters
        differing = _differing(mine, theirs)
        if new := [name for name in differing if SEVERAL not in (mine[name], theirs[name])]:
            caution(
                f"populations are added up that were estimated with different values of {new}, so "
                "the result is that of no model. Call `estimate` without `resume`, after the last "
                "training step.",
                StaleStatistics,
            )
        return replace(self, parameters={**theirs, **mine, **dict.fromkeys(differing, SEVERAL)})


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names that are in both, for different texts."""
    return sorted(name for name, text in one.items() if other.get(name, text) != text)
