"""Damaged files for the readers of checkpoints, and what a reader promises about any of them."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.weights.gguf import open_gguf
from qwen3_reranker.weights.hf import open_folder
from qwen3_reranker.weights.safetensors import read_entries
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf

MIB = 1 << 20
MOST_SECONDS = 1.0
CORPUS = Path(__file__).parents[1] / "tests/weights" / "corpus"
# Counts and lengths that a reader may trip over.
EXTREMES = (
    0, 1, 2, 31, 32, 33, 127, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**60, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip

# (how, place, number): what to do where, counted from the beginning, and with what.
Edit = tuple[str, int, int]
EDITS = ("flip", "integer", "cut", "delete", "repeat", "splice", "byte")


def read_gguf(path: Path) -> None:
    """Open the file and its tokenizer, and read the score head."""
    checkpoint = open_gguf(path, "fuzzed")
    checkpoint.head.rows(0, 1)
    _ = checkpoint.tokenizer


def read_parts(path: Path) -> None:
    """The same for a model in two files; `path` holds the length of the first, then both."""
    content = path.read_bytes()
    first = 8 + min(int.from_bytes(content[:8], "little"), len(content))
    places = _places_of_parts(path)
    for place, part in zip(places, (content[8:first], content[first:]), strict=True):
        place.write_bytes(part)
    read_gguf(places[0])


@cache
def _places_of_parts(path: Path) -> list[Path]:
    # Made once: Python caches the parts of paths, and that memory would count as the reader's.
    folder = path.with_name(f"{path.name}.parts")
    folder.mkdir(exist_ok=True)
    return [folder / f"x-0000{number}-of-00002.gguf" for number in (1, 2)]


def read_config(path: Path) -> None:
    """Read the JSON and the network that it describes."""
    ModelConfig.from_json(read_object(path), str(path))


def read_quantised(path: Path) -> None:
    """Read every tensor of the folder in the file: config.json, a NUL byte, then the weights."""
    contents = path.read_bytes().partition(b"\0")
    config, weights = _places_in_folder(path)
    config.write_bytes(contents[0])
    weights.write_bytes(contents[2])
    for tensor in open_folder(config.parent, "fuzzed").tensors.values():
        tensor.read()


@cache
def _places_in_folder(path: Path) -> tuple[Path, Path]:
    # Made once, as those of parts are.
    folder = path.with_name(f"{path.name}-folder")
    folder.mkdir(exist_ok=True)
    return folder / "config.json", folder / "model.safetensors"


READERS: dict[str, Callable[[Path], Any]] = {
    "gguf": read_gguf,
    "gguf-parts": read_parts,
    "safetensors": read_entries,
    "json": read_config,
    "quantised": read_quantised,
}


def whole_files(reader: str, folder: Path) -> list[bytes]:
    """Small files that the reader takes; `folder` is room to make them in."""
    model = write_checkpoint(
        folder / "model", vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=1, head_dim=8
    )
    if reader == "safetensors":
        shards = write_checkpoint(folder / "shards", vocab_size=8, hidden_size=4, dtype="BF16", shards=2)
        return [path.read_bytes() for path in (model / "model.safetensors", *sorted(shards.glob("*.safetensors")))]
    if reader == "json":
        rope = {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}, "layer_types": ["full_attention"]}
        config = (model / "config.json").read_bytes()
        return [config, json.dumps({**json.loads(config), **rope}).encode()]
    if reader == "quantised":
        return _quantised_folders(folder)
    words = ["a", "b", "ab", "\u0120", "yes", "no", "<|im_end|>", "<think>"]
    tokenizer = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 1, 3, 4],
        "tokenizer.ggml.merges": ["a b"],
        "general.tags": [True, False],
    }
    short = {"kind": "Q8_0", "fields": tokenizer}
    if reader == "gguf-parts":
        return [
            _joined(write_gguf(folder / f"{count}.gguf", model, tensors_of_a_part=count, **short)) for count in (7, 12)
        ]
    paths = [
        write_gguf(folder / "a.gguf", model, **short),
        write_gguf(folder / "b.gguf", model, labels=None, **short),
        write_gguf(folder / "c.gguf", model, kind="F16", labels=["no", "yes"], fields=tokenizer, alignment=64),
    ]
    return [path.read_bytes() for path in paths]


def _joined(first: Path) -> bytes:
    contents = [path.read_bytes() for path in sorted(first.parent.glob(f"{first.name[:-18]}*"))]
    assert len(contents) == 2
    return len(contents[0]).to_bytes(8, "little") + b"".join(contents)


def _quantised_folders(folder: Path) -> list[bytes]:
    # Imported here, as it takes torch: the other readers must not wait for that.
    from testing.quantised import KINDS, write_quantised

    plain = write_checkpoint(
        folder / "plain", vocab_size=8, hidden_size=64, intermediate_size=64, num_hidden_layers=1, head_dim=16
    )
    written = [
        write_quantised(folder / f"quantised-{number}", plain, kind) for number, kind in enumerate(KINDS.values())
    ]
    return [(each / "config.json").read_bytes() + b"\0" + (each / "model.safetensors").read_bytes() for each in written]


def edited(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """The content with those edits made one after the other; `other` is a second file to splice from."""
    data = bytearray(content)
    for how, where, number in edits:
        place = where % (len(data) + 1)
        if how == "flip" and place < len(data):
            data[place] ^= 1 << number % 8
        elif how == "byte" and place < len(data):
            data[place] = number % 256
        elif how == "integer":
            width = 4 if number % 2 else 8
            value = EXTREMES[number // 2 % len(EXTREMES)] % (1 << 8 * width)
            data[place : place + width] = value.to_bytes(width, "little")
        elif how == "cut":
            del data[place:]
        elif how == "delete":
            del data[place : place + number % 64]
        elif how == "repeat":
            data[place:place] = data[place : place + number % 256] * (1 + number % 3)
        elif how == "splice":
            start = number % (len(other) + 1)
            data[place : place + number % 128] = other[start : start + where % 128]
    return bytes(data)


def random_edits(random: np.random.Generator, size: int) -> list[Edit]:
    """One to four edits of a file of `size` bytes, most of them in the header, its first 4 KiB."""
    near = min(size, 4096)
    return [
        (
            EDITS[int(random.integers(len(EDITS)))],
            int(random.integers(near if random.random() < 0.9 else size)),
            int(random.integers(2**31)),
        )
        for _ in range(int(random.integers(1, 5)))
    ]


def broken_promise(reader: str, path: Path, size: int) -> str | None:
    """A description of forbidden behaviour of the reader, or None; tracemalloc must be running.

    The reader may raise only CheckpointError, with one line that names the file, within one second of CPU time and
    with memory of four times the file's size plus 1 MiB.
    """
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    start = time.thread_time()
    try:
        READERS[reader](path)
    except CheckpointError as error:
        if not str(error).isprintable() or str(path) not in str(error):
            return f"says {error!s:.200}"
    except Exception as error:
        return f"raises {type(error).__name__}: {error!s:.200}"
    seconds = time.thread_time() - start
    peak = tracemalloc.get_traced_memory()[1] - before
    if seconds > MOST_SECONDS:
        return f"takes {seconds:.1f} s"
    return f"takes {peak:,} bytes for {size:,}" if peak > 4 * size + MIB else None
