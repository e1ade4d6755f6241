"""Population statistics: what batches have been averaged to, by name.

A `Population` is a mapping from names to arrays that never change. It keeps the sums it was
read from (`Tallies`), and so it can be merged with another, saved, and read under another pooling.
"""

from __future__ import annotations

import os

from bnrewrite.cautions import shown
from bnrewrite.population import files
from bnrewrite.population.archive import Arrays
from bnrewrite.population.counts import MinCount
from bnrewrite.population.few import caution_few
from bnrewrite.population.frames import FramedValues
from bnrewrite.population.options import checked_path
from bnrewrite.population.tallies import Pooling
from bnrewrite.population.unpack import Loaded


class Population(FramedValues):
    """The population statistic for each name, with all that is known of how sure it is.

    A value has axes ``(T_1, ..., T_depth, *axes of the statistic)``, where T_i is the greatest
    number of steps seen. What it estimates is chosen by `pooling`:

    ``"edge"``
        The mean over batches of the statistic of a batch, each batch counting once whatever its
        size (Cooijmans et al. 2017). A batch with fewer steps repeats its last one, so that late
        steps lean towards where short sequences ended.
    ``"reached"``
        The same over the batches that reached a step. No lean, but late steps rest on few batches.
    ``"moments"``
        The mean and variance of all elements that were not masked, of all batches, at a step:
        whatever the sizes of the batches, and however the data are split into them. Exact for
        variables that do not depend on batch statistics themselves; those downstream of another
        normalization are pooled exactly, but computed from batches normalized by their own
        statistics. The variance is divided by the number of elements.

    The variance under ``"edge"`` and ``"reached"`` is that *within* batches. It leaves out what
    lies between the means of batches, and is by that on average too small, by a factor of
    (m - 1) / m for batches of m independent elements. Ioffe and Szegedy (2015, algorithm 2) average
    variances corrected by that factor; Wu and Johnson (2021) pool moments, as ``"moments"`` does.

    Attributes
    ----------
    n_batches : int
        How many batches were averaged.
    pooling : str
        See above.
    min_coverage : int
        Steps that fewer batches reached have the value of the last one before that enough reached.
    min_count : int or "auto"
        At steps where a batch has fewer elements than this, it counts for nothing: it did not reach
        them, and under ``"edge"`` repeats its last step that has enough. Under ``"moments"`` it is
        the number of elements in total, and steps with fewer have the value of the last one before
        with enough. ``"auto"`` is 8, and 32 in total, or half of what there is at the fullest step
        if that is less. Cooijmans et al. have no such rule; that is ``min_count=0``.
    origin : Origin
        What ties it to its model: fingerprints of the statistics, by what they were made, and
        digests of the parameters.
    variances : dict of str to str
        From the name of a mean to that of the variance of the same elements.
    coverage : dict of str to ndarray of int
        How many batches reached each step, with axes (T_1, ..., T_depth).
    count : dict of str to ndarray of int
        How many elements all batches have at each step, where it is known.
    fewest : dict of str to ndarray
        The fewest elements that a batch has at a step where it counts, with axes (T_1, ...,
        T_depth); infinite where none counts, NaN where it is unknown.
    spread : dict of str to ndarray
        The standard deviation (divided by n - 1) between the batches that reached a step, with the
        axes of the value; NaN where fewer than two did. (Under ``"edge"`` the value rests on the
        held steps of other batches too.)
    standard_error : dict of str to ndarray
        Of the mean over these batches: the spread divided by the square root of the coverage.
    """

    def __repr__(self) -> str:
        return f"Population({self.n_batches} batches, pooling={self.pooling!r}: {', '.join(self)})"

    def pooled(
        self,
        pooling: Pooling,
        min_coverage: int | None = None,
        min_count: MinCount | None = None,
    ) -> Population:
        """The population of the same batches under another pooling.

        Parameters
        ----------
        pooling : {"edge", "reached", "moments"}
            How to read the sums that an estimate keeps, whatever its own pooling was.
        min_coverage : int, optional
            By default that of this population.
        min_count : int or "auto", optional
            By default that of this population. Only ``"moments"`` can be read with another one.

        Raises
        ------
        ValueError
            If the sums do not have what `pooling`, `min_coverage` or `min_count` need.
        """
        if min_coverage is None:
            min_coverage = self.min_coverage
        if min_count is None:
            min_count = self.min_count
        population = Population(self._tallies, pooling, min_coverage, min_count)
        population.caution_few()
        return population

    def caution_few(self) -> None:
        """Warn of what rests on too few elements."""
        caution_few(self._tallies, self, self.pooling, self.min_coverage, self.min_count)

    def merge(self, other: Population) -> Population:
        """The population of the batches of both, as if it had been estimated from all of them.

        Parameters
        ----------
        other : Population
            Of the same statistics, with the same pooling; its number of steps may be another.

        Returns
        -------
        Population
            Equal, up to rounding, in whatever order. With the greater `min_coverage` of both.

        Raises
        ------
        ValueError
            If names, shapes or pooling differ; all of it is listed.
        TypeError
            If `other` is no population.

        Warns
        -----
        StaleStatistics
            If they were estimated with different parameters, as far as that is known.
        """
        if not isinstance(other, Population):
            raise TypeError(
                f"other must be a Population, got {shown(other)}. `Population.load` reads a file."
            )
        for option in ("pooling", "min_count"):
            mine, theirs = getattr(self, option), getattr(other, option)
            if mine != theirs:
                raise ValueError(
                    f"these populations can't be merged: one has {option}={mine!r}, the other "
                    f"{theirs!r}. `pooled` gives one of them another."
                )
        merged = self._tallies.merged(other._tallies)
        min_coverage = max(self.min_coverage, other.min_coverage)
        return Population(merged, self.pooling, min_coverage, self.min_count)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one npz file, with the values by name, and all that `load` and `merge` need.

        All at once: `path` is never half a file. A link stays a link, and a mode is kept.
        """
        files.save(checked_path(path), self.to_arrays())

    def to_arrays(self) -> Arrays:
        """What `save` writes."""
        options = self.pooling, self.min_coverage, self.min_count
        return files.to_arrays(self._values, self._tallies, *options)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Population:
        """Read a file written by `save`, or the population in one by `InferenceGraph.save`.

        Raises
        ------
        ValueError
            If it is truncated, changed, something else, or of a later format than is known here.
        OSError
            If it can't be read.
        """
        with files.loading(checked_path(path)) as loaded:
            return cls._of(loaded)

    @classmethod
    def from_arrays(cls, arrays: Arrays, path: str | os.PathLike[str]) -> Population:
        """What `to_arrays` gave, once it is known that these in `path` were not changed."""
        with files.unpacking(path, arrays, sealed=True) as loaded:
            return cls._of(loaded)

    @classmethod
    def _of(cls, loaded: Loaded) -> Population:
        population = cls(loaded.tallies, loaded.pooling, loaded.min_coverage, loaded.min_count)
        files.check_values(loaded, population)
        return population
