"""A random embedding model for the tests of search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker.embedder import Embedder
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder."""
    base = write_small_checkpoint(tmp_path_factory.mktemp("base"), hidden_size=64, initializer_range=0.12, seed=1)
    return write_embedding_model(tmp_path_factory.mktemp("embedding"), base)


@pytest.fixture(scope="module")
def embedder(model: Path) -> Iterator[Embedder]:
    """The same, open."""
    with Embedder(model, dim=32) as opened:
        yield opened
