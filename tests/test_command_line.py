"""What the command line prints of files, and what it says of those that it can't read."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnrewrite import Population
from bnrewrite.__main__ import main
from bnrewrite.population.difference import difference_of
from bnrewrite.population.origin import Origin
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading

NAMES = ["encoder/bn.mean", "encoder/bn.variance"]


def population(seed: int, names: list[str] = NAMES) -> Population:
    rng = np.random.default_rng(seed)
    tallies = Tallies(dict.fromkeys(names, "float64"), {}, origin=Origin("an engine 1.0"))
    for n in (3, 5):
        values = {name: rng.random(size=(n, 2)) for name in names}
        tallies.add({name: Reading(v, np.ones(n, bool), None) for name, v in values.items()})
    return Population(tallies)


@pytest.fixture
def file(tmp_path: Path) -> str:
    population(0).save(tmp_path / "a.npz")
    return str(tmp_path / "a.npz")


def test_show_prints_the_summary(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", file]) == 0
    shown = capsys.readouterr().out
    population(0).summary()
    summary = capsys.readouterr().out
    assert shown == "2 batches, pooling 'edge', estimated with an engine 1.0\n" + summary


def test_plot_writes_all_pictures(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", file, "--out", str(tmp_path / "new" / "pictures")]) == 0
    files = sorted((tmp_path / "new" / "pictures").iterdir())
    expected = ["encoder.bn.mean.png", "encoder.bn.variance.png", "overview.png"]
    assert [path.name for path in files] == expected
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    assert capsys.readouterr().out == f"3 pictures are in {tmp_path / 'new' / 'pictures'}\n"


def test_diff_prints_how_files_differ(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = population(1, [*NAMES, "decoder/bn.mean"])
    other.save(tmp_path / "b.npz")
    assert main(["diff", file, str(tmp_path / "b.npz")]) == 0
    header, *rows, note = capsys.readouterr().out.splitlines()
    assert header.startswith("name ")
    assert [row.split()[0] for row in rows] == NAMES
    assert note == "only in the second: decoder/bn.mean"
    assert rows == repr(difference_of(population(0), other)).splitlines()[1:-1]


@pytest.mark.parametrize("command", ["show", "plot", "diff"])
@pytest.mark.parametrize("fault", ["missing", "folder", "text", "cut", "changed"])
def test_file_that_can_not_be_read_is_one_line_and_an_exit_code(
    command: str, fault: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, content = tmp_path / "wrong.npz", Path(file).read_bytes()
    if fault == "folder":
        wrong.mkdir()
    elif fault != "missing":
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        wrong.write_bytes({"text": b"text", "cut": content[:-99], "changed": changed}[fault])
    more = {"show": [], "plot": ["--out", str(tmp_path / "out")], "diff": [file]}[command]
    assert main([command, str(wrong), *more]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("bnrewrite: ")
    assert "wrong.npz" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folder_that_can_not_be_written_is_an_error(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", file, "--out", file]) == 1
    assert capsys.readouterr().err.startswith("bnrewrite: ")


@pytest.mark.parametrize("arguments", [[], ["show"], ["plot", "a.npz"], ["diff", "a.npz"], ["x"]])
def test_what_is_no_command_is_told_how_to_be_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.startswith("usage: python -m bnrewrite")


def test_names_of_others_can_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    population(0, ["\x1b[2J\n\ud800"]).save(tmp_path / "a.npz")
    assert main(["show", str(tmp_path / "a.npz")]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith(r"\x1b[2J\n\ud800  5 x 2")


def test_statistic_without_units_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tallies = Tallies({"none": "float64"}, {})
    tallies.add({"none": Reading(np.zeros((3, 0)), np.ones(3, bool), np.ones((3, 1)))})
    Population(tallies).save(tmp_path / "a.npz")
    assert main(["show", str(tmp_path / "a.npz")]) == 0
    assert main(["diff", *[str(tmp_path / "a.npz")] * 2]) == 0
    assert "none     3 x 0" in capsys.readouterr().out


def run(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bnrewrite", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


def test_it_runs_as_a_module_and_needs_no_compiler(file: str, tmp_path: Path) -> None:
    nowhere = {k: v for k, v in os.environ.items() if not k.endswith("_FLAGS")}
    nowhere |= {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    shown = run("show", file, env=nowhere)
    assert (shown.returncode, shown.stdout.count("encoder/bn")) == (0, 2)
    assert run("show", f"{file}.missing", env=nowhere).returncode == 1


def test_reader_that_has_seen_enough_is_no_error(file: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # a pipe whose reader is gone, as after `head`
    ended = subprocess.run(
        [sys.executable, "-m", "bnrewrite", "show", file], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert ended.returncode == 0
    assert b"Broken pipe" not in ended.stderr
    assert b"Traceback" not in ended.stderr
