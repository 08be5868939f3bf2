"""What a server says of the model that it serves -> the facts that its scores may depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.endpoints.listed_models import listed_models

# Of TEI's /info, and of an entry of a list of models: ours, vLLM's, llama.cpp's. Times and versions are left out.
_OF_SERVER = ("model_id", "model_sha", "model_dtype", "max_input_length")
_OF_MODEL = ("id", "root", "max_model_len", "precision", "parameters")
_OF_META = ("n_params", "size", "n_ctx")


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """What a server says of itself. facts: by name, empty where it says nothing. num_parameters: None if unknown."""

    facts: Mapping[str, Any]
    num_parameters: int | None = None

    @classmethod
    def of(cls, info: object, models: object, served_name: str | None) -> RemoteModel:
        """The facts of the replies at `ServerAddress.info_paths`. served_name: the model in use, None for the only."""
        facts = _plain(info, _OF_SERVER)
        entries = listed_models(models)
        used = [each for each in entries if served_name is None or each.get("id") == served_name] or entries
        if len(used) != 1:
            return cls(facts | ({"models": sorted(str(each.get("id")) for each in used)} if used else {}))
        facts |= _plain(used[0], _OF_MODEL) | _plain(used[0].get("meta"), _OF_META)
        if isinstance(calibration := used[0].get("calibration"), Mapping):
            facts["calibration"] = str(calibration.get("fingerprint"))
        count = facts.get("parameters", facts.get("n_params"))
        return cls(facts, count if isinstance(count, int) else None)


def _plain(of: object, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: of[name] for name in names if name in of} if isinstance(of, Mapping) else {}
    return {name: value for name, value in found.items() if isinstance(value, str | int)}
