"""Cached records -> batches of groups: a query, its positive, labelled, BM25's and random negatives.

Shapes: V vocabulary, G groups, D documents of a group (the positive first), H head tokens, T document tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.train.group_tree import GroupTree
from recipes.nano.cache import Cache
from recipes.nano.nearness import Nearness
from recipes.nano.network import rows_tree
from recipes.nano.pool import Pool

SMALLEST_POOL = 32
SHORT = 48
CHUNK_GROUPS = 384
MOST_GROUPS = 32
Tokens = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Mix:
    """What a group contains, and how often each kind of record is drawn.

    documents: per group with a long positive; short_documents: per group with a positive of at most SHORT tokens.
    hard: largest share of labelled negatives. ranked: share from BM25's best `depth` documents of a corpus drawn for
    the group, of at least `smallest_corpus` documents; the rest are random documents of its pool.
    unanswered: probability that a group of a synthetic query goes without its positive. A cut query matches its own
    passage almost perfectly, which says nothing of how the others should stand; without it their order is learned.
    best_window: probability that a long document keeps the part that shares most with the query, not its start.
    cuts: document lengths in tokens, each with its weight.
    emphasis: factor of the probability of a source; a group of short texts costs little.
    """

    documents: int = 8
    short_documents: int = 16
    hard: float = 0.25
    ranked: float = 0.55
    depth: int = 100
    smallest_corpus: int = 200
    unanswered: float = 0.5
    default_instruction: float = 0.3
    best_window: float = 0.7
    source_temperature: float = 0.5
    emphasis: tuple[tuple[str, float], ...] = (
        ("tldr", 7.0),
        ("codenn_so", 3.0),
        ("wikitablequestions", 3.0),
        ("tatoeba_laser", 0.3),
        # English prose: few records, and what newcomers try first.
        ("textbooks", 6.0),
        ("docstrings", 5.0),
        ("pubmedqa", 5.0),
        ("covidqa", 4.0),
        ("selqa", 3.0),
        ("qed", 3.0),
        ("squad_dev", 3.0),
        ("qamr", 2.0),
        ("alike", 1.5),
        ("fool_me_twice", 2.0),
        # Templates and generated text: much of it alike.
        ("factbook", 0.4),
        ("gsm8k", 0.3),
        ("text2sql", 0.5),
        ("mxeval", 0.5),
    )
    cuts: tuple[tuple[int, float], ...] = ((64, 0.25), (96, 0.3), (160, 0.3), (256, 0.1), (400, 0.05))


@dataclass(frozen=True, slots=True)
class Group:
    """A head and its documents as tokens: the positive, labelled negatives, BM25's, random ones.

    lexical_D: BM25 of each document. near_D: its cosine with the query by the teacher, NaN where it was not asked.
    synthetic: whether the query was cut from its positive. unanswered: whether the positive was left out; BM25's best
    document stands first.
    """

    head: Tokens
    documents: tuple[Tokens, ...]
    source: int
    lexical_D: NDArray[np.float32]
    near_D: NDArray[np.float32]
    synthetic: bool
    unanswered: bool

    @property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return max(map(len, self.documents))


class Groups:
    """Draws groups from a cache; a chunk depends only on the seed and its number.

    word_V: the word of each token (see `tokenizer.words`). label: the template's tokens at the end of each query.
    """

    def __init__(
        self,
        cache: Cache,
        word_V: NDArray[np.int32],
        label: Sequence[int],
        mix: Mix,
        seed: int,
        nearness: Nearness | None = None,
    ) -> None:
        self.cache, self.mix, self.seed, self.label, self.nearness = cache, mix, seed, label, nearness
        self.rarity_V = rarity(cache, len(word_V))
        self._pools = _pools(cache, word_V)
        self.answers = _answers(cache)
        train = ~cache.held_out
        self._rows = {kind: _by_source(cache, train & (cache.synthetic == kind)) for kind in (False, True)}

    def with_mix(self, mix: Mix) -> Groups:
        """The same records and pools with another mix."""
        other = copy(self)
        other.mix = mix
        return other

    def chunk(self, number: int, synthetic_share: float) -> list[Group]:
        """CHUNK_GROUPS groups, `synthetic_share` of them from synthetic records."""
        rng = np.random.default_rng((self.seed, number))
        kinds = rng.random(CHUNK_GROUPS) < synthetic_share
        lengths, shares = zip(*self.mix.cuts, strict=True)
        groups = []
        for kind in kinds.tolist():
            rows_by_source = self._rows[kind] or self._rows[not kind]
            weights = np.array([self._weight(rows) for rows in rows_by_source])
            rows = rows_by_source[rng.choice(len(rows_by_source), p=weights / weights.sum())]
            cut = int(rng.choice(lengths, p=np.array(shares) / sum(shares)))
            groups.append(self.group(int(rng.choice(rows)), rng, cut))
        return groups

    def _weight(self, rows: NDArray[np.int64]) -> float:
        source = self.cache.names["source"][self.cache.source[rows[0]]]
        return dict(self.mix.emphasis).get(source, 1.0) * float(len(rows) ** self.mix.source_temperature)

    def group(self, row: int, rng: np.random.Generator, cut: int) -> Group:
        """The group of one record, documents cut to `cut` tokens."""
        cache, mix = self.cache, self.mix
        is_synthetic = bool(cache.synthetic[row])
        query = cache.queries[cache.query[row]]
        asked = query[: -len(self.label)]
        positive = rng.choice(cache.positives[row])
        count = mix.short_documents if len(cache.documents[positive]) <= SHORT else mix.documents
        pool = self._pools[cache.pool[row]]
        scores_N = pool.scores(asked)
        answers = self.answers[cache.query[row]]
        hard = rng.permutation(cache.negatives[row])
        hard = hard[~np.isin(hard, answers)][: int(mix.hard * count)]
        ranked = rng.permutation(self._ranked(pool, scores_N, rng))
        unanswered = is_synthetic and rng.random() < mix.unanswered
        most = count - 1 if unanswered else int(mix.ranked * count)
        ranked = ranked[~np.isin(ranked, np.concatenate((answers, hard)))][:most]
        drawn = pool.members_N[rng.integers(len(pool), size=2 * count)]
        drawn = np.unique(drawn[~np.isin(drawn, np.concatenate((answers, hard, ranked)))])
        others = np.concatenate((hard, ranked, rng.permutation(drawn)))[: count - 1]
        if unanswered:
            best = int(np.argmax(_of(scores_N, pool.members_N, others)))
            positive, others = others[best], np.delete(others, best)
        chosen = np.concatenate(([positive], others)).astype(np.int32)
        is_default = not is_synthetic and rng.random() < mix.default_instruction
        opening = cache.openings[cache.default_opening if is_default else cache.opening[row]]
        at_best = (unanswered or not is_synthetic) and rng.random() < mix.best_window
        documents = tuple(self.cut(asked, cache.documents[index], cut if at_best else 0, cut) for index in chosen)
        return Group(
            np.concatenate((opening, query)),
            documents,
            int(cache.source[row]),
            _of(scores_N, pool.members_N, chosen),
            self.nearness.of(int(cache.query[row]), chosen)
            if self.nearness
            else np.full(len(chosen), np.nan, np.float32),
            is_synthetic,
            unanswered,
        )

    def _ranked(self, pool: Pool, scores_N: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int32]:
        """BM25's best documents of a corpus drawn from the pool, whose size is log-uniform."""
        size = int(np.exp(rng.uniform(np.log(min(self.mix.smallest_corpus, len(pool))), np.log(len(pool)))))
        corpus = rng.choice(len(pool), size, replace=False, shuffle=False)
        if size > self.mix.depth:
            corpus = corpus[np.argpartition(-scores_N[corpus], self.mix.depth)[: self.mix.depth]]
        best: NDArray[np.int32] = pool.members_N[corpus]
        return best

    def cut(self, asked: Tokens, document: Tokens, window: int, cut: int) -> Tokens:
        """The document's first `cut` tokens, or the `window` tokens that share most with the query."""
        if window == 0 or len(document) <= window:
            return document[:cut]
        wanted_V = np.zeros_like(self.rarity_V)
        wanted_V[asked] = self.rarity_V[asked]
        sums = np.concatenate(([0.0], np.cumsum(wanted_V[document])))
        start = int(np.argmax(sums[window:] - sums[:-window]))
        return document[start : start + window]


