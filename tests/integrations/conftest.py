"""What the frameworks rank and embed: the same few texts, scored by the library itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Embedder, Ranking, Reranker
from testing.layouts import write_embedding_model

QUERY = "take back my last commit"
DOCUMENTS = [
    "Simmer the rice for twelve minutes.",
    "git reset --soft HEAD~1 undoes the last commit.",
    "",
    "List all tags.",
    "git revert makes a commit that takes back another one.",
]
INSTRUCTION = "Given a recipe, find the step that is missing"


@pytest.fixture(scope="session")
def nano() -> Iterator[Reranker]:
    """The bundled model."""
    with Reranker("nano") as reranker:
        yield reranker


@pytest.fixture(scope="session")
def ranking(nano: Reranker) -> Ranking:
    """DOCUMENTS as the library ranks them."""
    return nano.rank(QUERY, DOCUMENTS)


@pytest.fixture(scope="session")
def scores(nano: Reranker) -> list[float]:
    """Probabilities of DOCUMENTS, in input order."""
    return [float(each) for each in nano.score(QUERY, DOCUMENTS).probabilities]


@pytest.fixture(scope="session")
def embedding_model(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random embedding model."""
    return write_embedding_model(tmp_path_factory.mktemp("embedding"), small_checkpoint)


@pytest.fixture(scope="session")
def vectors(embedding_model: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vector of QUERY and those of DOCUMENTS, by the library."""
    with Embedder(embedding_model) as embedder:
        return embedder.queries([QUERY])[0], embedder.documents(DOCUMENTS)
