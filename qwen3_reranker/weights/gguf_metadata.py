"""The metadata of a .gguf file by key, turned into Python when read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights.tensor import Source

FLOAT32, BOOL, STRING, ARRAY, FLOAT64 = 6, 7, 8, 9, 12
# The numbers of the types whose values have one width.
FIXED: Mapping[int, np.dtype[Any]] = {
    number: np.dtype(code)
    for number, code in {
        **{0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", FLOAT32: "<f4", BOOL: "?"},
        **{10: "<u8", 11: "<i8", FLOAT64: "<f8"},
    }.items()
}
_LENGTH = Struct("<Q")


@dataclass(frozen=True, slots=True)
class MetadataValue:
    """Where a field's values are: bytes start..end of the file, `count` values of type `kind`."""

    kind: int
    count: int
    is_array: bool
    start: int
    end: int


class Metadata:
    """Fields by key. They were walked over when the header was read, so every bound holds already.

    Asking for a field raises CheckpointError, naming file and key, where it is missing or of another type.
    """

    def __init__(self, source: Source, values: Mapping[str, MetadataValue]) -> None:
        self._source = source
        self._values = values

    @property
    def path(self) -> Path:
        """The file that holds the fields."""
        return self._source.path

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def whole(self, key: str) -> int:
        """A whole number, of any width."""
        value = self._value(key)
        if value.is_array or value.kind in (FLOAT32, BOOL, STRING, FLOAT64):
            self._refuse(key, "a whole number")
        return int(self._fixed(value)[0])

    def number(self, key: str) -> int | float:
        """A number. One of 32 bits is the shortest decimal that rounds to it: 1e-06, not 9.999999974752427e-07."""
        value = self._value(key)
        if value.is_array or value.kind in (BOOL, STRING):
            self._refuse(key, "a number")
        [stored] = self._fixed(value)
        # The converter rounded a decimal of config.json; float64 arithmetic must begin with that again.
        return float(str(stored)) if value.kind == FLOAT32 else stored.item()

    def numbers(self, key: str) -> NDArray[Any]:
        """An array of whole numbers."""
        value = self._value(key)
        if not value.is_array or value.kind in (FLOAT32, BOOL, STRING, FLOAT64):
            self._refuse(key, "an array of whole numbers")
        return self._fixed(value)

    def text(self, key: str) -> str:
        """A string."""
        value = self._value(key)
        if value.is_array or value.kind != STRING:
            self._refuse(key, "a string")
        return self._strings(key, value)[0]

    def texts(self, key: str) -> list[str]:
        """An array of strings."""
        value = self._value(key)
        if not value.is_array or value.kind != STRING:
            self._refuse(key, "an array of strings")
        return self._strings(key, value)

    def count(self, key: str) -> int:
        """How many values the field has: 1, or an array's length."""
        return self._value(key).count

    def _value(self, key: str) -> MetadataValue:
        if key not in self._values:
            raise CheckpointError(f"{self.path}: metadata field {key!r} is missing; fetch the file again")
        return self._values[key]

    def _fixed(self, value: MetadataValue) -> NDArray[Any]:
        # Copied: a view would keep the whole file mapped.
        return np.frombuffer(self._source.mapped()[value.start : value.end], FIXED[value.kind])

    def _strings(self, key: str, value: MetadataValue) -> list[str]:
        # In one piece: the file may be replaced while it is read, and lengths must be those that were checked.
        data = self._source.mapped()[value.start : value.end]
        texts, place = [], 0
        try:
            for _ in range(value.count):
                (length,) = _LENGTH.unpack_from(data, place)
                place += _LENGTH.size + length
                texts.append(data[place - length : place].decode("utf-8"))
        except UnicodeDecodeError:
            raise CheckpointError(
                f"{self.path}: metadata field {key!r}: string {len(texts):,} is not UTF-8; the file is damaged"
            ) from None
        return texts

    def _refuse(self, key: str, expected: str) -> NoReturn:
        value = self._values[key]
        kind = "string" if value.kind == STRING else FIXED[value.kind].name
        got = f"an array of {value.count:,} {kind}" if value.is_array else f"one {kind}"
        raise CheckpointError(f"{self.path}: metadata field {key!r} must be {expected}, got {got}")