def _of(scores_N: NDArray[np.float32], members_N: NDArray[np.int32], chosen: NDArray[np.int32]) -> NDArray[np.float32]:
    """The scores of the chosen documents; 0 for a labelled negative outside the pool."""
    indices = np.searchsorted(members_N, chosen).clip(max=len(members_N) - 1)
    return np.where(members_N[indices] == chosen, scores_N[indices], np.float32(0.0)).astype(np.float32)


def rarity(cache: Cache, vocab_size: int) -> NDArray[np.float32]:
    """The inverse document frequency of every token, (V,): log(documents / (1 + documents with it))."""
    documents = cache.documents
    rows = np.repeat(np.arange(len(documents)), np.diff(documents.starts))
    distinct = np.unique(rows * vocab_size + documents.values)
    counts_V = np.bincount(distinct % vocab_size, minlength=vocab_size)
    return np.log(len(documents) / (1.0 + counts_V)).astype(np.float32)


def batches(groups: Sequence[Group], max_tokens: int) -> list[list[Group]]:
    """Groups of similar size together, at most `max_tokens` padded document tokens per batch, or one group."""
    cut: list[list[Group]] = []
    for group in sorted(groups, key=lambda group: (len(group.documents), group.longest)):
        size = group.longest * len(group.documents)
        alike = cut and len(cut[-1][0].documents) == len(group.documents)
        if alike and len(cut[-1]) < MOST_GROUPS and (len(cut[-1]) + 1) * size <= max_tokens:
            cut[-1].append(group)
        else:
            cut.append([group])
    return cut


