"""Files made to do harm are refused at once, and files are written whole or not at all."""

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bnrewrite import Population
from bnrewrite.population import whole
from bnrewrite.population.archive import packed, unpacked
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading


def population_of(value: float, n_steps: int = 3, units: int = 50) -> Population:
    """A population whose values are all the same."""
    tallies = Tallies(dict.fromkeys(["mean", "variance"], "float64"), {"mean": "variance"})
    reading = Reading(
        np.full((n_steps, units), value), np.ones(n_steps, dtype=bool), np.full((n_steps, 1), 2.0)
    )
    tallies.add({"mean": reading, "variance": reading})
    return Population(tallies)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "population.npz"


@pytest.fixture
def content(path: Path) -> bytes:
    population_of(1.5).save(path)
    return path.read_bytes()


# ---- what is made to do harm


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.comment = b"roomy" * 100
    return buffer.getvalue()


def npy(description: str, data: bytes = b"") -> bytes:
    header = description.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def described(dtype: str, shape: str) -> bytes:
    return npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n", b"\0" * 8)


def bomb(content: bytes) -> bytes:
    """A quarter of a gigabyte of zeros, in a quarter of a megabyte."""
    return zipped({"mean.npy": b"\0" * 2**28}, zipfile.ZIP_DEFLATED)


def overlapping(content: bytes) -> bytes:
    """An index whose thousands of entries are all the same member."""
    one = zipped({"mean.npy": described("<f8", "()") + b"\0" * 2**20})
    begin, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry = one[begin:end]
    entries = b"".join(
        entry.replace(b"mean.npy", f"{i:08}".encode()) for i in range(len(one) // len(entry))
    )
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(entries), begin, 0)
    return one[:begin] + entries + tail


def crowded(content: bytes) -> bytes:
    """Tens of thousands of members with nothing in them."""
    return zipped({f"{i}": b"" for i in range(30_000)})


def doubled(content: bytes) -> bytes:
    """Two members of one name."""
    return zipped({"mean.npy": described("<f8", "()"), "mean.npz": b""}).replace(b".npz", b".npy")


def encrypted(content: bytes) -> bytes:
    changed = bytearray(zipped({"mean.npy": described("<f8", "()")}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.index(signature) + offset] |= 1
    return bytes(changed)


def of_array(dtype: str, shape: str) -> Callable[[bytes], bytes]:
    return lambda content: zipped({"mean.npy": described(dtype, shape)})


def of_header(text: str) -> Callable[[bytes], bytes]:
    return lambda content: packed({**unpacked(content), "#header": np.array(text)})


def with_header(**changed: Any) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        header = json.loads(str(unpacked(content)["#header"]))
        return of_header(json.dumps({**header, **changed}))(content)

    return change


def with_array(**arrays: np.ndarray) -> Callable[[bytes], bytes]:
    return lambda content: packed(
        {**unpacked(content), **{f"mean#tally.{key}": array for key, array in arrays.items()}}
    )


def broadcasting(content: bytes) -> bytes:
    """Sums that are small alone, and a terabyte when they are added."""
    n = 50_000
    sums = {"weight": np.ones((n, 1)), "mean": np.ones((1, n)), "deviations": np.ones((1, n))}
    return with_array(**sums, held=np.ones((n, 1)))(content)


def pickled(content: bytes) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, mean=np.array([{}, open], dtype=object))
    return buffer.getvalue()


