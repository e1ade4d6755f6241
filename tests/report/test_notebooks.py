"""What notebooks show: tables of what is there, in which nothing is markup."""

import copy
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import tqdm.auto
from numpy.testing import assert_allclose

import engine
from bnrewrite import InferenceGraph, batch_normalize
from bnrewrite.population.tallies import Tallies
from bnrewrite.population.unread import UnreadPopulation
from bnrewrite.tables import align
from engine import Variable
from engine import tensor as at
from executors import InlineExecutor
from shards import noise_free_batches

HOSTILE = "<img src=x onerror=alert(1)>&\"'\n\ud800\x1b[2J"
SHOWN = "<img src=x onerror=alert(1)>&\"'\\n\\ud800\\x1b[2J"


class Html(HTMLParser):
    """The cells of the rows of a table, the lines beside it, and the tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.lines, self.tags = [""], set[str]()
        self._cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        elif tag == "br":
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data
        else:
            self.lines[-1] += data.strip("\n")


TAGS = {"table", "thead", "tbody", "tr", "th", "td", "p", "br"}


def html(value: Any) -> Html:
    parsed = Html(value._repr_html_())
    assert parsed.tags <= TAGS
    return parsed


def graph_of(label: str = "bn", outputs: int = 1) -> InferenceGraph:
    x = at.dtensor3("x")
    y = engine.scan(
        lambda x_t: batch_normalize(x_t, 1.0, 0.0, label=label), sequences=[x], name="rnn"
    )
    y.name = "y"
    return InferenceGraph([x], y if outputs == 1 else [y, *[y.mean()] * (outputs - 1)])


@pytest.fixture(scope="module")
def graph() -> InferenceGraph:
    graph = graph_of()
    graph.estimate(noise_free_batches([3, 5]))
    return graph


# ---- tables


def test_population_is_its_summary(graph: InferenceGraph) -> None:
    population = graph.population
    assert population is not None
    shown = html(population)
    assert shown.lines == ["Population of 2 batches, pooling='edge', min_count='auto'"]
    header, mean, variance = shown.rows
    assert header[:3] == ["name", "shape", "depth"]
    # 5 steps of 2 units, 2 batches, of which 1 with 4 examples takes the last step.
    assert mean[:7] == ["rnn/bn.mean", "5 x 2", "1", "2", "1", "4", "4"]
    assert variance[0] == "rnn/bn.variance"
    held = population.pooled("reached", min_coverage=2)
    assert html(held).lines[0].startswith("Population of 2 batches, pooling='reached', min_cov")


def test_statistics_are_a_table_and_still_a_tuple(graph: InferenceGraph) -> None:
    statistics = graph.statistics
    kind = str(statistics[0].variable.type)
    assert html(statistics).rows == [
        ["statistic", "depth", "type"],
        ["rnn/bn.mean", "1", kind],
        ["rnn/bn.variance", "1", kind],
    ]
    assert isinstance(statistics, tuple)
    assert statistics == tuple(statistics)
    assert repr(statistics) == repr(tuple(statistics))
    assert statistics[1:] == (statistics[1],)
    for again in (copy.copy(statistics), pickle.loads(pickle.dumps(statistics))):
        assert type(again) is type(statistics)
        assert [s.name for s in again] == [s.name for s in statistics]
    assert html(graph.batch_statistics).rows == [["statistic", "depth", "type"]]


def test_verification_is_a_table_above_what_was_not_checked(graph: InferenceGraph) -> None:
    (batch,) = noise_free_batches([4])
    shown = html(graph.verify(batch))
    assert shown.rows == [
        ["output", "structure", "rows", "size", "order", "longer", "after until"],
        ["y", "yes", "yes", "yes", "yes", "yes", "-"],
    ]
    assert shown.lines == ["axes of examples: x 1", "longer: batches of 5 and 6 steps"]
    shown = html(graph.verify())
    assert shown.rows[1][1:3] == ["yes", "no"]
    assert shown.lines[0] == "not checked:"


def test_gap_is_a_table(graph: InferenceGraph) -> None:
    (batch,) = noise_free_batches([4])
    x = batch[0]
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    rms = np.sqrt(np.mean(((x - mean) / np.sqrt(variance + 1e-5)) ** 2))
    header, row = html(graph.gap(batch)).rows
    assert header[0] == "output"
    assert row[:2] == ["y", "4 x 4 x 2"]
    assert_allclose(float(row[2]), rms, rtol=1e-3)


def test_names_are_never_markup() -> None:
    graph = graph_of(HOSTILE)
    population = graph.estimate(noise_free_batches([3]))
    assert html(population).rows[1][0] == f"rnn/{SHOWN}.mean"
    assert html(graph.statistics).rows[1][0] == f"rnn/{SHOWN}.mean"
    unread = UnreadPopulation(population._tallies, "edge", ValueError("<b>why</b>"))
    assert html(unread).lines[-1] == "<b>why</b>"
    y = graph._batch_outputs[0]
    y.name = HOSTILE
    for shown in (html(graph.verify()), html(graph.gap(*noise_free_batches([3])))):
        assert shown.rows[1][0] == SHOWN


def test_what_does_not_print_can_not_break_a_table_of_text() -> None:
    printed = align([["name", "n"], [HOSTILE, "1"], ["é中", "22"]])
    assert printed.splitlines()[1:] == [f"{SHOWN}   1", f"{'é中'.ljust(len(SHOWN))}  22"]


def test_sums_without_values_are_shown_with_the_reason() -> None:
    tallies = Tallies({"a.mean": "float64"}, {})
    unread = UnreadPopulation(tallies, "edge", ValueError("no batch took the branch"))
    assert html(unread).lines == [repr(unread), "no batch took the branch"]


# ---- graphs


def test_graph_says_what_it_is() -> None:
    graph = graph_of(outputs=2)
    assert repr(graph) == "InferenceGraph(x -> 2 outputs, 2 statistics, not estimated yet)"
    graph.estimate(noise_free_batches([3, 5]), pooling="reached")
    assert repr(graph).endswith("2 statistics, estimated from 2 batches, pooling='reached')")
    graph.estimate(noise_free_batches([3]))
    assert repr(graph).endswith(" estimated from 1 batch, pooling='edge')")
    graph.assign(dict(graph.population or {}))
    assert repr(graph).endswith("2 statistics, values assigned)")


def test_graph_says_what_is_left_to_the_batch() -> None:
    x: Variable = at.dmatrix("x")
    y = batch_normalize(batch_normalize(x, 1.0, 0.0, label="one"), 1.0, 0.0, label="other")
    graph = InferenceGraph([x], y, only="one.*")
    expected = "x -> 1 output, 2 statistics, 2 left to the batch, not estimated yet"
    assert repr(graph) == f"InferenceGraph({expected})"


# ---- progress


@pytest.mark.parametrize("progress", [False, True])
def test_progress_is_shown_where_it_is_wanted_by_what_suits_the_place(
    progress: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    class Bar(tqdm.tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            bars.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    graph = graph_of()
    graph.estimate(list(noise_free_batches([3, 5])), progress=progress)
    shards = [lambda: noise_free_batches([3])] * 4
    graph.estimate_shards(shards, InlineExecutor(), progress=progress)
    done = [(bar.n, bar.total, bar.unit) for bar in bars]
    assert done == [(2, 2, "batch"), (4, 4, "shard")] * progress


def test_importing_asks_for_no_widgets() -> None:
    code = "import sys, bnrewrite; print('tqdm.auto' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.split()[-1] == "False"
