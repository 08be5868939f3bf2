"""Health says what is so: ready is who judges, and what the server does is in its measures and its log."""

import json
import re
import sys
import time

import httpx2
import pytest

from qwen3_reranker.serve.log import logging_to_stderr
from qwen3_reranker.serve.metrics import Metrics
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS, until
from testing.watch import Watch

pytestmark = pytest.mark.slow

BODY = {"query": "secret question", "documents": ["secret answer", "another"], "instruction": "secret instruction"}


@pytest.fixture
def live():
    with live_server(watchdog=0.2, timeout=PATIENCE_SECONDS) as running:
        yield running


def ready(live: Live) -> int:
    return httpx2.get(f"{live.url}/health/ready").status_code


def ask(live: Live) -> httpx2.Response:
    return httpx2.post(f"{live.url}/v1/rerank", json=BODY)


def test_a_model_that_fails_is_not_ready_until_it_answers_a_question_of_the_servers_own(
    live: Live, watch: Watch
) -> None:
    assert ready(live) == 200
    watch.fails = lambda _row: True
    for _ in range(3):
        reply = ask(live)
        assert reply.status_code == 500
        assert reply.json()["error"]["code"] == "inference_error"
        assert "secret" not in reply.text
    assert ready(live) == 503
    assert httpx2.get(f"{live.url}/health/live").status_code == 200
    watch.fails = lambda _row: False
    until(lambda: ready(live) == 200)


def test_a_batch_that_hangs_ends_readiness_and_its_end_brings_it_back(live: Live, watch: Watch) -> None:
    watch.door.clear()
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers={"x-request-timeout": "0.5"}).status_code == 504
    until(lambda: ready(live) == 503)
    assert httpx2.get(f"{live.url}/health/live").status_code == 200
    watch.door.set()
    until(lambda: ready(live) == 200)


def test_measures_count_what_was_done(live: Live) -> None:
    for _ in range(3):
        ask(live)
    httpx2.post(f"{live.url}/v1/rerank", content=b"{")
    text = httpx2.get(f"{live.url}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['rerank_requests_total{model="nano",route="/v1/rerank",status="200"}']) == 3
    assert float(values['rerank_requests_total{model="",route="/v1/rerank",status="400"}']) == 1
    assert float(values['rerank_documents_sum{model="nano"}']) == 6
    assert float(values['rerank_rejected_total{reason="invalid_json"}']) == 1
    assert float(values['rerank_prompt_tokens_total{model="nano"}']) > float(
        values['rerank_distinct_tokens_total{model="nano"}']
    )
    assert "secret" not in text


def test_the_process_itself_is_measured(live: Live) -> None:
    text = httpx2.get(f"{live.url}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert time.time() - float(values["process_start_time_seconds"]) > 0
    assert float(values["process_cpu_seconds_total"]) > 0
    if sys.platform == "linux":
        assert float(values["process_resident_memory_bytes"]) > 10 << 20
        assert 0 < float(values["process_open_fds"]) < float(values["process_max_fds"])
    assert not [name for name in values if "_created" in name]
    assert "rerank_accounts_up" not in values


def test_the_process_is_measured_without_the_files_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    text = Metrics("0").exposition().decode()
    assert re.search(r"^process_cpu_seconds_total [\d.]+$", text, re.MULTILINE)
    assert re.search(r"^process_start_time_seconds [\d.e+]+$", text, re.MULTILINE)


def test_addresses_that_nobody_knows_make_no_new_measures(live: Live) -> None:
    for number in range(5):
        httpx2.get(f"{live.url}/secret/{number}")
        httpx2.get(f"{live.url}/v1/models/secret{number}")
    assert "secret" not in httpx2.get(f"{live.url}/metrics").text


def test_a_line_of_the_log_has_the_numbers_and_none_of_the_texts(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr("json"):
        ask(live)
        httpx2.post(f"{live.url}/v1/rerank?key=secret", content=b'{"secret"', headers={"x-api-key": "secret"})
        # A line is written behind its reply; once another request is answered, those before it are there.
        httpx2.get(f"{live.url}/health/live")
    printed = capsys.readouterr().err
    lines = [json.loads(line) for line in printed.splitlines()][:2]
    assert [(line["status"], line["route"]) for line in lines] == [(200, "/v1/rerank"), (400, "/v1/rerank")]
    assert (lines[0].get("code"), lines[1]["code"]) == (None, "invalid_json")
    assert lines[0]["documents"] == 2
    assert lines[0]["prompt_tokens"] > lines[0]["computed_tokens"] > 0
    assert "secret" not in printed
