"""Bytes -> one JSON object or list, strictly, for every JSON file of a checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.placeholders import NUM_BYTES, placeholder

_MAX_FILE_BYTES = 64 << 20
_MAX_INTEGER_DIGITS = 19


def read_object(path: Path, *, is_fetched: bool = True) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError if it cannot be read or holds anything else.

    is_fetched: whether the error may advise to fetch the file again.
    """
    return _object(_parsed(_content(path, is_fetched), str(path), is_fetched), str(path))


def read_list(path: Path) -> list[Any]:
    """The list in a JSON file. Raises CheckpointError if it cannot be read or holds anything else."""
    value = _parsed(_content(path), str(path))
    if not isinstance(value, list):
        raise CheckpointError(f"{path}: expected a JSON list, got {type(value).__name__}")
    return value


def _content(path: Path, is_fetched: bool = True) -> bytes:
    try:
        with open(path, "rb") as file:
            # A read of the limit takes the limit's memory, however small the file is.
            content = file.read(min(os.fstat(file.fileno()).st_size, _MAX_FILE_BYTES) + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _MAX_FILE_BYTES:
        advice = "; fetch it again" if is_fetched else ""
        raise CheckpointError(f"{path}: expected JSON of at most {_MAX_FILE_BYTES:,} bytes, got more{advice}")
    return content


def parse_object(content: bytes, source: str) -> dict[str, Any]:
    """The object written in `content`; `source` names it in errors. Raises CheckpointError for anything else."""
    return _object(_parsed(content, source), source)


def _object(value: object, source: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f"{source}: expected a JSON object, got {type(value).__name__}")
    return value


def _parsed(content: bytes, source: str, is_fetched: bool = True) -> object:
    advice = "; fetch the file again" if is_fetched else ""
    if instead := placeholder(content[:NUM_BYTES]):
        raise CheckpointError(f"{source}: {instead}")
    try:
        value: object = json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_int=_bounded_integer
        )
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{source}: not UTF-8 at byte {error.start}{advice}") from None
    except RecursionError:
        raise CheckpointError(f"{source}: JSON nested too deeply to be a checkpoint's") from None
    except _DuplicateKeyError as error:
        raise CheckpointError(
            f"{source}: {error} appears twice; the file is ambiguous{', fetch it again' * is_fetched}"
        ) from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{source}: not JSON ({error}){advice}") from None
    return value


def shown(value: object) -> str:
    """A value from a file for a one-line message, escaped and cut."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


class _DuplicateKeyError(Exception):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(shown(key))
            seen.add(key)
    return fields


def _bounded_integer(digits: str) -> int | float:
    # Python refuses to print, and takes quadratic time over, integers of thousands of digits. No size needs 64 bits;
    # as a float it fails the check of whoever wanted a whole number, and hurts nobody else.
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)
