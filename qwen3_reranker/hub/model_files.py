"""A model's folder or GGUF file -> the files that belong into its repository, and those that stay here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qwen3_reranker.weights import Checkpoint, gguf_names

README = "README.md"
# Files that a model is read from besides its weights, in this package, transformers, peft or sentence-transformers.
# Everything else stays: data, optimiser states, logs, pickles, and caches that only this machine may trust.
_MODEL_FILES = re.compile(
    r"(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|adapter_config"
    r"|modules|sentence_bert_config|config_sentence_transformers|model\.safetensors\.index|recipe)\.json"
    r"|merges\.txt|chat_template\.jinja|\d+_\w+/config\.json|(?:LICENSE|NOTICE)(?:\.\w+)*",
    re.ASCII,
)
# Weights that would be read together with a folder's own if a repository held both.
_WEIGHTS = re.compile(r"(?:\d+_\w+/)?[^/]*\.safetensors|adapter_config\.json|model\.safetensors\.index\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Files of a model by their paths in the repository. left_out: what else is in the folder."""

    sent: dict[str, Path]
    left_out: tuple[str, ...]


def files_of(checkpoint: Checkpoint, path: Path) -> ModelFiles:
    """The files of the checkpoint that was opened from `path`, without its README."""
    if path.is_file():
        return ModelFiles({name: path.with_name(name) for name in gguf_names.parts(path.name)}, ())
    tensors = [*checkpoint.tensors.values(), *([checkpoint.stored_head.tensor] if checkpoint.stored_head else [])]
    weights = {source.path.absolute() for tensor in tensors for source in tensor.sources}
    every = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    sent = {name: file for name, file in every.items() if _MODEL_FILES.fullmatch(name) or file.absolute() in weights}
    return ModelFiles(sent, tuple(name for name in every if name not in sent and name != README))


def others_weights(in_repository: list[str], sent: dict[str, Path]) -> list[str]:
    """Weights in the repository with which what is sent would be read as another model."""
    if all(name.endswith(".gguf") for name in sent):
        return []
    return [name for name in in_repository if _WEIGHTS.fullmatch(name) and name not in sent]
