"""One query's ranked labels -> measures, as expectations over the orders of ties.

Definitions are trec_eval's (gains are labels, a label of 1 is relevant), except nDCG-exp, with a gain of 2^label - 1,
and Judged, which is ir_measures'. Expectations follow McSherry and Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores" (ECIR 2008).
Shapes: N retrieved documents, best first; J judged documents of the query.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError

Labels = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RankedLabels:
    """What one query's list says: labels_N (0 where unjudged), judged_N, tie_N and labels_J of all judged documents.

    tie_N numbers groups of equal scores from 0 up; a list without ties counts its places.
    """

    labels_N: Labels
    judged_N: NDArray[np.bool_]
    tie_N: NDArray[np.int64]
    labels_J: Labels

    @property
    def has_ties(self) -> bool:
        """Whether two documents have one score."""
        return len(self.tie_N) > 0 and int(self.tie_N[-1]) + 1 < len(self.tie_N)

    def reordered(self, order: NDArray[np.int64]) -> RankedLabels:
        """The same documents in one strict order."""
        return RankedLabels(self.labels_N[order], self.judged_N[order], np.arange(len(order)), self.labels_J)


def ranked(labels: Mapping[str, int], scores: Mapping[str, float]) -> RankedLabels:
    """A query's documents by score, in float32. Equal scores are ordered by id, backwards, as in trec_eval."""
    ids = sorted(scores, reverse=True)
    return _by_score(
        np.array([scores[document] for document in ids], np.float32),
        np.array([max(labels.get(document, 0), 0) for document in ids], float),
        np.array([document in labels for document in ids], bool),
        np.array([max(label, 0) for label in labels.values()], float),
    )


def ranked_arrays(labels_N: NDArray[Any], scores_N: NDArray[Any]) -> RankedLabels:
    """The same of documents that are all judged, none by an id. Equal ones in input order."""
    labels_N = labels_N.astype(float)
    return _by_score(scores_N.astype(np.float32), labels_N, np.ones(len(labels_N), bool), labels_N)


def _by_score(
    score_N: NDArray[np.float32], labels_N: Labels, judged_N: NDArray[np.bool_], labels_J: Labels
) -> RankedLabels:
    order = np.argsort(-score_N, kind="stable")
    tie_N = np.cumsum(np.diff(score_N[order], prepend=score_N[order[:1]]) != 0)
    return RankedLabels(labels_N[order], judged_N[order], tie_N, labels_J)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by its kind and depth, None for all: nDCG@10 is ("nDCG", 10)."""

    kind: str
    cut: int | None = None

    @classmethod
    def parse(cls, name: str) -> Measure:
        """The measure of a name such as nDCG@10; raises InputError for an unknown one."""
        found = re.fullmatch(r"([A-Za-z-]+)(?:@([1-9][0-9]{0,6}))?", name.strip())
        kind = {known.lower(): known for known in KINDS}.get(found[1].lower()) if found else None
        if found is None or kind is None:
            raise InputError(f"unknown measure {name!r}: expected one of {', '.join(KINDS)}, with @10 or the like")
        cut = int(found[2]) if found[2] else None
        if (cut is None and kind in _NEED_CUT) or (cut is not None and kind == P_MRR):
            raise InputError(f"the measure {kind} {'needs' if cut is None else 'takes no'} cut; see {kind}@10")
        return cls(kind, cut)

    @property
    def name(self) -> str:
        """As `parse` reads it."""
        return self.kind if self.cut is None else f"{self.kind}@{self.cut}"

    def expected(self, query: RankedLabels) -> float:
        """The mean over all orders of tied documents; without ties, the measure itself."""
        return _EXPECTED[self.kind](query, self.cut) if len(query.labels_N) else 0.0

    def range(self, query: RankedLabels) -> tuple[float, float]:
        """The lowest and the highest that an order of tied documents can give."""
        key_N = query.judged_N.astype(float) if self.kind == "Judged" else query.labels_N
        worst, best = (np.lexsort((sign * key_N, query.tie_N)) for sign in (1, -1))
        return self.expected(query.reordered(worst)), self.expected(query.reordered(best))

    def in_trec_eval_order(self, query: RankedLabels) -> float:
        """What trec_eval says, for which a tie is broken by the documents' ids."""
        return self.expected(query.reordered(np.arange(len(query.labels_N))))


