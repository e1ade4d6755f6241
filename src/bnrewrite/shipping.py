"""Shipping: one file that predicts in a process that has not the code of the model.

The file is an npz file, sealed like that of a population (`archive`), and written whole or not at
all. `numpy.load` reads what is data in it:

``parameters/...``
    The arrays of shared variables, by their names; those without a name of their own, and what else
    the graph has of arrays, are in ``arrays/...``.
``population/...``
    What `Population.save` writes. `Population.load` reads it from here too.
``versions``
    What wrote the file, as JSON.
``graph``
    The nodes of the graph, pickled, with names in the place of arrays (`pickled`). The user's
    functions are not among them: what they have built is.

Nothing is unpickled before all this holds: the caller allows it, the digest is that of the content,
and the engine is the one that the graph was saved with, up to its minor version. Ops of an engine
change between those, and a graph that loads may not compute what it did. Other releases of Python
and NumPy read the same pickles.

Sharp edge: a digest tells damage, not malice. Whoever can write the file can write its digest.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnrewrite.estimation.stored import NO_POPULATION, StoredPopulation
from bnrewrite.estimation.turns import Turns
from bnrewrite.graph.engine import SharedVariable, Variable, graph_inputs
from bnrewrite.graph.inputs import check_mode
from bnrewrite.graph.pickled import pickled, unpickled
from bnrewrite.population.archive import Arrays, check_seal, is_sealed, packed, unpacked
from bnrewrite.population.files import FOLDER, in_folder, is_plain
from bnrewrite.population.options import checked_path
from bnrewrite.population.population import Population
from bnrewrite.population.whole import write_whole
from bnrewrite.predictor import Asked, KeptPopulation, Outputs, Predictor, compiled
from bnrewrite.versions import WITHOUT_PICKLE, checked_versions, versions


def save_predictor(path: str | os.PathLike[str], asked: Asked, stored: StoredPopulation) -> None:
    """Write what `load_predictor` reads; see `InferenceGraph.save`."""
    checked_path(path)
    if not stored.is_known():
        raise RuntimeError(NO_POPULATION)
    stored.caution_changed(asked.givens)
    plain = tuple(asked._replace(outputs=_plain(asked.outputs)))
    graph, arrays = pickled(plain, *_named(asked, stored))
    population = {} if stored.population is None else stored.population.to_arrays()
    members: Arrays = {
        "versions": np.array(json.dumps(versions())),
        "graph": np.frombuffer(graph, np.uint8),
        **arrays,
        **{FOLDER + name: array for name, array in population.items()},
    }
    write_whole(path, packed(members))


def load_predictor(
    path: str | os.PathLike[str],
    *,
    allow_pickle: bool = False,
    mode: Any = None,
    fast: bool = True,
    **options: Any,
) -> Predictor:
    """Load what `InferenceGraph.save` has written, and compile it.

    The process needs neither the code of the model nor its data: bnrewrite, the same engine, and
    the modules of ops that are not the engine's, if the graph has any.

    Parameters
    ----------
    path : str or path
        Of the file.
    allow_pickle : bool
        Whether the graph in the file may be unpickled, as for `numpy.load`. **Unpickling can run
        any code that someone has put there: allow it for files of people that you trust.**
    mode, fast, **options
        As for `InferenceGraph.compile`; what is computed is what `save` was asked for.

    Returns
    -------
    Predictor
        Predicts as ``graph.compile()`` did when it was saved, with its parameters and population.

    Raises
    ------
    ValueError
        If pickle is not allowed; if the file is truncated, changed, something else, or of a later
        format; if it was saved with another engine or another minor version of it; or if a module
        or class is missing that the graph needs. Only the last is found while unpickling.
    OSError
        If the file can't be read.

    Examples
    --------
    >>> import pytensor.tensor as pt, numpy as np
    >>> import tempfile
    >>> from bnrewrite import InferenceGraph, load_predictor, mark_statistic
    >>> x = pt.dmatrix("x")
    >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    >>> population = graph.estimate([{"x": np.zeros((2, 1))}, {"x": np.ones((3, 1))}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     graph.save(f"{folder}/model.npz")
    ...     # and in another process:
    ...     predict = load_predictor(
    ...         f"{folder}/model.npz", allow_pickle=True, mode="FAST_COMPILE"
    ...     )
    >>> predict(x=np.ones((1, 1)))
    array([[0.5]])
    """
    checked_path(path)
    if not allow_pickle:
        raise ValueError(
            f"{path} is not loaded: the graph in it is a pickle, and unpickling can run any code "
            "that someone has put there. If you trust who wrote the file, and those who could "
            f"change it since, pass allow_pickle=True. Without pickle, {WITHOUT_PICKLE}."
        )
    check_mode(mode)
    members = _opened(path)
    told = checked_versions(path, str(members["versions"]))
    arrays = in_folder(members, FOLDER)
    population = Population.from_arrays(arrays, path) if arrays else None
    asked = _unpickled(path, members, told)
    return compiled(asked, KeptPopulation(population, True), Turns(), mode, fast, **options)


def _plain(outputs: Outputs) -> Outputs:
    """`outputs` in the same form, without classes of the caller's."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    return outputs if isinstance(outputs, Variable) else list(outputs)


def _named(asked: Asked, stored: StoredPopulation) -> tuple[list[Variable], dict[int, str]]:
    """The variables that are saved, and names of the arrays of those that are parameters."""
    variables = asked.variables()
    shared = [v for v in graph_inputs(variables) if isinstance(v, SharedVariable)]
    parameters = set(shared).difference(stored.variables.values())
    uses = Counter(v.name for v in parameters)
    named = [v for v in parameters if v.name and uses[v.name] == 1 and is_plain(v.name)]
    return variables, {id(v.get_value(borrow=True)): f"parameters/{v.name}" for v in named}


def _opened(path: str | os.PathLike[str]) -> Arrays:
    """The members of a file that is whole."""
    content = Path(path).read_bytes()
    try:
        check_seal(content)
        members = unpacked(content)
        if not is_sealed(content) or not {"versions", "graph"} <= members.keys():
            raise ValueError("it has no digest of its content, or no graph")
    except ValueError as error:
        raise ValueError(
            f"{path} is not the file of a predictor, or not a whole one, or was changed after it "
            f"was saved. Only what `InferenceGraph.save` has written can be loaded. {error}"
        ) from error
    return members


def _unpickled(path: str | os.PathLike[str], members: Arrays, told: dict[str, Any]) -> Asked:
    try:
        return Asked(*unpickled(members["graph"].tobytes(), members))
    except Exception as error:  # a pickle may raise anything
        raise ValueError(
            f"the graph in {path} can't be unpickled here: {type(error).__name__}: {error}. If a "
            "module is missing, it has an op of the graph, and must be importable. The file was "
            f"saved with {told}."
        ) from error
