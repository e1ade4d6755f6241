"""The Attentive Reader as a graph, with the batch normalization of each variant.

Sequences are (time, batch, units). Each direction of each encoder is one named loop; what does not
depend on the state (embeddings, input projections) is computed outside, for all steps at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from runs import Variant

from backend import Noise, TensorVariable, at, engine, scan
from bnrewrite import batch_normalize

Parameters = Mapping[str, TensorVariable]
FAR_BELOW = np.float32(-1e4)  # a logit of probability zero


def flags(quick: bool = False) -> AbstractContextManager[None]:
    """Single precision; for a quick run also cheap compilation, which makes slow functions."""
    mode = {"mode": "FAST_COMPILE"} if quick else {}
    return engine.config.change_flags(floatX="float32", **mode)


class Graph(NamedTuple):
    """A reader's inputs by name, and what it computes from a batch."""

    inputs: dict[str, TensorVariable]
    loss: TensorVariable
    scores: TensorVariable  # (batch, entities), log-probabilities
    attention: TensorVariable  # (batch, time)


def make_inputs() -> dict[str, TensorVariable]:
    """The variables for the arrays of a batch."""
    inputs = [
        at.imatrix("passage"),
        at.fmatrix("passage_mask"),
        at.imatrix("query"),
        at.fmatrix("query_mask"),
        at.fmatrix("candidates"),
        at.ivector("answer"),
    ]
    return {variable.name: variable for variable in inputs}


