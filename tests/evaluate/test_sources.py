"""Every layout is read as it is meant, and what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import Measure, read_qrels, read_run, read_sets, score_run, write_run
from qwen3_reranker.evaluate.first_stage import given
from qwen3_reranker.evaluate.labelled import weights
from qwen3_reranker.evaluate.trec import read_topics
from tests.evaluate.conftest import TASKS, write_lines, write_set

NDCG = Measure("nDCG", 10)
TOPICS = """<top>
<num> Number: 301
<title> International
Organized Crime
<desc> Description:
Identify organizations.
</top>
<top>
<num> Number: 302 <title> Polio
</top>
"""


def test_a_beir_folder_gives_its_judged_queries_with_title_and_text_on_lines_of_their_own(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", name="my set", instruction="Find the command")
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('{"_id": "t", "title": "A title", "text": "A text"}\n')
    [labelled] = read_sets(folder)
    assert (labelled.name, labelled.instruction) == ("my set", "Find the command")
    assert list(labelled.queries.values()) == list(TASKS)
    assert labelled.documents["t"] == "A title\nA text"
    assert labelled.qrels["q3"] == {"d3": 1}


def test_a_query_s_own_instruction_goes_before_that_of_its_set(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", instruction="of the set")
    rows = [{"_id": f"q{n}", "text": "?", "metadata": {"instruction": "its own"} if n else {}} for n in range(12)]
    write_lines(folder / "queries.jsonl", rows)
    [labelled] = read_sets(folder)
    assert (labelled.instruction_of("q0"), labelled.instruction_of("q1")) == ("of the set", "its own")


def test_a_folder_of_sets_gives_all_of_them_and_a_qrels_file_chooses_its_judgements(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        write_set(tmp_path / "all" / name)
    assert [labelled.name for labelled in read_sets(tmp_path / "all")] == ["a/deep", "b"]
    (tmp_path / "all/b/qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td9\t2\n", encoding="utf-8")
    [labelled] = read_sets(tmp_path / "all/b/qrels/dev.tsv")
    assert labelled.qrels == {"q1": {"d9": 2}}
    assert read_sets(tmp_path / "all/b")[0].qrels["q1"] == {"d1": 1}


def test_a_trec_folder_is_topics_qrels_and_a_collection(tmp_path: Path) -> None:
    (tmp_path / "topics.txt").write_text(TOPICS, encoding="utf-8")
    (tmp_path / "qrels.txt").write_text("301 0 D1 2\n301 0 D2 0\n302 0 D2 1\n", encoding="utf-8")
    (tmp_path / "collection.tsv").write_text("D1\tcrime gangs\nD2\tpolio\n", encoding="utf-8")
    [labelled] = read_sets(tmp_path)
    assert labelled.queries == {"301": "International Organized Crime", "302": "Polio"}
    assert labelled.documents == {"D1": "crime gangs", "D2": "polio"}
    assert labelled.qrels["301"] == {"D1": 2, "D2": 0}


def test_topics_of_a_line_each_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "topics.tsv").write_text("7\twhat is polio\n", encoding="utf-8")
    assert read_topics(tmp_path / "topics.tsv") == {"7": "what is polio"}


def test_a_run_that_is_written_is_read_back_with_every_digit(tmp_path: Path) -> None:
    run = {"q1": {"a": 0.1 + 0.2, "b": -3.0}, "q2": {"猫": 1e-17}}
    write_run(tmp_path / "my.trec", run, "me")
    assert read_run(tmp_path / "my.trec") == run
    assert (tmp_path / "my.trec").read_text(encoding="utf-8").splitlines()[0] == "q1 Q0 a 1 0.30000000000000004 me"


def test_positives_and_negatives_are_a_list_in_no_order(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "lines.jsonl",
        [
            {"query": "a", "positive": "yes", "negative": ["no", "never"], "instruction": "Judge"},
            {"id": 7, "query": "b", "pos": ["no"], "neg": ["yes"]},
        ],
    )
    [labelled] = read_sets(path)
    assert labelled.instructions == {"q1": "Judge"}
    assert [labelled.documents[document] for document in labelled.qrels["q1"]] == ["no", "never", "yes"]
    assert len(labelled.documents) == 3, "the same text is the same document"
    # Whatever stood first in the file, a list in no order is worth what chance gives: (1 + 1/log2(3) + 1/2) / 3.
    scores = score_run(labelled, given(labelled, None).run, [NDCG])[NDCG]
    assert scores.values_Q.tolist() == pytest.approx([(1 + 0.6309297 + 0.5) / 3, (1 + 0.6309297) / 2])


def test_documents_are_a_list_in_order_and_a_positive_that_it_lacks_was_not_found(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "documents": ["x", "y", "z"], "labels": [0, 2, 0]},
        {"query": "b", "documents": [{"text": "x"}, "y"], "positive": ["w"]},
    ]
    [labelled] = read_sets(write_lines(tmp_path / "lines.jsonl", rows))
    scores = score_run(labelled, given(labelled, None).run, [NDCG, Measure("R", 10)])
    assert scores[NDCG].values_Q.tolist() == pytest.approx([0.6309297, 0.0])
    assert scores[Measure("R", 10)].mean == 0.5


def test_judgements_alone_are_a_set_without_texts(tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text("q 0 d 1\n", encoding="utf-8")
    [labelled] = read_sets(tmp_path / "qrels.txt")
    assert (labelled.qrels, labelled.documents) == ({"q": {"d": 1}}, {})


def test_languages_of_one_task_count_as_one_task(tmp_path: Path) -> None:
    from dataclasses import replace

    [labelled] = read_sets(write_set(tmp_path / "set"))
    sets = [replace(labelled, name=name, group=group) for name, group in (("a", "x"), ("b", "x"), ("c", ""), ("d", ""))]
    assert weights(sets) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{broken", "a.jsonl:1: not valid JSON"),
        ("a.jsonl", "[1]", "a.jsonl:1: expected a JSON object"),
        ("a.jsonl", '{"query": "a", "negative": ["b", "c"]}', 'expected "positive" or "labels"'),
        ("a.jsonl", '{"query": "a", "positive": "b"}', "at least two documents"),
        ("a.jsonl", '{"query": "a", "documents": ["b", "c"], "labels": [1]}', "one whole number for each"),
        ("a.jsonl", '{"positive": "b", "negative": "c"}', "expected the field 'query'"),
        ("a.jsonl", '{"query": "a", "documents": ["b", "c"], "labels": [0, 0]}', "no document is judged relevant"),
        ("q.txt", "q 0 d\nq 0 d 1 9 8\n", "q.txt:1: expected a whole number as the label, got 'd'"),
        ("q.txt", "q 0 d 1\nq 0 d 2\n", "q.txt:2: document d of query q has a second, other label"),
        ("q.txt", "q 0 d one\n", "expected a whole number as the label"),
        ("q.txt", "\n", "no query has judgements"),
        ("q.txt", b"\xff\xfe", "expected UTF-8"),
        ("q.txt", "q 0 d 1".encode("utf-16"), "got UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
        (
            "q.txt",
            b"q 0 d 1\nq 0 \x93e 1\n",
            "q.txt:2: expected UTF-8, got the byte 0x93; convert it, e.g. iconv -f CP1252",
        ),
        ("a.jsonl", b"\x1f\x8b\x08", "got a gzip file; unpack it with zcat"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_sets(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q Q0 d 1 high me\n", "expected a number as the score, got 'high'"),
        ("q Q0 d 1 nan me\n", "expected a number as the score"),
        ("q Q0 d 1 2.0 me\nq Q0 d 2 1.0 me\n", "is twice"),
        ("q d 1\n", "got 3 columns"),
        ("", "holds no run"),
    ],
)
def test_a_damaged_run_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "my.trec").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / "my.trec")


def test_a_folder_without_a_set_and_queries_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no set"):
        read_sets(tmp_path)
    with pytest.raises(InputError, match="no such file or folder, and no suite"):
        read_sets(tmp_path / "nowhere")
    folder = write_set(tmp_path / "set")
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nother\td9\t2\n", encoding="utf-8")
    with pytest.raises(InputError, match="1 judged queries have no text, such as 'other'"):
        read_sets(folder)


def test_labels_of_beir_and_of_trec_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t3\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("q 0 d 3\n", encoding="utf-8")
    assert read_qrels(tmp_path / "a.tsv") == read_qrels(tmp_path / "b.txt") == {"q": {"d": 3}}
