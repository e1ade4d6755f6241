"""Origin: what ties sums and populations to the graph that they are of.

Names alone do not: layers without labels have names with numbers, and another model may have the
same ones. So a fingerprint of each statistic's definition goes with it, wherever the sums go. Only
fingerprints that were made in the same way compare; about others it can only be said that it is not
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """Where statistics come from.

    Attributes
    ----------
    made_by : str
        The engine that built the graph, with its version; empty if that is not known.
    fingerprints : dict of str to str
        Of the definition of each statistic, by name.
    """

    made_by: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def is_comparable(self, other: Origin) -> bool:
        """Whether equal fingerprints say anything."""
        return bool(self.made_by) and self.made_by == other.made_by

    def differing(self, other: Origin) -> list[str]:
        """The names of statistics that are defined in two ways, as far as is known."""
        if not self.is_comparable(other):
            return []
        both = [name for name in self.fingerprints if name in other.fingerprints]
        return [name for name in both if self.fingerprints[name] != other.fingerprints[name]]
