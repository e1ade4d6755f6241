"""Compiled: an inference graph, checked, whose outputs can be compiled, or saved to be compiled.

What is compiled is searched for batch statistics first, with what is given and updated: outputs of
the training graph, passed by mistake, would give predictions that depend on the batch.

Sharp edge: fast functions are not equal to the bit to those that the engine compiles by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bnrewrite.cautions import shown
from bnrewrite.estimation.turns import in_turn
from bnrewrite.graph.engine import SharedVariable, Variable
from bnrewrite.graph.inputs import check_mode
from bnrewrite.graph.updates import check_updates
from bnrewrite.predictor import Asked, Outputs, Predictor, compiled, output_list
from bnrewrite.report.checked import Checked
from bnrewrite.report.structure import statistics_left
from bnrewrite.shipping import save_predictor


class Compiled(Checked):
    """A graph with estimates, whose outputs can be compiled."""

    def compile(
        self,
        *,
        mode: Any = None,
        fast: bool = True,
        outputs: Outputs | None = None,
        **options: Any,
    ) -> Predictor:
        """Compile a function that predicts batches, fast if possible.

        Parameters
        ----------
        mode : str or Mode, optional
            As for the engine's `function`.
        fast : bool
            Whether to compile as within `fast_compilation`: elementwise functions may differ by 4
            units in the last place. If not, it computes what the engine's function of `outputs`
            does, to the bit.
        outputs : Variable, sequence of Variable, or dict of str to Variable, optional
            What to compute, in which form: by default, the outputs of the inference graph.
            Otherwise variables that are computed from these.
        **options
            For the engine's `function`, as `updates` or `givens`: an input that is given, such as
            a switch, need not be given by batches any more.

        Returns
        -------
        Predictor
            Takes a batch as `estimate` does, or an array for each input, also by name. It can be
            pickled, and has its own parameters and population from then on: what becomes of those
            of the graph does not reach it, even if both are pickled or copied together.

        Raises
        ------
        TypeError
            If `outputs` are no variables, or `givens` or `updates` no dict of variables.
        ValueError
            If there are batch statistics in their graph, or `mode` is unknown.

        Examples
        --------
        >>> import pytensor.tensor as pt, numpy as np
        >>> from bnrewrite import InferenceGraph, mark_statistic
        >>> x = pt.dmatrix("x")
        >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
        >>> population = graph.estimate([{"x": np.zeros((2, 1))}, {"x": np.ones((3, 1))}])
        >>> predict = graph.compile(mode="FAST_COMPILE")
        >>> predict(x=np.ones((1, 1)))
        array([[0.5]])
        """
        check_mode(mode)
        asked = self._asked(outputs, options.pop("givens", None), options.pop("updates", None))
        return compiled(asked, self._stored, self._turns, mode, fast, **options)

    @in_turn
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        outputs: Outputs | None = None,
        givens: Mapping[Variable, Any] | None = None,
        updates: Mapping[Variable, Any] | None = None,
    ) -> None:
        """Write one file that predicts in another process, which has not the code of the model.

        It has parameters, population and graph as they are now; `load_predictor` compiles what it
        reads. All at once: `path` is never half a file.

        Parameters
        ----------
        path : str or path
            Of the file. It is an npz file, whatever its name.
        outputs, givens, updates
            What `compile` would be given.

        Raises
        ------
        RuntimeError
            If there is no population yet.
        ValueError
            If there are batch statistics in the graph of the outputs.
        TypeError
            If `outputs` are no variables, or something in their graph can't be pickled.
        OSError
            If the file can't be written.

        Warns
        -----
        StaleStatistics
            If parameters have changed since the population was estimated.

        See Also
        --------
        load_predictor : With an example.
        """
        save_predictor(path, self._asked(outputs, givens, updates), self._stored)

    def _asked(self, outputs: Outputs | None, givens: Any, updates: Any) -> Asked:
        outputs = self.outputs if outputs is None else outputs
        listed = output_list(outputs)
        given = _given("givens", givens, Variable, "variables")
        updated = _given("updates", updates, SharedVariable, "shared variables")
        self._check_compiled([*listed, *_variables(given), *_variables(updated)])
        return Asked([v for v in self._inputs if v not in given], outputs, given, updated)

    def _check_compiled(self, computed: list[Variable]) -> None:
        """Refuse what would be computed with statistics of the batch, if it is so by mistake."""
        if left := statistics_left(self._scope, computed, self.batch_statistics):
            raise ValueError(
                f"the outputs have batch statistics in their graph: {left}. Compute them, and what "
                "is given or updated, from the `outputs` of the inference graph, and not from "
                "those of the training graph."
            )
        check_updates([*self._batch_outputs, *self._inputs], computed)


def _given(what: str, pairs: Any, kind: type[Variable], kinds: str) -> dict[Any, Any]:
    """`pairs` as a dict, from variables of a `kind`."""
    try:
        given = dict(pairs or ())
    except (TypeError, ValueError):
        given = {None: None}
    if not all(isinstance(variable, kind) for variable in given):
        raise TypeError(f"{what} must be a dict from {kinds} to variables, got {shown(pairs)}.")
    return given


def _variables(values: dict[Any, Any]) -> list[Variable]:
    return [v for v in values.values() if isinstance(v, Variable)]
