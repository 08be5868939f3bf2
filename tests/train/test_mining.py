"""Negatives are hard and no answers; a teacher's scores come along; a run is read strictly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.trec import read_run
from qwen3_reranker.train.example_file import TrainExample, read_examples
from qwen3_reranker.train.mining import Bm25Candidates, RunCandidates, mine
from qwen3_reranker.train.mining_options import MiningOptions
from qwen3_reranker.train.teacher import distil
from tests.train.tuning import fifty

CORPUS = {str(n): text for n, text in enumerate(["gold", "twin", "near", "far", "last"])}
RUN = "".join(f"q1 Q0 {n} {n + 1} {score} tag\n" for n, score in enumerate([10.0, 9.8, 9.0, 5.0, 1.0]))
EXAMPLE = TrainExample("what is gold", ("gold",), (), id="q1")


@pytest.fixture
def run(tmp_path: Path) -> RunCandidates:
    (tmp_path / "run.trec").write_text(RUN, encoding="utf-8")
    return RunCandidates(read_run(tmp_path / "run.trec"), CORPUS)


def test_what_scores_nearly_as_the_positive_is_no_negative(run: RunCandidates) -> None:
    [found], mined = mine([EXAMPLE], run, MiningOptions(negatives=3))
    assert found.negatives == ("near", "far", "last")
    assert (mined.labelled, mined.candidates, mined.too_near, mined.kept, mined.short) == (1, 4, 1, 3, 0)
    [loose], _ = mine([EXAMPLE], run, MiningOptions(negatives=3, margin=0.0))
    assert loose.negatives == ("twin", "near", "far")


def test_ranks_are_counted_without_the_positive(run: RunCandidates) -> None:
    [found], _ = mine([EXAMPLE], run, MiningOptions(ranks="2-3", margin=0.0))
    assert found.negatives == ("near", "far")


def test_random_sampling_follows_from_the_seed(run: RunCandidates) -> None:
    drawn = {
        mine([EXAMPLE], run, MiningOptions(negatives=2, sampling="random", seed=seed))[0][0].negatives
        for seed in range(20)
    }
    assert len(drawn) > 1
    assert drawn <= {("near", "far"), ("near", "last"), ("far", "last")}


def test_a_teacher_drops_what_it_takes_for_an_answer_and_its_scores_come_along(run: RunCandidates) -> None:
    with Reranker("nano") as nano:
        texts = ["gold", "twin", "near", "far", "last"]
        logits = dict(zip(texts, nano.logits([(EXAMPLE.query, text) for text in texts]).tolist(), strict=True))
        [found], mined = mine([EXAMPLE], run, MiningOptions(negatives=9, margin=0.0, teacher_margin=0.2), nano)
    probability = {text: 1 / (1 + np.exp(-logit)) for text, logit in logits.items()}
    expected = [text for text in texts[1:] if probability[text] <= probability["gold"] - 0.2]
    assert list(found.negatives) == expected
    assert mined.doubted == 4 - len(expected)
    assert found.scores == pytest.approx([logits[text] for text in ("gold", *expected)], abs=1e-5)


def test_bm25_finds_the_words_of_the_query_and_never_a_positive() -> None:
    documents = ["red apples", "green apples", "apples and pears", "engines"]
    example = TrainExample("red apples", ("red apples",), ())
    [found], mined = mine([example], Bm25Candidates(documents), MiningOptions(negatives=2))
    assert set(found.negatives) == {"green apples", "apples and pears"}
    assert mined.unmatched == 0


def test_a_document_without_text_is_no_negative() -> None:
    [found], _ = mine(
        [TrainExample("apples", ("red apples",), ())], lambda *_: [(" ", 3.0), ("pears", 1.0)], MiningOptions()
    )
    assert found.negatives == ("pears",)


def test_a_run_and_a_corpus_that_do_not_fit_are_refused(tmp_path: Path, run: RunCandidates) -> None:
    with pytest.raises(InputError, match="no query 'q7'"):
        mine([replace(EXAMPLE, id="q7")], run, MiningOptions())
    with pytest.raises(InputError, match="no positive"):
        mine([replace(EXAMPLE, positives=())], run, MiningOptions())
    (tmp_path / "bad.trec").write_text("q1 Q0 1 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.trec:1"):
        read_run(tmp_path / "bad.trec")
    with pytest.raises(InputError, match="first '4'"):
        RunCandidates(read_run(tmp_path / "run.trec"), {key: text for key, text in CORPUS.items() if key != "4"})


def test_a_teacher_s_scores_are_its_logits_and_an_interrupted_file_is_finished(
    tmp_path: Path, small_reranker: Reranker
) -> None:
    examples, path = fifty(count=20), tmp_path / "taught.jsonl"
    assert distil(examples, small_reranker, path) == 20
    whole = path.read_bytes()
    taught = read_examples(path)
    first = taught[3]
    logits = small_reranker.logits([(first.query, text) for text in first.documents])
    assert np.array_equal(np.array(first.scores, np.float32), logits)
    # A process that is killed leaves half a line.
    path.write_bytes(whole[: len(whole) * 2 // 5])
    assert distil(examples, small_reranker, path, resume=True) < 20
    assert path.read_bytes() == whole
    with pytest.raises(InputError, match="--resume"):
        distil(examples, small_reranker, path)
    with pytest.raises(InputError, match="not from these examples"):
        distil(fifty(9, count=20), small_reranker, path, resume=True)
