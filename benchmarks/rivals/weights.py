"""The tensors of a bfloat16 checkpoint in one file, as float32, and its files in another folder; numpy alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

YES, NO = 9693, 2152
# What libraries ask for beside tokenizer.json.
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": "<|endoftext|>",
    "eos_token": "<|im_end|>",
    "padding_side": "left",
    "model_max_length": 32768,
}


def linked(model: Path, folder: Path, *names: str) -> Path:
    """A new folder with the tokenizer, its configuration, and these files of the checkpoint."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", *names):
        (folder / name).symlink_to((model / name).resolve())
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return folder


def tensors(model: Path, only: str | None = None) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(published name, values) of each tensor, or of one."""
    with open(model / "model.safetensors", "rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if only in (None, name):
                begin, end = entry["data_offsets"]
                file.seek(start + begin)
                bits = np.frombuffer(file.read(end - begin), np.uint16)
                yield name, (bits.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def yes_no_difference(model: Path) -> NDArray[np.float32]:
    """The row of yes minus the row of no of the word matrix (tied models)."""
    ((_, words),) = tensors(model, "model.embed_tokens.weight")
    difference: NDArray[np.float32] = words[YES] - words[NO]
    return difference
