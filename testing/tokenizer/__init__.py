"""The real Qwen3 tokenizer, packed, of which README.md says where it comes from; and smaller ones of the same kind."""

import json
import lzma
from functools import cache
from pathlib import Path

_PACKED = Path(__file__).parent / "tokenizer.json.xz"
# The bundled model's: it cuts text where Qwen3's does, has the same control tokens, and loads in a tenth of the time.
NANO_TOKENIZER = Path(__file__).parents[2] / "qwen3_reranker/weights/bundled/nano/tokenizer.json"
NANO_ENTRIES = 16_026
# Nano's, cut to its most frequent words: what no test of words themselves depends on, and a tenth of the time again.
SMALL_WORDS = 1024
SMALL_ENTRIES = SMALL_WORDS + 26


def unpack_tokenizer(folder: Path) -> Path:
    """Write tokenizer.json into an existing folder and return its path."""
    path = folder / "tokenizer.json"
    path.write_bytes(lzma.decompress(_PACKED.read_bytes()))
    return path


@cache
def small_tokenizer() -> bytes:
    """A tokenizer.json of the first words of nano's, with its control tokens after them."""
    fields = json.loads(NANO_TOKENIZER.read_text(encoding="utf-8"))
    model = fields["model"]
    model["vocab"] = {word: index for word, index in model["vocab"].items() if index < SMALL_WORDS}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    for place, token in enumerate(fields["added_tokens"]):
        token["id"] = SMALL_WORDS + place
    return json.dumps(fields).encode()
