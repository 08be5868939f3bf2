"""A calibration comes back from its file unchanged, keeps logits and order, and refuses what it was not made for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.calibrate import Calibration, labelled_pairs
from qwen3_reranker.calibrate.monotone_maps import IsotonicMap, MonotoneMap, PlattMap
from qwen3_reranker.errors import CalibrationError, InputError
from qwen3_reranker.evaluate.judging import model_facts
from qwen3_reranker.jobs.pairs import Pair

MAPS = [PlattMap(0.1 + 0.2, -1 / 3), IsotonicMap((-1.5, 0.1 + 0.2, 4.0), (0.1, 1 / 3, 0.9))]
LOGITS = np.linspace(-5, 5, 101).astype(np.float32)


def of_model(reranker: Reranker, map: MonotoneMap = MAPS[0]) -> Calibration:
    return Calibration(map, model_facts(reranker), (reranker.default_instruction,))


@pytest.mark.parametrize("map", MAPS)
def test_a_calibration_comes_back_from_its_file_to_the_last_bit(map: MonotoneMap, tmp_path: Path) -> None:
    made = Calibration(map, {"model_fingerprint": "a"}, ("find", None), {"queries": 3})
    (tmp_path / "calibration.json").write_text(made.to_json(), encoding="utf-8")
    read = Calibration.read(tmp_path / "calibration.json")
    assert read == made
    assert (read.probabilities(LOGITS) == made.probabilities(LOGITS)).all()


@pytest.mark.parametrize("map", MAPS)
def test_logits_and_order_stay_and_probabilities_change(nano: Reranker, map: MonotoneMap) -> None:
    own = nano.rank("undo a commit", ["git reset --soft HEAD~1", "cook rice", "git commit"])
    made = of_model(nano, map)
    ranking = made.ranking(own)
    assert [(hit.index, hit.logit, hit.item) for hit in ranking] == [(hit.index, hit.logit, hit.item) for hit in own]
    expected = made.probabilities(np.array([hit.logit for hit in own], np.float32)).tolist()
    assert [hit.probability for hit in ranking] == expected
    scores = nano.score("undo a commit", ["git commit", "cook rice"])
    assert made.scores(scores).logits is scores.logits
    assert (made.scores(scores).probabilities == made.probabilities(scores.logits)).all()


def test_another_model_prompt_or_instruction_is_refused(nano: Reranker) -> None:
    made = of_model(nano)
    made.refuse_other(nano)
    made.refuse_other(nano, nano.default_instruction)
    with pytest.raises(CalibrationError, match=r"belongs to the instruction .* this call has 'find code'"):
        made.refuse_other(nano, "find code")
    for name in ("model_fingerprint", "prompt"):
        other = replace(made, scored_with={**made.scored_with, name: "other"})
        with pytest.raises(CalibrationError, match="belongs to another model"):
            other.refuse_other(nano)
    replace(made, instructions=None).refuse_other(nano, "find code")


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "other"},
        {"method": "beta"},
        {"parameters": {"slope": 1.0}},
        {"parameters": {"slope": -1.0, "intercept": 0.0}},
        {"parameters": {"slope": "steep", "intercept": 0.0}},
        {"parameters": {"slope": [1.0], "intercept": 0.0}},
        {"method": "isotonic", "parameters": {"logits": [1, 0], "knot_probabilities": [0.1, 0.2]}},
        {"method": "isotonic", "parameters": {"logits": [0, 1], "knot_probabilities": [0.2, 0.1]}},
        {"method": "isotonic", "parameters": {"logits": [0, 1], "knot_probabilities": [0.2, 1.1]}},
        {"method": "isotonic", "parameters": {"logits": [], "knot_probabilities": []}},
        {"scored_with": None},
        {"instructions": 3},
    ],
)
def test_a_file_that_holds_no_sound_calibration_is_refused(changed: dict[str, object], tmp_path: Path) -> None:
    made = json.loads(Calibration(MAPS[0], {}, None).to_json())
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**made, **changed}), encoding="utf-8")
    with pytest.raises(CalibrationError, match=r"calibration\.json: (expected|its parameters)"):
        Calibration.read(path)


def test_no_file_is_refused_as_a_calibration_and_not_as_a_model(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        Calibration.read(tmp_path / "missing.json")
    (tmp_path / "cut.json").write_text("{", encoding="utf-8")
    with pytest.raises(CalibrationError, match=r"cut\.json: not JSON \(.*\)$"):
        Calibration.read(tmp_path / "cut.json")


def test_labels_of_pairs_are_numbers_booleans_or_words_and_anything_else_is_named() -> None:
    values = [1, 0, True, "2", "no", 0.5]
    pairs = [Pair(f"pairs:{n}", {"label": value}, "query", f"text {n}") for n, value in enumerate(values)]
    assert list(labelled_pairs("pairs", pairs).qrels["query"].values()) == [1, 0, 1, 1, 0, 0]
    for record in ({}, {"label": "maybe"}, {"relevant": float("nan")}):
        with pytest.raises(InputError, match="pairs:7: expected"):
            labelled_pairs("pairs", [Pair("pairs:7", record, "query", "text")])
