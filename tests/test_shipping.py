"""`save` and `load_predictor`: one file, and a process that has not the code of the model."""

import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bnrewrite
import engine
from bnrewrite import InferenceGraph, Population, load_predictor, mark_statistic
from bnrewrite.graph.engine import VERSION
from bnrewrite.population.archive import Arrays, packed, unpacked
from engine import tensor as at

RNG = np.random.default_rng(0)
EPSILON = 1e-4
WEIGHTS = np.arange(9.0).reshape(3, 3) / 9 - 0.4

MODEL = f"""
import numpy as np
import engine
from bnrewrite import InferenceGraph, batch_normalize
from engine import tensor as at


class Layer:  # of a module that is not there when the file is loaded
    def __init__(self, W):
        self.W = W

    def __call__(self, x):
        return at.tanh(batch_normalize(x @ self.W, 1.5, 0.5, epsilon={EPSILON}, label="bn"))


def in_loop(inner):
    def step(x_t):
        return inner(x_t)

    return lambda x: engine.scan(step, sequences=[x], name="loop")


def build(depth):
    x, rate = at.TensorType("float64", (None,) * (depth + 2))("x"), at.dscalar("rate")
    W = engine.shared(np.arange(9.0).reshape(3, 3) / 9 - 0.4, name="W")
    layer = Layer(W)
    for _ in range(depth):
        layer = in_loop(layer)
    y = layer(x)
    return InferenceGraph([x, rate], [rate * y, y]), W
"""

LOADING = """
import sys
import numpy as np
from bnrewrite import load_predictor

path, batch, result = sys.argv[1:]
predict = load_predictor(path, allow_pickle=True)
with np.load(batch) as file:
    outputs = predict(dict(file))
form = type(outputs).__name__
named = dict(outputs) if form == "dict" else {"0": outputs} if form == "ndarray" else {
    str(i): output for i, output in enumerate(outputs)
}
np.savez(result, **named)
n_batches = predict.population.n_batches if predict.population else None
print(form, predict, n_batches, "departed" in sys.modules)
"""


