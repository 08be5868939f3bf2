"""The vllm-server backend: tokens to /classify, once each whatever fails, and a server that is no reranker is refused.

The server of these tests answers as vLLM does, with logits that nano computes. tests/backends/vllm has the real one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.records import Row
from testing.local_server import Quiet, serving
from testing.rows import NO_RECEIPT

QUERY = "take back my last commit"
DOCUMENTS = [f"git reset --soft HEAD~{place} undoes commits. " * (1 + place % 3) for place in range(12)]


class Classifier:
    """What /classify answers, and what it was asked."""

    def __init__(self, nano: Reranker) -> None:
        self.nano, self.bodies, self.statuses = nano, list[dict[str, Any]](), list[int]()
        self.longest = 8192
        self.ignores_activation = False
        self.damaged: Any = None

    def answer(self, body: dict[str, Any]) -> Any:
        if self.damaged is not None:
            return self.damaged
        rows = [Row(np.array(ids, np.int32), (), NO_RECEIPT) for ids in body["input"]]
        logits = run_all(self.nano.judge(rows)).tolist()
        if body["use_activation"] and not self.ignores_activation:
            logits = [1 / (1 + math.exp(-each)) for each in logits]
        data = [{"index": index, "label": "LABEL_0", "probs": [each]} for index, each in enumerate(logits)]
        return {"object": "list", "data": data[::-1], "usage": {"prompt_tokens": 1}}

    def handler(self) -> type[BaseHTTPRequestHandler]:
        classifier = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(200, {"data": [{"id": "nano", "max_model_len": classifier.longest}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/classify":
                    self._reply(404, {"detail": "Not Found"})
                elif status := (classifier.statuses and classifier.statuses.pop(0)):
                    self._reply(status, {"error": "once"})
                else:
                    classifier.bodies.append(body)
                    self._reply(200, classifier.answer(body))

            def _reply(self, status: int, answer: Any) -> None:
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


@pytest.fixture
def classifier(nano: Reranker) -> Classifier:
    return Classifier(nano)


@pytest.fixture
def url(classifier: Classifier) -> Iterator[str]:
    with serving(classifier.handler()) as url:
        yield url


def opened(url: str, max_length: int | None = None, **options: Any) -> Reranker:
    return Reranker("nano", backend="vllm-server", max_length=max_length, engine_options={"url": url, **options})


def asked(bodies: Sequence[dict[str, Any]]) -> list[int]:
    return [len(body["input"]) for body in bodies]


def test_scores_receipts_and_tokens_are_those_of_the_model_here(url: str, nano: Reranker) -> None:
    with opened(f"{url}/v1") as served:
        found, expected = served.score(QUERY, DOCUMENTS), nano.score(QUERY, DOCUMENTS)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert found.receipts == expected.receipts
    assert found.usage.prompt_tokens == expected.usage.prompt_tokens


def test_equal_rows_are_sent_once_and_requests_are_bounded(url: str, classifier: Classifier) -> None:
    with opened(url, max_documents=5, concurrency=2) as served:
        classifier.bodies.clear()
        shares: list[float] = []
        scores = served.score(QUERY, DOCUMENTS + DOCUMENTS, on_progress=shares.append)
    assert sorted(asked(classifier.bodies)) == [2, 5, 5]
    assert scores.logits[:12].tolist() == scores.logits[12:].tolist()
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_fails_for_a_moment_is_sent_again(url: str, classifier: Classifier, nano: Reranker) -> None:
    with opened(url, max_documents=4) as served:
        classifier.statuses += [503, 429]
        np.testing.assert_allclose(
            served.score(QUERY, DOCUMENTS).logits, nano.score(QUERY, DOCUMENTS).logits, atol=1e-5
        )
        assert not classifier.statuses


def test_rows_of_different_salts_share_no_request(url: str, classifier: Classifier) -> None:
    with opened(url) as served:
        classifier.bodies.clear()
        rows = [row for salt in (0, 7) for row in served.rows([QUERY], DOCUMENTS[:1], cache_salt=salt)]
        run_all(served.judge(rows))
    assert sorted(body.get("cache_salt", "") for body in classifier.bodies) == ["", "7"]


def test_a_server_that_sends_probabilities_alone_is_refused(url: str, classifier: Classifier) -> None:
    classifier.ignores_activation = True
    with pytest.raises(EndpointError, match="do not belong together; is it vLLM"):
        opened(url)


def test_rows_that_are_too_long_for_the_server_are_refused_before_any_is_sent(url: str, classifier: Classifier) -> None:
    classifier.longest = 100
    with pytest.raises(InputError, match="takes rows of up to 100 tokens, and rows have up to 8,192: give max_length"):
        opened(url)
    with opened(url, max_length=100) as served:
        assert served.score(QUERY, DOCUMENTS[:1]).usage.prompt_tokens <= 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, 'needs the address of the server, such as engine_options={"url": "http://localhost:8000"}'),
        ({"url": "http://127.0.0.1:9", "retries": 0}, EndpointError, "is the server running there"),
        ({"url": "http://127.0.0.1:9", "dialect": "tei"}, InputError, "dialect has no meaning"),
        ({"url": "http://127.0.0.1:9", "retires": 0}, InputError, "retires is an option of a model"),
        ({"url": "somewhere"}, InputError, "expected the address of a server"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Reranker("nano", backend="vllm-server", engine_options=options)


def test_a_server_without_the_route_says_so(url: str) -> None:
    with pytest.raises(EndpointError, match="status 404"):
        opened(f"{url}/elsewhere")


def test_a_damaged_answer_is_an_error_of_the_server(url: str, classifier: Classifier) -> None:
    with opened(url) as served:
        for answer in ({"data": []}, {"data": [{"index": 0, "probs": []}]}, [], {"data": [{"index": 0, "probs": "x"}]}):
            classifier.damaged = answer
            with pytest.raises(EndpointError, match="/classify"):
                served.score(QUERY, DOCUMENTS[:1])
