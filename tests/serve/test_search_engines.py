"""The recipes for search engines hold: each template, filled in as its engine does it, is answered as it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.json_http import json_in_pieces
from testing.live_server import Live, live_server
from testing.local_server import Quiet, serving

PAGE = (Path(__file__).parents[2] / "docs" / "search-engines.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json\n(GET|PUT|POST) (\S+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
RECIPES = {path: json.loads(body) for _, path, body in BLOCKS}
[PYTHON] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)

# Quotes, backslashes, line ends and other scripts must arrive as they are.
QUERY = 'How do "rainbows" form? \\ 虹\n'
DOCUMENTS = ["The library opens at nine.", 'Rain bends "sunlight" into \\ a rainbow. 虹', "", "Line\nends $HOME"]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A file of keys, and a key in it."""
    path = str(tmp_path_factory.mktemp("keys") / "keys.db")
    store = Store(path)
    text, _ = store.create_key("search engine")
    store.close()
    return path, text


@pytest.fixture(scope="module")
def live(key: tuple[str, str]) -> Iterator[Live]:
    with live_server(keys=key[0]) as live:
        yield live


@pytest.fixture(scope="module")
def probabilities() -> list[float]:
    """Of each document in the order given, by the library."""
    with Reranker("nano") as reranker:
        hits = reranker.rank(QUERY, DOCUMENTS).hits
    return [hit.probability for hit in sorted(hits, key=lambda hit: hit.index)]


def substituted(template: str, values: dict[str, str]) -> str:
    """The template with ${name} replaced. As in Elasticsearch, what is left of that form is an error."""
    text = re.sub(r"\$\{([\w.]+)\}", lambda found: values[found[1]], template)
    assert "${" not in text
    return text


def read(reply: Any, path: str) -> list[Any]:
    """The values at a path such as $.results[*].index."""
    found = re.fullmatch(r"\$\.(\w+)\[\*\]\.(\w+)", path)
    assert found is not None, path
    return [each[found[2]] for each in reply[found[1]]]


def test_elasticsearch_gets_a_score_for_every_document_through_its_custom_service(
    live: Live, key: tuple[str, str], probabilities: list[float]
) -> None:
    settings = RECIPES["_inference/rerank/qwen3"]["service_settings"]
    [instructed] = re.findall(r'^    "request": (".*")$', PAGE, flags=re.MULTILINE)
    scored = []
    for template in (settings["request"], json.loads(instructed)):
        # Values are JSON already when they are put in: RerankParameters and CustomRequest of Elasticsearch.
        body = substituted(template, {"query": json.dumps(QUERY), "input": json.dumps(DOCUMENTS)})
        headers = {name: substituted(value, {"api_key": key[1]}) for name, value in settings["headers"].items()}
        reply = httpx2.post(settings["url"].replace("http://host:8000", live.url), content=body, headers=headers)
        assert reply.status_code == 200, reply.text
        paths = settings["response"]["json_parser"]
        indices, scores = (read(reply.json(), paths[name]) for name in ("reranked_index", "relevance_score"))
        assert sorted(indices) == list(range(len(DOCUMENTS))), "fewer scores than documents end the search"
        scored.append(sorted(zip(indices, scores, strict=True)))
    plain, other = scored
    assert [score for _, score in plain] == pytest.approx(probabilities, abs=1e-6)
    assert plain != other, "the instruction is read"


def test_elasticsearch_may_send_scripts_through_its_service_for_hugging_face(live: Live, key: tuple[str, str]) -> None:
    settings = RECIPES["_inference/rerank/qwen3-for-scripts"]["service_settings"]
    # The fields of HuggingFaceRerankRequestEntity.
    body = {"query": "where is my ${HOME}", "texts": ["cd ${HOME}", "exit"], "return_text": False}
    headers = {"Authorization": f"Bearer {key[1]}"}
    reply = httpx2.post(settings["url"].replace("http://host:8000", live.url), json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert sorted(each["index"] for each in reply.json()) == [0, 1]
    assert all(0 <= each["score"] <= 1 for each in reply.json())


def test_opensearch_gets_scores_of_the_type_that_it_casts_to_through_its_connector(
    live: Live, key: tuple[str, str], probabilities: list[float]
) -> None:
    connector = RECIPES["_plugins/_ml/connectors/_create"]
    [action] = connector["actions"]
    assert action["pre_process_function"].endswith("cohere.rerank")
    assert action["post_process_function"].endswith("cohere.rerank")
    # ConnectorUtils escapes a text that is no JSON itself; the template has the quotes around it. Lists are JSON.
    parameters = {"query": json.dumps(QUERY)[1:-1], "documents": json.dumps(DOCUMENTS), **connector["parameters"]}
    values = {f"parameters.{name}": value for name, value in parameters.items()} | {"credential.api_key": key[1]}
    headers = {name: substituted(value, values) for name, value in action["headers"].items()}
    url = substituted(action["url"], values)
    trusted = RECIPES["_cluster/settings"]["persistent"]["plugins.ml_commons.trusted_connector_endpoints_regex"]
    assert any(re.fullmatch(pattern, url) for pattern in trusted)
    address = url.replace("http://host:8000", live.url)
    reply = httpx2.post(address, content=substituted(action["request_body"], values), headers=headers)
    assert reply.status_code == 200, reply.text
    # CohereRerankPostProcessFunction casts an index to Integer and a score to Double, and fills one place for each.
    results = json.loads(reply.text, parse_float=lambda digits: ("Double", float(digits)))["results"]
    scores: list[float | None] = [None] * len(results)
    for result in results:
        assert type(result["index"]) is int
        kind, scores[result["index"]] = result["relevance_score"]
        assert kind == "Double"
    assert scores == pytest.approx(probabilities, abs=1e-6)
    [processor] = RECIPES["_search/pipeline/qwen3"]["response_processors"]
    assert processor["rerank"]["context"]["document_fields"] == ["body"]


@pytest.mark.parametrize("probability", [0.0, 1.0, 1e-9])
def test_a_score_is_never_written_as_a_whole_number(probability: float) -> None:
    """A score of 0 or 1 that came without a point would be an Integer, which OpenSearch refuses to cast."""
    assert re.search(rb":.*[.e]", json_in_pieces({"score": probability}))


def test_hits_of_vespa_are_reranked_by_the_client() -> None:
    """Vespa's part is its documented format of a result."""

    class Vespa(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, asked["hits"], asked["query"]) == ("/search/", 50, QUERY)
            children = [
                {"id": f"id:ns:doc::{number}", "relevance": 1 / (number + 1), "fields": {"body": text}}
                for number, text in enumerate(DOCUMENTS)
            ]
            reply = json.dumps({"root": {"id": "toplevel", "fields": {"totalCount": 4}, "children": children}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply.encode())

    recipe: dict[str, Any] = {}
    exec(compile(PYTHON, "docs/search-engines.md", "exec"), recipe)
    with serving(Vespa) as recipe["VESPA"]:
        hits = recipe["search"](QUERY, limit=2)
    expected = recipe["reranker"].rank(QUERY, DOCUMENTS, top_k=2).hits
    assert hits == [(f"id:ns:doc::{hit.index}", hit.probability) for hit in expected]
    recipe["reranker"].close()
