"""A CrossEncoder goes to the Hub by push_to_hub and comes back with the same scores and settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.hub_server import Hub, serve

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("package_path")]

PUSH = """
import json, sys
from qwen3_reranker.compat import CrossEncoder
from qwen3_reranker.errors import RerankerError
encoder = CrossEncoder(sys.argv[1], prompts={"code": "Find the command"}, default_prompt_name="code")
for options in json.loads(sys.argv[2]):
    try:
        print(json.dumps(encoder.push_to_hub("alice/new", **options)))
    except RerankerError as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
back = CrossEncoder("alice/new", cache_folder=sys.argv[3], token="read")
pair = ("take back my last commit", "git reset")
print(json.dumps([back.prompts, back.default_prompt_name, float(back.predict(pair) - encoder.predict(pair))]))
try:
    print(CrossEncoder("alice/new", local_files_only=True, cache_folder=sys.argv[3] + "/none"))
except RerankerError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(Hub({})) as served:
        yield served


def test_a_pushed_encoder_comes_back_and_an_existing_repository_is_written_where_that_is_said(
    hub: Hub, small_checkpoint: Path, tmp_path: Path
) -> None:
    options = [
        {"token": "read"},
        {"token": "write", "private": True, "train_datasets": ["org/data"]},
        {"token": "write"},
        {"token": "write", "exist_ok": True},
    ]
    arguments = [str(small_checkpoint), json.dumps(options), str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-c", PUSH, *arguments],
        env=hub.environment(tmp_path / "home", HF_HUB_DISABLE_XET="1"),
        capture_output=True,
        text=True,
        check=True,
    )
    read_only, first, exists, again, back, missing = map(json.loads, done.stdout.splitlines())
    assert read_only.startswith("UploadError: this token may not write")
    assert first == again == f"{hub.endpoint}/alice/new"
    assert exists.startswith("UploadError: ")
    assert back == [{"code": "Find the command"}, "code", 0.0]
    assert (tmp_path / "cache").is_dir()
    assert "not fully in the Hub's cache" in missing
    assert hub.private["alice/new"]
    files = list(hub.commits["alice/new"].values())[-1]
    assert {"modules.json", "model.safetensors", "1_LogitScore/config.json", "README.md"} <= files.keys()
    assert "org/data" in files["README.md"].decode()