def departed(folder: Path) -> ModuleType:
    """The module of a model, whose file is removed."""
    path = folder / "departed.py"
    path.write_text(MODEL)
    spec = importlib.util.spec_from_file_location("departed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.unlink()
    return module


def in_new_process(path: Path, batch: dict[str, Any]) -> tuple[str, dict[str, np.ndarray]]:
    """What a new process prints, and predicts for `batch` with the file in `path`."""
    np.savez(path.with_name("batch.npz"), **batch)
    files = [path, path.with_name("batch.npz"), path.with_name("result.npz")]
    command = [sys.executable, "-c", LOADING, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    with np.load(files[2]) as file:
        return done.stdout, dict(file)


def drawn(depth: int, *lengths: int, n: int = 5) -> dict[str, Any]:
    return {"x": RNG.normal(size=(*lengths[:depth], n, 3)), "rate": np.asarray(RNG.normal())}


def truth(population: Any, x: np.ndarray, depth: int) -> np.ndarray:
    """The layer in NumPy, with the last statistics held."""
    name = "loop/" * depth + "bn."
    mean, variance = population[name + "mean"], population[name + "variance"]
    for axis in range(depth):
        held = np.minimum(np.arange(x.shape[axis]), mean.shape[axis] - 1)
        mean, variance = mean.take(held, axis), variance.take(held, axis)
    normalized = (x @ WEIGHTS - mean[..., None, :]) / np.sqrt(variance[..., None, :] + EPSILON)
    return np.tanh(1.5 * normalized + 0.5)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_new_process_predicts_without_the_code_of_the_model(depth: int, tmp_path: Path) -> None:
    graph, W = departed(tmp_path).build(depth)
    population = graph.estimate([drawn(depth, 3, 2), drawn(depth, 2, 4)])
    path, batch = tmp_path / "model.npz", drawn(depth, 5, 3)
    graph.save(path)
    # What happens here afterwards does not reach the file.
    W.set_value(WEIGHTS + 1)
    graph.estimate([drawn(depth, 4, 4)])
    printed, outputs = in_new_process(path, batch)
    assert printed == "list Predictor(x, rate) 2 False\n"
    expected = truth(population, batch["x"], depth)
    assert_allclose(outputs["1"], expected, rtol=1e-12)
    assert_allclose(outputs["0"], batch["rate"] * expected, rtol=1e-12)


def test_outputs_have_the_form_that_they_were_saved_in(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(1)
    population, batch = graph.estimate([drawn(1, 3)]), drawn(1, 5)
    scaled, plain = graph.outputs
    expected = truth(population, batch["x"], 1)
    path = tmp_path / "model.npz"
    graph.save(path, outputs=plain[-1])
    printed, outputs = in_new_process(path, batch)
    assert printed.startswith("ndarray ")
    assert_allclose(outputs["0"], expected[-1], rtol=1e-12)
    graph.save(path, outputs={"last": plain[-1], "scaled": scaled})
    printed, outputs = in_new_process(path, batch)
    assert printed.startswith("dict ")
    assert_allclose(outputs["last"], expected[-1], rtol=1e-12)
    assert_allclose(outputs["scaled"], batch["rate"] * expected, rtol=1e-12)


def test_what_is_given_is_saved(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(1)
    population, batch = graph.estimate([drawn(1, 3)]), drawn(1, 5)
    graph.save(tmp_path / "model.npz", givens={graph._inputs[1]: at.constant(2.0, dtype="float64")})
    printed, outputs = in_new_process(tmp_path / "model.npz", {"x": batch["x"]})
    assert printed.startswith("list Predictor(x) ")
    assert_allclose(outputs["0"], 2 * truth(population, batch["x"], 1), rtol=1e-12)


def test_assigned_arrays_are_saved_too(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(0)
    arrays = {"bn.mean": np.arange(3.0), "bn.variance": np.ones(3)}
    graph.assign(arrays)
    graph.save(tmp_path / "model.npz")
    batch = drawn(0)
    printed, outputs = in_new_process(tmp_path / "model.npz", batch)
    assert printed == "list Predictor(x, rate) None False\n"
    assert_allclose(outputs["1"], truth(arrays, batch["x"], 0), rtol=1e-12)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The file of a model without loops."""
    graph, _ = departed(tmp_path).build(0)
    graph.estimate([drawn(0), drawn(0)])
    graph.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


def test_nothing_is_saved_without_a_population(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(0)
    with pytest.raises(RuntimeError, match="no population statistics yet: call `estimate`"):
        graph.save(tmp_path / "model.npz")
    assert not (tmp_path / "model.npz").exists()


def test_pickle_has_to_be_allowed(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.npz is not loaded.*any code.*allow_pickle=True"):
        load_predictor(saved)


def test_data_are_read_without_pickle(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as file:
        assert_array_equal(file["parameters/W"], WEIGHTS)
        assert json.loads(str(file["versions"]))["engine_version"] == VERSION
        mean = file["population/bn.mean"]
    population = Population.load(saved)
    assert population.n_batches == 2
    assert_array_equal(population["bn.mean"], mean)


class Alarm:
    """Unpickled, it raises something that nobody expects."""

    def __reduce__(self) -> Any:
        return alarm, ()


def alarm() -> None:
    raise SystemExit("unpickled")


def rewritten(path: Path, **changed: Any) -> None:
    """The file in `path` with other versions, an alarm for its graph, and a right digest."""
    members: Arrays = unpacked(path.read_bytes())
    versions = {**json.loads(str(members["versions"])), **changed}
    members["versions"] = np.array(json.dumps(versions))
    members["graph"] = np.frombuffer(pickle.dumps(Alarm()), np.uint8)
    path.write_bytes(packed(members))


MAJOR, MINOR, *_ = VERSION.split(".")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"engine": "theano"}, rf"saved with theano {VERSION} .* this is {bnrewrite.engine} "),
        ({"engine_version": f"{MAJOR}.{int(MINOR) + 1}.0"}, "Load it with .*, or build the model"),
        ({"engine_version": f"{int(MAJOR) + 1}.{MINOR}.0"}, "may compute something else"),
        ({"format": "1"}, "not written by `InferenceGraph.save`"),
        ({"format": 2, "bnrewrite": "9.1"}, "format 2, written by bnrewrite 9.1.* later release"),
    ],
)
def test_what_was_saved_with_other_versions_is_refused_before_it_is_unpickled(
    changed: dict[str, Any], message: str, saved: Path
) -> None:
    rewritten(saved, **changed)
    with pytest.raises(ValueError, match=message):
        load_predictor(saved, allow_pickle=True)


def test_versions_that_do_no_harm_are_not_refused(saved: Path) -> None:
    rewritten(saved, engine_version=f"{MAJOR}.{MINOR}.99", python="3.9", numpy="1", bnrewrite="0")
    with pytest.raises(SystemExit, match="unpickled"):  # so it got that far
        load_predictor(saved, allow_pickle=True)


def test_truncated_and_changed_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(content), size=40):
        flipped = bytearray(content)
        flipped[position] ^= 1
        for damaged in (content[:position], bytes(flipped)):
            saved.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"model\.npz is not the file of a predictor"):
                load_predictor(saved, allow_pickle=True)


def test_other_files_are_refused(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(0)
    graph.estimate([drawn(0)]).save(tmp_path / "population.npz")
    with pytest.raises(ValueError, match="not the file of a predictor"):
        load_predictor(tmp_path / "population.npz", allow_pickle=True)
    with pytest.raises(FileNotFoundError):
        load_predictor(tmp_path / "none.npz", allow_pickle=True)
    with pytest.raises(TypeError, match="path must be text or a path"):
        load_predictor(1, allow_pickle=True)  # type: ignore[arg-type]


def test_mode_that_there_is_not_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match="mode='QUICKLY'"):
        load_predictor(saved, allow_pickle=True, mode="QUICKLY")


def test_exact_function_is_that_of_the_graph_to_the_bit(tmp_path: Path) -> None:
    graph, _ = departed(tmp_path).build(1)
    graph.estimate([drawn(1, 3)])
    graph.save(tmp_path / "model.npz")
    predict, batch = (
        load_predictor(tmp_path / "model.npz", allow_pickle=True, fast=False),
        drawn(1, 4),
    )
    for loaded, expected in zip(predict(batch), graph.compile(fast=False)(batch), strict=True):
        assert_array_equal(loaded, expected)


def test_failed_save_leaves_the_old_file(saved: Path) -> None:
    content = saved.read_bytes()

    class Local(engine.module.graph.op.Op):  # type: ignore[misc]
        """Of a class that no other process can import."""

        itypes = otypes = (at.dmatrix,)

        def perform(self, node: Any, inputs: Any, output_storage: Any) -> None: ...

    x = at.dmatrix("x")
    graph = InferenceGraph([x], Local()(x - mark_statistic(x.mean(axis=0), "mean")))
    graph.assign({"mean": np.zeros(3)})
    with pytest.raises(TypeError, match=r"can't be pickled.*Local"):
        graph.save(saved)
    assert saved.read_bytes() == content


@pytest.mark.parametrize("looped", [False, True])
def test_deep_graphs_are_saved(looped: bool, tmp_path: Path) -> None:
    """Here as deep as Aesara takes, and too deep for a plain pickle."""

    def deep(v: Any) -> Any:
        for i in range(400):
            v = v + 0.5 if i % 2 else v - 0.25
        return v

    x = at.dmatrix("x")
    centered = x - mark_statistic(x.mean(axis=0), "mean")
    y = engine.scan(deep, sequences=[centered]) if looped else deep(centered)
    if engine.AESARA:  # later releases of Python have more stack
        limit = sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(1000)  # Python's own, which other tests may have changed
            with pytest.raises(RecursionError):
                pickle.dumps(y)
        finally:
            sys.setrecursionlimit(limit)
    graph = InferenceGraph([x], y)
    graph.assign({"mean": np.ones(3)})
    graph.save(tmp_path / "model.npz")
    predict = load_predictor(tmp_path / "model.npz", allow_pickle=True)
    assert_allclose(predict(np.zeros((2, 3))), np.full((2, 3), 49.0))


def test_random_streams_go_on_where_they_were_saved(tmp_path: Path) -> None:
    x, stream = at.dmatrix("x"), engine.stream(5)
    moved, draw = engine.normal(stream, x.shape)
    graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean") + draw)
    graph.assign({"mean": np.zeros(2)})
    graph.save(tmp_path / "model.npz", updates={stream: moved})
    predict = load_predictor(tmp_path / "model.npz", allow_pickle=True)
    rng = np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0])
    for _ in range(2):
        assert_allclose(predict(np.zeros((3, 2))), rng.normal(size=(3, 2)), rtol=1e-12)
    untouched = np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0])
    assert stream.get_value().normal() == untouched.normal()
