"""What sentence-transformers and its kin take for pairs -> a list of (query, document)."""

from __future__ import annotations

from typing import Any

import numpy as np

from qwen3_reranker.errors import InputError

_EXPECTED = "inputs must be a pair (query, document) of strings or a list of such pairs"


def is_single_pair(inputs: Any) -> bool:
    """Whether it is one pair, as sentence-transformers tells: a list or 1-D array that begins with no list.

    Raises InputError for what is neither.
    """
    if isinstance(inputs, np.ndarray):
        if inputs.dtype.kind not in "UO":
            raise InputError(f"{_EXPECTED}, got an array of {inputs.dtype}")
        return inputs.size > 0 and inputs.ndim < 2
    if isinstance(inputs, str | bytes | dict | set | frozenset) or not hasattr(inputs, "__getitem__"):
        raise InputError(f"{_EXPECTED}, got {type(inputs).__name__}; make a list of it")
    return len(inputs) > 0 and not _is_row(inputs[0])


def text_pairs(inputs: Any) -> list[tuple[str, str]]:
    """The pairs of a list of them, in its order; raises InputError for anything that is no pair of texts."""
    pairs = []
    for index, pair in enumerate(inputs):
        if not _is_row(pair) or len(pair) != 2:
            raise InputError(f"inputs[{index}] must be a query and a document, got {pair!r:.80}")
        query, document = (_text(each) for each in pair)
        if query is None or document is None:
            raise InputError(f"inputs[{index}] must be two strings, a query and a document, got {pair!r:.80}")
        pairs.append((query, document))
    return pairs


def _is_row(value: Any) -> bool:
    # A column of datasets is known by its name, as importing the library takes seconds.
    return isinstance(value, list | tuple | np.ndarray) or type(value).__name__ == "Column"


def _text(value: Any) -> str | None:
    """A string, or that of {"text": ...}; None for anything else."""
    if isinstance(value, dict) and list(value) == ["text"]:
        value = value["text"]
    return str(value) if isinstance(value, str) else None
