"""Many texts -> ranges of them that follow one another: tokens of the next are made while the last is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def waves(texts: Sequence[str], most_characters: int | None) -> list[slice]:
    """Ranges that cover the texts in order, each ended by the text that fills it; always at least one."""
    cuts = [0]
    held = 0
    for place, text in enumerate(texts):
        held += len(text)
        if most_characters is not None and held >= most_characters and place + 1 < len(texts):
            cuts.append(place + 1)
            held = 0
    return [slice(start, stop) for start, stop in zip(cuts, [*cuts[1:], len(texts)], strict=True)]


def one_ahead(prepare: Callable[[slice], Made], ranges: Sequence[slice]) -> Iterator[Made]:
    """`prepare` of each range in order; the next is prepared in another thread while the caller is at one."""
    if len(ranges) == 1:
        yield prepare(ranges[0])
        return
    with ThreadPoolExecutor(1, thread_name_prefix="tokens") as ahead:
        following = ahead.submit(prepare, ranges[0])
        for next_range in [*ranges[1:], None]:
            made = following.result()
            if next_range is not None:
                following = ahead.submit(prepare, next_range)
            yield made
