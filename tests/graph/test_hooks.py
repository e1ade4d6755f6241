"""What is lost without the hooks is not lost in silence: bnrewrite has to be imported first.

Both need a process of their own, as the import cannot be undone. Aesara rewrites nested loops in
place when it compiles; PyTensor freezes every loop when it is built, without the tags in it.
"""

import os
import subprocess
import sys

import pytest

import engine

GRAPH = """
import engine
from engine import tensor as at

x = at.dtensor4("x")


def inner(x_t):
    mean = x_t.mean(axis=0)
    mean.tag.bn_statistic = True
    mean.tag.bn_label = "mean"
    return at.tanh(x_t - mean) / (1 + mean * mean)


def outer(x_t):
    return engine.scan(inner, sequences=x_t, name="inner")


y = engine.scan(outer, sequences=x, name="outer")
"""
FLAT = GRAPH.replace("at.dtensor4", "at.dtensor3").replace(
    "engine.scan(outer, sequences=x, name=", "engine.scan(inner, sequences=x, name="
)
COMPILE = "engine.function([x], y)\n"
LOOK = """
graph = bnrewrite.InferenceGraph([x], y)
print([s.name for s in graph.statistics])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, where loops are compiled cheaply."""
    return subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True
    )


aesara = pytest.mark.skipif(not engine.AESARA, reason="PyTensor's nested loops do not change")
pytensor = pytest.mark.skipif(engine.AESARA, reason="Aesara's loops keep tags")


@aesara
def test_a_nested_loop_that_was_compiled_before_the_import_is_an_error() -> None:
    result = run(GRAPH + COMPILE + "import bnrewrite\n" + LOOK)
    assert result.returncode == 1
    assert "RuntimeError" in result.stderr
    assert "compiled the inside of loop 'outer/inner' in place" in result.stderr
    assert "import it first" in result.stderr


def test_after_an_import_compiling_leaves_all_marks_in_place() -> None:
    result = run("import bnrewrite\n" + GRAPH + COMPILE + LOOK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['outer/inner/mean']"


def test_after_an_import_a_graph_can_be_compiled_again_and_again() -> None:
    result = run("import bnrewrite\n" + GRAPH + 2 * (COMPILE + LOOK))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == 2 * ["['outer/inner/mean']"]


@aesara
def test_loops_that_are_not_nested_may_be_compiled_before_the_import() -> None:
    result = run(FLAT + COMPILE + "import bnrewrite\n" + LOOK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['outer/mean']"


MIXED = """
z = engine.scan(lambda x_t: bnrewrite.batch_normalize(x_t, 1.0, 0.0), sequences=y, name="behind")
y = z.sum(axis=0)
"""


@pytensor
def test_loop_that_was_built_before_the_import_is_warned_about() -> None:
    for deeper, names in (
        ("", []),
        (MIXED, ["behind/batch_norm.mean", "behind/batch_norm.variance"]),
    ):
        result = run(FLAT + "import bnrewrite\n" + deeper + LOOK)
        assert "<string>" in result.stderr  # the caller's line, and not one of the library
        assert "LostTags: 'outer' was built before bnrewrite was imported" in result.stderr
        assert "Import bnrewrite before you build the model" in result.stderr
        assert result.stdout.strip() == (str(names) if names else "")
        assert result.returncode == (0 if names else 1)


@pytensor
def test_loop_that_was_built_after_the_import_is_not_warned_about() -> None:
    result = run("import warnings, bnrewrite\nwarnings.simplefilter('error')\n" + FLAT + LOOK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['outer/mean']"
