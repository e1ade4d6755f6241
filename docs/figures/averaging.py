"""Where statistics averaged over time, or held past the last step, are far from right.

A normalized recurrent network whose cell forgets slowly or fast: `c = forget * c + tanh(...)`, of
which `1 / (1 - forget)` steps are remembered. The variance of the cell grows until what is
forgotten balances what comes in. Weights and inputs are random, and nothing is trained.

    python docs/figures/averaging.py docs/pictures/averaging.png

It is written for PyTensor, takes a minute or two, and prints the figures that the picture shows.
"""

import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bnrewrite import InferenceGraph, batch_normalize

N_UNITS, N_STEPS, BATCH, N_BATCHES = 32, 100, 100, 20
MEMORIES = [1, 2, 5, 10, 20, 50, 100, 200]
SHOWN = {2: "C0", 10: "C1", 50: "C3"}


def network():
    """The training graph: its input, its states at all steps, and how much the cell keeps."""
    rng = np.random.default_rng(1)
    x = pt.dtensor3("x")  # (time, batch, units)
    weights = pytensor.shared(rng.normal(size=(N_UNITS, N_UNITS)) / np.sqrt(N_UNITS), name="U")
    forget = pytensor.shared(0.0, name="forget")

    def step(x_t, h, c):
        recurrent = batch_normalize(h @ weights, gamma=0.1, beta=0.0, label="recurrent")
        c = forget * c + pt.tanh(x_t + recurrent)
        return pt.tanh(batch_normalize(c, gamma=0.1, beta=0.0, label="cell")), c

    zeros = pt.zeros_like(x[0])
    states, _ = pytensor.scan(  # and the cell
        step, sequences=[x], outputs_info=[zeros, zeros], name="rnn", return_updates=False
    )
    return x, states, forget


def inputs(n_steps, n_examples, seed):
    """Noise, different for each seed."""
    return np.random.default_rng(seed).normal(size=(n_steps, n_examples, N_UNITS))


def distance(a, b):
    """At each step, the root mean square of the difference, relative to that of `b`."""
    return np.sqrt(np.square(a - b).mean(axis=(1, 2)) / np.square(b).mean(axis=(1, 2)))


def measure():
    """For each memory: the cell's variance by step, and the distances of three populations."""
    x, states, forget = network()
    graph = InferenceGraph([x], states)
    with_own = pytensor.function([x], states)  # statistics of a batch of 2000: nearly true ones
    predict = graph.compile(fast=False)
    test = inputs(2 * N_STEPS, 2000, seed=0)
    found = {}
    for memory in MEMORIES:
        forget.set_value(1 - 1 / memory)
        true = with_own(test)
        batches = [(inputs(N_STEPS, BATCH, seed),) for seed in range(1, 1 + N_BATCHES)]
        population = graph.estimate(batches)
        variance = population["rnn/cell.variance"].mean(axis=1)
        own = distance(predict(test), true)
        graph.assign(population.averaged_over_time())
        averaged = distance(predict(test), true)
        found[memory] = variance, own, averaged
    return found


def draw(found, path):
    """Three panels, from left to right the cause, how bad it is, and past the longest sequence."""
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    cause, size, longer = figure.subplots(1, 3)
    steps = np.arange(1, 2 * N_STEPS + 1)
    for memory, colour in SHOWN.items():
        variance, own, _ = found[memory]
        kept = (1 - 1 / memory) ** 2
        settled = 1 - kept ** steps[:N_STEPS]
        label = f"{memory} steps remembered"
        cause.plot(steps[:N_STEPS], variance / variance.mean(), colour, label=label)
        cause.plot(steps[:N_STEPS], settled / settled.mean(), "k:", linewidth=1)
        longer.plot(steps, own, colour, label=label)
    cause.plot([], [], "k:", linewidth=1, label="closed form, no recurrence")
    cause.axhline(1, color="grey", linewidth=0.8)
    cause.set_title("variance of the cell / its average over time", fontsize="small")
    cause.set_xlabel("step")
    for which, label, colour in ((2, "averaged over time", "C3"), (1, "of each step", "C0")):
        distances = [np.sqrt(np.square(found[m][which][:N_STEPS]).mean()) for m in MEMORIES]
        size.plot(MEMORIES, distances, "o-", color=colour, label=label)
    size.set_xscale("log")
    size.set_xticks([1, 10, 100], ["1", "10", "100"])
    size.set_ylim(bottom=0)
    size.set_title(f"distance of outputs over {N_STEPS} steps", fontsize="small")
    size.set_xlabel("steps remembered")
    longer.axvline(N_STEPS, color="grey", linewidth=0.8)
    longer.set_ylim(bottom=0)
    longer.set_title(f"distance, last step held from {N_STEPS} on", fontsize="small")
    longer.set_xlabel("step")
    for axes in (cause, size, longer):
        axes.legend(fontsize="x-small", frameon=False)
        axes.tick_params(labelsize="small")
    figure.savefig(path, dpi=140)


def table(found):
    """The figures, a line for each memory."""
    print("remembered  of each step  averaged over time  held, last of 200 steps")
    for memory, (_, own, averaged) in found.items():
        shown = [np.sqrt(np.square(d[:N_STEPS]).mean()) for d in (own, averaged)]
        print(f"{memory:>10}  {shown[0]:>12.3f}  {shown[1]:>18.3f}  {own[-1]:>23.3f}")


if __name__ == "__main__":
    FOUND = measure()
    table(FOUND)
    draw(FOUND, sys.argv[1])
