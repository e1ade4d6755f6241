"""Fast compilation: as right as any, for one compilation at a time, and nothing is left of it."""

from collections.abc import Iterator
from importlib import import_module
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import engine
from bnrewrite import InferenceGraph, batch_normalize, fast_compilation
from bnrewrite.graph import fast
from bnrewrite.graph.engine import C_LINKER, Constant, Scan
from engine import Apply, Variable, config
from engine import tensor as at

OTHERS = ["sigmoid", "expm1", "log", "log1p", "softplus", "erf", "sin", "cos"]
FUNCTIONS = ["tanh", "exp", *(pytest.param(f, marks=pytest.mark.exhaustive) for f in OTHERS)]
needs_compiler = pytest.mark.skipif(not config.cxx, reason="there is no C++ compiler")


def gemm_optimizer() -> Any:
    return import_module("pytensor.tensor.rewriting.blas").GemmOptimizer


def settings() -> tuple[object, ...]:
    link_mode = getattr(Scan, "link_mode", None)
    join = None if engine.AESARA else gemm_optimizer().apply
    return config.gcc__cxxflags, config.linker, str(config.mode), link_mode, join


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = settings()
    yield
    assert settings() == before


@needs_compiler
def test_flags_are_set_inside_alone_and_own_ones_stay_in_front() -> None:
    before = settings()
    with engine.flags(gcc__cxxflags="-DOWN"):
        with fast_compilation():
            flags = config.gcc__cxxflags.split()
            assert flags[0] == "-DOWN"
            assert len(flags) == len({*flags})
            assert ("-D__FAST_MATH__" in flags) == bool(fast._taken(config.cxx))
            with fast_compilation():
                assert config.gcc__cxxflags.split() == flags
            assert config.gcc__cxxflags.split() == flags
        assert config.gcc__cxxflags == "-DOWN"
    assert settings() == before


@needs_compiler
def test_the_steps_of_loops_are_run_in_c() -> None:
    x = at.dmatrix("x")
    with engine.flags(mode="FAST_RUN" if engine.AESARA else "CVM"):
        y = engine.scan(lambda x_t, s: at.tanh(x_t + s), [x], [at.zeros_like(x[0])])
        with fast_compilation():
            f = engine.function([x], y)
    loops = [node.op for node in f.maker.fgraph.apply_nodes if isinstance(node.op, Scan)]
    assert [type(op.fn.vm).__name__ for op in loops] == ["CVM"]
    state, values = np.zeros(3), np.arange(12.0).reshape(4, 3) / 12
    for x_t, found in zip(values, f(values), strict=True):
        state = np.tanh(x_t + state)
        np.testing.assert_allclose(found, state, rtol=1e-14)


@needs_compiler
@pytest.mark.skipif(engine.AESARA, reason="Aesara is as fast with both in one")
def test_products_and_sums_stay_apart_where_no_blas_is_linked() -> None:
    x, y, z = at.dmatrices("x", "y", "z")

    def compiled() -> Any:
        return engine.function([x, y, z], x @ y + z)

    def ops(function: Any) -> set[str]:
        return {type(node.op).__name__ for node in function.maker.fgraph.apply_nodes}

    with engine.flags(blas__ldflags="", mode="CVM"):
        assert "Gemm" in ops(compiled())
        with fast_compilation():
            apart = compiled()
    assert ops(apart) == {"Dot22", "Elemwise"}
    values = np.random.default_rng(0).normal(size=(3, 4, 4))
    np.testing.assert_allclose(apart(*values), values[0] @ values[1] + values[2], rtol=1e-13)
    join = gemm_optimizer().apply
    with engine.flags(blas__ldflags="-lblas"), fast_compilation():
        assert gemm_optimizer().apply is join


