"""Which frequency? A small recurrent network, with batch and with population statistics.

Each example is a sine of one of four frequencies, from a random phase on, under noise. The network
normalizes its state at each step over the examples of the batch, inside of the loop. So an example
that comes alone is subtracted from itself, and nothing is left of it. With population statistics it
is predicted as well as in a batch. To compile in little time, only the last layer is trained, and
lengths of axes are given where they are known.
"""

from collections.abc import Callable, Iterable

import numpy as np

from backend import Variable, at, engine, scan
from bnrewrite import InferenceGraph, batch_normalize, fast_compilation

STEPS, FREQUENCIES, UNITS, BATCH_SIZE, UPDATES = 20, 4, 128, 64, 300
Batch = dict[str, np.ndarray]
rng = np.random.default_rng(0)
engine.config.floatX = "float32"


def draw(n: int) -> Batch:
    """Draw `n` examples: `x` with axes (time, batch, 1), and `target` with a 1 at the frequency."""
    frequency = rng.integers(FREQUENCIES, size=n)
    time = np.linspace(0, 2 * np.pi, STEPS)[:, None]
    x = np.sin((1 + frequency) * time + rng.uniform(0, 2 * np.pi, size=n))
    x += 0.2 * rng.normal(size=x.shape)
    target = np.eye(FREQUENCIES)[frequency]
    return {"x": x[:, :, None].astype("float32"), "target": target.astype("float32")}


def parameter(value: np.ndarray, name: str) -> Variable:
    return engine.shared(value.astype("float32"), name=name, shape=value.shape)


def accuracy(predict: Callable[[np.ndarray], np.ndarray], batches: Iterable[Batch]) -> float:
    """In percent, how many examples get the right frequency."""
    return 100 * np.mean([predict(b["x"]).argmax(1) == b["target"].argmax(1) for b in batches])


# The training graph. What is a statistic of the batch, `batch_normalize` marks.
W = parameter(rng.normal(size=(1, UNITS)), "W")
U = parameter(np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0], "U")
beta = parameter(rng.normal(size=UNITS), "beta")
V = parameter(np.zeros((UNITS, FREQUENCIES)), "V")
x = at.tensor(name="x", dtype="float32", shape=(STEPS, None, 1))
target = at.tensor(name="target", dtype="float32", shape=(None, FREQUENCIES))


def step(x_t: Variable, h: Variable) -> Variable:
    """One step, over axes (batch, units)."""
    return at.tanh(batch_normalize(x_t @ W + h @ U, gamma=1.0, beta=beta, label="state"))


start = at.zeros((x.shape[1], UNITS))
h = scan(step, sequences=[x], outputs_info=[start], name="rnn")
scores = h.mean(axis=0) @ V
loss = -(target * at.special.log_softmax(scores, axis=1)).sum(axis=1).mean()

print("compiling the training function ...", flush=True)
with fast_compilation():  # as all that bnrewrite compiles, so that the parts are shared
    train = engine.function([x, target], loss, updates=[(V, V - engine.grad(loss, V))])
    with_batch = engine.function([x], scores)
print(f"training on {UPDATES} batches of {BATCH_SIZE} ...", flush=True)
losses = [float(train(**draw(BATCH_SIZE))) for _ in range(UPDATES)]
print(f"the loss was {losses[0]:.2f}, and is {losses[-1]:.2f}", flush=True)

# The inference graph: estimate the population from batches of training data, then predict.
print("compiling the functions that estimate and predict ...", flush=True)
graph = InferenceGraph([x], scores)
graph.estimate([{"x": draw(BATCH_SIZE)["x"]} for _ in range(20)])
with_population = graph.compile()

full, single = [draw(BATCH_SIZE) for _ in range(10)], [draw(1) for _ in range(640)]
print("\ntest accuracy under                          %")
print(f"batch statistics, batches of {BATCH_SIZE}          {accuracy(with_batch, full):6.1f}")
print(f"batch statistics, one example at a time  {accuracy(with_batch, single):6.1f}")
print(f"population statistics, one at a time     {accuracy(with_population, single):6.1f}")
