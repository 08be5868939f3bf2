"""What every test may ask for: the real Qwen3 tokenizer, unpacked once."""

import lzma
from pathlib import Path

import pytest

_PACKED = Path(__file__).parent / "testing" / "tokenizer" / "tokenizer.json.xz"


@pytest.fixture(scope="session")
def qwen3_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer of Qwen3-Reranker as a file."""
    path = tmp_path_factory.mktemp("qwen3-tokenizer") / "tokenizer.json"
    path.write_bytes(lzma.decompress(_PACKED.read_bytes()))
    return path
