"""What the Hub's cache holds -> its models that may run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import RerankerError
from qwen3_reranker.json_object import read_object


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A repository in the Hub's cache. config: None for GGUF, whose header is not read here. num_bytes: on disk."""

    id: str
    num_bytes: int
    folder: Path
    config: ModelConfig | None


def cache_folder() -> Path:
    """Where models of the Hub are kept."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def cached_models() -> list[CachedModel]:
    """The models in the cache that may run: Qwen3 networks, and GGUF files. Empty where there is no cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(cache_folder()).repos
    except CacheNotFound:
        return []
    found = []
    for repository in repositories:
        newest = max(repository.revisions, key=lambda each: each.last_modified, default=None)
        if repository.repo_type == "model" and newest is not None:
            folder = newest.snapshot_path
            config = _config(folder)
            if (config is not None and any(folder.rglob("*.safetensors"))) or any(folder.rglob("*.gguf")):
                found.append(CachedModel(repository.repo_id, repository.size_on_disk, folder, config))
    return sorted(found, key=lambda each: each.id)


def _config(folder: Path) -> ModelConfig | None:
    """The shape of a Qwen3 network, or None for another one."""
    path = folder / "config.json"
    try:
        return ModelConfig.from_json(read_object(path), str(path)) if path.is_file() else None
    except RerankerError:
        return None
