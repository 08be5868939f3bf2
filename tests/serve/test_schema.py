"""The OpenAPI document is true: what it generates is answered as it says, and errors repeat nothing of a body."""

import httpx2
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import Case, Response
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from qwen3_reranker.search import Index
from testing.endpoints import endpoints
from testing.live_server import Live, live_server

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("index")
    with Index(place, reranker=None) as index:
        index.add([{"id": "r1", "text": "A commit of the last meeting"}])
    models = [{"source": "nano", "options": {"max_length": 256}}]
    with live_server(models=models, search_index=str(place)) as running:
        yield running


@pytest.fixture(scope="module")
def schema(live: Live):
    return schemathesis.openapi.from_url(f"{live.url}/openapi.json")


def test_every_route_is_in_the_document_and_nothing_else(live: Live) -> None:
    paths = httpx2.get(f"{live.url}/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    routed = {(endpoint.method, endpoint.documented_path) for endpoint in live.application.endpoints}
    undocumented = {(each.method, each.documented_path) for each in live.application.endpoints if not each.documented}
    assert undocumented >= {("GET", path) for path in ("/", "/models", "/keys", "/reference", "/robots.txt")}
    assert routed - undocumented == described


def texts(value: object) -> list[str]:
    """Every text of a body that is too long to be there by chance."""
    if isinstance(value, str):
        return [value] if len(value) > 5 and value.isalnum() and not value.isascii() else []
    if isinstance(value, dict):
        return [found for pair in value.items() for each in pair for found in texts(each)]
    return [found for each in value for found in texts(each)] if isinstance(value, list) else []


def repeats_nothing(_context: object, response: Response, case: Case) -> None:
    if response.status_code >= 400:
        assert not [text for text in texts(case.body) if text in response.text]


OPERATIONS = [(each.method, each.documented_path) for each in endpoints() if each.documented]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_the_document_generates_is_answered_as_it_says(schema: BaseSchema, method: str, path: str) -> None:
    operation = schema[path][method]
    for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        # The same examples in every run: so few of them are a check of the document, and no search for faults.
        @hypothesis.settings(
            max_examples=6, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        def generated(case: Case) -> None:
            case.call_and_validate(checks=[*CHECKS, repeats_nothing])

        generated()
