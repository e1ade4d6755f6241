"""Predictor: a compiled function of an inference graph, which takes batches.

It runs the engine's function and adds what that can't know: the forms of batches, the form of the
outputs, the population, and turns for threads. Pickled, it is a function of its own: parameters and
population go with it, and what happens to the graph afterwards does not reach it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from bnrewrite.cautions import shown
from bnrewrite.estimation.batches import BatchError, in_order, misfits, names
from bnrewrite.estimation.stored import NO_POPULATION, StoredPopulation
from bnrewrite.estimation.turns import Turns, in_turn
from bnrewrite.graph.engine import Variable, function
from bnrewrite.graph.fast import compilation
from bnrewrite.graph.pickled import pickled_function
from bnrewrite.population.population import Population

Outputs: TypeAlias = Variable | Sequence[Variable] | Mapping[str, Variable]


class Asked(NamedTuple):
    """What a predictor is to compute, from what, with what given and updated."""

    inputs: list[Variable]
    outputs: Outputs
    givens: dict[Any, Any]
    updates: dict[Any, Any]

    def variables(self) -> list[Variable]:
        """All that is computed, or read."""
        pairs = [*self.givens.items(), *self.updates.items()]
        told = [*self.inputs, *output_list(self.outputs), *(v for pair in pairs for v in pair)]
        return [v for v in told if isinstance(v, Variable)]


class Predictor:
    """What `InferenceGraph.compile` returns: call it with a batch.

    Attributes
    ----------
    population : Population or None
        The population statistics it predicts with: the latest of its graph, or those it was pickled
        with. None if they were assigned as plain arrays.
    function : callable
        The engine's function, of the inputs in their order. It returns a list.
    """

    def __init__(
        self,
        function: Callable[..., list[Any]],
        asked: Asked,
        stored: StoredPopulation | KeptPopulation,
        turns: Turns,
        fast: bool,
    ) -> None:
        self.function = function
        self._is_fast = fast
        self._inputs, self._turns, self._given = list(asked.inputs), turns, {*asked.givens}
        self._names = [*asked.outputs] if isinstance(asked.outputs, Mapping) else None
        self._is_single = isinstance(asked.outputs, Variable)
        self._stored = stored

    @property
    def population(self) -> Population | None:  # noqa: D102
        return self._stored.population

    @in_turn
    def __call__(self, *batch: Any, **named: Any) -> Any:
        """Predict a batch.

        Parameters
        ----------
        *batch
            A batch as `estimate` takes it (a dict, tuple or list), or an array for each input in
            their order.
        **named
            An array for each input, or for those that are left, by name.

        Returns
        -------
        ndarray, list of ndarray, or dict of str to ndarray
            In the form of the outputs.

        Raises
        ------
        ValueError
            If the batch does not fit the inputs, or its axes the population.
        RuntimeError
            If there is no population yet.
        """
        if not self._stored.is_known():
            raise RuntimeError(NO_POPULATION)
        values = self._in_order(batch, named)
        try:
            outputs = self.function(*values)
        except (AttributeError, TypeError, ValueError) as error:
            if wrong := misfits(values, self._inputs, self.function):
                raise BatchError(f"the batch does not fit the inputs: {wrong}.") from error
            raise
        if self._names is not None:
            return dict(zip(self._names, outputs, strict=True))
        return outputs[0] if self._is_single else outputs

    def _in_order(self, batch: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        if len(batch) == 1 and isinstance(batch[0], Mapping | tuple | list):
            whole: Any = batch[0]
            if not named:
                return in_order(whole, self._inputs, "the batch")
            if not isinstance(whole, Mapping):
                raise BatchError(f"a whole batch was given, and {sorted(named)} besides.")
            return in_order({**whole, **named}, self._inputs, "the batch")
        if not named:
            return in_order(batch, self._inputs, "the batch")
        first = dict(zip(self._inputs, batch, strict=False))
        rest = [v for v in self._inputs if v not in first]
        if len(batch) > len(first):
            raise BatchError(f"there are {len(self._inputs)} inputs, and {len(batch)} arrays.")
        return [*batch, *in_order(named, rest, "the batch")]

    def __getstate__(self) -> dict[str, Any]:
        self._stored.caution_changed(self._given)
        kept = KeptPopulation(self._stored.population, self._stored.is_known())
        own = {"function": pickled_function(self.function), "_stored": kept, "_turns": Turns()}
        return {**self.__dict__, **own, "_given": set()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with compilation(state["_is_fast"]):  # which unpickling a function comes down to
            function = pickle.loads(state["function"])
        vars(self).update(state, function=function)

    def __repr__(self) -> str:
        return f"Predictor({', '.join(names(self._inputs))})"


class KeptPopulation:
    """What is known of the population of a predictor that was pickled or loaded."""

    def __init__(self, population: Population | None, is_known: bool) -> None:
        self.population, self._is_known = population, is_known

    def is_known(self) -> bool:
        """Whether there was one, or arrays in its place."""
        return self._is_known

    def caution_changed(self, given: Collection[Variable] = ()) -> None:
        """Say nothing: its parameters are not changed any more."""


def compiled(
    asked: Asked,
    stored: StoredPopulation | KeptPopulation,
    turns: Turns,
    mode: Any,
    fast: bool,
    **options: Any,
) -> Predictor:
    """The predictor of what is `asked`; the options are told in `InferenceGraph.compile`."""
    inputs, outputs, givens, updates = asked
    options = {"on_unused_input": "ignore", "givens": givens, "updates": updates, **options}
    with compilation(fast):
        compiled = function(inputs, output_list(outputs), mode=mode, **options)
    return Predictor(compiled, asked, stored, turns, fast)


def output_list(outputs: Any) -> list[Variable]:
    """`outputs` of any form as a list.

    Raises
    ------
    TypeError
        If they are no variables.
    """
    listed = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
    listed = [listed] if isinstance(listed, Variable) else listed
    if isinstance(outputs, Mapping) and not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"outputs must be named by texts, got {shown([*outputs])}.")
    if not isinstance(listed, Sequence) or not all(isinstance(v, Variable) for v in listed):
        raise TypeError(
            "outputs must be a variable, a list of variables, or a dict of them by name, computed "
            f"from those of the inference graph; got {shown(outputs)}."
        )
    return list(listed)
