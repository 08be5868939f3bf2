"""The tensors of a bfloat16 checkpoint in one file, as float32; numpy alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

YES, NO = 9693, 2152


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
