"""Bodies as applications send them, and whether each finds in the reply what it reads.

Recorded from the sources of Dify's plugins, RAGFlow, Open WebUI, LightRAG and others; in clients.json `reads` are
paths to numbers, `strings` to texts, and `absent` to what breaks the client where it is there.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker.serve.dialects.bodies import MAX_DOCUMENTS
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS
from qwen3_reranker.serve.problems import invalid
from testing.score_results import result_of

CLIENTS = json.loads(Path(__file__).with_name("clients.json").read_text(encoding="utf-8"))
PATHS = {path.path: path for path in DIALECT_PATHS}
each_client = pytest.mark.parametrize("recorded", CLIENTS, ids=[recorded["client"] for recorded in CLIENTS])


def found(value: Any, path: list[str]) -> Iterator[Any]:
    """All values at a path; a star stands for every entry of a list. Raises KeyError where one is missing."""
    if not path:
        yield value
    elif path[0] == "*":
        assert isinstance(value, list)
        for entry in value:
            yield from found(entry, path[1:])
    else:
        assert isinstance(value, dict)
        yield from found(value[path[0]], path[1:])


@each_client
def test_a_client_finds_what_it_reads(recorded: dict[str, Any]) -> None:
    body = recorded["body"]
    dialect = PATHS[recorded["path"]].choose(body)
    request = dialect.read(body, MAX_DOCUMENTS)
    reply = json.loads(json.dumps(dialect.write(request, result_of(request, [-1.0, 1.0])).body))
    for path in recorded["reads"]:
        values = list(found(reply, path.split(".")))
        assert values
        assert all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        if path.endswith("index"):
            assert values == [1, 0]
    for path in recorded["strings"]:
        assert all(isinstance(value, str) for value in found(reply, path.split(".")))
    for path in recorded["absent"]:
        with pytest.raises(KeyError):
            list(found(reply, path.split(".")))


@each_client
def test_a_client_finds_a_sentence_in_an_error(recorded: dict[str, Any]) -> None:
    dialect = PATHS[recorded["path"]].choose(recorded["body"])
    _, written = dialect.error.write(invalid("blank_query", "a sentence"), "req_1")
    assert "a sentence" in (written["error"], written.get("detail"))
