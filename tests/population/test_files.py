"""Files keep everything, whatever it is called; and what is no whole population file is refused."""

import json
import os
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bnrewrite import InferenceGraph, Population, mark_statistic
from bnrewrite.population.archive import packed, unpacked
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.tally import Reading
from engine import tensor as at

HERE = Path(__file__).parent / "files"
OLD = sorted(path.stem for path in HERE.glob("*.npz"))
Arrays = dict[str, np.ndarray]


def population_of(names: list[str], units: int = 2, n_batches: int = 3) -> Population:
    """A population of any names, the first two of which are a mean and its variance."""
    rng = np.random.default_rng(0)
    pairs = {names[0]: names[1]} if len(names) > 1 else {}
    tallies = Tallies(dict.fromkeys(names, "float32"), pairs)
    for n in range(n_batches):
        steps = 2 + n % 2
        count = rng.integers(1, 4, size=(steps, 1)).astype(float)
        reached = np.ones(steps, dtype=bool)
        tallies.add({name: Reading(rng.random((steps, units)), reached, count) for name in names})
    return Population(tallies)


def assert_equal(one: Population, other: Population) -> None:
    assert list(one) == list(other)
    assert (one.n_batches, one.pooling) == (other.n_batches, other.pooling)
    assert one.min_coverage == other.min_coverage
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert_array_equal(one[name], other[name])
        assert_array_equal(one.coverage[name], other.coverage[name])
        assert_array_equal(one.count.get(name, ()), other.count.get(name, ()))
        assert_allclose(one.spread[name], other.spread[name])


# ---- names

NAMES = {
    "hash": ["#", "#header", "a#tally.mean", "#0", "#0#tally.mean", "##"],
    "slash": ["/", "../up", "/root", "a/b", "a//b", "\\", "c:\\d", "."],
    "nul": ["\0", "a\0b", "a\0c", "a"],
    "space": ["", " ", "\n", "\t a", "a\r\n"],
    "keyword": ["file", "arr_0", "args", "kwds", "allow_pickle", "self"],
    "npy": ["a", "a.npy", "a.npy.npy", ".npy", "npy"],
    "unicode": ["ü", "u\u0308", "мера", "平均", "😀", "\u202e", "e\u0301"],
    "surrogate": ["\ud800", "\ud83d\ude00", "\udcff", "😀"],
    "case": ["mean", "Mean", "MEAN"],
    "json": ['"', '{"format": 9}', "\\u0041", "null", "'"],
    "megabyte": ["x" * 2**20, "x" * 2**20 + "y", "é#\0" * 2**18, "z" * 70_000],
}


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_is_kept(kind: str, tmp_path: Path) -> None:
    population = population_of(NAMES[kind])
    population.save(tmp_path / "population.npz")
    assert_equal(Population.load(tmp_path / "population.npz"), population)
    loaded = Population.load(tmp_path / "population.npz")
    merged = loaded.merge(population)
    assert merged.n_batches == 6
    merged.save(tmp_path / "population.npz")
    assert_equal(Population.load(tmp_path / "population.npz"), merged)


def test_all_names_at_once_are_kept(tmp_path: Path) -> None:
    names = [*dict.fromkeys(name for kind in NAMES.values() for name in kind)]
    population = population_of(names)
    population.save(tmp_path / "population.npz")
    assert_equal(Population.load(tmp_path / "population.npz"), population)


@pytest.mark.parametrize("label", ["#", "a\0b", "a/b", "ü", "x" * 2**20])
def test_any_label_of_a_graph_is_kept(label: str, tmp_path: Path) -> None:
    x = at.dmatrix("x")
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), label))
    population = graph.estimate([(np.ones((2, 3)),)])
    population.save(tmp_path / "population.npz")
    graph.assign(Population.load(tmp_path / "population.npz"))
    assert list(population) == [label]
    assert graph.population is not None
    assert_equal(graph.population, population)


def test_values_can_be_read_by_name_or_by_the_number_in_the_header(tmp_path: Path) -> None:
    population = population_of(["encoder/мера", "a#b"])
    population.save(tmp_path / "population.npz")
    with np.load(tmp_path / "population.npz") as file:
        header = json.loads(str(file["#header"]))
        assert header["numbered"] == {"a#b": "#1"}
        assert_array_equal(file["encoder/мера"], population["encoder/мера"])
        assert_array_equal(file["#1"], population["a#b"])


