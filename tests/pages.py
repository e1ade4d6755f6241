"""Pages of the documentation as programs: their code, in order, and what it should print.

- A ``python`` block is run, in one namespace for the page. What it prints is what stands indented
  under it, and nothing if nothing stands there.
- If it begins with ``# name.py``, it is a file of that name, and is not run by itself.
- A ``console`` block has commands after ``$``, and under each what it prints.
- Other blocks are not run. ``...`` in what is printed stands for anything.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A block of code, what it should print, and the line that it begins in."""

    language: str
    code: str
    printed: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that are run."""
    pattern = r"^```(python|console)\n(.*?)^```\n(?:\n((?:    [^\n]*\n|\n(?=\n*    ))+))?"
    found = re.finditer(pattern, text, flags=re.DOTALL | re.MULTILINE)
    return [
        Block(m[1], m[2], m[3] or "", text.count("\n", 0, m.start()) + 2)  # after the fence
        for m in found
    ]


def run(blocks: Iterable[Block], page: str) -> None:
    """Run the blocks of a page in the directory at hand, and compare what they print."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        if block.language == "console":
            _run_commands(block, page)
        elif name := re.match(r"# (\S+\.py)\n", block.code):
            Path(name[1]).write_text(block.code)
        else:
            # Lines that an error tells are those of the page.
            code = compile("\n" * (block.line - 1) + block.code, page, "exec")
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
            _compare(block, block.printed, printed.getvalue(), page)


def _run_commands(block: Block, page: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        line, _, expected = command.partition("\n")
        done = subprocess.run(
            line,
            shell=True,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{page}: {line}\n{done.stderr}"
        _compare(block, expected, done.stdout, page)


def _compare(block: Block, expected: str, printed: str, page: str) -> None:
    expected = re.sub(r"^    ", "", expected, flags=re.MULTILINE)
    checker, example = doctest.OutputChecker(), doctest.Example(block.code, expected)
    if not checker.check_output(example.want, printed, FLAGS):
        difference = checker.output_difference(example, printed, FLAGS)
        raise AssertionError(f"{page}, line {block.line}:\n{difference}")
