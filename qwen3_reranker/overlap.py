"""Work in parts. The next part is made while the last one is used, as tokens are while others are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
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


def made_ahead(made: Iterable[Prepared]) -> Iterator[Prepared]:
    """The same parts in order. A thread makes the next one while the caller uses one.

    A caller that stops waits until the part that is being made is done, so this is not for what waits for input.
    """
    remaining = iter(made)

    def next_part() -> list[Prepared]:
        return list(islice(remaining, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(next_part)
        while some := following.result():
            following = thread.submit(next_part)
            yield from some
