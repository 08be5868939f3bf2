"""The reply of a rerank server -> its entries, or what it refuses, in one line."""

from __future__ import annotations

import json
from typing import Any

from qwen3_reranker.endpoints.address import KEY_VARIABLE
from qwen3_reranker.endpoints.endpoint_errors import RefusedError
from qwen3_reranker.endpoints.wire_formats import ScoreEntry, entries
from qwen3_reranker.json_object import shown


def read_scores(content: bytes) -> tuple[list[ScoreEntry], Any]:
    """The entries of a reply of status 200, in its own order, and the whole reply. Raises RefusedError for another."""
    start = shown(content[:80].decode(errors="replace"))
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise RefusedError(200, f"status 200, but no JSON: {start}") from None
    listed = entries(answer)
    if listed is None:
        raise RefusedError(200, f"status 200, but no scores: {start}")
    return listed, answer


def refusal(status: int, content: bytes) -> str:
    """What a reply without scores says, in one line."""
    if status in (401, 403):
        return f"status {status}: the server wants a key; give --api-key or set {KEY_VARIABLE}"
    if 300 <= status < 400:
        return f"status {status}: it redirects; give the address it redirects to"
    said = shown(content[:100].decode(errors="replace")) if content.strip() else "no reason given"
    return f"status {status}, {said}"
