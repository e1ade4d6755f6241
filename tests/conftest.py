"""Flags of the engine for the tests: cheap compilation, unless the environment says more.

Processes that tests start find what is in this folder, too.
"""

import os
import signal
import sys
from pathlib import Path

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
