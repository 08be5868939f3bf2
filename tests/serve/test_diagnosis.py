"""Our doctor, who names what is wrong with other people's servers, finds nothing wrong with our own."""

import json

import pytest

from qwen3_reranker.cli import main
from testing.live_server import live_server


@pytest.mark.slow
def test_the_doctor_finds_the_server_healthy_beside_the_same_weights(capsys: pytest.CaptureFixture[str]) -> None:
    with live_server() as live:
        assert main(["doctor", live.url, "--reference", "nano"]) == 0
    examined = json.loads(capsys.readouterr().out)
    assert examined["healthy"]
    assert (examined["findings"], examined["undecided"]) == ([], [])
