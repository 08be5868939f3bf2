"""One random checkpoint in the layouts that sentence-transformers reads."""

from pathlib import Path

import pytest

from qwen3_reranker.convert import convert
from qwen3_reranker.weights import open_checkpoint


@pytest.fixture(scope="session")
def encoder_folder(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint as a CrossEncoder."""
    folder = tmp_path_factory.mktemp("encoder") / "model"
    return convert(open_checkpoint(small_checkpoint), folder, "sentence-transformers").path


@pytest.fixture(scope="session")
def published_folder(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in the layout of Qwen3-Reranker, with a chat template that reads queries and documents."""
    return convert(open_checkpoint(small_checkpoint), tmp_path_factory.mktemp("published") / "model", "hf").path
