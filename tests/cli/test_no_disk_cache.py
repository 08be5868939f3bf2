"""`--no-disk-cache` leaves a model's folder as it was, whatever the verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen3_reranker.backends.cpu.disk_cache import FOLDER
from testing.checkpoints import write_checkpoint
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many bytes as are worth keeping something of, nearly all of them word vectors."""
    tokenizer_file = Path(model) / "tokenizer.json"
    folder = tmp_path_factory.mktemp("large")
    return write_checkpoint(folder, vocab_size=1_100_000, dtype="BF16", tokenizer_file=tokenizer_file)


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("verb", ["rank", "inspect", "bench"])
def test_nothing_is_kept_on_disk_when_that_is_asked_for(run: Run, large: Path, verb: str) -> None:
    name = str(large)
    arguments = {
        "rank": ["q", "notes.txt", "--model", name, "--precision", "int8"],
        "inspect": [name, "--drift"],
        "bench": [name, "--only", "titles", "--rounds", "1", "--precision", "int8"],
    }
    assert run(verb, *arguments[verb], "--no-disk-cache").code == 0
    assert not (large / FOLDER).exists()
