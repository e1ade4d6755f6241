"""The reference has every public name, and nothing else of the front door."""

import re
from pathlib import Path

import bnrewrite

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def documented() -> list[str]:
    """What the pages of the reference describe, by the names of their directives."""
    pages = [path.read_text() for path in sorted(REFERENCE.glob("*.md"))]
    directive = r"^\.\. auto(?:function|class|exception|data):: bnrewrite\.(\w+)(?:\(\))?$"
    return [name for page in pages for name in re.findall(directive, page, flags=re.MULTILINE)]


def test_every_public_name_is_described_once() -> None:
    assert sorted(documented()) == sorted(bnrewrite.__all__)


def test_the_first_page_of_the_reference_leads_to_every_public_name() -> None:
    index = (REFERENCE / "index.md").read_text()
    assert set(re.findall(r"~bnrewrite\.(\w+)`", index)) == set(bnrewrite.__all__)


def test_the_files_that_the_page_on_architecture_names_are_there() -> None:
    page = (REFERENCE.parent / "architecture.md").read_text()
    root = REFERENCE.parent.parent
    there = [f"/{path.relative_to(root)}" for path in root.rglob("*.py")]
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    assert named
    assert {n for n in named if not any(path.endswith(f"/{n}") for path in there)} == set()
