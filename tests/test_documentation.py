"""What the documentation shows is what happens."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import bnrewrite

README = (Path(__file__).parent.parent / "README.md").read_text()
MODULES = [module.name for module in pkgutil.walk_packages(bnrewrite.__path__, "bnrewrite.")]


def test_readme_prints_what_it_says() -> None:
    blocks = re.findall(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", README, flags=re.DOTALL)
    namespace: dict[str, object] = {}
    assert len(blocks) == 2
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue().split() == expected.split()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_function_has_an_example_that_runs() -> None:
    public = [v for k, v in vars(bnrewrite).items() if callable(v) and k[0] != "_"]
    without = [v.__name__ for v in public if ">>>" not in (v.__doc__ or "")]
    assert sorted(without) == ["Population", "ShardError", "Statistic", "estimate_population"]
