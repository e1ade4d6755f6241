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
OTHER = {"aesara": "on_pytensor", "pytensor": "on_aesara"}[bnrewrite.engine]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(bnrewrite.__path__, "bnrewrite.")
    if not module.name.endswith(OTHER)
]


def for_this_engine(code: str) -> str:
    """Documentation is written for PyTensor; what it shows is the same in Aesara."""
    return code.replace("pytensor", bnrewrite.engine)


def test_readme_prints_what_it_says() -> None:
    blocks = re.findall(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", README, flags=re.DOTALL)
    by_engine = {code.split()[1]: (code, expected) for code, expected in blocks[:2]}
    assert list(by_engine) == ["pytensor", "aesara"]
    namespace: dict[str, object] = {}
    assert len(blocks) == 3
    for code, expected in [by_engine[bnrewrite.engine], blocks[2]]:
        code = for_this_engine(code)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue().split() == expected.split()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        for example in test.examples:
            example.source = for_this_engine(example.source)
        assert doctest.DocTestRunner().run(test).failed == 0, test.name


def test_every_public_function_has_an_example_that_runs() -> None:
    public = [v for k, v in vars(bnrewrite).items() if callable(v) and k[0] != "_"]
    public = [v for v in public if not (isinstance(v, type) and issubclass(v, Warning))]
    without = [v.__name__ for v in public if ">>>" not in (v.__doc__ or "")]
    assert sorted(without) == [
        "EstimateError",
        "EstimateInterrupted",
        "Population",
        "Predictor",
        "ShardError",
        "Statistic",
        "estimate_population",
    ]
