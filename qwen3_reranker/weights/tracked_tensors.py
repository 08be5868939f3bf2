"""A checkpoint's tensors, and which were read. An unread one is an error that names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from qwen3_reranker.errors import UnreadTensorsError
from qwen3_reranker.json_object import shown

T = TypeVar("T")

# What changes no score, whatever its numbers are. Everything else in a file was trained for something.
_HARMLESS = (
    # Computed from rope_theta; older releases of transformers stored it.
    re.compile(r"(.*\.)?rotary(_emb)?\.inv_freq"),
    # Scales of a cache or of attention in 8 bits, neither of which is run.
    re.compile(r"(.*\.)?(q|k|v|prob)_scale"),
)
_LAYER = re.compile(r"(?:.*\.)?(?:layers|blk)\.(\d{1,9})\..*", re.DOTALL)
_SHOWN = 3


class TrackedTensors(Mapping[str, T]):
    """Tensors by name. Taking one by its name counts as reading it; listing names and asking for one do not."""

    def __init__(self, tensors: Mapping[str, T]) -> None:
        self._tensors = tensors
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> T:
        tensor = self._tensors[name]
        self._read.add(name)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def refuse_unread(self, where: Path, count_name: str, num_layers: int, spared: Collection[str] = ()) -> None:
        """Raise UnreadTensorsError if `where` holds an unread tensor that is neither `spared` nor harmless.

        count_name: what the number of layers is called where it is written.
        """
        unread = [name for name in self if name not in self._read and name not in spared and not _is_harmless(name)]
        if not unread:
            return
        beyond = sorted({number for name in unread if (number := _layer_of(name)) is not None and number >= num_layers})
        named = ", ".join(map(shown, unread[:_SHOWN])) + (", ..." if len(unread) > _SHOWN else "")
        found = f"{where}: {len(unread)} of {len(self)} tensors would not be read: {named}; "
        if beyond:
            raise UnreadTensorsError(
                f"{found}{count_name} says {num_layers} layers, but tensors of layer {beyond[-1]} are there (counted "
                f"from 0): write {beyond[-1] + 1} if they were trained, or remove them"
            )
        raise UnreadTensorsError(
            f"{found}a Qwen3 network has no such part, and what was trained is not left out: take the checkpoint "
            "without it, or remove the tensors if they are of no use"
        )


def _is_harmless(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in _HARMLESS)


def _layer_of(name: str) -> int | None:
    found = _LAYER.fullmatch(name)
    return int(found[1]) if found else None