def test_equal_populations_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        population_of(["mean", "variance"]).save(tmp_path / name)
        time.sleep(0.01)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---- older formats


def of_fixtures() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches that the files were made from: series, and masks."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(2, 7, size=3)
        x = rng.normal(3, 2, size=(lengths.max(), 3, 2))
        yield x, np.arange(lengths.max())[:, None] < lengths


def expected(pooling: str) -> dict[str, np.ndarray]:
    """What a pooling makes of them, where all four batches have a step."""
    batches = [(x, mask) for x, mask in of_fixtures()]
    steps = min(len(x) for x, _ in batches)
    found = []
    for t in range(steps):
        elements = [x[t, mask[t]] for x, mask in batches]
        if pooling == "moments":
            everything = np.concatenate(elements)
            found.append((everything.mean(axis=0), everything.var(axis=0)))
        else:
            means = np.mean([e.mean(axis=0) for e in elements], axis=0)
            found.append((means, np.mean([e.var(axis=0) for e in elements], axis=0)))
    mean, variance = map(np.array, zip(*found, strict=True))
    return {"loop/bn.mean": mean, "loop/bn.variance": variance}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("pooling", ["edge", "reached", "moments"])
def test_files_of_older_formats_are_what_they_were(
    version: int, pooling: str, tmp_path: Path
) -> None:
    population = Population.load(HERE / f"format_{version}_{pooling}.npz")
    assert (population.n_batches, population.pooling, population.min_coverage) == (4, pooling, 2)
    for name, value in expected(pooling).items():
        assert_allclose(population[name][: len(value)], value)
        counts = [mask.sum(axis=1) for _, mask in of_fixtures()]
        total = [sum(int(c[t]) for c in counts if t < len(c)) for t in range(6)]
        assert population.count[name].tolist() == total
    population.save(tmp_path / "again.npz")
    assert_equal(Population.load(tmp_path / "again.npz"), population)


@pytest.mark.parametrize("version", [1, 2])
def test_plain_statistics_of_older_formats_are_what_they_were(version: int) -> None:
    population = Population.load(HERE / f"format_{version}_plain.npz")
    batches = [np.random.default_rng(n).normal(size=(n, 3)).astype("float32") for n in (4, 2, 7)]
    assert population["mean"].dtype == "float32"
    assert_allclose(population["mean"], np.mean([b.mean(axis=0) for b in batches], axis=0), 1e-6)
    merged = population.merge(population)
    assert merged.n_batches == 6


def test_first_format_can_not_be_read_under_another_pooling() -> None:
    population = Population.load(HERE / "format_1_reached.npz")
    with pytest.raises(ValueError, match="come from a file of format"):
        population.pooled("edge")


# ---- files that are none

CONTENTS = {name: (HERE / f"{name}.npz").read_bytes() for name in OLD}


