"""The real Qwen3 tokenizer, packed; README.md says where it comes from."""

import lzma
from pathlib import Path

_PACKED = Path(__file__).parent / "tokenizer.json.xz"


def unpack_tokenizer(folder: Path) -> Path:
    """Write tokenizer.json into an existing folder and return its path."""
    path = folder / "tokenizer.json"
    path.write_bytes(lzma.decompress(_PACKED.read_bytes()))
    return path
