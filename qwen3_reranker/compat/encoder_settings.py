"""What a checkpoint's files hold for sentence-transformers beyond the model: prompts and an activation function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights import Checkpoint
from qwen3_reranker.weights.modules import SETTINGS


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """prompts: instructions by name; default_prompt_name: the one of a call that names none.

    activation_name: the dotted name of the function that makes scores of logits, None for the default.
    """

    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    activation_name: str | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> EncoderSettings:
        """Those of a folder's files, where CrossEncoder of sentence-transformers 6 and of earlier releases keep them.

        Raises CheckpointError for files that hold anything else.
        """
        if checkpoint.layout == "gguf":
            return cls()
        encoder, model = (_fields(checkpoint, name) for name in (SETTINGS, "config.json"))
        prompts, source = encoder.get("prompts") or {}, checkpoint.folder / SETTINGS
        if not isinstance(prompts, dict) or not all(isinstance(each, str) for each in prompts.values()):
            raise CheckpointError(f"{source}: prompts must be texts by name, got {shown(prompts)}")
        own = model.get("sentence_transformers")
        names = (
            encoder.get("activation_fn"),
            own.get("activation_fn") if isinstance(own, dict) else None,
            model.get("sbert_ce_default_activation_function"),
        )
        activation_name = next((each for each in names if isinstance(each, str)), None)
        return cls(prompts, encoder.get("default_prompt_name"), activation_name)


def _fields(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    path = checkpoint.folder / name
    return read_object(path) if path.is_file() else {}
