"""Where Aesara computes test values, graphs are rewritten as ever, and no mark is lost."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import Variable
from engine import tensor as at

if not engine.AESARA:
    pytest.skip("PyTensor has no test values", allow_module_level=True)


@pytest.mark.parametrize("in_op", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_graph_with_test_values_gives_a_right_inference_graph(depth: int, in_op: bool) -> None:
    rng = np.random.default_rng(0)

    def body(x: Variable, depth: int = depth) -> Variable:
        if depth:
            return engine.scan(lambda x_t: body(x_t, depth - 1), [x], name="loop")
        if not in_op:
            return batch_normalize(x, 1.0, 0.0, label="h", epsilon=0.1)
        v = at.dmatrix()
        v.tag.test_value = np.ones((2, 3))
        return engine.op_of([v], [batch_normalize(v, 1.0, 0.0, label="h", epsilon=0.1)])(x)

    shape = (*(4, 2)[:depth], 5, 3)
    with engine.flags(compute_test_value="raise", cxx=""):
        x = at.TensorType("float64", (None,) * (depth + 2))("x")
        x.tag.test_value = rng.normal(size=shape)
        y = body(x)
        before = y.tag.test_value
        graph = InferenceGraph([x], y)
        batches = [rng.normal(size=shape) for _ in range(2)]
        graph.estimate([(b,) for b in batches])
        predict = engine.function([x], graph.outputs)
    values = x.tag.test_value
    mean, variance = (f(values, axis=-2, keepdims=True) for f in (np.mean, np.var))
    assert_allclose(before, (values - mean) / np.sqrt(variance + 0.1))
    mean, variance = (
        np.mean([f(b, axis=-2, keepdims=True) for b in batches], axis=0) for f in (np.mean, np.var)
    )
    assert_allclose(predict(values), (values - mean) / np.sqrt(variance + 0.1))
