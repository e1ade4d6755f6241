"""The Attentive Reader example: its data, its graph, its way from training to evaluation."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import engine
from engine import tensor as at

sys.path.append(str(Path(__file__).parent.parent / "examples"))
sys.path.append(str(Path(__file__).parent.parent / "examples" / "attentive_reader"))

import batches
import data
import evaluate
import model
import parameters
import questions
import runs
import train

# The texts of the tests are few and alike, so that some steps hold the same word in all of them.
pytestmark = pytest.mark.filterwarnings("ignore::bnrewrite.FewElements")

EXAMPLE = Path(questions.__file__).parent
TEXT = """http://example.org/1

@entity0 met @entity1 and spoke to @entity1

then @placeholder went home

@entity1

@entity0:Ruth
@entity1:Boaz
"""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def make_text(rng: np.random.Generator, url: str, length: int = 12) -> str:
    """A question whose answer is the entity before the word `left`."""
    passage = [f"word{k}" for k in rng.integers(0, 20, size=length)]
    spots = rng.choice(length - 1, size=3, replace=False)
    for number, spot in enumerate(spots):
        passage[spot] = f"@entity{number}"
    passage[spots[0] + 1] = "left"
    if "@entity0" not in passage or passage.count("left") != 1:
        return make_text(rng, url, length)
    query = " ".join(["who", "@placeholder", *["left"] * int(rng.integers(1, 4))])
    listing = "\n".join(f"@entity{n}:Name{n}" for n in range(3) if f"@entity{n}" in passage)
    return "\n\n".join([url, " ".join(passage), query, "@entity0", listing]) + "\n"


def write_corpus(folder: Path, rng: np.random.Generator, sizes: dict[str, int]) -> Path:
    for split, size in sizes.items():
        (folder / split).mkdir(parents=True)
        for i in range(size):
            text = make_text(rng, f"http://example.org/{split}/{i}", int(rng.integers(8, 16)))
            (folder / split / f"{i:03}.question").write_text(text, encoding="utf-8")
    return folder


# Reading


def test_a_question_file_gives_its_five_blocks():
    question = data.parse_question(TEXT)
    assert question.url == "http://example.org/1"
    assert question.passage[:3] == ("@entity0", "met", "@entity1")
    assert question.query == ("then", "@placeholder", "went", "home")
    assert question.answer == "@entity1"
    assert question.candidates == ("@entity0", "@entity1")
    assert question.names == {"@entity0": "Ruth", "@entity1": "Boaz"}


def test_windows_line_ends_and_several_blank_lines_are_no_matter():
    other = TEXT.replace("\n\n", "\n \n\n").replace("\n", "\r\n")
    assert data.parse_question(other) == data.parse_question(TEXT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 blocks"),
        (TEXT.replace("@placeholder", "she"), "no @placeholder"),
        (TEXT.replace("\n@entity1\n", "\nBoaz\n"), "no entity marker: 'Boaz'"),
        (TEXT.replace("\n@entity1\n", "\n@entity7\n"), "@entity7 is not in the passage"),
        (TEXT.replace("@entity0:Ruth", "Ruth"), "@entityN:Name"),
        (TEXT + "\n\nmore\n", "6 blocks"),
    ],
)
def test_a_malformed_question_says_why(text, reason):
    with pytest.raises(ValueError, match=reason):
        data.parse_question(text)


def test_malformed_files_are_skipped_with_a_count_and_the_first_three_reasons(tmp_path, rng):
    folder = write_corpus(tmp_path, rng, {"train": 5, "valid": 2, "test": 2})
    for i in range(4):
        (folder / "train" / f"bad{i}.question").write_text("nothing here")
    (folder / "test" / "latin.question").write_bytes(b"\xff\xfe\xff")
    corpus = data.read_corpus(folder)
    assert {split: len(qs) for split, qs in corpus.splits.items()} == {
        "train": 5,
        "valid": 2,
        "test": 2,
    }
    assert corpus.n_skipped == 5
    assert len(corpus.reasons) == 3
    assert corpus.reasons[0].startswith("bad0.question: 1 blocks")


def test_the_folder_names_of_the_cnn_corpus_are_understood(tmp_path, rng):
    folder = write_corpus(tmp_path, rng, {"training": 3, "validation": 2, "test": 1})
    assert len(data.read_corpus(folder).splits["valid"]) == 2


def test_an_empty_folder_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"no readable \.question files .* train, valid, test"):
        data.read_corpus(tmp_path)


def test_a_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        data.read_corpus(tmp_path / "nowhere")


def test_a_missing_split_is_a_clear_error(tmp_path, rng):
    folder = write_corpus(tmp_path, rng, {"train": 3, "test": 1})
    with pytest.raises(ValueError, match="for valid"):
        data.read_corpus(folder)


def test_a_flat_folder_is_split_by_passage_whatever_the_entity_numbers(tmp_path, rng):
    folder = write_corpus(tmp_path, rng, {"flat": 60})
    for path in list((folder / "flat").iterdir()):
        swapped = path.read_text().replace("@entity0", "@entity9").replace("left", "left", 1)
        (folder / "flat" / f"again-{path.name}").write_text(swapped)
    splits = data.read_corpus(folder, seed=1).splits
    assert {split: len(qs) % 2 for split, qs in splits.items()} == {
        "train": 0,
        "valid": 0,
        "test": 0,
    }
    passages = [{q.passage for q in qs} for qs in splits.values()]
    assert not set.intersection(*passages)
    other = data.read_corpus(folder, seed=2).splits
    assert [q.url for q in other["test"]] != [q.url for q in splits["test"]]


# Numbers and batches


def encoded_corpus(rng: np.random.Generator, size: int) -> tuple[list, data.Vocabulary]:
    parsed = [data.parse_question(make_text(rng, str(i), 8 + i % 9)) for i in range(size)]
    vocabulary = data.build_vocabulary(data.Corpus({"train": parsed}, 0, []))
    return batches.encode(parsed, vocabulary), vocabulary


def test_words_are_ranked_by_count_and_rare_ones_are_unknown():
    parsed = data.parse_question(TEXT.replace("met", "and"))
    vocabulary = data.build_vocabulary(data.Corpus({"train": [parsed]}, 0, []), min_count=2)
    assert vocabulary.words == ("and",)
    vocabulary = data.build_vocabulary(data.Corpus({"train": [parsed]}, 0, []), 1, max_words=3)
    assert vocabulary.words == ("and", "home", "spoke")
    encoded = batches.encode([parsed], vocabulary)[0]
    home = data.FIRST_ENTITY + 2 + 1
    assert encoded.query.tolist() == [data.UNK, data.PLACE, data.UNK, home]


def test_entities_get_new_distinct_numbers_and_the_answer_follows(rng):
    encoded, _ = encoded_corpus(rng, 1)
    seen = set()
    for _ in range(50):
        question = batches.permute_entities(encoded[0], rng)
        old, new = encoded[0].passage, question.passage
        assert_array_equal(new[old >= 0], old[old >= 0])
        slots, markers = old[old < 0], new[old < 0] - data.FIRST_ENTITY
        pairs = set(zip(slots.tolist(), markers.tolist(), strict=True))
        numbers = dict(pairs)
        assert len(pairs) == len(numbers) == len(set(numbers.values()))
        assert numbers[-1 - encoded[0].answer] == question.answer
        seen.add(tuple(new.tolist()))
    assert len(seen) > 1


def test_a_batch_is_padded_masked_and_names_the_candidates(rng):
    encoded, vocabulary = encoded_corpus(rng, 6)
    numbered = [batches.permute_entities(question, rng) for question in encoded]
    batch = batches.make_batch(numbered, vocabulary.n_entities)
    assert batch["passage"].shape == batch["passage_mask"].shape == (13, 6)
    for row, question in enumerate(numbered):
        n = len(question.passage)
        assert_array_equal(batch["passage"][:n, row], question.passage)
        assert (batch["passage"][n:, row] == data.PAD).all()
        assert_array_equal(batch["passage_mask"][:, row], np.arange(13) < n)
        assert batch["candidates"][row, batch["answer"][row]] == 1
        assert batch["candidates"][row].sum() == question.n_entities


def test_batches_hold_every_question_once_and_passages_of_similar_length(rng):
    encoded, vocabulary = encoded_corpus(rng, 100)
    made = batches.make_batches(encoded, vocabulary.n_entities, 8, rng)
    lengths = [batch["passage_mask"].sum(axis=0) for batch in made]
    assert sorted(np.concatenate(lengths)) == sorted(len(q.passage) for q in encoded)
    spread = np.mean([np.ptp(several) for several in lengths])
    assert spread < np.ptp(np.concatenate(lengths))
    full = batches.make_batches(encoded, vocabulary.n_entities, 8, rng, full_only=True)
    assert {batch["answer"].size for batch in full} == {8}
    assert len(full) == 12


def test_the_same_seed_gives_the_same_batches(rng):
    encoded, vocabulary = encoded_corpus(rng, 20)
    first, again, other = (
        batches.make_batches(encoded, vocabulary.n_entities, 8, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert all((a["passage"] == b["passage"]).all() for a, b in zip(first, again, strict=True))
    assert any(
        a["passage"].tolist() != b["passage"].tolist() for a, b in zip(first, other, strict=True)
    )


def test_a_split_batch_has_its_questions_without_padding(rng):
    encoded, vocabulary = encoded_corpus(rng, 5)
    numbered = [batches.permute_entities(question, rng) for question in encoded]
    ones = batches.split_batch(batches.make_batch(numbered, vocabulary.n_entities))
    for one, question in zip(ones, numbered, strict=True):
        assert_array_equal(one["passage"][:, 0], question.passage)
        assert_array_equal(one["query"][:, 0], question.query)
        assert one["answer"].tolist() == [question.answer]
        assert one["query_mask"].all()
        assert one["candidates"].shape == (1, vocabulary.n_entities)


def test_baselines_count_mentions():
    question = data.parse_question(TEXT.replace("and spoke to @entity1", "near @entity1 @entity0"))
    assert question.passage[-1] == "@entity0"
    assert data.baseline_accuracies([question]) == {
        "chance": 0.5,
        "most frequent": 0.0,
        "last mentioned": 0.0,
    }
    assert data.most_frequent(data.parse_question(TEXT)) == 1


# Questions made from text


CHAPTER = questions.Chapter(
    "ruth",
    9,
    [
        questions.TOKEN.findall(verse)
        for verse in (
            "And Ruth went with Naomi.",
            "Then Naomi blessed Ruth, and God saw it, and God knew.",
            "So Boaz spake unto Ruth’s kin; and Boaz hearkened.",
            "But Naomi said unto Ruth, Then tarry: then Naomi slept.",
        )
    ],
)


def test_names_have_capitals_inside_sentences_and_are_not_on_the_stop_list():
    assert questions.find_names([CHAPTER]) == {"Ruth", "Naomi", "Boaz"}


def test_a_made_question_is_a_verse_with_a_name_of_the_passage_left_out():
    made = list(questions.make_questions(CHAPTER, questions.find_names([CHAPTER])))
    parsed = [data.parse_question(text) for text in made]
    assert [question.names[question.answer] for question in parsed] == ["Ruth", "Ruth", "Naomi"]
    assert parsed[0].passage[:4] == ("and", "@entity0", "went", "with")
    assert " ".join(parsed[0].query).startswith("so @entity2 spake unto @placeholder ’s kin ;")
    assert " ".join(parsed[2].query).count("@placeholder") == 2
    assert parsed[0].url == "asv://ruth/9/3"


@pytest.mark.exhaustive  # a quarter of a minute
def test_questions_of_the_default_text_share_no_passage_between_splits(tmp_path):
    pytest.importorskip("pythonbible")
    folder = questions.write_questions(tmp_path)
    assert questions.write_questions(tmp_path) == folder
    splits = data.read_corpus(folder).splits
    assert min(len(questions) for questions in splits.values()) > 400
    train, valid, test = ({q.passage for q in split} for split in splits.values())
    assert len(train) + len(valid) + len(test) == len(train | valid | test)


# The graph


@pytest.fixture(autouse=True)
def single_precision():
    with model.flags():
        yield


@cache
def judge_and_batches(variant: str) -> tuple[evaluate.Judge, list[batches.Batch]]:
    """A small reader with random parameters and its population statistics."""
    rng = np.random.default_rng(3)
    encoded, vocabulary = encoded_corpus(rng, 24)
    made = batches.make_batches(encoded, vocabulary.n_entities, 8, rng)
    values = parameters.init_parameters(vocabulary.size, vocabulary.n_entities, units=4, seed=3)
    varied = {name: value + 0.3 * rng.normal(size=value.shape) for name, value in values.items()}
    reader = evaluate.Judge(
        variant, {name: engine.shared(v.astype("float32"), name) for name, v in varied.items()}
    )
    reader.estimate(made)
    return reader, made


@pytest.mark.parametrize("whole", [True, False])
def test_reversal_is_that_of_numpy_and_twice_it_is_nothing(rng, whole):
    x = rng.normal(size=(7, 4, 3)).astype("float32")
    lengths = [7, 3, 1, 5]
    mask = (np.arange(7)[:, None] < lengths).astype("float32")
    x_, mask_ = at.ftensor3("x"), at.fmatrix("mask")
    once = model.reverse(x_, mask_, whole=whole)
    twice = model.reverse(once, mask_, whole=whole)
    got, again = engine.function([x_, mask_], [once, twice], on_unused_input="ignore")(x, mask)
    expected = x[::-1].copy() if whole else x.copy()
    for row, length in enumerate(lengths if not whole else []):
        expected[:length, row] = x[:length, row][::-1]
    assert_array_equal(got, expected)
    assert_array_equal(again, x)


@pytest.mark.exhaustive  # 5 to 20 seconds for each
@pytest.mark.parametrize("variant", list(runs.VARIANTS))
def test_padding_is_not_attended_to_and_other_entities_are_not_answers(variant):
    reader, made = judge_and_batches(variant)
    scores, attention = reader.predict(made[0])
    assert (attention.T[made[0]["passage_mask"] == 0] == 0).all()
    assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)
    probabilities = np.exp(scores)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert_allclose(probabilities[made[0]["candidates"] == 0], 0, atol=1e-7)


def replace_other_rows(batch: batches.Batch, row: int) -> batches.Batch:
    """The batch with every row but one replaced by copies of another row, of the same shape."""
    rows = np.full(len(batch["answer"]), (row + 1) % len(batch["answer"]))
    rows[row] = row
    texts = ("passage", "passage_mask", "query", "query_mask")
    return {name: a[:, rows] if name in texts else a[rows] for name, a in batch.items()}


@pytest.mark.exhaustive  # a quarter of a minute for each
@pytest.mark.parametrize("variant", list(runs.VARIANTS))
def test_an_answer_does_not_depend_on_the_other_rows_of_the_batch(variant):
    reader, made = judge_and_batches(variant)
    scores, attention = reader.predict(made[0])
    for row in range(8):
        other_scores, other_attention = reader.predict(replace_other_rows(made[0], row))
        assert_allclose(other_scores[row], scores[row], rtol=1e-4, atol=1e-4)
        assert_allclose(other_attention[row], attention[row], rtol=1e-4, atol=1e-5)
        assert np.abs(other_scores[row - 2] - scores[row - 2]).max() > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("variant", ["lstm", "bn-e**"])
def test_an_answer_does_not_depend_on_padding_if_only_the_unpadded_part_is_reversed(variant):
    reader, made = judge_and_batches(variant)
    together, attention = reader.predict(made[0])
    for row, one in enumerate(batches.split_batch(made[0])):
        alone, attention_alone = reader.predict(one)
        n = attention_alone.shape[1]
        assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-4)
        assert_allclose(attention_alone[0], attention[row, :n], rtol=1e-4, atol=1e-5)


@pytest.mark.exhaustive
def test_batch_statistics_do_depend_on_the_other_rows():
    reader, made = judge_and_batches("bn-e**")
    predict = reader.compile_batch_statistics()
    together, alone = predict(made[0])[0], predict(batches.split_batch(made[0])[0])[0]
    assert np.abs(together[0] - alone[0]).max() > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("bn-lstm", {"input", "recurrent", "cell"}),
        ("bn-everywhere", {"input", "recurrent", "cell", "attention", "output"}),
        ("bn-e**", {"input", "recurrent", "cell", "attention", "output", "embedding"}),
    ],
)
def test_each_variant_has_the_statistics_of_the_paper(variant, expected):
    statistics = judge_and_batches(variant)[0].inference.statistics
    names = [statistic.name for statistic in statistics]
    found = {kind for kind in expected if any(kind in name for name in names)}
    assert found == expected
    per_step = {s.name for s in statistics if s.depth == 1}
    assert {name for name in names if "recurrent" in name or "cell" in name} <= per_step
    inputs = {name for name in names if "input" in name}
    assert inputs <= per_step if variant in ("bn-lstm", "bn-everywhere") else not inputs & per_step
    assert len([name for name in names if "recurrent.mean" in name]) == 4


# From training to evaluation


def run_script(script: str, *options: object) -> str:
    command = [sys.executable, str(EXAMPLE / script), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("|")]


@pytest.mark.exhaustive  # two minutes
def test_evaluation_in_a_new_process_gives_the_numbers_of_training(tmp_path, rng):
    folder = write_corpus(tmp_path / "corpus", rng, {"train": 64, "valid": 12, "test": 12})
    options = ["--quick", "--data", folder, "--out", tmp_path / "runs", "--epochs", 1]
    output = run_script("train.py", *options)
    saved = tmp_path / "runs" / "bn-e-star-star.npz"
    assert table_of(run_script("evaluate.py", saved)) == table_of(output)
    assert len(table_of(output)) == 2 + 3 + 4
    assert len(list(saved.parent.glob("*.png"))) == 3


@pytest.mark.exhaustive  # a minute
def test_a_resumed_run_is_the_run_without_a_break(tmp_path, rng):
    folder = write_corpus(tmp_path / "corpus", rng, {"train": 24, "valid": 4, "test": 4})
    settings = runs.Settings("lstm", str(folder), units=4, batch_size=12, quick=True)
    task = runs.load_problem(settings)
    sizes = task.vocabulary.size, task.vocabulary.n_entities, settings.units
    run = runs.Run(settings, task.vocabulary, parameters.init_parameters(*sizes, seed=0))
    with model.flags(quick=True):
        trainer = go_on(run, train.Trainer(run), task, tmp_path / "1.npz", epochs=1)
        go_on(run, trainer, task, tmp_path / "2.npz", epochs=2)
        resumed = runs.load_run(tmp_path / "1.npz")
        go_on(resumed, train.Trainer(resumed), task, tmp_path / "again.npz", epochs=2)
    for name, value in (run.parameters | run.optimizer).items():
        assert_array_equal((resumed.parameters | resumed.optimizer)[name], value, err_msg=name)


def go_on(run, trainer, task, path, epochs: int) -> train.Trainer:
    run.settings = replace(run.settings, epochs=epochs)
    train.fit(run, task, trainer, evaluate.Judge("lstm", trainer.parameters), path)
    assert run.epoch == epochs
    return trainer
