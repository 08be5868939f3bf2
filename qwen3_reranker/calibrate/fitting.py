"""Judged pairs -> a calibration, with all figures of queries that took no part in what they judge.

Queries are cut into folds. For each fold the method is chosen and fitted on the other folds alone: the choice is made
there by the same cut once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.calibrate.answering import (
    THRESHOLDS,
    Answering,
    BestHits,
    answering,
    best_hits,
    of_answers,
    risk_coverage,
    threshold_for,
)
from qwen3_reranker.calibrate.calibration import Calibration
from qwen3_reranker.calibrate.judged_pairs import JudgedPairs
from qwen3_reranker.calibrate.monotone_maps import FITS, MonotoneMap
from qwen3_reranker.calibrate.reliability import Figure, Reliability, error_ratio, reliability
from qwen3_reranker.endpoints.score_transforms import sigmoid
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.significance import Values

FOLDS = 5
_FEWEST_QUERIES = 20


@dataclass(frozen=True, slots=True)
class HeldThreshold:
    """A probability from which answers had at least this precision on the fitted queries.

    min_probability: None where none had. held_out: what thresholds chosen in the same way gave on queries that did not
    choose them; None where some fold found none.
    """

    precision: float
    min_probability: float | None
    held_out: Answering | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration and what is known of it.

    before: of the model's own probabilities; after: of calibrated ones on held-out queries; ratio: the error after as a
    share of that before. losses: mean log loss of each method on held-out queries. answers: by threshold. held: by
    precision. risk_coverage: that of answering.risk_coverage.
    """

    calibration: Calibration
    before: Reliability
    after: Reliability
    ratio: Figure
    losses: Mapping[str, float]
    answers: tuple[Answering, ...]
    held: tuple[HeldThreshold, ...]
    risk_coverage: tuple[tuple[float, float], ...]


def fit(pairs: JudgedPairs, *, precisions: Sequence[float] = (), method: str | None = None, seed: int = 0) -> Fit:
    """Fit on all queries, and measure on held-out ones.

    precisions: for each, a threshold from which answers hold it. method: None to choose. Raises InputError for fewer
    than 20 queries, and where no pair or every pair is relevant.
    """
    count, relevant = len(pairs.query_texts), int(pairs.labels_N.sum())
    if count < _FEWEST_QUERIES:
        raise InputError(f"{count:,} labelled queries are too few to calibrate on; expected {_FEWEST_QUERIES} or more")
    if not 0 < relevant < len(pairs.labels_N):
        raise InputError(
            f"{relevant:,} of {len(pairs.labels_N):,} pairs are relevant; expected some that are, and some that are not"
        )
    folds_Q = folds(count, seed)
    methods = [method] if method else list(FITS)
    after_N = held_out_probabilities(pairs, methods, seed)
    losses = _losses(pairs.logits_N, pairs.labels_N, folds_Q[pairs.queries_N], methods)
    chosen = FITS[_best(losses)](pairs.logits_N, pairs.labels_N)
    before_N = sigmoid(pairs.logits_N)
    before, after = (reliability(each, pairs.labels_N, pairs.queries_N, seed) for each in (before_N, after_N))
    ratio = error_ratio(before_N, after_N, pairs.labels_N, pairs.queries_N, seed)
    hits = best_hits(pairs.logits_N, after_N, pairs.labels_N, pairs.queries_N)
    held = tuple(_held(hits, folds_Q, each, seed) for each in precisions)
    figures = {"ece": (before.error, after.error), "brier": (before.brier, after.brier)}
    calibration = Calibration(
        chosen,
        pairs.scored_with,
        pairs.instructions,
        {
            "sets": list(pairs.sets),
            "first_stages": list(pairs.first_stages),
            "queries": count,
            "pairs": len(pairs.labels_N),
            "relevant": relevant,
        },
        {name: {"before": asdict(first), "after": asdict(second)} for name, (first, second) in figures.items()},
        [{"precision": each.precision, "min_probability": each.min_probability} for each in held],
    )
    return Fit(
        calibration,
        before,
        after,
        ratio,
        losses,
        tuple(answering(hits, threshold, seed) for threshold in THRESHOLDS),
        held,
        tuple(risk_coverage(hits)),
    )


def folds(num_queries: int, seed: int) -> NDArray[np.int64]:
    """The fold of each query, (Q,): all of about one size, drawn by the seed."""
    return np.random.default_rng(seed).permutation(num_queries) % FOLDS


def held_out_probabilities(pairs: JudgedPairs, methods: Sequence[str], seed: int) -> Values:
    """The probability of each pair, (N,), by a map that was chosen and fitted without the fold of its query."""
    folds_N = folds(len(pairs.query_texts), seed)[pairs.queries_N]
    found_N = np.zeros_like(pairs.logits_N)
    for fold in range(FOLDS):
        is_held_N = folds_N == fold
        made = _chosen(pairs.logits_N[~is_held_N], pairs.labels_N[~is_held_N], folds_N[~is_held_N], methods)
        found_N[is_held_N] = made.probabilities(pairs.logits_N[is_held_N])
    return found_N


def _chosen(logits_N: Values, labels_N: Values, folds_N: NDArray[np.int64], methods: Sequence[str]) -> MonotoneMap:
    losses = _losses(logits_N, labels_N, folds_N, methods) if len(methods) > 1 else dict.fromkeys(methods, 0.0)
    return FITS[_best(losses)](logits_N, labels_N)


def _best(losses: Mapping[str, float]) -> str:
    return min(losses, key=losses.__getitem__)


def _losses(logits_N: Values, labels_N: Values, folds_N: NDArray[np.int64], methods: Sequence[str]) -> dict[str, float]:
    """The mean log loss of each method on folds that did not fit it."""
    losses = dict.fromkeys(methods, 0.0)
    for fold in np.unique(folds_N):
        is_held_N = folds_N == fold
        for name in methods:
            made = FITS[name](logits_N[~is_held_N], labels_N[~is_held_N])
            shares_N = made.probabilities(logits_N[is_held_N])
            wrong_N = np.where(labels_N[is_held_N] > 0, shares_N, 1 - shares_N)
            losses[name] -= float(np.log(np.maximum(wrong_N, 1e-12)).sum()) / len(logits_N)
    return losses


def _held(hits: BestHits, folds_Q: NDArray[np.int64], precision: float, seed: int) -> HeldThreshold:
    """A threshold for a precision, and what such thresholds give on queries that did not choose them."""
    whole = threshold_for(hits, precision)
    shown_Q, refused_Q = np.zeros_like(hits.right_Q), np.zeros_like(hits.right_Q)
    for fold in range(FOLDS):
        is_held_Q = folds_Q == fold
        others = BestHits(*(getattr(hits, name)[~is_held_Q] for name in BestHits.__dataclass_fields__))
        found = threshold_for(others, precision)
        if found is None:
            return HeldThreshold(precision, whole, None)
        shown_Q[is_held_Q] = hits.probability_Q[is_held_Q] >= found
        refused_Q[is_held_Q] = hits.other_Q[is_held_Q] < found
    return HeldThreshold(precision, whole, of_answers(hits, whole or 1.0, shown_Q, refused_Q, seed))
