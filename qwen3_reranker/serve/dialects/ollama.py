"""The path that Dify's plugin for Ollama calls: the canonical reply with documents as strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen3_reranker.serve.dialects.canonical import Canonical


class Ollama(Canonical):
    """Ollama itself has no rerank route; its clients read a document only if it is a string."""

    name = "ollama"

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Always."""
        return True
