"""Cached records -> tree-packed batches: one query, its positive, hard, lexical and random negatives.

Shapes: V vocabulary, G groups, D documents of a group (the positive first), H head tokens, T document tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.train.nano.cache import Cache
from qwen3_reranker.train.nano.judge import Tree, grow_tree

SMALLEST_POOL = 32
CHUNK_GROUPS = 384
MOST_GROUPS = 32
Tokens = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Mix:
    """What a group holds and how often each kind of record is drawn.

    best_window: how often documents longer than their cut keep the part that shares most with the query.
    cuts: how many tokens of a document are kept, and with which weight each length is drawn.
    lexical: negatives that share most words with the query among `lexical_pool` random ones, a stand-in for BM25's.
    """

    documents: int = 8
    hard: int = 2
    lexical: int = 2
    lexical_pool: int = 40
    default_instruction: float = 0.3
    best_window: float = 0.7
    source_temperature: float = 0.5
    cuts: tuple[tuple[int, float], ...] = ((64, 0.15), (96, 0.25), (160, 0.35), (256, 0.18), (400, 0.07))


@dataclass(frozen=True, slots=True)
class Group:
    """A head and its documents as tokens, the positive first; `hard` of the following are labelled negatives."""

    head: Tokens
    documents: tuple[Tokens, ...]
    hard: int
    source: int

    @property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return max(map(len, self.documents))


class Groups:
    """Draws groups of a cache; every chunk is a function of the seed and its number alone."""

    def __init__(self, cache: Cache, vocab_size: int, mix: Mix, seed: int) -> None:
        self.cache, self.mix, self.seed = cache, mix, seed
        self.rarity_V = rarity(cache, vocab_size)
        self._pools = _pools(cache)
        train = ~cache.held_out
        self._rows = {kind: _by_source(cache, train & (cache.synthetic == kind)) for kind in (False, True)}

    def chunk(self, number: int, synthetic_share: float) -> list[Group]:
        """CHUNK_GROUPS groups, `synthetic_share` of them from synthetic records."""
        rng = np.random.default_rng((self.seed, number))
        kinds = rng.random(CHUNK_GROUPS) < synthetic_share
        groups = []
        for kind in kinds.tolist():
            rows_by_source = self._rows[kind] or self._rows[not kind]
            weights = np.array([len(rows) for rows in rows_by_source], float) ** self.mix.source_temperature
            rows = rows_by_source[rng.choice(len(rows_by_source), p=weights / weights.sum())]
            lengths, shares = zip(*self.mix.cuts, strict=True)
            cut = int(rng.choice(lengths, p=np.array(shares) / sum(shares)))
            groups.append(self.group(int(rng.choice(rows)), rng, cut))
        return groups

    def group(self, row: int, rng: np.random.Generator, cut: int) -> Group:
        """The group of one record, documents cut to `cut` tokens."""
        cache, mix = self.cache, self.mix
        positives, hard = cache.positives[row], cache.negatives[row]
        hard = rng.permutation(hard)[: mix.hard]
        pool = self._pools[cache.pool[row]]
        drawn = pool[rng.integers(len(pool), size=mix.lexical_pool)]
        drawn = drawn[~np.isin(drawn, np.concatenate((positives, hard)))]
        query = cache.queries[cache.query[row]]
        lexical = self._most_shared(query, drawn, mix.lexical, cut)
        drawn = drawn[~np.isin(drawn, lexical)]
        others = np.concatenate((hard, lexical, drawn))[: mix.documents - 1]
        chosen = np.concatenate(([rng.choice(positives)], others)).astype(int)
        is_default = not cache.synthetic[row] and rng.random() < mix.default_instruction
        opening = cache.openings[cache.default_opening if is_default else cache.opening[row]]
        at_best = not cache.synthetic[row] and rng.random() < mix.best_window
        documents = tuple(self._part(query, cache.documents[place], cut if at_best else 0, cut) for place in chosen)
        return Group(np.concatenate((opening, query)), documents, len(hard), int(cache.source[row]))

    def _part(self, query: Tokens, document: Tokens, window: int, cut: int) -> Tokens:
        """The document's first `cut` tokens, or the `window` of them that shares most with the query."""
        if window == 0 or len(document) <= window:
            return document[:cut]
        sums = np.concatenate(([0.0], np.cumsum(self._wanted(query)[document])))
        start = int(np.argmax(sums[window:] - sums[:-window]))
        return document[start : start + window]

    def _wanted(self, query: Tokens) -> NDArray[np.float32]:
        wanted_V = np.zeros_like(self.rarity_V)
        wanted_V[query] = self.rarity_V[query]
        return wanted_V

    def _most_shared(self, query: Tokens, drawn: NDArray[np.int32], count: int, cut: int) -> NDArray[np.int32]:
        wanted_V = self._wanted(query)
        shared = np.array([wanted_V[np.unique(self.cache.documents[place][:cut])].sum() for place in drawn])
        best: NDArray[np.int32] = drawn[np.argsort(-shared, kind="stable")[:count]]
        return np.unique(best)


