"""What the documentation shows is what happens."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import bnrewrite
from pages import blocks_of, run

ROOT = Path(__file__).parent.parent
README, DOCS = (ROOT / "README.md").read_text(), ROOT / "docs"
PAGES = {str(p.relative_to(DOCS)): p.read_text() for p in sorted(DOCS.rglob("*.md"))}
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
    blocks = [block for block in blocks_of(README) if block.printed]
    by_engine = {block.code.split()[1]: block for block in blocks[:2]}
    assert list(by_engine) == ["pytensor", "aesara"]
    assert len(blocks) == 3
    chosen = [by_engine[bnrewrite.engine], blocks[2]]
    run([b._replace(code=for_this_engine(b.code)) for b in chosen], "README.md")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as `aesara.tensor.nnet`, on import
@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks_of(text)])
def test_pages_print_what_they_say(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = re.search(r"code on this page is for (\w+)", PAGES[page])
    assert engine, f"{page} does not say which engine its code is for."
    if engine[1].lower() != bnrewrite.engine:
        pytest.skip(f"its code is for {engine[1]}")
    monkeypatch.chdir(tmp_path)
    run(blocks_of(PAGES[page]), page)


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
