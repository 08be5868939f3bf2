"""Checks of what callers pass: strings, lists of strings, whole numbers. Each error says what came."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qwen3_reranker.errors import InputError, NotUnicodeError
from qwen3_reranker.prompt import is_blank


def is_whole(value: Any, least: int, most: int | None = None) -> bool:
    """Whether a value is an integer from `least` to `most`, of Python or numpy and no bool."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return False
    return operator.index(value) >= least and (most is None or operator.index(value) <= most)


def refuse_below(name: str, value: Any, least: int) -> None:
    """Raise InputError unless a value, an argument of that name, is a whole number of at least `least`."""
    if not is_whole(value, least):
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")


def refuse_non_instruction(instruction: object) -> None:
    """Raise InputError unless it is a string or None."""
    if instruction is not None and not isinstance(instruction, str):
        raise InputError(f"instruction must be a string or None, got {type(instruction).__name__}")


def refuse_non_query(name: str, query: object) -> None:
    """Raise InputError unless a query, an argument of that name, is a string with text."""
    if not isinstance(query, str):
        raise InputError(f"{name} must be a string, got {type(query).__name__}")
    if is_blank(query):
        raise InputError(f"{name} must not be blank")


def refuse_non_strings(name: str, texts: object) -> None:
    """Raise InputError unless `texts`, an argument of that name, is a list of strings."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InputError(f"{name} must be a list of strings, got {type(texts).__name__}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"{name}[{index}] must be a string, got {type(text).__name__}")


@contextmanager
def surrogates_found(named: Callable[[], Iterable[tuple[str, str]]]) -> Iterator[None]:
    """Let a NotUnicodeError name the text and the position in it. named: the caller's texts by their names.

    Texts are searched only when the tokenizer has refused one of them.
    """
    try:
        yield
    except NotUnicodeError:
        for name, text in named():
            if (index := lone_surrogate(text)) is not None:
                raise NotUnicodeError(f"{name}: not valid Unicode: a lone surrogate at character {index}") from None
        raise


def lone_surrogate(text: str) -> int | None:
    """The index of the first lone surrogate, which is half of a character. None in valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def numbered(name: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Each text with its name in a list: documents[0], documents[1] and so on."""
    return [(f"{name}[{index}]", text) for index, text in enumerate(texts)]
