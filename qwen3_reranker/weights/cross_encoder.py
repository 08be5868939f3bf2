"""modules.json of a CrossEncoder folder -> what it adds to a checkpoint: ids and instruction.

Layout: CrossEncoder.save_pretrained of sentence-transformers 6. No class that it names is ever imported, and its chat
template is never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights import names
from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.modules import INPUT, MODULES, SETTINGS, TRANSFORMER, read_modules, refuse_other_places

_CAUSAL_LOGITS = "causal_logits"


def as_cross_encoder(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """The checkpoint with the head's rows and the instruction of the folder's CrossEncoder files, if any.

    Raises CheckpointError for a folder whose modules are not those of a Qwen3-Reranker.
    """
    path, modules = folder / MODULES, read_modules(folder)
    if modules is None:
        return checkpoint
    score_path = _score_path(folder, modules)
    is_classifier = checkpoint.head.tensor.name == names.SCORE
    if is_classifier != (score_path is None):
        expected = "no LogitScore, as the weights hold a classifier" if is_classifier else "a LogitScore"
        raise CheckpointError(
            f"{path}: expected {expected}; save the folder again with CrossEncoder.save_pretrained, or remove {MODULES}"
        )
    head = checkpoint.head
    if score_path is not None:
        head = replace(head, labels=_token_rows(score_path, checkpoint.config.vocab_size))
    layout = "lora" if checkpoint.layout == "lora" else "sentence-transformers"
    instruction = _instruction(folder) or checkpoint.instruction
    return replace(checkpoint, layout=layout, stored_head=head, instruction=instruction)


def _score_path(folder: Path, modules: list[tuple[str, str]]) -> Path | None:
    """Where the LogitScore is configured, if there is one after the Transformer."""
    kinds = [kind for kind, _ in modules]
    if kinds not in ([TRANSFORMER], [TRANSFORMER, "LogitScore"]):
        raise CheckpointError(
            f"{folder / MODULES}: expected a CrossEncoder's modules, Transformer and LogitScore, got {shown(kinds)}; "
            "other modules (Dense, ...) are those of other judges, use a Qwen3-Reranker"
        )
    refuse_other_places(folder, modules)
    return folder / modules[1][1] / "config.json" if len(modules) == 2 else None


def _token_rows(path: Path, vocab_size: int) -> tuple[int, ...]:
    """The rows of yes and of no in the language-model head. Only that of yes where the score is its logit alone."""
    fields = read_object(path)
    ids = [fields.get("true_token_id"), fields.get("false_token_id")]
    for name, token_id in zip(("true_token_id", "false_token_id"), ids, strict=True):
        if token_id is None and name == "false_token_id":
            continue
        if type(token_id) is not int or not 0 <= token_id < vocab_size:
            raise CheckpointError(
                f"{path}: {name} must be the id of a word, 0..{vocab_size - 1}, got {shown(token_id)}; "
                "for Qwen3-Reranker it is 9693 (yes) or 2152 (no)"
            )
    if ids[0] == ids[1]:
        raise CheckpointError(
            f"{path}: true_token_id and false_token_id are both {ids[0]}, so every document would score 0; "
            "for Qwen3-Reranker they are 9693 (yes) and 2152 (no)"
        )
    source = fields.get("module_input_name", _CAUSAL_LOGITS)
    if source != _CAUSAL_LOGITS:
        raise CheckpointError(f"{path}: module_input_name must be {_CAUSAL_LOGITS!r}, got {shown(source)}")
    return tuple(token_id for token_id in ids if token_id is not None)


def _instruction(folder: Path) -> str | None:
    path = folder / SETTINGS
    fields = read_object(path) if path.exists() else {}
    prompts, name = fields.get("prompts") or {}, fields.get("default_prompt_name")
    if name is None:
        return None
    if not isinstance(prompts, dict) or not isinstance(name, str) or not isinstance(prompts.get(name), str):
        raise CheckpointError(
            f"{path}: default_prompt_name {shown(name)} must name a text in prompts, got {shown(prompts)}; "
            "correct it, or set it to null"
        )
    instruction: str = prompts[name]
    # An empty prompt is none: sentence-transformers then leaves the instruction to the template.
    if not instruction:
        return None
    try:
        instruction.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(
            f"{path}: prompt {shown(name)} is not valid Unicode: a lone surrogate at character {error.start}"
        ) from None
    if not _reads_messages(folder / INPUT):
        raise CheckpointError(
            f"{path}: prompt {shown(name)} is put before plain text there ({INPUT} has no message modality), so it is "
            "not the judge's instruction; set default_prompt_name to null and pass the instruction yourself"
        )
    return instruction


def _reads_messages(path: Path) -> bool:
    """Whether prompts become an instruction there: as a message of the system's, through the chat template."""
    fields: Mapping[str, Any] = read_object(path) if path.exists() else {}
    modalities = fields.get("modality_config")
    return isinstance(modalities, dict) and "message" in modalities
