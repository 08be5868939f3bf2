"""Random networks for training, made up here: the tests need no files from outside the repository."""

from pathlib import Path

import pytest

from testing.checkpoints import write_small_checkpoint


@pytest.fixture(scope="session")
def untied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network with a language-model head of its own."""
    return write_small_checkpoint(tmp_path_factory.mktemp("untied"), initializer_range=0.2, tied=False)
