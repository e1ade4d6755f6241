"""Marks in nested loops survive compilation if bnrewrite is imported first, and else it says so.

Both need a process of their own, as the import cannot be undone.
"""

import os
import subprocess
import sys

GRAPH = """
import aesara, aesara.tensor as at

x = at.dtensor4("x")


def inner(x_t):
    mean = x_t.mean(axis=0)
    mean.tag.bn_statistic = True
    mean.tag.bn_label = "mean"
    return at.tanh(x_t - mean) / (1 + mean * mean)


def outer(x_t):
    return aesara.scan(inner, sequences=x_t, name="inner")[0]


y = aesara.scan(outer, sequences=x, name="outer")[0]
"""
COMPILE = "aesara.function([x], y)\n"
LOOK = """
graph = bnrewrite.InferenceGraph([x], y)
print([s.name for s in graph.statistics])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, where loops are compiled cheaply."""
    return subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True
    )


def test_a_nested_loop_that_was_compiled_before_the_import_is_an_error() -> None:
    assert "FAST_COMPILE" in os.environ["AESARA_FLAGS"]
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


def test_loops_that_are_not_nested_may_be_compiled_before_the_import() -> None:
    flat = GRAPH.replace("at.dtensor4", "at.dtensor3").replace(
        "aesara.scan(outer, sequences=x, name=", "aesara.scan(inner, sequences=x, name="
    )
    result = run(flat + COMPILE + "import bnrewrite\n" + LOOK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['outer/mean']"
