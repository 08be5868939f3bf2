"""What makes a checkpoint an embedding model: no head, last-token pooling, own prompts.

Layout: SentenceTransformer.save_pretrained of sentence-transformers, as Qwen3-Embedding is published with it. Older
releases write one switch for each kind of pooling, newer ones a single pooling_mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights import names
from qwen3_reranker.weights.modules import INPUT, MODULES, POOLING, SETTINGS, TRANSFORMER, refuse_other_places

_LAST_TOKEN = "lasttoken"
# What the module's length is called: by older releases, by newer ones.
_WIDTHS = ("word_embedding_dimension", "embedding_dimension")
# Under which of its prompts sentence-transformers encodes a query and a document; the first one stored wins.
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}
_SWITCH = "pooling_mode_"


def is_embedding(modules: list[tuple[str, str]] | None, tensors: Mapping[str, object]) -> bool:
    """Whether modules.json says so. Without it tensors do: a network alone has names without 'model.'."""
    if modules is not None:
        return POOLING in [kind for kind, _ in modules]
    return has_bare_names(tensors)


def has_bare_names(tensors: Mapping[str, object]) -> bool:
    """Whether tensors are named as in a network saved without a head, as Qwen3-Embedding was."""
    return names.EMBEDDING not in tensors and names.bare_name(names.EMBEDDING) in tensors


def refuse_other_pooling(folder: Path, modules: list[tuple[str, str]] | None, hidden_size: int) -> None:
    """Raise CheckpointError unless the modules, if any, only pool the last token's state."""
    if modules is None:
        return
    kinds = [kind for kind, _ in modules]
    if kinds not in ([TRANSFORMER, POOLING], [TRANSFORMER, POOLING, "Normalize"]):
        raise CheckpointError(
            f"{folder / MODULES}: expected an embedding model's modules, Transformer, Pooling and Normalize, got "
            f"{shown(kinds)}; use a Qwen3-Embedding, or a model fine-tuned from one without further layers"
        )
    refuse_other_places(folder, modules)
    path = folder / modules[1][1] / "config.json"
    fields = read_object(path)
    pooled = _pooling_modes(fields)
    if pooled != [_LAST_TOKEN]:
        raise CheckpointError(
            f"{path}: expected last-token pooling ({_SWITCH}{_LAST_TOKEN}), as every Qwen3-Embedding has, got "
            f"{shown(pooled)}; other poolings are not run"
        )
    for name in _WIDTHS:
        if fields.get(name, hidden_size) != hidden_size:
            raise CheckpointError(
                f"{path}: {name} must be {hidden_size}, the network's hidden_size, got {shown(fields[name])}; "
                "the files are not of one model"
            )
    if (folder / INPUT).exists() and read_object(folder / INPUT).get("do_lower_case"):
        raise CheckpointError(f"{folder / INPUT}: do_lower_case is set; Qwen3-Embedding reads text as it is")


def stored_prompts(folder: Path) -> dict[str, str]:
    """What the makers put before a "query" and a "document", where they say so. Raises CheckpointError for no text."""
    path = folder / SETTINGS
    prompts = (read_object(path).get("prompts") or {}) if path.exists() else {}
    if not isinstance(prompts, dict):
        raise CheckpointError(f"{path}: prompts must be an object of name -> text, got {shown(prompts)}")
    found = {}
    for role, stored_names in _PROMPTS.items():
        name = next((name for name in stored_names if prompts.get(name) is not None), None)
        if name is not None:
            found[role] = _text(prompts[name], f"{path}: prompt {shown(name)}")
    return found


def _pooling_modes(fields: Mapping[str, Any]) -> list[object]:
    mode = fields.get("pooling_mode")
    if mode is not None:
        return list(mode) if isinstance(mode, list) else [mode]
    return [name.removeprefix(_SWITCH) for name, value in fields.items() if name.startswith(_SWITCH) and value]


def _text(prompt: object, source: str) -> str:
    if not isinstance(prompt, str):
        raise CheckpointError(f"{source} must be a text, got {shown(prompt)}")
    if (index := lone_surrogate(prompt)) is not None:
        raise CheckpointError(f"{source} is not valid Unicode: a lone surrogate at character {index}")
    return prompt
