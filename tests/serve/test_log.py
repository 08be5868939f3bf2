"""The log: what is ours is said, what is a client's is not, and no line that cannot be written harms a request."""

import json
import logging
import sys
from pathlib import Path

import pytest

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.serve.log import log_request, logging_to_stderr


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CheckpointError("model.safetensors ends early"), "model.safetensors ends early"),
        (FileNotFoundError(2, "No such file", "model.safetensors"), "[Errno 2] No such file: 'model.safetensors'"),
        (InputError("unknown field 'a secret question'"), None),
        (ValueError("a secret question"), None),
    ],
)
def test_the_message_of_an_error_is_told_where_no_client_wrote_in_it(
    error: Exception, reason: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr("json"):
        logging.getLogger("qwen3_reranker.serve").error("a batch failed", exc_info=error)
    [line] = lines(capsys)
    assert line["error"] == type(error).__name__
    assert line.get("reason") == reason


def test_a_level_leaves_out_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "debug"):
        log_request({"route": "/health"}, logging.DEBUG)
    with logging_to_stderr("json", "info"):
        log_request({"route": "/health"}, logging.DEBUG)
        log_request({"route": "/v1/rerank"})
    assert [line["route"] for line in lines(capsys)] == ["/health", "/v1/rerank"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", buffering=1, encoding="utf-8")  # noqa: SIM115 - closing it raises
    with pytest.raises(OSError, match="No space left"):
        full.write("a line\n")
    monkeypatch.setattr(sys, "stderr", full)
    with logging_to_stderr("text"):
        log_request({"route": "/v1/rerank"})
    with pytest.raises(OSError, match="No space left"):
        full.close()