@needs_compiler
@pytest.mark.skipif(not engine.AESARA, reason="PyTensor computes constants in Python by itself")
@pytest.mark.parametrize("has_python", [True, False])
def test_constants_are_computed_in_python(
    has_python: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aesara.graph.utils import MethodNotDefined
    from aesara.tensor.rewriting.basic import constant_folding

    fold, compilers = constant_folding.fn, list[str]()

    def watched(fgraph: object, node: Apply) -> object:
        if not all(isinstance(v, Constant) for v in node.inputs):
            return False
        compilers.append(config.cxx)
        if not (config.cxx or has_python):
            raise MethodNotDefined("perform")
        return fold(fgraph, node)

    monkeypatch.setattr(constant_folding, "fn", watched)
    x = at.dvector("x")
    with fast_compilation():
        f = engine.function([x], x + at.exp(at.constant(2.0, dtype="float64")) * 3)
    assert f([1.0]) == pytest.approx([1 + 3 * np.exp(2)], rel=1e-12)
    assert {*compilers} == ({""} if has_python else {"", config.cxx})
    assert constant_folding.fn is watched
    compilers.clear()
    engine.function([x], x + at.exp(at.constant(3.0)))
    assert {*compilers} == {config.cxx}


def test_nothing_is_left_after_an_error() -> None:
    before = settings()
    with pytest.raises(ValueError, match="inside"), fast_compilation():
        raise ValueError("inside")
    x = at.dmatrix("x")
    graph = InferenceGraph([x], batch_normalize(x, 1.0, 0.0))
    for options in ({"no_such_option": 1}, {"updates": [(x, x)]}):
        with pytest.raises((TypeError, ValueError)):
            graph.compile(**options)
        assert settings() == before


def test_without_a_compiler_nothing_changes() -> None:
    with engine.flags(cxx=""):
        before = settings()
        with fast_compilation():
            assert settings() == before


def test_flag_that_the_compiler_does_not_take_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_FLAGS", ("-D__FAST_MATH__", "-fno-such-flag"))
    fast._taken.cache_clear()
    if config.cxx:
        assert "-fno-such-flag" not in fast._taken(config.cxx)
    fast._taken.cache_clear()


@pytest.mark.skipif(C_LINKER is None, reason="this engine compiles to C by itself")
def test_backend_is_c_unless_one_was_named() -> None:
    if not config.cxx:
        pytest.skip("there is no C++ compiler")
    with engine.flags(mode="Mode", linker="auto"), fast_compilation():
        assert config.linker == C_LINKER
    with engine.flags(mode="NUMBA"), fast_compilation():
        assert config.linker == "auto"
    with engine.flags(mode="Mode", linker="numba"), fast_compilation():
        assert config.linker == "numba"


def test_threads_wait_for_each_other() -> None:
    inside, seen = Event(), list[str]()

    def other() -> None:
        inside.wait(10)
        with fast_compilation():
            seen.append("other")

    thread = Thread(target=other)
    thread.start()
    with fast_compilation():
        inside.set()
        thread.join(0.2)
        assert thread.is_alive()
        seen.append("this")
    thread.join()
    assert seen == ["this", "other"]


def values(dtype: str) -> np.ndarray:
    """Numbers of all sizes, and those that are none."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-30, 1.9, size=1 << 14) * rng.choice([-1, 1], size=1 << 14)
    usual = rng.normal(size=1 << 14) * 4
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]
    return np.concatenate([usual, sizes, special]).astype(dtype)


def function_of(name: str, x: Variable) -> Variable:
    found: Variable = getattr(at, name)(x)
    return found


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_right_to_a_few_units_in_the_last_place(name: str, dtype: str) -> None:
    x = at.TensorType(dtype, (None,))("x")
    mode = "CVM" if C_LINKER else "FAST_RUN"
    exact = engine.function([x], function_of(name, x), mode=mode)
    with fast_compilation():
        quick = engine.function([x], function_of(name, x), mode=mode)
    drawn = values(dtype)
    with np.errstate(all="ignore"):
        expected, computed = exact(drawn), quick(drawn)
    assert_array_equal(np.isnan(computed), np.isnan(expected))
    assert_array_equal(np.isinf(computed), np.isinf(expected))
    finite = np.isfinite(expected)
    ulps = np.abs(computed[finite] - expected[finite]) / np.spacing(np.abs(expected[finite]))
    assert ulps.max() <= 4
