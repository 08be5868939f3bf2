"""LanceDB's searches with our reranker."""

from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import FTS

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.lancedb import Qwen3Reranker
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

pytestmark = pytest.mark.slow

ORIGIN = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = [
        {"vector": np.full(4, number, np.float32), "text": text or None, "number": number}
        for number, text in enumerate(DOCUMENTS)
    ]
    schema = pa.schema([("vector", pa.list_(pa.float32(), 4)), ("text", pa.string()), ("number", pa.int64())])
    table = lancedb.connect(tmp_path_factory.mktemp("lance")).create_table("documents", rows, schema=schema)
    table.create_index("text", config=FTS())
    return table


def hybrid(table: Any, words: str) -> Any:
    return table.search(query_type="hybrid").vector(ORIGIN).text(words)


def test_a_vector_search_is_ordered_by_our_scores_and_missing_text_is_empty(table: Any, ranking: Ranking) -> None:
    found = table.search(ORIGIN).rerank(Qwen3Reranker(), query_string=QUERY).limit(5).to_arrow()
    assert found["number"].to_pylist() == [hit.index for hit in ranking]
    assert found["_relevance_score"].type == pa.float32()
    assert found["_relevance_score"].to_pylist() == pytest.approx([hit.probability for hit in ranking], abs=1e-6)
    assert "_distance" not in found.column_names


def test_a_search_of_words_is_ordered_by_our_scores(table: Any, nano: Reranker) -> None:
    found = table.search("commit", query_type="fts").rerank(Qwen3Reranker(nano)).limit(5).to_arrow()
    expected = nano.rank("commit", [DOCUMENTS[1], DOCUMENTS[4]])
    assert found["text"].to_pylist() == [hit.document for hit in expected]
    assert "_score" not in found.column_names


def test_both_searches_give_each_row_once(table: Any, nano: Reranker) -> None:
    expected = nano.rank("commit", DOCUMENTS, instruction=INSTRUCTION)
    for return_score in ("relevance", "all"):
        reranker = Qwen3Reranker(nano, instruction=INSTRUCTION, return_score=return_score)
        found = hybrid(table, "commit").rerank(reranker).limit(5).to_arrow()
        assert found["number"].to_pylist() == [hit.index for hit in expected]
        assert found["_relevance_score"].to_pylist() == pytest.approx([hit.probability for hit in expected], abs=1e-6)
        assert ({"_distance", "_score"} <= set(found.column_names)) == (return_score == "all")


def test_results_of_several_searches_are_ranked_together(table: Any, ranking: Ranking) -> None:
    searches = [table.search(np.full(4, number, np.float32)).with_row_id(True).limit(3) for number in (0, 4)]
    found = Qwen3Reranker().rerank_multivector([each.to_arrow() for each in searches], QUERY, deduplicate=True)
    assert sorted(found["number"].to_pylist()) == list(range(len(DOCUMENTS)))


def test_nothing_found_is_no_rows_with_a_score_column(table: Any) -> None:
    found = table.search("nowhere", query_type="fts").rerank(Qwen3Reranker()).limit(5).to_arrow()
    assert found.num_rows == 0
    assert found["_relevance_score"].type == pa.float32()


def test_another_column_is_read_and_a_missing_one_and_options_that_do_not_exist_are_refused(
    table: Any, nano: Reranker, tmp_path: Path
) -> None:
    rows = [{"vector": ORIGIN, "body": text} for text in DOCUMENTS]
    other = lancedb.connect(tmp_path).create_table("other", rows)
    found = other.search(ORIGIN).rerank(Qwen3Reranker(nano, column="body"), query_string=QUERY).to_list()
    assert found[0]["body"] == DOCUMENTS[1]
    with pytest.raises(InputError, match="no column 'body'; they have vector, text, number"):
        table.search(ORIGIN).rerank(Qwen3Reranker(nano, column="body"), query_string=QUERY).to_arrow()
    with pytest.raises(InputError, match="did you mean 'precision'"):
        Qwen3Reranker(precison="int8")
    with pytest.raises(ValueError, match="relevance"):
        Qwen3Reranker(return_score="everything")
