"""What a user finds at the door: the story, the names, the version."""

import pkgutil
import pydoc
import re
import sys
from importlib.metadata import version
from pathlib import Path

import bnrewrite


def test_all_lists_what_is_public() -> None:
    modules = {module.name for module in pkgutil.iter_modules(bnrewrite.__path__)}
    public = {name for name in vars(bnrewrite) if not name.startswith("_")} - modules
    assert public == set(bnrewrite.__all__)


def test_star_import_brings_public_names_only() -> None:
    namespace: dict[str, object] = {}
    exec("from bnrewrite import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(bnrewrite.__all__)


def test_help_lists_every_public_name_with_its_first_line() -> None:
    text = pydoc.plain(pydoc.render_doc(bnrewrite))
    assert "engine = " in text
    for name in set(bnrewrite.__all__) - {"engine"}:
        first_line = (getattr(bnrewrite, name).__doc__ or "").splitlines()[0]
        assert name in text
        assert first_line
        assert first_line in text


def test_version_is_that_of_the_installed_package() -> None:
    assert bnrewrite.__version__ == version("bnrewrite")


def test_engine_is_the_one_that_this_python_has() -> None:
    assert bnrewrite.engine == ("aesara" if sys.version_info < (3, 12) else "pytensor")
    assert bnrewrite.engine in sys.modules


def test_version_to_cite_is_the_one_of_the_project() -> None:
    root = Path(__file__).parent.parent
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), flags=re.MULTILINE)
    made = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    assert cited
    assert made
    assert cited[1] == made[1]
