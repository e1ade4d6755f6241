"""Flags of Aesara for the tests: cheap compilation, wherever the environment does not say more."""

import os

import pytest

_wanted = {"mode": "FAST_COMPILE", "blas__ldflags": ""}
_given = os.environ.get("AESARA_FLAGS", "")
_names = {flag.split("=")[0].strip().replace(".", "__") for flag in _given.split(",")}
os.environ["AESARA_FLAGS"] = ",".join(
    [*([_given] if _given else []), *(f"{k}={v}" for k, v in _wanted.items() if k not in _names)]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-gradients",
        action="store_true",
        help="train every model of the zoo with gradients, not just the quick ones: 15 minutes",
    )