class Reader:
    """Builds the graph of one variant from its parameters; with `noise`, dropout is on."""

    def __init__(
        self,
        variant: Variant,
        parameters: Parameters,
        dropout: float = 0.0,
        noise: Noise | None = None,
    ) -> None:
        self.variant = variant
        self.parameters = parameters
        self.keep = 1 - dropout
        self.noise = noise

    def build(self) -> Graph:
        """Read passage and query, attend, answer."""
        inputs = make_inputs()
        passage, mask = inputs["passage"], inputs["passage_mask"]
        y, _ = self.encode("passage", passage, mask)
        _, u = self.encode("query", inputs["query"], inputs["query_mask"])
        y, u = self.dropout(y), self.dropout(u)
        attention = self.attend(y, u, mask)
        r = at.sum(attention[:, :, None] * y, axis=0)
        scores = self.answer(r, u, inputs["candidates"])
        rows = at.arange(scores.shape[0])
        loss = -scores[rows, inputs["answer"]].mean()
        return Graph(inputs, loss, scores, attention.T)

    def encode(
        self, text: str, tokens: TensorVariable, mask: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        """Both directions over a text: the states at its tokens, and the two last states."""
        x = self.dropout(self.embed(text, tokens, mask))
        forward = self.lstm(f"{text}_forward", x, mask)
        whole = not self.variant.reverse_unpadded
        back_mask = mask[::-1] if whole else mask
        back = self.lstm(f"{text}_backward", reverse(x, mask, whole=whole), back_mask)
        states = at.concatenate([forward, reverse(back, mask, whole=whole)], axis=2)
        return states, at.concatenate([forward[-1], back[-1]], axis=1)

    def embed(self, text: str, tokens: TensorVariable, mask: TensorVariable) -> TensorVariable:
        """The vectors of the tokens; both texts share the vectors, not the statistics."""
        table = self.parameters["embedding.W"]
        x = table[tokens.flatten()].reshape((tokens.shape[0], tokens.shape[1], table.shape[1]))
        if self.variant.embedding:
            x = self.normalize("embedding", x, (0, 1), mask, f"{text}_embedding")
        return x

    def lstm(self, name: str, x: TensorVariable, mask: TensorVariable) -> TensorVariable:
        """The states (time, batch, units) of an LSTM; a masked step keeps both of its states."""
        W_x, W_h, b, gamma_x, gamma_h, gamma_c, beta_c = (
            self.parameters[f"{name}.{key}"]
            for key in ("W_x", "W_h", "b", "gamma_x", "gamma_h", "gamma_c", "beta_c")
        )
        variant = self.variant
        inputs = at.dot(x, W_x)
        if variant.input_term == "sequence":
            label = f"{name}/input"
            inputs = batch_normalize(inputs, gamma_x, 0, axis=(0, 1), mask=mask, label=label)

        def step(
            x_t: TensorVariable, mask_t: TensorVariable, h: TensorVariable, c: TensorVariable
        ) -> tuple[TensorVariable, TensorVariable]:
            recurrent = at.dot(h, W_h)
            if variant.input_term == "step":
                x_t = batch_normalize(x_t, gamma_x, 0, mask=mask_t, label="input")
            if variant.lstm:
                recurrent = batch_normalize(recurrent, gamma_h, 0, label="recurrent")
            gates = x_t + recurrent + b
            i, f, o, g = at.split(gates, [units] * 4, n_splits=4, axis=1)
            new_c = at.sigmoid(f) * c + at.sigmoid(i) * at.tanh(g)
            shown = new_c
            if variant.lstm:
                shown = batch_normalize(new_c, gamma_c, beta_c, label="cell")
            new_h = at.sigmoid(o) * at.tanh(shown)
            keep = mask_t[:, None]
            return keep * new_h + (1 - keep) * h, keep * new_c + (1 - keep) * c

        units = beta_c.get_value().size
        start = at.zeros((x.shape[1], units), dtype=x.dtype)
        states, _ = scan(step, sequences=[inputs, mask], outputs_info=[start, start], name=name)
        return states

    def attend(self, y: TensorVariable, u: TensorVariable, mask: TensorVariable) -> TensorVariable:
        """How much each token counts (time, batch): a softmax over the unpadded part."""
        p = self.parameters
        at_token, asked = at.dot(y, p["attention.W_y"]), at.dot(u, p["attention.W_u"])
        if self.variant.everywhere:
            at_token = self.normalize("attention.y", at_token, (0, 1), mask)
            asked = self.normalize("attention.u", asked)
        energy = at.dot(at.tanh(at_token + asked), p["attention.w"])
        energy = at.switch(mask > 0, energy, FAR_BELOW)
        weights = at.exp(energy - energy.max(axis=0))
        return weights / weights.sum(axis=0)

    def answer(
        self, r: TensorVariable, u: TensorVariable, candidates: TensorVariable
    ) -> TensorVariable:
        """The log-probability of each entity, those outside of the passage far below."""
        p = self.parameters
        found, asked = at.dot(r, p["output.W_r"]), at.dot(u, p["output.W_u"])
        if self.variant.everywhere:
            found = self.normalize("output.r", found)
            asked = self.normalize("output.u", asked)
        logits = at.dot(self.dropout(at.tanh(found + asked)), p["output.W"])
        logits = at.switch(candidates > 0, logits, FAR_BELOW)
        return logits - at.logsumexp(logits, axis=1, keepdims=True)

    def normalize(
        self,
        name: str,
        x: TensorVariable,
        axis: int | tuple[int, ...] = 0,
        mask: TensorVariable | None = None,
        label: str | None = None,
    ) -> TensorVariable:
        """Batch normalization outside of the loops, with the gamma and beta of `name`."""
        gamma, beta = self.parameters[f"{name}.gamma"], self.parameters[f"{name}.beta"]
        return batch_normalize(x, gamma, beta, axis=axis, mask=mask, label=label or name)

    def dropout(self, x: TensorVariable) -> TensorVariable:
        """Zero random elements and scale the others up; nothing without noise."""
        if self.noise is None or self.keep == 1:
            return x
        kept = at.lt(self.noise.uniform(x.shape, x.dtype), self.keep)
        return x * kept / self.keep


def reverse(x: TensorVariable, mask: TensorVariable, *, whole: bool) -> TensorVariable:
    """Reverse (time, batch, units) in time: all of it, or what is unpadded, padding staying last.

    Twice is the identity. Rows are taken from a flattened `x`, which is fast to differentiate.
    """
    if whole:
        return x[::-1]
    time = at.arange(x.shape[0])[:, None]
    last = mask.sum(axis=0).astype("int64") - 1
    source = at.switch(time <= last, last - time, time)
    rows = source * x.shape[1] + at.arange(x.shape[1])
    flat = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    return flat[rows.flatten()].reshape(x.shape)