BOOM = "__import__('os').abort()"
CRAFTED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "bomb": (bomb, "more than there is"),
    "overlapping": (overlapping, "more than there is"),
    "crowded": (crowded, "lists more than there is"),
    "doubled": (doubled, "several members of one name"),
    "encrypted": (encrypted, "compressed or encrypted"),
    "huge": (of_array("<f8", "(1000000000000,)"), "is not in its 8 bytes"),
    "overflowing": (of_array("<f8", "(9223372036854775807, 9223372036854775807)"), "not in its"),
    "empty and huge": (of_array("<f8", f"(0, {'9223372036854775807, ' * 5})"), "not in its"),
    "many axes": (of_array("<f8", f"({'1, ' * 70})"), "ValueError"),
    "negative": (of_array("<f8", "(-1,)"), "no array of numbers"),
    "wide": (of_array("<U99999999", "()"), "not in its"),
    "objects": (of_array("|O", "()"), "no array of numbers"),
    "pickled": (pickled, "no array of numbers"),
    "evaluated": (lambda c: zipped({"mean.npy": npy(BOOM)}), "no array of numbers"),
    "nested": (lambda c: zipped({"mean.npy": npy("(" * 60_000)}), "no array of numbers"),
    "version": (lambda c: zipped({"mean.npy": b"\x93NUMPY\x09\x00"}), "no npy file"),
    "member": (lambda c: zipped({"mean.npy": b""}), "no npy file"),
    "nothing": (lambda c: b"", "not a population file"),
    "digest": (lambda c: b"sha256:" + b"0" * 64, "digest is not"),
    "deep": (of_header("[" * 100_000), "no header that can be read"),
    "long": (of_header("9" * 100_000), "no header that can be read"),
    "list": (of_header("[]"), "no header that can be read"),
    "text": (of_header('{"format": "3"}'), "no header that can be read"),
    "true": (of_header('{"format": true}'), "no header that can be read"),
    "format 0": (of_header('{"format": 0}'), "no header that can be read"),
    "bare": (of_header('{"format": 3}'), "does not have what .* KeyError"),
    "later": (of_header('{"format": 4}'), "has format 4"),
    "no batches": (with_header(n_batches=0), "it has no batches"),
    "infinite": (with_header(n_batches=float("inf")), "n_batches is no number"),
    "coverage": (with_header(min_coverage=-1), "min_coverage is no number"),
    "pooling": (with_header(pooling=["edge"]), "does not have what"),
    "dtype": (with_header(dtypes={"mean": "O", "variance": "f8"}), "not of floating point"),
    "unknown": (with_header(variances={"mean": "other"}), "a variance is no statistic"),
    "readable": (with_header(readable=[[]]), "poolings are texts"),
    "fewer": (with_header(dtypes={"mean": "f8"}, variances={}), "it has sums of"),
    "broadcasting": (broadcasting, "has a weight of shape"),
    "integers": (with_array(mean=np.ones((3, 50), int)), "not of floating point"),
    "not finite": (with_array(mean=np.full((3, 50), np.inf)), "mean that is not finite"),
    "deviations": (with_array(deviations=-np.ones((3, 50))), "has negative deviations"),
    "weights": (with_array(weight=-np.ones((3, 1))), "has a weight that is no number"),
    "counts": (with_array(count=np.full((3, 1), np.nan)), "has a count that is no number"),
    "axes": (with_array(n_time_axes=np.array(3)), "more time axes than axes"),
    "no axes": (with_array(n_time_axes=np.array(-1)), "negative number"),
    "zero": (with_array(n=np.array(0)), "has no number of batches"),
    "fraction": (with_array(n=np.array(0.5)), "has no number of batches"),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_file_made_to_do_harm_is_refused_at_once(kind: str, path: Path, content: bytes) -> None:
    craft, message = CRAFTED[kind]
    crafted = craft(content)
    path.write_bytes(crafted)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            Population.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(crafted) + 200_000
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


def test_every_changed_byte_shows(path: Path, content: bytes) -> None:
    for i in range(0, len(content), 17):
        changed = bytearray(content)
        changed[i] ^= 1 << i % 8
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"population\.npz"):
            Population.load(path)
    path.write_bytes(content)
    assert Population.load(path)["mean"][0, 0] == 1.5


def test_values_that_are_not_those_of_the_sums_are_named(path: Path, content: bytes) -> None:
    path.write_bytes(packed({**unpacked(content), "mean": np.zeros((3, 50))}))
    with pytest.raises(ValueError, match=r"values of \['mean'\] are not what its batches"):
        Population.load(path)


