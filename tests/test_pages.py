"""What runs the code of the documentation finds what is wrong with it."""

from pathlib import Path

import pytest

from pages import blocks_of, run

PAGE = """\
# A page

```python
x = 1
print(x + 1)
```

    2

Text.

```python
# double.py
print(2 * 21)
```

```console
$ python double.py
42
$ echo 'one two'
one  two
```

```sh
never run
```
"""


def test_a_page_with_all_kinds_of_blocks_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(PAGE)
    assert [(block.language, block.line) for block in blocks] == [
        ("python", 4),
        ("python", 13),
        ("console", 18),
    ]
    run(blocks, "page.md")
    assert (tmp_path / "double.py").read_text() == "# double.py\nprint(2 * 21)\n"


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("    2\n", "    3\n", 4),
        ("    2\n", "", 4),
        ("    2\n", "    2\n\n    3\n", 4),
        ("    2\n\nText.\n", "    2\n\n```python\nprint(x)\n```\n", 11),
        ("\n42\n", "\n41\n", 18),
    ],
)
def test_what_is_printed_must_be_what_stands_there(
    right: str, wrong: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert right in PAGE
    with pytest.raises(AssertionError, match=rf"page.md, line {line}:"):
        run(blocks_of(PAGE.replace(right, wrong, 1)), "page.md")


def test_a_command_that_fails_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"python double.py\n(.*\n)*NameError"):
        run(blocks_of(PAGE.replace("2 * 21", "unknown")), "page.md")


def test_an_error_has_the_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NameError, match="unknown") as raised:
        run(blocks_of(PAGE.replace("x + 1", "unknown")), "page.md")
    place = raised.traceback[-1]
    assert (str(place.path).endswith("page.md"), place.lineno + 1) == (True, 5)
