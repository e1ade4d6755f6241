"""Batches come as other tools have them: loaders, generators, functions, files, tensors."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import engine
from bnrewrite import (
    EstimateError,
    InferenceGraph,
    ShardError,
    estimate_population,
    export_statistics,
    get_inference_graph,
    mark_statistic,
)
from engine import Variable
from engine import tensor as at
from executors import InlineExecutor


class Tensor:
    """An array-like as those of PyTorch are: NumPy can read it, and little else is as in NumPy."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)
        self.dtype = f"torch.{self._values.dtype}"
        self.n_read = 0

    def __array__(self, dtype: Any = None) -> np.ndarray:
        self.n_read += 1
        return self._values if dtype is None else self._values.astype(dtype)

    def __bool__(self) -> bool:
        raise RuntimeError("the truth of a tensor is ambiguous")

    def __eq__(self, other: object) -> Any:
        raise RuntimeError("tensors are not to be compared")

    __hash__ = None  # type: ignore[assignment]


class Loader:
    """Batches as often as wanted, as a DataLoader of PyTorch gives them; its length is unknown."""

    def __init__(self, batches: Callable[[], Iterator[Any]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches()

    def __len__(self) -> int:
        raise TypeError("the data have no length")


LENGTHS = [(3, 4), (5, 2), (2, 6)]


def values() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = [(rng.normal(size=(*n, 2)), rng.normal(size=(n[1], 2))) for n in LENGTHS]
    return [(x.astype("float32"), z.astype("float32")) for x, z in arrays]


def expected() -> tuple[np.ndarray, np.ndarray]:
    """By hand: means over examples, short batches repeating their last step; and those of z."""
    held = [x.mean(axis=1)[np.minimum(np.arange(5), len(x) - 1)] for x, _ in values()]
    return np.mean(held, axis=0), np.mean([z.mean(axis=0) for _, z in values()], axis=0)


@pytest.fixture(scope="module")
def model() -> tuple[list[Variable], Variable]:
    """A loop over x, and z beside it, in float32: tensors of another dtype are converted."""
    x, z = at.ftensor3("x"), at.fmatrix("z")
    y = engine.scan(lambda x_t: x_t - mark_statistic(x_t.mean(axis=0), "m"), [x], name="loop")
    return [x, z], y + (z - mark_statistic(z.mean(axis=0), "z"))


Wrap = Callable[[np.ndarray], Any]


def on_disk(folder: Path, array: np.ndarray) -> np.ndarray:
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, array)
    loaded = np.load(path, mmap_mode="r")
    assert isinstance(loaded, np.memmap)
    return loaded


def batches(wrap: Wrap, form: str) -> Iterator[Any]:
    for x, z in values():
        pair = wrap(x), wrap(z)
        yield (
            dict(zip("xz", pair, strict=True))
            if form == "dict"
            else {"list": list}.get(form, tuple)(pair)
        )


def estimates(model: tuple[list[Variable], Variable], given: Callable[[], Any]) -> Iterator[Any]:
    """The population, by each function that takes batches."""
    inputs, y = model
    graph = InferenceGraph(inputs, y)
    yield graph.estimate(given())
    yield estimate_population(inputs, export_statistics(y), given())
    if callable(given()):
        yield graph.estimate_shards([given()], InlineExecutor())
    else:
        yield graph.estimate_shards([given], InlineExecutor())


KINDS: dict[str, Callable[[Any], Any]] = {
    "generator": lambda make: make(),
    "loader": Loader,
    "function": lambda make: make,
    "list": lambda make: list(make()),
}


@pytest.mark.parametrize("form", ["tuple", "list", "dict"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["tensor", "memmap", "float64 tensor"])
def test_batches_of_any_kind_are_averaged(
    model: tuple[list[Variable], Variable], form: str, kind: str, what: str, tmp_path: Path
) -> None:
    wraps: dict[str, Wrap] = {
        "tensor": Tensor,
        "memmap": partial(on_disk, tmp_path),
        "float64 tensor": lambda a: Tensor(a.astype("float64")),
    }
    make = partial(batches, wraps[what], form)
    for population in estimates(model, lambda: KINDS[kind](make)):
        assert population.n_batches == 3
        assert_allclose(population["loop/m"], expected()[0], rtol=1e-5)
        assert_allclose(population["z"], expected()[1], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_get_inference_graph_takes_the_same(
    model: tuple[list[Variable], Variable], kind: str
) -> None:
    inputs, y = model
    inference = get_inference_graph(inputs, y, KINDS[kind](partial(batches, Tensor, "tuple")))
    x, z = values()[1]
    outputs = engine.function(inputs, inference)(x, z)
    assert_allclose(outputs, x - expected()[0][:, None] + z - expected()[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["loader", "function", "list"])
def test_what_can_be_read_again_serves_every_estimate(
    model: tuple[list[Variable], Variable], kind: str
) -> None:
    graph, given = InferenceGraph(*model), KINDS[kind](partial(batches, Tensor, "list"))
    first = graph.estimate(given)
    again = graph.estimate(given, pooling="reached", progress=True)
    assert (first.n_batches, again.n_batches) == (3, 3)
    longer = graph.estimate(given, resume=first)
    assert longer.n_batches == 6
    assert_allclose(longer["loop/m"], first["loop/m"], rtol=1e-6)


def test_npz_file_is_a_batch(model: tuple[list[Variable], Variable], tmp_path: Path) -> None:
    paths = []
    for i, (x, z) in enumerate(values()):
        paths.append(tmp_path / f"{i}.npz")
        np.savez(paths[-1], x=x, z=z)
    population = InferenceGraph(*model).estimate(np.load(path) for path in paths)
    assert_allclose(population["loop/m"], expected()[0], rtol=1e-5)


def test_tensors_are_taken_by_checks_and_predictions_too(
    model: tuple[list[Variable], Variable],
) -> None:
    graph = InferenceGraph(*model)
    graph.estimate(values())
    predict = graph.compile()
    x, z = values()[0]
    assert_allclose(predict(Tensor(x), z=Tensor(z)), predict(x, z))
    assert repr(graph.gap([Tensor(x), Tensor(z)])) == repr(graph.gap([x, z]))
    axes = (1, 0)
    assert repr(graph.verify([Tensor(x), Tensor(z)], axes)) == repr(graph.verify([x, z], axes))


def test_arrays_on_disk_are_not_written_to(
    model: tuple[list[Variable], Variable], tmp_path: Path
) -> None:
    paths = []
    for x, z in values():
        on_disk(tmp_path, x), on_disk(tmp_path, z)
    paths = sorted(tmp_path.iterdir())
    before = [path.read_bytes() for path in paths]
    loaded = [np.load(path, mmap_mode="r+") for path in paths]
    graph = InferenceGraph(*model)
    graph.estimate(zip(loaded[::2], loaded[1::2], strict=True))
    graph.compile()(*loaded[:2])
    for array in loaded:
        array.flush()
    assert [path.read_bytes() for path in paths] == before


# ---- what is wrong


def test_function_that_needs_arguments_is_refused_before_anything_is_compiled(
    model: tuple[list[Variable], Variable],
) -> None:
    graph = InferenceGraph(*model)
    message = "has to be called without arguments, got .*functools.partial"
    for function in (batches, Loader, lambda path: [path]):
        with pytest.raises(TypeError, match=message):
            graph.estimate(function)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=message):
            get_inference_graph(*model, function)  # type: ignore[arg-type]
    assert "_estimator" not in vars(graph)


@pytest.mark.parametrize("returned", [None, {"x": 1}, "a.npz", 3])
def test_function_that_returns_no_batches_is_an_error(
    model: tuple[list[Variable], Variable], returned: Any
) -> None:
    with pytest.raises(
        ValueError, match=r"that was given as batches returned .*no iterable of bat"
    ):
        InferenceGraph(*model).estimate(lambda: returned)


def test_what_goes_wrong_in_a_loader_keeps_what_was_done(
    model: tuple[list[Variable], Variable],
) -> None:
    def broken() -> Iterator[Any]:
        yield values()[0]
        raise OSError("no such disk")

    graph = InferenceGraph(*model)
    for given in (broken, Loader(broken)):
        with pytest.raises(EstimateError, match=r"stopped at batch 2, after 1 .*no such disk") as e:
            graph.estimate(given)
        assert e.value.population is not None
        assert e.value.population.n_batches == 1
    with pytest.raises(ShardError, match="no such disk"):
        graph.estimate_shards([broken], InlineExecutor())
    with pytest.raises(EstimateError, match=r"stopped at batch 1, after 0 .*PermissionError: not"):
        graph.estimate(_locked)


def _locked() -> Iterator[Any]:
    raise PermissionError("not yours")


def test_tensor_that_numpy_can_not_read_is_named(
    model: tuple[list[Variable], Variable],
) -> None:
    class OnDevice(Tensor):
        def __array__(self, dtype: Any = None) -> np.ndarray:
            raise TypeError("copy the tensor to the host first")

    x, z = values()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(EstimateError, match=r"(?s)stopped at batch 1.*to the host first"):
            InferenceGraph(*model).estimate([(OnDevice(x), z)])
