"""What tests of estimates share."""

import gc
import warnings
from collections.abc import Iterator

import pytest

import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import tensor as at


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Dask leaves sockets to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def graph() -> InferenceGraph:
    x = at.dtensor3("x")
    y = engine.scan(
        lambda x_t: batch_normalize(x_t, 1.0, 0.0, label="bn"), sequences=[x], name="loop"
    )
    return InferenceGraph([x], y)
