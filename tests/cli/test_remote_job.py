"""A job whose model is a server: the same parts from the same server, gone on with, and refused for another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from testing.live_server import Live, live_server
from tests.cli.conftest import Run
from tests.cli.test_score_folder import PAIRS, files, rows, write_lines


def test_a_job_with_a_server_has_its_scores_and_goes_on_with_what_is_missing(run: Run, notes: Path, live: Live) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    command = ("score", "pairs.jsonl", "-m", live.url, "-o", "scored/", "--part-rows", "8")
    outcome = run(*command, "--concurrency", "2", "--price-per-hour", "1")
    assert outcome.code == 0, outcome.err
    pairs, _, rate, price = outcome.out.strip().split(" · ")
    assert (pairs, rate.split()[1], price.endswith(" a million pairs")) == ("24 pairs", "pairs/s", True)
    with Reranker("nano") as nano:
        expected = nano.logits([(str(pair["query"]), str(pair["document"])) for pair in PAIRS])
    assert [row["logit"] for row in rows("scored")] == pytest.approx(expected.tolist(), abs=1e-3)
    whole = files("scored")
    Path("scored/part-00001.jsonl").unlink()
    assert run(*command).out.startswith("8 pairs (and 16 done before) · ")
    assert list(files("scored")) == list(whole)


def test_the_folder_says_which_server_it_is_of_and_holds_no_key(run: Run, notes: Path, live: Live) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    command = ("score", "pairs.jsonl", "-o", "scored/")
    assert run(*command, "-m", live.url, "--api-key", "secret").code == 0
    text = Path("scored/_job.json").read_text(encoding="utf-8")
    assert "secret" not in text
    settings = json.loads(text)["settings"]
    assert (settings["model"], settings["scores"], settings["instruction"]) == (live.url, "logits", None)
    outcome = run(*command, "-m", "nano")
    assert outcome.code == 2
    assert f'model was "{live.url}" and is "nano"' in outcome.err


def test_a_server_that_is_gone_is_one_line_and_what_was_done_stays(run: Run, notes: Path) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    with live_server() as live:
        command = ("score", "pairs.jsonl", "-m", live.url, "-o", "scored/", "--part-rows", "8", "--retries", "0")
        assert run(*command).code == 0
        Path("scored/part-00002.jsonl").unlink()
    outcome = run(*command)
    assert outcome.code == 4
    assert outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err
    assert len(files("scored")) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--engine", "ray"), "workers of --engine ray open models, and a server has its own: leave --engine out"),
        (("--precision", "int8"), "precision is an option of a model on this machine"),
    ],
)
def test_what_a_server_does_not_have_is_one_line_and_makes_no_folder(
    run: Run, notes: Path, live: Live, more: tuple[str, ...], message: str
) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    outcome = run("score", "pairs.jsonl", "-m", live.url, "-o", "scored/", *more)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert message in outcome.err
    assert not Path("scored").exists()
