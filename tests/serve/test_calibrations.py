"""A served model with a calibration: its probabilities in every dialect, its threshold, and what is refused."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.calibrate import Calibration
from qwen3_reranker.calibrate.monotone_maps import PlattMap
from qwen3_reranker.cli import main
from qwen3_reranker.errors import CalibrationError
from qwen3_reranker.evaluate.judging import model_facts
from qwen3_reranker.search import Index
from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.dialect_table import DIALECTS
from qwen3_reranker.serve.log import logging_to_stderr
from qwen3_reranker.serve.reload import Reloader
from qwen3_reranker.serve.settings_sources import settings_of
from testing.live_server import Live, live_server

QUERY = "take back my last commit"
DOCUMENTS = ["Run git reset --soft HEAD~1.", "Rice is boiled with the lid on it.", "The library opens at nine."]
RERANK = {"query": QUERY, "documents": DOCUMENTS, "return_details": True}


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """A calibration of the bundled model that moves every probability."""
    with Reranker("nano") as nano:
        return Calibration(
            PlattMap(0.5, -1.0), model_facts(nano), (nano.default_instruction,), {"queries": 30, "pairs": 90}
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, calibration: Calibration) -> Path:
    """A folder with the calibration, and an index of two files."""
    path = tmp_path_factory.mktemp("calibrated")
    (path / "fit.json").write_text(calibration.to_json(), encoding="utf-8")
    notes = path / "notes"
    notes.mkdir()
    for number, text in enumerate(DOCUMENTS):
        (notes / f"{number}.md").write_text(text, encoding="utf-8")
    with Index(path / "index") as index:
        index.add(notes)
    return path


@pytest.fixture(scope="module")
def calibrated(folder: Path) -> Iterator[Live]:
    """The bundled model with that calibration, and the index."""
    with live_server(models=[{"calibration": str(folder / "fit.json")}], search_index=str(folder / "index")) as live:
        yield live


def post(live: Live, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{live.url}{path}", json=body)


def expected(calibration: Calibration, logits: list[float]) -> list[float]:
    found: list[float] = calibration.probabilities(np.array(logits, np.float32)).tolist()
    return found


def test_scores_are_calibrated_probabilities_in_the_order_of_the_same_logits(
    calibrated: Live, live: Live, calibration: Calibration
) -> None:
    reply, own = post(calibrated, "/v1/rerank", **RERANK), post(live, "/v1/rerank", **RERANK)
    results, plain = reply.json()["results"], own.json()["results"]
    logits = [each["details"]["logit"] for each in results]
    assert logits == [each["details"]["logit"] for each in plain]
    assert [each["index"] for each in results] == [each["index"] for each in plain]
    assert [each["relevance_score"] for each in results] == expected(calibration, logits)
    assert [each["details"]["probability"] for each in results] == expected(calibration, logits)
    assert (reply.headers["x-calibrated"], "x-calibrated" in own.headers) == ("true", False)
    raw = post(calibrated, "/v1/rerank", **RERANK, raw_scores=True).json()["results"]
    assert [each["relevance_score"] for each in raw] == logits


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [each for part in value.values() for each in numbers(part)]
    if isinstance(value, list):
        return [each for part in value for each in numbers(part)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if each.name != "nvidia"], ids=lambda each: each.name)
def test_every_dialect_that_gives_probabilities_gives_calibrated_ones(
    dialect: Dialect, calibrated: Live, live: Live, calibration: Calibration
) -> None:
    path = next(iter((*dialect.paths, *dialect.shared)))
    for name, value in (("model", "nano"), ("project", "p"), ("location", "l"), ("config", "c")):
        path = path.replace(f"{{{name}:path}}", value).replace(f"{{{name}}}", value)
    body = dict(dialect.request.example() or {})
    if dialect.name == "weaviate":
        body |= {"property": "text"}
    found, own = (numbers(post(each, path, **body).json()) for each in (calibrated, live))
    request = dialect.read(body, 10)
    with Reranker("nano") as nano:
        logits = nano.logits(list(zip(request.queries, request.documents, strict=True)), request.instruction)
    own_probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for before, after in zip(own_probabilities, expected(calibration, logits.tolist()), strict=True):
        assert any(np.isclose(each, before, rtol=1e-5) for each in own)
        assert any(np.isclose(each, after, rtol=1e-5) for each in found)
        assert not any(np.isclose(each, before, rtol=1e-5) for each in found)


def test_a_threshold_leaves_out_results_and_says_that_none_of_these_answers(calibrated: Live) -> None:
    whole = post(calibrated, "/v1/rerank", **RERANK).json()
    scores = [each["relevance_score"] for each in whole["results"]]
    assert "abstention" not in whole
    some = post(calibrated, "/v1/rerank", **RERANK, min_probability=scores[1]).json()
    assert [each["relevance_score"] for each in some["results"]] == scores[:2]
    assert some["abstention"] == {
        "none_of_these": False,
        "left_out": 1,
        "best_probability": scores[0],
        "is_calibrated": True,
    }
    none = post(calibrated, "/v1/rerank", **RERANK, min_probability=1).json()
    assert (none["results"], none["abstention"]["none_of_these"], none["abstention"]["left_out"]) == ([], True, 3)
    without_room = post(calibrated, "/v1/rerank", **RERANK, min_probability=scores[1], fit=1).json()
    assert (without_room["results"], without_room["abstention"]["none_of_these"]) == ([], False)
    assert len(without_room["selection"]["too_long"]) == 2
    for wrong in (1.5, "0.5", True):
        refused = post(calibrated, "/v1/rerank", **RERANK, min_probability=wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "min_probability")


def test_another_instruction_gets_the_models_own_probabilities_and_no_threshold(calibrated: Live, live: Live) -> None:
    other = {**RERANK, "instruction": "Find recipes"}
    reply, own = post(calibrated, "/v1/rerank", **other), post(live, "/v1/rerank", **other)
    assert reply.headers["x-calibrated"] == "false"
    assert reply.json()["results"] == own.json()["results"]
    assert "another instruction" in reply.json()["meta"]["warnings"][0]
    found = post(calibrated, "/v1/search", query=QUERY, instruction="Find recipes", budget_seconds=60).json()
    assert [each for each in found["warnings"] if "another instruction" in each]
    explain = {"query": QUERY, "document": DOCUMENTS[0]}
    for asked, said in (
        ({}, "true"),
        ({"instruction": "Find recipes"}, "false"),
        ({"instructions": ["", "x"]}, "false"),
    ):
        assert post(calibrated, "/v1/explain", **explain, **asked).headers["x-calibrated"] == said
    refused = post(calibrated, "/v1/rerank", **other, min_probability=0.5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "uncalibrated_instruction")


def test_explanations_and_found_files_are_calibrated_too(calibrated: Live, calibration: Calibration) -> None:
    explained = post(calibrated, "/v1/explain", query=QUERY, document=DOCUMENTS[0]).json()
    assert [explained["probability"]] == expected(calibration, [explained["logit"]])
    found = post(calibrated, "/v1/search", query=QUERY, budget_seconds=60).json()
    assert found["warnings"] == []
    hits = found["results"]
    assert [hit["probability"] for hit in hits] == expected(calibration, [hit["logit"] for hit in hits])


def test_a_remote_reranker_takes_its_logits_and_finds_no_fault(
    calibrated: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with Reranker("nano") as nano, Reranker(calibrated.url) as remote:
        assert remote.score(QUERY, DOCUMENTS).logits.tolist() == nano.score(QUERY, DOCUMENTS).logits.tolist()
        assert remote.gives_logits
        assert "calibration" in remote.identity()["served"]
    assert caplog.text == ""


def test_the_doctor_examines_its_logits_and_finds_no_fault(
    calibrated: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", calibrated.url, "--reference", "nano"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["healthy"], report["findings"]) == (True, [])
    assert "a calibration gives its probabilities: what was examined are its logits" in report["notes"]


def test_the_list_of_models_and_the_page_say_by_what_it_is_calibrated(
    calibrated: Live, live: Live, calibration: Calibration
) -> None:
    [model] = httpx2.get(f"{calibrated.url}/v1/models").json()["data"]
    assert model["calibration"]["fingerprint"] == calibration.fingerprint
    assert (model["calibration"]["method"], model["calibration"]["data"]) == ("platt", {"queries": 30, "pairs": 90})
    assert "calibration" not in httpx2.get(f"{live.url}/v1/models").json()["data"][0]
    assert "calibrated on 30 queries with 90 pairs" in httpx2.get(f"{calibrated.url}/models/nano").text


def test_a_foreign_or_missing_calibration_is_refused_at_the_start(folder: Path, calibration: Calibration) -> None:
    foreign = replace(calibration, scored_with={**calibration.scored_with, "model_fingerprint": "0" * 24})
    (folder / "foreign.json").write_text(foreign.to_json(), encoding="utf-8")
    for chosen, words in (
        (str(folder / "foreign.json"), "nano: the calibration belongs to another model"),
        (str(folder / "missing.json"), "missing.json"),
        ("stored", "no calibration is stored beside the model"),
    ):
        with pytest.raises(CalibrationError, match=words), live_server(models=[{"calibration": chosen}]):
            pass
    allowed = {"calibration": str(folder / "foreign.json"), "allow_other_calibration": True}
    with live_server(models=[allowed]) as live:
        assert post(live, "/v1/rerank", **RERANK, instruction="Find recipes").headers["x-calibrated"] == "true"


def test_a_reload_takes_a_new_calibration_and_keeps_the_old_one_where_it_cannot(
    tmp_path: Path, calibration: Calibration, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "fit.json"
    file.write_text(calibration.to_json(), encoding="utf-8")
    settings = settings_of({"models": [{"calibration": str(file)}]})
    reloader = Reloader(lambda: settings)
    # A reload sets the level of the package's log, which is restored at the end.
    with logging_to_stderr("text"), live_server() as live:

        def scores() -> list[float]:
            return [each["relevance_score"] for each in post(live, "/v1/rerank", **RERANK).json()["results"]]

        own = scores()
        asyncio.run(reloader.reload(live.application))
        first = scores()
        assert first != own
        file.write_text(replace(calibration, map=PlattMap(0.25, 0.0)).to_json(), encoding="utf-8")
        asyncio.run(reloader.reload(live.application))
        assert "changed: calibration of nano" in caplog.text
        second = scores()
        assert second not in (first, own)
        file.write_text("{}", encoding="utf-8")
        asyncio.run(reloader.reload(live.application))
        assert "the settings are as before: nano: " in caplog.text
        assert scores() == second
        settings = settings_of({})
        asyncio.run(reloader.reload(live.application))
        assert scores() == own
