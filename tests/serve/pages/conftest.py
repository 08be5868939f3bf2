"""The bundled model in three ways and a random one, and a server of each kind, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from tests.serve.pages.server import Api, app_of, served, site_of


@pytest.fixture(scope="session")
def rerankers(small_checkpoint: Path) -> dict[str, Reranker]:
    """By the names under which they are served: one reads short rows only, one ranks at random."""
    return {
        "nano": Reranker("nano"),
        "nano-short": Reranker("nano", max_length=100),
        "random": Reranker(str(small_checkpoint)),
    }


@pytest.fixture(scope="session")
def address(rerankers: dict[str, Reranker]) -> Iterator[str]:
    """A server that wants no keys."""
    with served(app_of(site_of(rerankers), Api(rerankers, keys=False))) as at:
        yield at


@pytest.fixture
def keyed_address(rerankers: dict[str, Reranker]) -> Iterator[str]:
    """A server that wants keys, and has counted nothing yet."""
    with served(app_of(site_of(rerankers, keys=True), Api(rerankers, keys=True))) as at:
        yield at