def _ndcg(query: RankedLabels, cut: int | None) -> float:
    return _discounted(query.labels_N, query, query.labels_J, cut)


def _ndcg_exponential(query: RankedLabels, cut: int | None) -> float:
    return _discounted(2**query.labels_N - 1, query, 2**query.labels_J - 1, cut)


def _discounted(gains_N: Labels, query: RankedLabels, gains_J: Labels, cut: int | None) -> float:
    def dcg(gains: Labels) -> float:
        return float((gains / np.log2(np.arange(2, len(gains) + 2)))[:cut].sum())

    best = dcg(np.sort(gains_J)[::-1])
    return dcg(_mean_in_tie(gains_N, query.tie_N)) / best if best else 0.0


def _average_precision(query: RankedLabels, cut: int | None) -> float:
    relevant_N = (query.labels_N >= 1).astype(float)
    size_N, first_N = _ties(query.tie_N)
    inside_N = _mean_in_tie(relevant_N, query.tie_N) * size_N
    before_N = np.concatenate(([0.0], np.cumsum(relevant_N)))[first_N]
    rank_N = np.arange(1, len(relevant_N) + 1)
    # Given that this place of a tie holds a relevant document, the others of the tie are anywhere around it.
    above_N = (rank_N - 1 - first_N) * (inside_N - 1) / np.maximum(size_N - 1, 1)
    terms_N = inside_N / size_N * (before_N + 1 + above_N) / rank_N
    return _share(float(terms_N[:cut].sum()), _num_relevant(query))


def _reciprocal_rank(query: RankedLabels, cut: int | None) -> float:
    chance_N = _first_relevant(query)
    return float((chance_N / np.arange(1, len(chance_N) + 1))[:cut].sum())


def _success(query: RankedLabels, cut: int | None) -> float:
    return float(_first_relevant(query)[:cut].sum())


def _recall(query: RankedLabels, cut: int | None) -> float:
    return _share(_relevant_within(query, cut), _num_relevant(query))


def _precision(query: RankedLabels, cut: int | None) -> float:
    return _share(_relevant_within(query, cut), cut or 0)


def _judged(query: RankedLabels, cut: int | None) -> float:
    return float(_mean_in_tie(query.judged_N.astype(float), query.tie_N)[:cut].mean())


def _relevant_within(query: RankedLabels, cut: int | None) -> float:
    return float(_mean_in_tie((query.labels_N >= 1).astype(float), query.tie_N)[:cut].sum())


def _num_relevant(query: RankedLabels) -> int:
    return int((query.labels_J >= 1).sum())


def _first_relevant(query: RankedLabels) -> NDArray[np.float64]:
    """The chance of each place to hold the first relevant document, (N,)."""
    relevant_N = query.labels_N >= 1
    chance_N = np.zeros(len(relevant_N))
    if not relevant_N.any():
        return chance_N
    tie = query.tie_N == query.tie_N[int(np.argmax(relevant_N))]
    size, relevant = int(tie.sum()), int((relevant_N & tie).sum())
    # In a tie of n with r relevant, place j is the first with C(n - j, r - 1) of C(n, r) orders.
    place = np.arange(1, size)
    steps = np.maximum(size - relevant - place + 1, 0) / (size - place)
    chance_N[tie] = relevant / size * np.cumprod(np.concatenate(([1.0], steps)))
    return chance_N


def _mean_in_tie(values_N: Labels, tie_N: NDArray[np.int64]) -> Labels:
    means: Labels = (np.bincount(tie_N, values_N) / np.bincount(tie_N))[tie_N]
    return means


def _ties(tie_N: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The size of each document's tie, and the place where it begins."""
    sizes = np.bincount(tie_N)
    return sizes[tie_N], (np.cumsum(sizes) - sizes)[tie_N]


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


#: Computed from two lists of a query, by instruction_following.py.
P_MRR = "p-MRR"
_EXPECTED: dict[str, Callable[[RankedLabels, int | None], float]] = {
    "nDCG": _ndcg,
    "nDCG-exp": _ndcg_exponential,
    "AP": _average_precision,
    "RR": _reciprocal_rank,
    "R": _recall,
    "P": _precision,
    "success": _success,
    "Judged": _judged,
}
KINDS = (*_EXPECTED, P_MRR)
_NEED_CUT = ("P", "success")
