"""The page of errors and warnings quotes what the library says, and leaves no class out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bnrewrite

FAQ = (Path(__file__).parent.parent / "docs" / "faq.md").read_text()
SOURCE = sorted(Path(bnrewrite.__path__[0]).rglob("*.py"))
QUOTES = re.findall(r"^> (.+)$", FAQ, flags=re.MULTILINE)
CLASSES = [
    name
    for name in bnrewrite.__all__
    if isinstance(getattr(bnrewrite, name), type)
    and issubclass(getattr(bnrewrite, name), BaseException)
]


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings in a module, with ``...`` for what is put into them; docstrings are none."""
    nodes = list(ast.walk(tree))
    outer = [node for node in nodes if isinstance(node, ast.JoinedStr | ast.Expr)]
    skipped = {id(part) for node in outer for part in ast.iter_child_nodes(node)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "..." for v in node.values]
            yield "".join(map(str, parts))
        elif isinstance(getattr(node, "value", None), str) and id(node) not in skipped:
            yield node.value.replace("%s", "...")


def is_said(quote: str, text: str) -> bool:
    """Whether a text begins with a quote; or has it, if the quote begins in the middle."""
    beginning = quote.removesuffix("...").strip()
    if beginning.startswith("..."):
        return beginning.removeprefix("...").strip() in text
    return text.startswith(beginning)


MESSAGES = {
    " ".join(text.split()).replace("... ...", "...")
    for path in SOURCE
    for text in texts(ast.parse(path.read_text()))
}


@pytest.mark.parametrize("quote", QUOTES)
def test_what_the_page_quotes_is_said_by_the_library(quote: str) -> None:
    assert any(is_said(quote, text) for text in MESSAGES)


def test_what_the_library_does_not_say_is_found_out() -> None:
    assert not any(is_said("there is no marked statistic in the loop", text) for text in MESSAGES)
    assert not any(is_said("no marked statistic in the graph", text) for text in MESSAGES)


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_of_errors_and_warnings_has_a_section_with_a_quote(name: str) -> None:
    section = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", FAQ, flags=re.MULTILINE | re.DOTALL)
    assert section, f"docs/faq.md has no section of {name}"
    assert re.search(r"^> ", section[1], flags=re.MULTILINE), f"{name} has no message"
