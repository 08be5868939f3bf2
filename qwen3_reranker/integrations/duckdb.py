"""DuckDB: the SQL function rerank(query, text)."""

from __future__ import annotations

import os
from typing import Any

import duckdb
import pyarrow as pa

from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.reranker import Reranker


def register(
    connection: duckdb.DuckDBPyConnection,
    model: str | os.PathLike[str] | Reranker = "nano",
    *,
    name: str = "rerank",
    instruction: str | None = None,
    **options: Any,
) -> None:
    """Give a connection the function `name`(query, text): the probability of yes, 0 to 1, as FLOAT; NULL for NULL.

    DuckDB hands over up to 2,048 rows at once, and the rows of a query share its tokens, so put the filter before it:
    a function in SELECT runs for each row that WHERE leaves. model: what Reranker opens, or an opened Reranker.
    instruction: what counts as an answer, None takes the model's own. options: keyword arguments of Reranker.
    Raises InputError for an unusable option, and DuckDB's error for a name that is registered.
    """
    named = NamedModel(Reranker, model, options)

    def score(queries: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.Array:
        pairs = zip(queries.to_pylist(), texts.to_pylist(), strict=True)
        return pa.array(named.open().probabilities(pairs, instruction))

    connection.create_function(name, score, ["VARCHAR", "VARCHAR"], "FLOAT", type="arrow")