def rarity(cache: Cache, vocab_size: int) -> NDArray[np.float32]:
    """The inverse document frequency of every token, (V,): log(documents / (1 + documents with it))."""
    documents = cache.documents
    rows = np.repeat(np.arange(len(documents)), np.diff(documents.starts))
    distinct = np.unique(rows * vocab_size + documents.values)
    counts_V = np.bincount(distinct % vocab_size, minlength=vocab_size)
    return np.log(len(documents) / (1.0 + counts_V)).astype(np.float32)


def batches(groups: Sequence[Group], max_tokens: int) -> list[list[Group]]:
    """Groups of like length together, `max_tokens` padded document tokens a batch at most (one group at least)."""
    cut: list[list[Group]] = []
    for group in sorted(groups, key=lambda group: group.longest):
        size = group.longest * len(group.documents)
        if cut and len(cut[-1]) < MOST_GROUPS and (len(cut[-1]) + 1) * size <= max_tokens:
            cut[-1].append(group)
        else:
            cut.append([group])
    return cut


def tree(groups: Sequence[Group], prefix: Sequence[int], suffix: Sequence[int]) -> Tree:
    """The groups as one tree."""
    return grow_tree([(group.head, group.documents) for group in groups], prefix, suffix)


def shuffled_batches(groups: Groups, number: int, synthetic_share: float, max_tokens: int) -> Iterator[list[Group]]:
    """The batches of one chunk, in an order that depends on the seed and the chunk's number alone."""
    cut = batches(groups.chunk(number, synthetic_share), max_tokens)
    order = np.random.default_rng((groups.seed, number, 1)).permutation(len(cut))
    return (cut[place] for place in order)


def _by_source(cache: Cache, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    rows = np.flatnonzero(chosen)
    by_source = [rows[cache.source[rows] == source] for source in range(len(cache.names["source"]))]
    return [part for part in by_source if len(part)]


def _pools(cache: Cache) -> dict[int, NDArray[np.int32]]:
    """Documents of each pool; a pool too small to draw from takes those of its whole source."""
    pairs = [
        (ragged, np.repeat(np.arange(len(cache)), np.diff(ragged.starts)))
        for ragged in (cache.positives, cache.negatives)
    ]
    documents = np.concatenate([ragged.values for ragged, _ in pairs])
    rows = np.concatenate([rows for _, rows in pairs])
    by_pool = _split(cache.pool[rows], documents)
    by_source = _split(cache.source[rows] * 2 + cache.synthetic[rows], documents)
    source_of_pool = dict(zip(cache.pool.tolist(), (cache.source * 2 + cache.synthetic).tolist(), strict=True))
    return {
        pool: ids if len(ids) >= SMALLEST_POOL else by_source[source_of_pool[pool]] for pool, ids in by_pool.items()
    }


def _split(keys: NDArray[np.integer], documents: NDArray[np.int32]) -> dict[int, NDArray[np.int32]]:
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    parts = np.split(documents[order], starts[1:])
    return {int(name): np.unique(part) for name, part in zip(names, parts, strict=True)}
