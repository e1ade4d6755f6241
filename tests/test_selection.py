"""`pytest` runs a selection of the tests, says so, and `pytest --all` runs all of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
import pytest

@pytest.mark.parametrize("i", range(20))
@pytest.mark.parametrize("j", range(5))
def test_many(i, j):
    print("ran")

@pytest.mark.parametrize("i", range(20))
@pytest.mark.parametrize("j", range(5))
def test_others(i, j):
    print("ran")

def test_one(repeats):
    print("ran", repeats(50), "times")

@pytest.mark.exhaustive
def test_slow():
    print("ran")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(FILE)
    (tmp_path / "test_more.py").write_text("def test_more():\n    print('ran')\n")
    return tmp_path


def run(folder: Path, *arguments: str, n_failed: int = 0) -> str:
    command = [sys.executable, "-m", "pytest", "-rP", "-p", "xdist", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == bool(n_failed), done.stdout + done.stderr
    assert not n_failed or f"{n_failed} failed" in done.stdout.splitlines()[-1]
    return done.stdout


def test_default_runs_the_root_of_each_number_of_cases_and_says_what_it_left(folder: Path) -> None:
    output = run(folder)
    assert output.count("\nran") == 10 + 10 + 1 + 1
    assert "ran 8 times" in output
    assert output.splitlines()[-2] == "181 tests were left out; --all runs them"
    assert "22 passed, 181 deselected" in output.splitlines()[-1]


def test_option_runs_all(folder: Path) -> None:
    output = run(folder, "--all")
    assert output.count("\nran") == 203
    assert "ran 50 times" in output
    assert "left out" not in output


def test_processes_leave_out_the_same_and_say_so_once(folder: Path) -> None:
    output = run(folder, "--numprocesses=2")
    assert output.count("\nran") == 22
    assert output.splitlines()[-2] == "181 tests were left out; --all runs them"
    assert run(folder, "--numprocesses=2", "--all").count("\nran") == 203


def test_tests_over_the_same_cases_run_the_same_cases(folder: Path) -> None:
    lines = run(folder, "-v").splitlines()
    passed = {line.split()[0].partition("::")[2] for line in lines if " PASSED " in line}
    cases = {name.replace("test_many", "") for name in passed if name.startswith("test_many")}
    assert len(cases) == 10
    assert {f"test_others{case}" for case in cases} < passed


def test_few_cases_are_exchanged_for_new_ones(folder: Path) -> None:
    def cases() -> set[str]:
        output = run(folder, "--collect-only", "-q", "-k", "test_many")
        return {line for line in output.splitlines() if "::" in line}

    before = cases()
    (folder / "test_it.py").write_text(FILE.replace("range(20)", "range(21)"))
    after = cases()
    assert (len(before), len(after)) == (10, 11)
    assert len(before - after) <= 5  # as many as are new


@pytest.mark.parametrize(
    ("named", "n"),
    [
        ("test_it.py", 202),
        ("test_it.py::test_many", 100),
        ("test_it.py::test_many[3-17]", 1),
        ("test_it.py::test_slow", 1),
    ],
)
def test_what_is_named_runs_whole(folder: Path, named: str, n: int) -> None:
    output = run(folder, named, "test_more.py")
    assert output.count("\nran") == n + 1
    assert "left out" not in output


def test_file_that_is_named_beside_a_folder_runs_whole_and_the_others_do_not(folder: Path) -> None:
    (folder / "more").mkdir()
    shutil.copy(folder / "test_it.py", folder / "more" / "test_others.py")
    output = run(folder, "more", "test_it.py")
    assert output.count("\nran") == 202 + 21
    assert output.splitlines()[-2] == "181 tests were left out; --all runs them"


def test_failures_run_again_whatever_they_are(folder: Path) -> None:
    (folder / "test_it.py").write_text(FILE.replace('print("ran")', "assert False"))
    run(folder, "--all", "--tb=no", n_failed=201)
    run(folder, "--lf", "--tb=no", n_failed=201)


def test_keyword_chooses_before_the_rule_does(folder: Path) -> None:
    assert run(folder, "-k", "3-17").count("\nran") == 2
