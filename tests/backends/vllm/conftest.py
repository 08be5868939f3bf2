"""What vLLM's scores are compared with."""

from collections.abc import Iterator

import pytest

from qwen3_reranker import Reranker

QUERY = "take back my last commit"
DOCUMENTS = [f"git reset --soft HEAD~{place} undoes the last commits, " * (1 + place % 5) for place in range(40)]


@pytest.fixture(scope="module")
def local() -> Iterator[Reranker]:
    """nano on the cpu backend."""
    with Reranker("nano", max_length=512) as reranker:
        yield reranker
