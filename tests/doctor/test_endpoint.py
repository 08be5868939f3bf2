"""The client finds a dialect by trying, says what went wrong in one line, and takes no more than it should."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import pytest

from qwen3_reranker.doctor import Endpoint, check_endpoint
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.endpoints.probes import GOLDEN_DOCUMENTS, GOLDEN_LOGITS
from qwen3_reranker.endpoints.wire_formats import WIRE_FORMATS, entries, prompt_tokens
from qwen3_reranker.errors import InputError
from testing.local_server import Quiet, serving
from testing.patience import PATIENCE_SECONDS

Reply = Callable[[str, dict[str, str], dict[str, Any]], tuple[int, bytes]]


@contextmanager
def served(reply: Reply) -> Iterator[str]:
    """A server that answers (path, headers, body) with a status and bytes."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = reply(self.path, dict(self.headers), body)
            # A client that has had enough leaves.
            with suppress(OSError):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

    with serving(Handler) as url:
        yield url


def only(path: str, field: str, answer: object) -> Reply:
    """A server with one route, which wants one field."""

    def reply(asked: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        if asked != path:
            return 404, b'{"detail":"Not Found"}'
        return (200, json.dumps(answer).encode()) if field in body else (422, b'{"error":"missing field"}')

    return reply


RESULTS = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}
BARE = [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]
DATA = {"data": [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.9}]}


@pytest.mark.parametrize(
    ("path", "field", "answer", "name"),
    [
        ("/v1/rerank", "documents", RESULTS, "jina"),
        ("/v2/rerank", "documents", RESULTS, "cohere"),
        ("/rerank", "documents", RESULTS, "jina"),
        ("/rerank", "texts", BARE, "tei"),
        ("/v1/score", "text_1", DATA, "vllm-score"),
        ("/score", "text_2", DATA, "vllm-score"),
        ("/v1/reranking", "documents", RESULTS, "llama.cpp"),
    ],
)
def test_a_dialect_is_found_from_the_base_and_from_the_route(path: str, field: str, answer: object, name: str) -> None:
    with served(only(path, field, answer)) as url:
        found = Endpoint(url)
        assert (found.dialect.name, found.path) == (name, path)
        assert Endpoint(url + path).path == path
        assert Endpoint(f"{url}/", dialect=name).path == path
        if path.startswith("/v1/"):
            assert Endpoint(f"{url}/v1").path == path
        assert {entry.index: entry.score for entry in found.ask("q", ["a", "b"]).entries} == {0: 0.1, 1: 0.9}


def test_key_and_model_are_sent_and_the_key_is_in_no_message() -> None:
    seen = []

    def reply(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        seen.append((headers.get("Authorization"), body.get("model")))
        return (200, json.dumps(RESULTS).encode()) if headers.get("Authorization") == "Bearer open" else (401, b"")

    with served(reply) as url:
        endpoint = Endpoint(url, api_key="open", model="one")
        assert seen == [("Bearer open", "one")]
        assert "open" not in endpoint.address
        with pytest.raises(EndpointError, match="wants a key") as refused:
            Endpoint(url, api_key="wrong")
        assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (404, b"", "nothing here answers as a rerank server does"),
        (200, b"<html>", "no JSON"),
        (200, b'{"choices": []}', "no scores"),
        (200, b"[" * 100_000, "no JSON"),
        (301, b"", "redirects"),
        (500, b"input is too large", "input is too large"),
    ],
)
def test_what_is_no_rerank_server_is_named_in_one_line(status: int, content: bytes, words: str) -> None:
    with served(lambda *_: (status, content)) as url, pytest.raises(EndpointError, match=words) as error:
        Endpoint(url)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 4


def test_a_flood_is_cut_off() -> None:
    with served(lambda *_: (200, b" " * (17 << 20))) as url, pytest.raises(EndpointError, match="more than 16 MiB"):
        Endpoint(url)


def test_a_server_that_is_not_there_and_one_that_does_not_answer_are_named() -> None:
    release = Event()

    def slow(*_: object) -> tuple[int, bytes]:
        release.wait(PATIENCE_SECONDS)
        return 404, b""

    with pytest.raises(EndpointError, match="is the server running there"):
        Endpoint("http://127.0.0.1:9")
    with served(slow) as url:
        try:
            with pytest.raises(EndpointError, match="--timeout allows more"):
                Endpoint(url, timeout=0.2)
        finally:
            release.set()


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://h:x",
        "http://a b",
        "http://u:p@h",
        "http://h/?a=b",
        "http://ü",
    ],
)
def test_an_unusable_address_is_wrong_input(url: str) -> None:
    with pytest.raises(InputError):
        Endpoint(url)


def test_answers_of_every_shape_are_read_or_refused() -> None:
    assert entries({"results": []}) == []
    for other in (None, 3, "text", {}, {"results": 3}, [1, 2], [{"label": "x"}], {"data": [{"embedding": []}]}):
        assert entries(other) is None
    [entry] = entries([{"index": True, "score": "0.5", "text": "a"}]) or []
    assert (entry.index, entry.score, entry.document) == (None, None, "a")
    assert prompt_tokens({"usage": {"prompt_tokens": 7}}) == 7
    assert prompt_tokens({"meta": {"tokens": {"input_tokens": 8}}}) == 8
    for other in (None, [], {"usage": None}, {"usage": {"prompt_tokens": "7"}}, {"meta": {"tokens": 3}}):
        assert prompt_tokens(other) is None


def test_every_dialect_sends_query_and_documents() -> None:
    for dialect in WIRE_FORMATS.values():
        body = dialect.body("q", ("a", "b"))
        assert body[dialect.query] == "q"
        assert body[dialect.documents] == ["a", "b"]


def test_a_server_that_gives_the_published_scores_is_recognised_without_a_reference() -> None:
    known = dict(zip(GOLDEN_DOCUMENTS, GOLDEN_LOGITS, strict=True))

    def reply(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        if path != "/rerank" or "texts" not in body:
            return 404, b""
        # Texts without a published score get one that depends on them alone.
        told = len(str(body.get("instruction", ""))) / 10
        logits = [known.get(text, len(text) % 7 - 5.5) - told for text in body["texts"]]
        scores = [{"index": index, "score": 1 / (1 + math.exp(-logit))} for index, logit in enumerate(logits)]
        return 200, json.dumps(sorted(scores, key=lambda entry: -entry["score"])).encode()

    with served(reply) as url:
        report = check_endpoint(Endpoint(url))
    assert report.healthy
    assert any("Qwen3-Reranker-0.6B float32" in note for note in report.notes)
    assert not any("--reference" in text for text in report.undecided)


def test_an_echo_of_another_document_gives_a_wrong_index_away() -> None:
    def reply(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        texts = body["documents"]
        places = enumerate(reversed(texts))
        listed = [{"index": i, "relevance_score": 0.5 - i / 10, "document": {"text": text}} for i, text in places]
        return 200, json.dumps({"results": listed}).encode()

    with served(reply) as url:
        [finding] = check_endpoint(Endpoint(url)).findings
    assert finding.fault.name == "index-mapping"
