"""A fitted map with what it belongs to, as a JSON file: logits of that model and instruction to probabilities."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.calibrate.monotone_maps import IsotonicMap, MonotoneMap, PlattMap
from qwen3_reranker.errors import CalibrationError, CheckpointError
from qwen3_reranker.evaluate.judging import model_facts
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.records import DocumentScores, Ranking
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker

FORMAT = "qwen3_reranker calibration 1"
#: The file beside a model that holds its calibration.
STORED = "calibration.json"
# What a calibration belongs to. A precision or a backend moves logits by less than labels of pairs can tell.
_OF_MODEL = ("model_fingerprint", "prompt")
_OF_SERVER = ("model", "route", "scores", "served_name")
_MAPS = {each.method: each for each in (PlattMap, IsotonicMap)}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from logits to probabilities, and what it was fitted on.

    scored_with: `evaluate`'s facts of the model. instructions: those of the fitted pairs; None where they varied from
    query to query, and any is accepted. data: counts of queries, pairs and relevant pairs. measured: errors on held-out
    queries. thresholds: what `--answer-precision` chose.
    """

    map: MonotoneMap
    scored_with: Mapping[str, Any]
    instructions: tuple[str | None, ...] | None
    data: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Calibration:
        """The calibration in a file. Raises CalibrationError for anything else."""
        try:
            found = read_object(Path(path), is_fetched=False)
        except CheckpointError as error:
            raise CalibrationError(str(error)) from None
        if found.get("format") != FORMAT:
            raise CalibrationError(f"{path}: expected a file of `qwen3-reranker calibrate`, of format {FORMAT!r}")
        instructions, scored_with = found.get("instructions"), found.get("scored_with")
        listed = isinstance(instructions, list) and all(isinstance(each, str | None) for each in instructions)
        if not (instructions is None or listed) or not isinstance(scored_with, dict):
            raise CalibrationError(f"{path}: expected instructions and scored_with, as `calibrate` writes them")
        return cls(
            _map_of(found, os.fspath(path)),
            scored_with,
            None if instructions is None else tuple(instructions),
            found.get("data") or {},
            found.get("measured") or {},
            found.get("thresholds") or (),
        )

    @property
    def fingerprint(self) -> str:
        """A hash of what decides its probabilities: the map, the model and the instructions."""
        names = ("method", "parameters", "scored_with", "instructions")
        content = json.loads(self.to_json())
        return hashlib.sha256(json.dumps([content[name] for name in names]).encode()).hexdigest()[:24]

    def to_json(self) -> str:
        """The content of its file. `read` gives the same calibration, to the last bit."""
        names = [each.name for each in fields(self.map)]
        content = {
            "format": FORMAT,
            "method": self.map.method,
            "parameters": {name: getattr(self.map, name) for name in names},
            "scored_with": dict(self.scored_with),
            "instructions": self.instructions,
            "data": dict(self.data),
            "measured": dict(self.measured),
            "thresholds": list(self.thresholds),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def refuse_other(self, reranker: Reranker | RemoteReranker, instruction: str | None = None) -> None:
        """Raise CalibrationError for a model or an instruction that it was not fitted with.

        instruction: that of the calls to come; None for the model's own.
        """
        self.refuse_other_model(reranker)
        if not self.holds_for(reranker, instruction):
            assert self.instructions is not None
            own = reranker.default_instruction if instruction is None else instruction
            raise CalibrationError(
                f"the calibration belongs to the instruction {shown(self.instructions[0])}"
                f"{f' and {len(self.instructions) - 1} more' if len(self.instructions) > 1 else ''}, and this call has "
                f"{shown(own)}; give the same instruction, or --allow-other-calibration"
            )

    def holds_for(self, reranker: Reranker | RemoteReranker, instruction: str | None) -> bool:
        """Whether it was fitted with this instruction; None for the model's own."""
        own = reranker.default_instruction if instruction is None else instruction
        return self.instructions is None or own in self.instructions

    def refuse_other_model(self, reranker: Reranker | RemoteReranker) -> None:
        """Raise CalibrationError for a model or a prompt that it was not fitted with."""
        facts = model_facts(reranker)
        for name in _OF_SERVER if isinstance(reranker, RemoteReranker) else _OF_MODEL:
            if facts.get(name) != self.scored_with.get(name):
                raise CalibrationError(
                    f"the calibration belongs to another model: {name.replace('_', ' ')} "
                    f"{shown(self.scored_with.get(name))}, and this one has {shown(facts.get(name))}; fit one with "
                    "`qwen3-reranker calibrate`, or give --allow-other-calibration"
                )

    def probabilities(self, logits_N: NDArray[np.float32]) -> NDArray[np.float32]:
        """The calibrated probability of each logit, (N,) float32."""
        return self.map.probabilities(logits_N.astype(np.float64)).astype(np.float32)

    def scores(self, scores: DocumentScores) -> DocumentScores:
        """The same scores with calibrated probabilities; logits stay."""
        return replace(scores, probabilities=self.probabilities(scores.logits))

    def ranking(self, ranking: Ranking) -> Ranking:
        """The same ranking with calibrated probabilities; logits and order stay."""
        values = self.probabilities(np.array([hit.logit for hit in ranking], np.float32)).tolist()
        hits = tuple(replace(hit, probability=value) for hit, value in zip(ranking, values, strict=True))
        return replace(ranking, hits=hits)


def stored_file(model: Path) -> Path:
    """The file beside a model that holds its calibration. model: the folder or GGUF file that holds it.

    Raises CalibrationError if none is there.
    """
    path = (model if model.is_dir() else model.parent) / STORED
    if not path.is_file():
        raise CalibrationError(
            f"no calibration is stored beside the model: there is no {path}; `qwen3-reranker calibrate` with "
            f"-o {path} makes one"
        )
    return path


def _map_of(found: Mapping[str, Any], path: str) -> MonotoneMap:
    """The map in a file. Raises CalibrationError for numbers that are no monotone map to probabilities."""
    kind, parameters = _MAPS.get(str(found.get("method"))), found.get("parameters")
    if kind is None or not isinstance(parameters, dict) or parameters.keys() != {each.name for each in fields(kind)}:
        raise CalibrationError(f"{path}: expected the method platt or isotonic with its parameters")
    try:
        values = {name: np.array(value, np.float64) for name, value in parameters.items()}
    except (TypeError, ValueError):
        raise CalibrationError(f"{path}: expected numbers as parameters") from None
    is_sound = all(np.isfinite(value).all() for value in values.values())
    if kind is PlattMap:
        if is_sound and all(value.ndim == 0 for value in values.values()) and values["slope"] >= 0:
            return PlattMap(float(values["slope"]), float(values["intercept"]))
    elif is_sound and all(value.ndim == 1 and value.size for value in values.values()):
        logits, levels = values["logits"], values["knot_probabilities"]
        rises = len(logits) == len(levels) and (np.diff(logits) > 0).all() and (np.diff(levels) >= 0).all()
        if rises and levels[0] >= 0 and levels[-1] <= 1:
            return IsotonicMap(tuple(logits.tolist()), tuple(levels.tolist()))
    raise CalibrationError(f"{path}: its parameters are no map from logits to probabilities that never falls")