# ---- whole or not at all


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def _nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files that have no name until they are whole, and without."""
    if not request.param:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


both = pytest.mark.usefixtures("_nameless")
posix = pytest.mark.skipif(os.name != "posix", reason="as on Unix")


@both
@pytest.mark.parametrize("at_call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_fault_while_saving_leaves_the_old_file_and_no_other(
    path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, at_call: str, error: Any
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        where: Any = whole if at_call == "open" else os
        patch.setattr(where, at_call, fail, raising=False)
        if at_call == "open":
            patch.setattr(os, "open", fail)
        with pytest.raises(error):
            population_of(2.5).save(path)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


@both
@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_mode_of_an_old_file_stays(path: Path, content: bytes, mode: int) -> None:
    path.chmod(mode)
    population_of(2.5).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert Population.load(path)["mean"][0, 0] == 2.5


@both
@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_new_file_has_the_mode_of_a_new_file(path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        population_of(2.5).save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@both
@posix
@pytest.mark.parametrize("is_relative", [True, False])
def test_link_stays_a_link_and_what_it_leads_to_is_replaced(
    tmp_path: Path, is_relative: bool
) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target.npz", tmp_path / "link.npz"
    (tmp_path / "chain.npz").symlink_to("there/target.npz" if is_relative else target)
    link.symlink_to("chain.npz")
    for value in (1.5, 2.5):  # at first, the link leads nowhere
        population_of(value).save(link)
        assert link.is_symlink()
        assert target.is_file()
        assert not target.is_symlink()
        assert Population.load(link)["mean"][0, 0] == value
    assert sorted(os.listdir(tmp_path)) == ["chain.npz", "link.npz", "there"]
    assert os.listdir(tmp_path / "there") == ["target.npz"]


@posix
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="not a file that can be replaced"):
        population_of(1.5).save(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file that can be replaced"):
        population_of(1.5).save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@both
def test_long_file_name_will_do(tmp_path: Path) -> None:
    population_of(1.5).save(tmp_path / ("x" * 251 + ".npz"))
    assert Population.load(tmp_path / ("x" * 251 + ".npz"))["mean"][0, 0] == 1.5


SAVING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored from above
sys.path[:0] = {path}
from test_crafted import population_of
populations = [population_of(value, 200, 200) for value in ({value}, {value} + 1)]
print("ready", flush=True)
while True:
    for population in populations:
        population.save({file!r})
"""


def saving(file: Path, value: float) -> subprocess.Popen[str]:
    """A process that saves two populations to one file again and again."""
    folders = [str(Path(__file__).parent), *sys.path]
    code = SAVING.format(path=folders, value=value, file=str(file))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_that_save_to_one_path_leave_one_whole_file(path: Path) -> None:
    processes = [saving(path, value) for value in (1, 3)]
    seen = set()
    try:
        deadline = time.monotonic() + 60
        while len(seen) < 4 and time.monotonic() < deadline:
            if path.exists():
                values = Population.load(path)["mean"]  # a half file would raise
                assert_array_equal(values, values[0, 0])
                seen.add(values[0, 0])
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert seen == {1, 2, 3, 4}
    assert Population.load(path)["mean"][0, 0] in seen


@posix
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (signal.SIGTERM, signal.SIGINT)),
    ],
)
def test_process_that_is_killed_while_saving_leaves_a_whole_file(
    path: Path, number: int, repeats: Callable[[int], int]
) -> None:
    population_of(0, 200, 200).save(path)
    for n in range(repeats(5)):
        process = saving(path, n)
        time.sleep(0.02 + 0.011 * n)
        process.send_signal(number)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # an interrupt is lost if it comes in a destructor
            process.kill()
            process.communicate()
        assert Population.load(path)["mean"].shape == (200, 200)
        others = [name for name in os.listdir(path.parent) if name != path.name]
        assert len(others) <= 1  # killed between its two names
        for name in others:
            (path.parent / name).unlink()
