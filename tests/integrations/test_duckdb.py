"""The SQL function rerank in a real DuckDB."""

from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.duckdb import register
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY


@pytest.fixture
def connection(nano: Reranker) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        register(connection, nano)
        numbers = list(range(len(DOCUMENTS)))
        connection.execute(
            "CREATE TABLE documents AS SELECT unnest(?) AS number, unnest(?) AS text", [numbers, DOCUMENTS]
        )
        yield connection


def test_a_table_is_ordered_by_its_scores(connection: duckdb.DuckDBPyConnection, ranking: Ranking) -> None:
    ordered = "SELECT number, rerank(?, text) AS score FROM documents ORDER BY score DESC LIMIT 3"
    rows = connection.execute(ordered, [QUERY]).fetchall()
    assert [number for number, _ in rows] == [hit.index for hit in ranking][:3]
    assert [score for _, score in rows] == pytest.approx([hit.probability for hit in ranking][:3], abs=1e-6)


def test_a_score_of_nothing_is_null(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute("SELECT rerank(?, NULL), rerank(NULL, text) FROM documents", [QUERY]).fetchall()
    assert found == [(None, None)] * len(DOCUMENTS)
    connection.execute("INSERT INTO documents VALUES (9, NULL)")
    counted = "SELECT count(rerank(?, text)), count(*) FROM documents"
    assert connection.execute(counted, [QUERY]).fetchone() == (len(DOCUMENTS), len(DOCUMENTS) + 1)


def test_pairs_of_several_queries_are_scored_each_with_its_own(
    connection: duckdb.DuckDBPyConnection, nano: Reranker
) -> None:
    queries = [QUERY, "how long does rice take"]
    joined = "SELECT query, text, rerank(query, text) FROM documents, (SELECT unnest(?) AS query)"
    rows = connection.execute(joined, [queries]).fetchall()
    expected = nano.probabilities([(query, text) for query, text, _ in rows])
    assert len(rows) == 2 * len(DOCUMENTS)
    assert [score for *_, score in rows] == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_rows_of_a_query_reach_the_model_in_one_call_and_share_its_tokens(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    class Counted(Reranker):
        def probabilities(self, pairs: Iterable[tuple[str, str]], *arguments: Any) -> Any:
            calls.append(list(pairs))
            return super().probabilities(calls[-1], *arguments)

    calls: list[list[tuple[str, str]]] = []
    with Counted("nano") as counted:
        register(connection, counted, name="counted")
        connection.execute("SELECT counted(?, text) FROM documents", [QUERY]).fetchall()
    assert calls == [[(QUERY, text) for text in DOCUMENTS]]


def test_a_name_an_instruction_and_options_can_be_chosen(connection: duckdb.DuckDBPyConnection, nano: Reranker) -> None:
    register(connection, name="relevance", instruction=INSTRUCTION, precision="float32")
    [[score]] = connection.execute("SELECT relevance(?, ?)", [QUERY, DOCUMENTS[1]]).fetchall()
    assert score == pytest.approx(float(nano.probabilities([(QUERY, DOCUMENTS[1])], INSTRUCTION)[0]), abs=1e-6)
    with pytest.raises(InputError, match="unknown option 'precison'"):
        register(connection, name="other", precison="int8")


def test_a_blank_query_ends_the_statement_with_our_sentence(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="must not be blank"):
        connection.execute("SELECT rerank(' ', text) FROM documents").fetchall()


def test_an_empty_table_has_no_scores(connection: duckdb.DuckDBPyConnection) -> None:
    empty = pa.table({"text": pa.array([], pa.string())})
    assert connection.from_arrow(empty).query("empty", "SELECT rerank('q', text) FROM empty").fetchall() == []
