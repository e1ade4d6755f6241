"""Who speaks? A BN-LSTM on the JapaneseVowels series, with batch and with population statistics.

The data come with `sktime`: 12 channels, 7 to 29 steps, 9 speakers, 270 series to train on and 370
to test on. Prints a table of test accuracies, and saves a picture of the population statistics in
the folder that `--out` names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from tqdm import tqdm

from backend import SharedVariable, Variable, at, engine, scan
from bnrewrite import InferenceGraph, Population, batch_normalize, fast_compilation

matplotlib.use("Agg")
import matplotlib.pyplot as plt

UNITS, CHANNELS, SPEAKERS = 48, 12, 9
BATCH_SIZE, TEST_BATCH_SIZE, EPOCHS, LEARNING_RATE = 30, 74, 40, 3e-3
COLOURS = {"recurrent": "#0072B2", "input": "#D55E00", "cell": "#009E73"}  # Okabe and Ito

Series = list[tuple[np.ndarray, int]]
Batch = dict[str, np.ndarray]
Parameters = dict[str, SharedVariable]


class Model(NamedTuple):
    """The training graph: what it reads, what it learns, and what it computes."""

    x: Variable  # (time, batch, channel)
    mask: Variable  # (time, batch)
    speaker: Variable  # (batch,)
    parameters: Parameters
    scores: Variable  # (batch, speaker)


def load(split: str) -> Series:
    """Read the series, (time, channel) each, and their speakers from the files of `sktime`."""
    path = files("sktime") / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{split}.ts"
    _, _, data = path.read_text(encoding="utf-8").partition("@data\n")
    series = []
    for line in data.splitlines():
        *channels, speaker = line.split(":")
        values = np.array([channel.split(",") for channel in channels], "float32")
        series.append((values.T, int(speaker) - 1))
    return series


def make_batch(series: Series) -> Batch:
    """Pad at the end to (time, batch, channel), with a mask (time, batch)."""
    lengths = np.array([len(values) for values, _ in series])
    x = np.zeros((lengths.max(), len(series), CHANNELS), "float32")
    for i, (values, _) in enumerate(series):
        x[: len(values), i] = values
    mask = (np.arange(len(x))[:, None] < lengths).astype("float32")
    return {"x": x, "mask": mask, "speaker": np.array([speaker for _, speaker in series], "int32")}


def make_batches(series: Series, size: int, order: Sequence[int] | None = None) -> list[Batch]:
    """Cut the series into batches, in the given order."""
    chosen = series if order is None else [series[i] for i in order]
    return [make_batch(chosen[i : i + size]) for i in range(0, len(chosen), size)]


def share(value: np.ndarray, name: str | None = None) -> SharedVariable:
    """Give a value that can be updated, and whose shape is known when a function is compiled."""
    return engine.shared(value.astype("float32"), name=name, shape=value.shape)


def make_parameters(rng: np.random.Generator) -> Parameters:
    """Draw orthogonal recurrent weights, and others of variance 1 / inputs; gamma is 0.1."""
    square = [np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0] for _ in range(4)]
    bias = np.zeros(4 * UNITS)
    bias[UNITS : 2 * UNITS] = 1  # the forget gate
    values = {
        "W_h": np.concatenate(square, axis=1),
        "W_x": rng.normal(size=(CHANNELS, 4 * UNITS)) / np.sqrt(CHANNELS),
        "b": bias,
        "gamma_h": np.full(4 * UNITS, 0.1),
        "gamma_x": np.full(4 * UNITS, 0.1),
        "gamma_c": np.full(UNITS, 0.1),
        "beta_c": np.zeros(UNITS),
        "W_out": rng.normal(size=(UNITS, SPEAKERS)) / np.sqrt(UNITS),
        "b_out": np.zeros(SPEAKERS),
    }
    return {name: share(v, name) for name, v in values.items()}


def bn_lstm(x: Variable, mask: Variable, p: Parameters) -> Variable:
    """Last state of a BN-LSTM (Cooijmans et al. 2017); padding stays out of the statistics."""

    def step(x_t: Variable, mask_t: Variable, h: Variable, c: Variable) -> tuple[Variable, ...]:
        recurrent = batch_normalize(h @ p["W_h"], p["gamma_h"], 0, mask=mask_t, label="recurrent")
        from_input = batch_normalize(x_t, p["gamma_x"], 0, mask=mask_t, label="input")
        gates = recurrent + from_input + p["b"]
        i, f, o, g = (gates[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
        c_new = at.sigmoid(f) * c + at.sigmoid(i) * at.tanh(g)
        cell = batch_normalize(c_new, p["gamma_c"], p["beta_c"], mask=mask_t, label="cell")
        h_new = at.sigmoid(o) * at.tanh(cell)
        keep = at.neq(mask_t, 0)[:, None]
        return at.switch(keep, h_new, h), at.switch(keep, c_new, c)

    start = at.zeros((x.shape[1], UNITS))
    h, _ = scan(step, sequences=[x @ p["W_x"], mask], outputs_info=[start, start], name="lstm")
    return h[-1]


def adam(loss: Variable, parameters: Sequence[SharedVariable]) -> list[tuple[Variable, Variable]]:
    """Adam (Kingma and Ba 2015) with its usual settings, as updates."""
    t = engine.shared(np.float32(0))
    rate = LEARNING_RATE * at.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
    updates = [(t, t + 1)]
    for p, gradient in zip(parameters, engine.grad(loss, list(parameters)), strict=True):
        m, v = (share(np.zeros_like(p.get_value())) for _ in range(2))
        m_new, v_new = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * at.square(gradient)
        step = (rate * m_new / (at.sqrt(v_new) + 1e-8)).astype("float32")
        updates += [(m, m_new.astype("float32")), (v, v_new.astype("float32")), (p, p - step)]
    return updates


def epochs(series: Series, rng: np.random.Generator) -> Iterator[Batch]:
    """All training batches, the series in a new order in each epoch."""
    for _ in range(EPOCHS):
        yield from make_batches(series, BATCH_SIZE, rng.permutation(len(series)))


def accuracy(predict: Callable[..., np.ndarray], batches: Sequence[Batch]) -> float:
    """Which part of the series goes to the right speaker."""
    hits = [predict(b["x"], b["mask"]).argmax(axis=1) == b["speaker"] for b in batches]
    return float(np.concatenate(hits).mean())


def plot(population: Population, path: Path) -> None:
    """Draw mean and variance over the units per step, and how many batches count there.

    Batches count as long as enough of their series last; longer series are given what holds there.
    """
    fig, axes = plt.subplots(
        3, 3, figsize=(10, 7), sharex=True, layout="constrained", height_ratios=[3, 3, 2]
    )
    for column, (label, colour) in zip(axes.T, COLOURS.items(), strict=True):
        for ax, moment in zip(column, ("mean", "variance"), strict=False):
            values = population[f"lstm/{label}.{moment}"]
            steps = np.arange(len(values))
            low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
            ax.fill_between(steps, low, high, color=colour, alpha=0.25)
            ax.plot(steps, middle, color=colour)
            ax.set_ylabel(f"population {moment}")
        column[0].set_title(f"{label} term")
        column[2].bar(steps, population.coverage[f"lstm/{label}.mean"], color=colour)
        column[2].set(xlabel="step", ylabel=f"of {population.n_batches} batches")
    fig.suptitle(
        "Population statistics of the BN-LSTM: median of the units, and 10 to 90 %; "
        "below, the batches that count"
    )
    fig.savefig(path, dpi=120)


def build(rng: np.random.Generator) -> Model:
    """Build the training graph, with new parameters."""
    x = at.tensor(name="x", dtype="float32", shape=(None, None, CHANNELS))
    mask, speaker = at.matrix("mask"), at.ivector("speaker")
    p = make_parameters(rng)
    return Model(x, mask, speaker, p, bn_lstm(x, mask, p) @ p["W_out"] + p["b_out"])


def train(model: Model, series: Series, rng: np.random.Generator) -> None:
    """Change the parameters so that the right speakers become likely."""
    say("compiling the training function ...")
    log_likelihood = at.special.log_softmax(model.scores, axis=1)
    loss = -log_likelihood[at.arange(model.speaker.shape[0]), model.speaker].mean()
    updates = adam(loss, list(model.parameters.values()))
    with fast_compilation():  # as all that bnrewrite compiles, so that parts are compiled once
        step = engine.function([model.x, model.mask, model.speaker], loss, updates=updates)
    with tqdm(epochs(series, rng), total=EPOCHS * -(-len(series) // BATCH_SIZE)) as bar:
        for batch in bar:
            bar.set_description(f"loss {float(step(**batch)):.3f}")


def estimate(model: Model, series: Series, rng: np.random.Generator) -> InferenceGraph:
    """Build the inference graph, with the population of the training series."""
    say("compiling the function that estimates the population ...")
    graph = InferenceGraph([model.x, model.mask], model.scores)
    batches = make_batches(series, BATCH_SIZE, rng.permutation(len(series)))
    graph.estimate([(b["x"], b["mask"]) for b in batches], progress=True)
    return graph


def compare(model: Model, graph: InferenceGraph, series: Series) -> dict[str, float]:
    """Test accuracies under four kinds of statistics."""
    # The files are sorted by speaker; batches to compare with training batches must not be.
    order = np.random.default_rng(1).permutation(len(series))
    full, single = make_batches(series, TEST_BATCH_SIZE, order), make_batches(series, 1)
    say("compiling the functions that predict ...")
    with fast_compilation():
        with_batch = engine.function([model.x, model.mask], model.scores)
    with_population = graph.compile()
    rows = {
        f"(a) batch statistics, batches of {TEST_BATCH_SIZE}": accuracy(with_batch, full),
        "(b) batch statistics, batches of 1": accuracy(with_batch, single),
        "(c) population statistics of each step": accuracy(with_population, single),
    }
    # Whatever is assigned is used from then on; nothing is compiled again.
    graph.assign(graph.population.averaged_over_time())
    rows["(d) population statistics averaged over time"] = accuracy(with_population, single)
    return rows


def say(what: str) -> None:
    """Print what is happening, at once."""
    print(what, flush=True)


def main(out: Path) -> None:
    """Train, estimate the population statistics, and compare four ways to predict."""
    engine.config.floatX = "float32"
    rng = np.random.default_rng(0)
    train_series, test_series = load("TRAIN"), load("TEST")
    model = build(rng)
    train(model, train_series, rng)
    graph = estimate(model, train_series, rng)
    population = graph.population

    rows = compare(model, graph, test_series)
    print(f"\n{'test accuracy under':<48}{'%':>6}")
    for name, value in rows.items():
        print(f"{name:<48}{100 * value:>6.1f}")
    out.mkdir(parents=True, exist_ok=True)
    plot(population, out / "japanese_vowels.png")
    say(f"\nThe picture of the population is {out / 'japanese_vowels.png'}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the picture")
    main(parser.parse_args().out)
