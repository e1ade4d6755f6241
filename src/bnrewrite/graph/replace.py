"""Replace: population statistics in the place of the batch statistics, inside loops too.

The mirror image of `export`: each loop with statistics inside is built anew, once, and is given
their values as further inputs (sequences), each step its own. As sequences, and not looked up
within the step, they can be combined with parameters outside of the loop: the engine moves ``gamma
/ sqrt(variance + epsilon)`` out.

Whatever reads a batch statistic reads the population's value, and nothing upstream of it is visited
for its sake. What else reads the same sums without the mark keeps them (`unmarked` warns of that).

Outside of all loops each value is checked: on its own axes it has to be as long as the batch
statistic would be (`fit`).

Sharp edges: past the last step of a value, that step is repeated. Static shapes of a statistic are
those of its value, since they decide what broadcasts inside the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bnrewrite.cautions import shown
from bnrewrite.graph.boundaries import is_loop
from bnrewrite.graph.engine import Apply, TensorType, Variable, graph_inputs, without_test_values
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.fit import with_checks
from bnrewrite.graph.hold import hold_last_step
from bnrewrite.graph.inputs import checked_outputs
from bnrewrite.graph.loops import Loop
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild, rebuild_in_order, without_known
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Statistic
from bnrewrite.graph.survey import survey
from bnrewrite.graph.updates import check_updates


def replace_statistics(
    outputs: Variable | Sequence[Variable], values: Mapping[Statistic, Variable]
) -> Variable | list[Variable]:
    """Clone the graph of `outputs` with `values` in the place of its batch statistics.

    A loop gets the values of its statistics as additional sequences, gathered once outside of it;
    past the last step of a value, that step is repeated. The graph of `outputs` stays as it is.

    Parameters
    ----------
    outputs : Variable or sequence of Variable
        Outputs of a training graph, with marked statistics.
    values : mapping of Statistic to Variable
        A value for each statistic that `outputs` need, as `export_statistics` lists them, with
        axes ``(T_1, ..., T_depth, *axes of the statistic)``.

    Returns
    -------
    Variable or list of Variable
        What `outputs` become. An `OpFromGraph` with statistics inside becomes part of the graph
        around it, so that gradients of it are those of its graph.

    Raises
    ------
    ValueError
        If a statistic has no value, or a value no statistic; or if the outputs read a shared
        variable whose default update is computed from batch statistics.
    TypeError
        If an output or a value is no variable, or a value has another number of axes, another
        shape or another dtype than its statistic.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import export_statistics, mark_statistic, replace_statistics
    >>> x = pt.matrix("x")
    >>> y = x - mark_statistic(x.mean(axis=0), "mean")
    >>> (statistic,) = export_statistics(y)
    >>> at_test_time = replace_statistics(y, {statistic: pt.vector("population_mean")})
    """
    outputs_list = checked_outputs(outputs)
    replaced = replace(survey(outputs_list), outputs_list, values)
    return replaced[0] if isinstance(outputs, Variable) else replaced


@without_test_values
def replace(
    scope: Scope,
    outputs: Sequence[Variable],
    values: Mapping[Statistic, Variable],
    inputs: Sequence[Variable] = (),
) -> list[Variable]:
    """`replace_statistics` of `outputs`, of which `scope` is the survey.

    `inputs` are those that functions of the outputs may have, though none of these reads them.
    """
    _check_values(scope, values)
    replaced = _replace(scope, outputs, dict(values), {})
    check_updates([*outputs, *inputs], replaced)
    return rebuild(replaced, with_checks(scope, values, set(graph_inputs(replaced))), clone_node)


def _check_values(scope: Scope, values: Mapping[Statistic, Variable]) -> None:
    if not isinstance(values, Mapping):
        raise TypeError(f"values must be a dict of statistics to variables, got {shown(values)}.")
    statistics = dict.fromkeys(scope.all_statistics())
    missing = [s.name for s in statistics if s not in values]
    unknown = [getattr(s, "name", shown(s)) for s in values if s not in statistics]
    if missing or unknown:
        raise ValueError(
            f"statistics without a value: {missing}; values for statistics that are not in the "
            f"graph of the outputs: {unknown}. Pass the outputs that they were exported from."
        )
    for statistic in statistics:
        value, ndim = values[statistic], statistic.depth + statistic.variable.ndim
        if not isinstance(value, Variable):
            raise TypeError(
                f"the value of {statistic.name!r} must be a variable, got {shown(value)}. A shared "
                "variable has an array."
            )
        if value.ndim != ndim or value.dtype != statistic.variable.dtype:
            raise TypeError(
                f"the value of {statistic.name!r} must have {ndim} axes ({statistic.depth} of time)"
                f" and dtype {statistic.variable.dtype}, and is of type {value.type}."
            )
        wanted, given = statistic.variable.type.shape, value.type.shape[statistic.depth :]
        if any(None not in (n, m) and n != m for n, m in zip(wanted, given, strict=True)):
            raise TypeError(
                f"the value of {statistic.name!r} must have shape {wanted} after its axes of time, "
                f"and has {given}."
            )


def _replace(
    scope: Scope, outputs: Sequence[Variable], values: dict[Statistic, Variable], memo: Memo
) -> list[Variable]:
    """Rebuild `outputs` of the graph of `scope`, with `values` of the depth of this graph."""
    given = {v: v.type.filter_variable(values[s]) for v, s in scope.statistics.items()}
    # What is given in its own place too: its mark may have another statistic, and be rebuilt.
    memo.update(given)

    def rebuild_node(node: Apply, inputs: list[Variable]) -> Memo:
        if node not in scope.scopes:
            return clone_node(node, inputs)
        inside = scope.scopes[node]
        if is_loop(node):
            return _replace_in_loop(inside, inputs, values, scope.needed)
        boundary = inside.boundary
        assert boundary is not None
        inner_memo = dict(zip(boundary.inner_inputs, inputs, strict=True))
        wanted = [v for v in node.outputs if v in scope.needed]
        inner = [w for v in wanted for w in boundary.inside(v)]
        return dict(zip(wanted, _replace(inside, inner, values, inner_memo), strict=True))

    order = without_known(scope.order, outputs, given)
    rebuild_in_order(order, memo, rebuild_node, scope.scopes)
    return [memo.get(v, v) for v in outputs]


def _replace_in_loop(
    inside: Scope,
    inputs: list[Variable],
    values: dict[Statistic, Variable],
    needed: set[Variable],
) -> Memo:
    """Build a loop anew so that it gets the values of the statistics in its body."""
    node = inside.path[-1]
    loop = Loop(node, inputs, needed, inside.needed)
    statistics = list(inside.all_statistics())
    # A statistic of this body becomes an input of it; what is further inside is handed on.
    own = set(inside.statistics.values())
    inner = [s.variable if s in own else _step_type(s, values[s].ndim - 1)() for s in statistics]
    outer = [
        _with_static_shape(hold_last_step(values[s], loop.n_steps), (None, *v.type.shape))
        for s, v in zip(statistics, inner, strict=True)
    ]
    memo: Memo = {}
    _replace(inside, inside.outputs, dict(zip(statistics, inner, strict=True)), memo)
    loop.replace_inside(memo)
    loop.add_sequences(outer, inner)
    return loop.build()[0]


def _step_type(statistic: Statistic, ndim: int) -> TensorType:
    """The type of a value within a loop, with `ndim` axes, of which the first are time axes."""
    shape = statistic.variable.type.shape
    return TensorType(statistic.variable.dtype, (*[None] * (ndim - len(shape)), *shape))


def _with_static_shape(value: Variable, shape: tuple[int | None, ...]) -> Variable:
    """`value`, known to have this shape, which decides what broadcasts inside the loop."""
    return value if value.type.shape == shape else at.specify_shape(value, shape)
