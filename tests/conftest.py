"""Which tests run, and with which flags of the engine.

`pytest` runs a selection, which takes less than five minutes on two cores; `pytest --all` runs
everything. The selection follows a rule, which holds for new tests, too:

- Of the n cases of a parametrized test, √n run (rounded up). A hash of the case's id decides which:
  so tests over the same models run the same ones, and a new case does not exchange all others.
- A test that repeats something n times asks the fixture `repeats`, which says √n.
- A test is left out that is marked as `exhaustive`: for a test which is slow, and whose kind of
  behavior is covered by a faster one.

The tests of a file that is named on the command line all run, and so do those that `--lf` chooses.

The flags of the engine ask for cheap compilation, unless the environment says more, and `engine`
has g++ compile nothing where a mode runs everything in Python: that would be most of the time. What
is compiled is tested in the default modes. Processes that tests start find what is in this folder.
"""

import hashlib
import math
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLAGS = "AESARA_FLAGS" if sys.version_info < (3, 12) else "PYTENSOR_FLAGS"
_wanted = {"mode": "FAST_COMPILE", "blas__ldflags": ""}
_given = os.environ.get(FLAGS, "")
_names = {flag.split("=")[0].strip().replace(".", "__") for flag in _given.split(",")}
os.environ[FLAGS] = ",".join(
    [*([_given] if _given else []), *(f"{k}={v}" for k, v in _wanted.items() if k not in _names)]
)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-gradients",
        action="store_true",
        help="train every model of the zoo with gradients, not just the quick ones: 15 minutes",
    )
    parser.addoption(
        "--all",
        action="store_true",
        help="run all tests, not just the selection that takes less than five minutes",
    )


LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = 0
    config.addinivalue_line("markers", "exhaustive: is slow, and runs with --all or if named alone")


def is_wanted_whole(item: pytest.Item) -> bool:
    """Return whether everything was asked for, or the test's file or the test itself."""
    config = item.config
    named = (Path(argument.split("::")[0]).resolve() for argument in config.args)
    return config.getoption("all") or config.getoption("lf", False) or item.path in named


def some(n: int) -> int:
    """Give the least number whose square is `n` or more."""
    return math.isqrt(n - 1) + 1


def rank(item: pytest.Item) -> bytes:
    """Hash what is in the brackets of the test's id."""
    return hashlib.sha256(item.nodeid.partition("[")[2].encode()).digest()


@pytest.hookimpl(trylast=True)  # after `-k` and `-m`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases = defaultdict(list)
    for item in items:
        if not is_wanted_whole(item):
            cases[item.nodeid.partition("[")[0]].append(item)
    left = set()
    for group in cases.values():
        left.update(item for item in group if item.get_closest_marker("exhaustive"))
        quick = [item for item in group if item not in left]
        left.update(sorted(quick, key=rank)[some(len(quick)) :] if quick else ())
    # What is slow comes first, so that no process is left with it at the end.
    items.sort(key=lambda item: not item.get_closest_marker("exhaustive"))
    config.stash[LEFT_OUT] = len(left)
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Say how often to repeat something that is repeated so many times if all tests run."""
    return int if is_wanted_whole(request.node) else some


# ---- processes of pytest-xdist, each of which collects the tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run single tests in this process, where a debugger works."""
    return 0 if all("::" in argument for argument in config.args) else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    left = getattr(node, "workeroutput", {}).get("left_out", 0)
    node.config.stash[LEFT_OUT] = max(left, node.config.stash[LEFT_OUT])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if left := config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"{left:,} tests were left out; --all runs them")
