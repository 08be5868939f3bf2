"""A long list of texts in parts. Tokens of the next part are made while the last one is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Prepared = TypeVar("Prepared")


def parts(texts: Sequence[str], max_characters: int) -> list[slice]:
    """Ranges that cover the texts in order, each ended by the text that fills it. Always at least one."""
    cuts = [0]
    held = 0
    for index, text in enumerate(texts):
        held += len(text)
        if held >= max_characters and index + 1 < len(texts):
            cuts.append(index + 1)
            held = 0
    return [slice(start, stop) for start, stop in zip(cuts, [*cuts[1:], len(texts)], strict=True)]


def prepared_ahead(prepare: Callable[[slice], Prepared], ranges: Sequence[slice]) -> Iterator[Prepared]:
    """`prepare` of each range in order. A thread prepares the next one while the caller uses one."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokens") as ahead:
        following = ahead.submit(prepare, ranges[0])
        for next_range in [*ranges[1:], None]:
            prepared = following.result()
            if next_range is not None:
                following = ahead.submit(prepare, next_range)
            yield prepared