def current() -> bytes:
    population = population_of(["loop/bn.mean", "loop/bn.variance", "a#b"], units=40)
    path = Path("/dev/shm" if Path("/dev/shm").exists() else ".") / f"{os.getpid()}.npz"
    try:
        population.save(path)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def overwritten(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes are others, at random or such as say that something is huge."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        n = int(rng.choice([1, 1, 2, 4, 8, 100]))
        at_byte = int(rng.integers(len(changed)))
        fill = [rng.bytes(n), b"\xff" * n, b"\0" * n, b"\x7f" * n][rng.integers(4)]
        changed[at_byte : at_byte + n] = fill
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Something is missing, doubled or put in between."""
    a, b = sorted(int(n) for n in rng.integers(len(content) + 1, size=2))
    kinds = [
        content[:a],
        content[a:],
        content[:a] + content[b:],
        content[:b] + content[a:],
        content[:a] + rng.bytes(int(rng.integers(1, 50))) + content[a:],
        content + content[a:b],
        content[a:b],
        content[b:] + content[:b],
    ]
    return kinds[rng.integers(len(kinds))]


def spliced(content: bytes, rng: np.random.Generator) -> bytes:
    """The beginning of one file, and the end of another."""
    other = CONTENTS[OLD[rng.integers(len(OLD))]]
    return content[: rng.integers(len(content))] + other[rng.integers(len(other)) :]


def members_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """A whole zip file, whose checks are right, of members that are not."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[rng.integers(len(members))]
    spoil = [overwritten, cut, lambda c, r: c.replace(b"(", b"(99999999, "), lambda c, r: b""]
    members[name] = spoil[rng.integers(4)](members[name], rng)
    if rng.integers(4) == 0:
        members[f"{name}{rng.integers(3)}"] = members.pop(name)
    buffer = BytesIO()
    compression = [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][rng.integers(3)]
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


@lru_cache
def arrays_in(content: bytes) -> Arrays:
    return unpacked(content)


def arrays_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """A whole file, with a digest, of arrays that do not belong together."""
    arrays = dict(arrays_in(content))
    name = list(arrays)[rng.integers(len(arrays))]
    array = arrays[name]
    spoiled: list[Any] = [
        array[..., None],
        array[None],
        array.ravel(),
        array.ravel()[:0],
        np.zeros((), array.dtype if array.dtype.kind != "U" else "f8"),
        array.astype("f4") if array.dtype.kind != "U" else np.array("[" * 5000),
        -np.ones_like(array) if array.dtype.kind in "fi" else array,
        np.full(array.shape, np.nan),
        np.full(array.shape, np.inf),
        np.zeros((1,) * 30),
        np.zeros((0, 3)),
        np.broadcast_to(np.float64(1), (3,) * array.ndim),
        np.array("text"),
        np.array(2**62),
        np.array(-1),
    ]
    if rng.integers(5) == 0:
        del arrays[name]
    else:
        arrays[name] = spoiled[rng.integers(len(spoiled))]
    return packed(arrays)


VALUES = [None, -1, 0, 2**70, 1.5, float("nan"), True, "edge", "", [], {}, [[]], {"a": "b"}, "f8"]


def header_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """A whole file, with a digest, whose header says something else."""
    arrays = arrays_in(content)
    header = json.loads(str(arrays["#header"]))
    key = list(header)[rng.integers(len(header))]
    value = VALUES[rng.integers(len(VALUES))]
    if isinstance(header[key], dict) and header[key] and rng.integers(2):
        inner = list(header[key])[rng.integers(len(header[key]))]
        header[key] = {**header[key], inner: value}
    elif rng.integers(8) == 0:
        del header[key]
    else:
        header[key] = value
    return packed({**arrays, "#header": np.array(json.dumps(header))})


MUTATIONS = [overwritten, cut, spliced, members_changed, arrays_changed, header_changed]
N_MUTATED = 10_000


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_mutated_files_are_refused_or_what_they_were(
    mutate: Any, tmp_path: Path, repeats: Callable[[int], int]
) -> None:
    path = tmp_path / "population.npz"
    originals = {**CONTENTS, "current": current()}
    populations = {}
    for name, content in originals.items():
        path.write_bytes(content)
        populations[name] = Population.load(path)
    rng = np.random.default_rng(MUTATIONS.index(mutate))
    n_refused, n = 0, repeats(N_MUTATED // len(MUTATIONS) + 1)
    for i in range(n):
        name = "current" if i % 2 else OLD[i // 2 % len(OLD)]
        content = mutate(originals[name], rng)
        path.write_bytes(content)
        loaded, error, peak = watched(path)
        assert peak < 10 * len(content) + 200_000
        if loaded is None:
            assert type(error) is ValueError
            assert str(path) in str(error)
            n_refused += 1
        elif mutate in (overwritten, cut, spliced):
            # A date in a zip file of old may be another, or half a kilobyte the same twice.
            assert_equal(loaded, populations[name])
            assert name != "current" or content == originals[name]
        else:
            assert mutate is not members_changed or name != "current"
            assert all(np.isfinite(value).all() for value in loaded.values())
            assert all((count >= 0).all() for count in loaded.count.values())
    assert n_refused > n / 2


def watched(path: Path) -> tuple[Population | None, BaseException | None, int]:
    """What is loaded or raised, and the most memory that it took."""
    loaded, error = None, None
    tracemalloc.start()
    try:
        loaded = Population.load(path)
    except Exception as raised:
        error = raised
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return loaded, error, peak
