"""The OpenAPI document is whole, and what it says of bodies is what is read."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS
from qwen3_reranker.serve.dialects.dialect_table import DIALECTS as ROWS
from qwen3_reranker.serve.problems import Problem, busy
from qwen3_reranker.serve.routes.openapi import openapi
from testing.endpoints import endpoints

DIALECTS = {dialect.name: dialect for dialect in ROWS}
ENDPOINTS = [endpoint for endpoint in endpoints() if endpoint.documented]
DOCUMENT = openapi(ENDPOINTS, "1.0", keyed=True)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def request_schema(dialect: Dialect) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{dialect.request.__name__}"}


def test_every_operation_is_there_under_a_name_of_its_own() -> None:
    assert set(DOCUMENT["paths"]) == {endpoint.documented_path for endpoint in ENDPOINTS}
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(ENDPOINTS)


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    references = {
        line.split('"')[3] for line in json.dumps(DOCUMENT, indent=0).splitlines() if line.startswith('"$ref"')
    }
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_status_that_a_dialect_writes_is_declared_with_its_shape() -> None:
    problems = [
        *(Problem(status, "k", "c", "m") for status in (400, 401, 402, 403, 404, 408, 413, 415, 429, 500, 504)),
        busy("overloaded", "m", 1),
        busy("draining", "m", 1),
    ]
    for path in DIALECT_PATHS:
        declared = DOCUMENT["paths"][path.path.replace(":path}", "}")]["post"]["responses"]
        for dialect in path.dialects:
            for problem in problems:
                status, written = dialect.error.write(problem, "req_1")
                validator(declared[str(status)]["content"]["application/json"]["schema"]).validate(written)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_the_example_is_valid_and_is_read(dialect: Dialect) -> None:
    example = DOCUMENT["components"]["schemas"][dialect.request.__name__]["examples"][0]
    validator(request_schema(dialect)).validate(example)
    assert dialect.read(example, 1000).documents


LAX: list[dict[str, Any]] = [
    {"query": "q", "texts": ["a", {"text": "b"}, {}]},
    {"query": {"text": "q"}, "documents": ["a"], "top_n": None, "return_documents": "true", "unknown": [1]},
    {"query": "q", "documents": [""], "top_n": 2.0, "truncate": "END", "truncation_side": "Left"},
]
WRONG: list[dict[str, Any]] = [
    {"documents": ["a"]},
    {"query": "q"},
    {"query": " ", "documents": ["a"]},
    {"query": "q", "documents": []},
    {"query": "q", "documents": [5]},
    {"query": "q", "documents": "a"},
    {"query": "q", "documents": ["a"], "top_n": -1},
    {"query": "q", "documents": ["a"], "top_k": 1.5},
    {"query": "q", "documents": ["a"], "return_documents": 1},
    {"query": "q", "documents": ["a"], "texts": 5},
    {"query": "q", "documents": ["a"], "instruct": 5},
    {"query": "q", "documents": ["a"], "truncate": "sideways"},
]


def test_what_the_document_allows_is_read_and_what_it_forbids_is_refused() -> None:
    canonical = DIALECTS["canonical"]
    valid = validator(request_schema(canonical))
    for body in LAX:
        valid.validate(body)
        canonical.read(body, 1000)
    for body in WRONG:
        assert not valid.is_valid(body)
        with pytest.raises(Problem):
            canonical.read(body, 1000)


def test_without_keys_nothing_is_said_of_them() -> None:
    open_to_all = openapi(ENDPOINTS, "1.0", keyed=False)
    assert open_to_all["security"] == []
    statuses = open_to_all["paths"]["/v1/rerank"]["post"]["responses"]
    assert not {"401", "402", "403"} & statuses.keys()
    assert DOCUMENT["security"]
    assert DOCUMENT["paths"]["/health/live"]["get"]["security"] == []


def test_a_path_names_its_parameters() -> None:
    described = DOCUMENT["paths"]["/v1/models/{model}"]["get"]
    assert [parameter["name"] for parameter in described["parameters"]] == ["model"]
    assert described["responses"].keys() == {"200", "401", "404", "503"}


def test_the_document_is_sent_once_to_a_client_that_keeps_it() -> None:
    [endpoint] = [each for each in ENDPOINTS if each.path == "/openapi.json"]

    def get(**headers: str) -> Response:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return asyncio.run(endpoint.handler(Request({"type": "http", "method": "GET", "headers": raw})))  # type: ignore[arg-type]

    plain, packed = get(), get(accept_encoding="br, gzip;q=0.5")
    assert gzip.decompress(packed.body) == plain.body
    assert get(accept_encoding="gzip;q=0").body == plain.body
    assert json.loads(plain.body)["openapi"] == "3.1.0"
    assert packed.headers["etag"] == plain.headers["etag"]
    for known in (plain.headers["etag"], f'"other", W/{plain.headers["etag"]}'):
        assert get(if_none_match=known).status_code == 304
    assert get(if_none_match='"other"').status_code == 200
