"""The small example does what it says, in a process of its own and in the engine's own mode."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import AESARA

FLAGS = "AESARA_FLAGS" if AESARA else "PYTENSOR_FLAGS"
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.exhaustive  # a minute
def test_rnn_fails_alone_with_batch_statistics_and_not_with_those_of_the_population(
    tmp_path: Path,
) -> None:
    flags = [flag for flag in os.environ[FLAGS].split(",") if not flag.startswith("mode")]
    flags += ["linker=cvm"] if not AESARA and shutil.which("g++") else []
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "rnn.py")],
        env={**os.environ, FLAGS: ",".join(flags)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full, alone, population = map(float, re.findall(r"(\d+\.\d)$", done.stdout, re.MULTILINE))
    chance = 25
    assert full > 90
    assert abs(alone - chance) < 10
    assert abs(population - full) < 5
    assert done.stdout.startswith("compiling the training function ...\n")
    assert list(tmp_path.iterdir()) == []
