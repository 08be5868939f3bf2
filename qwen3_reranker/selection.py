"""Selection: a ranking -> the set of its hits for a prompt, without copies, diverse, within a number of tokens.

kept = hits that are no near-duplicate of a better one      shingles.py
chosen = the next best that fits, until none does           choose
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.arguments import is_whole
from qwen3_reranker.errors import InputError
from qwen3_reranker.records import Hit, HitSequence
from qwen3_reranker.score import checked_top_k
from qwen3_reranker.selection_options import SelectionOptions
from qwen3_reranker.shingles import ShingleTable

# More than any text has; larger numbers are not numpy's.
_MOST_TOKENS = 1 << 48
#: Texts to vectors, (num_texts, dim), as `Embedder.documents` gives them.
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Choice:
    """Places in a list, from 0, each in one of the four.

    chosen: in the order of choice. duplicates: of each that was kept, what was folded into it. too_long: alone they
    have more tokens than may be. left_out: what did not fit beside the chosen ones, or is beyond top_k. tokens: of the
    chosen together, None where they were not counted.
    """

    chosen: tuple[int, ...]
    duplicates: Mapping[int, tuple[int, ...]]
    too_long: tuple[int, ...]
    left_out: tuple[int, ...]
    tokens: int | None


def choose(
    texts: Sequence[str],
    relevance: Sequence[float],
    options: SelectionOptions,
    top_k: int | None = None,
    *,
    tokens: Callable[[int], int] | None = None,
    embed: Embed | None = None,
) -> Choice:
    """Which of texts, best first, to take. relevance: the probability of each. tokens: of the text at a place.

    One after the other the best that fits is taken: the first in order, or with diversity the one with the largest
    (1 - diversity) * probability - diversity * likeness, where likeness is that to the most similar one taken.
    """
    options.refuse_boundless(top_k)
    folded = list(range(len(texts))) if options.fold is None else ShingleTable(texts).folded(options.fold)
    lists: dict[int, list[int]] = {}
    for place, first in enumerate(folded):
        lists.setdefault(first, []).extend([place] * (place != first))
    duplicates = {first: tuple(places) for first, places in lists.items()}
    kept = np.array(list(duplicates), np.int64)
    costs, room = np.zeros(len(kept), np.int64), min(options.fit or 0, _MOST_TOKENS)
    if options.fit is not None:
        assert tokens is not None, "fit comes with tokens"
        costs = np.array([min(tokens(place), room + 1) for place in kept.tolist()], np.int64)
    weight = options.diversity or 0.0
    # Without diversity the order decides, as probabilities may round to the same number.
    worth = -np.arange(len(kept)) if options.diversity is None else (1 - weight) * np.array(relevance)[kept]
    likeness = _likeness([texts[place] for place in kept], embed) if weight else None
    nearest = np.zeros(len(kept))
    is_open = costs <= room
    too_long = tuple(kept[~is_open].tolist())
    chosen: list[int] = []
    while is_open.any() and (top_k is None or len(chosen) < top_k):
        best = int(np.argmax(np.where(is_open, worth - weight * nearest, -np.inf)))
        chosen.append(int(kept[best]))
        room -= int(costs[best])
        is_open[best] = False
        is_open &= costs <= room
        if likeness is not None:
            nearest = np.maximum(nearest, likeness(best))
    gone = {*chosen, *too_long}
    left_out = tuple(each for each in kept.tolist() if each not in gone)
    spent = None if options.fit is None else min(options.fit, _MOST_TOKENS) - room
    return Choice(tuple(chosen), duplicates, too_long, left_out, spent)


def _likeness(texts: Sequence[str], embed: Embed | None) -> Callable[[int], NDArray[np.float64]]:
    """How alike each text is to the one at a place, from 0 to 1: by what they share, or the cosine of vectors."""
    if embed is None:
        return ShingleTable(texts).cosines
    vectors_ND = np.asarray(embed(texts), np.float64)
    if vectors_ND.ndim != 2 or len(vectors_ND) != len(texts) or not np.isfinite(vectors_ND).all():
        raise InputError(f"embed must give a vector for each of {len(texts)} texts, got shape {vectors_ND.shape}")
    vectors_ND = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    return lambda place: np.maximum(vectors_ND @ vectors_ND[place], 0)


@dataclass(frozen=True, slots=True)
class Selection(HitSequence[Hit]):
    """The hits that were chosen, in the order of choice, and what became of the others.

    A hit's `duplicates` are the indexes of the documents that were folded into it. ranks: the place of each chosen hit
    in the ranking, from 1. tokens: of the chosen together, None without `fit`. too_long: hits that have more tokens
    than `fit` alone. left_out: those that did not fit beside the chosen ones, or are beyond top_k. Every hit is in one
    of these, once.
    """

    hits: tuple[Hit, ...]
    ranks: tuple[int, ...]
    options: SelectionOptions
    tokens: int | None = None
    too_long: tuple[Hit, ...] = ()
    left_out: tuple[Hit, ...] = ()

    @property
    def num_folded(self) -> int:
        """Documents that were folded into others."""
        return sum(len(hit.duplicates) for hit in (*self.hits, *self.too_long, *self.left_out))

    def to_dict(self) -> dict[str, Any]:
        """What was asked for and what came of it, without the chosen hits; of the others the indexes."""
        counted = {} if self.tokens is None else {"tokens": self.tokens}
        others = {name: [hit.index for hit in getattr(self, name)] for name in ("too_long", "left_out")}
        return {**self.options.given, **counted, "folded": self.num_folded, **others}

    def __repr__(self) -> str:
        counted = "" if self.tokens is None else f" of {self.tokens:,} tokens"
        others = f"{self.num_folded:,} folded, {len(self.too_long):,} too long, {len(self.left_out):,} left out"
        return "\n".join([f"<Selection of {len(self.hits):,} hits{counted}; {others}", *map(repr, self.hits)]) + ">"


def select(
    ranking: Sequence[Hit],
    top_k: int | None = None,
    *,
    fold: float | None = None,
    diversity: float | None = None,
    fit: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
    embed: Embed | None = None,
) -> Selection:
    """The set of hits for a prompt. Without options it is the ranking's first `top_k`.

    ranking: a Ranking, or some of its hits, best first. fold: from 0 to 1, such as 0.8; a hit is folded into a better
    one if they share at least that much of the runs of four characters that either has. diversity: from 0 to 1, such
    as 0.3; the next hit is the one with the largest (1 - diversity) * probability - diversity * likeness to the most
    similar one chosen; it needs top_k or fit. Likeness is the cosine of runs of four characters, weighted by how few
    hits have them, or with `embed`, such as `Embedder.documents`, the cosine of vectors; from 0 to 1.
    fit: tokens of all chosen documents together, at most. Hits are taken in order, and those that do not fit passed
    over; none is cut. Counted are the model's own tokens, or what `count_tokens` says of a document: it may count
    those of another model, and what the prompt writes around a document. Raises InputError for an unusable option, and
    where `fit` has no tokens to count: a server may not say them, and a very long document was not read to its end.
    """
    options = SelectionOptions.of(fold=fold, diversity=diversity, fit=fit)
    top_k = checked_top_k(top_k)
    hits = tuple(ranking)

    choice = choose(
        [hit.document for hit in hits],
        [hit.probability for hit in hits],
        options,
        top_k,
        tokens=lambda place: _tokens_of(hits[place], count_tokens),
        embed=embed,
    )

    def those(places: Sequence[int]) -> tuple[Hit, ...]:
        return tuple(_with_duplicates(hits, place, choice.duplicates[place]) for place in places)

    return Selection(
        those(choice.chosen),
        tuple(place + 1 for place in choice.chosen),
        options,
        choice.tokens,
        those(choice.too_long),
        those(choice.left_out),
    )


def _with_duplicates(hits: Sequence[Hit], place: int, folded: Sequence[int]) -> Hit:
    found = [index for each in folded for index in (hits[each].index, *hits[each].duplicates)]
    return replace(hits[place], duplicates=(*hits[place].duplicates, *found)) if found else hits[place]


def _tokens_of(hit: Hit, count_tokens: Callable[[str], int] | None) -> int:
    if count_tokens is not None:
        count = count_tokens(hit.document)
        if not is_whole(count, 0):
            raise InputError(f"count_tokens must give a whole number of at least 0, got {count!r}")
        return int(count)
    count = hit.receipt.document_tokens
    if hit.receipt.is_lower_bound or (hit.document and not count):
        reason = "it was not read to its end; cut it into passages" if count else "the server does not say them"
        raise InputError(
            f"fit needs the tokens of each document, and those of documents[{hit.index}] are not known: {reason}, or "
            "in Python give count_tokens"
        )
    return count