def tree(groups: Sequence[Group], prefix: Sequence[int], suffix: Sequence[int]) -> GroupTree:
    """The groups as one tree."""
    return rows_tree([(group.head, group.documents) for group in groups], prefix, suffix)


def shuffled_batches(groups: Groups, number: int, synthetic_share: float, max_tokens: int) -> Iterator[list[Group]]:
    """The batches of one chunk, in an order that depends only on the seed and the chunk's number."""
    cut = batches(groups.chunk(number, synthetic_share), max_tokens)
    order = np.random.default_rng((groups.seed, number, 1)).permutation(len(cut))
    return (cut[index] for index in order)


def _by_source(cache: Cache, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    rows = np.flatnonzero(chosen)
    by_source = [rows[cache.source[rows] == source] for source in range(len(cache.names["source"]))]
    return [part for part in by_source if len(part)]


def _answers(cache: Cache) -> dict[int, NDArray[np.int32]]:
    """All positives of each query in all records, which are never its negatives."""
    pairs = np.repeat(cache.query, np.diff(cache.positives.starts))
    return _split(pairs, cache.positives.values)


def _pools(cache: Cache, word_V: NDArray[np.int32]) -> dict[int, Pool]:
    """Documents of each pool; a small pool uses those of its whole source."""
    pairs = [
        (ragged, np.repeat(np.arange(len(cache)), np.diff(ragged.starts)))
        for ragged in (cache.positives, cache.negatives)
    ]
    documents = np.concatenate([ragged.values for ragged, _ in pairs])
    rows = np.concatenate([rows for _, rows in pairs])
    by_pool = _split(cache.pool[rows], documents)
    by_source = _split(cache.source[rows] * 2 + cache.synthetic[rows], documents)
    source_of_pool = dict(zip(cache.pool.tolist(), (cache.source * 2 + cache.synthetic).tolist(), strict=True))
    sources = {key: Pool(ids, cache.documents, word_V) for key, ids in by_source.items()}
    return {
        pool: Pool(ids, cache.documents, word_V) if len(ids) >= SMALLEST_POOL else sources[source_of_pool[pool]]
        for pool, ids in by_pool.items()
    }


def _split(keys: NDArray[np.integer], documents: NDArray[np.int32]) -> dict[int, NDArray[np.int32]]:
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    parts = np.split(documents[order], starts[1:])
    return {int(name): np.unique(part) for name, part in zip(names, parts, strict=True)}
