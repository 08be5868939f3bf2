"""Screen and recheck: all documents in a fast precision, and in the exact one those that may be among the best.

The differences between both scores of what was rechecked say how far the fast ones are off in this very call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.recheck import RecheckedTexts
from qwen3_reranker.records import DocumentScores, Screen, Screening

#: The scores of a query's documents. The last argument is called with the share done.
ScoresOf = Callable[[str, Sequence[str], Callable[[float], None]], DocumentScores]
# Documents that are rechecked in any case: the best by screen, and some that are spread over the others, as drift may
# differ where scores are low.
_LEAST_BEST, _SPREAD = 8, 2
# Drift is at least the rounding of float32 logits.
_LEAST_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class Pass:
    """Texts of one query to score, in the exact precision or the fast one. shares: of its work, before and after."""

    is_exact: bool
    texts: Sequence[str]
    shares: tuple[float, float]


def screened_lists(
    lists: Sequence[tuple[str, Sequence[str]]],
    screen: Screen,
    screened: ScoresOf,
    exact: ScoresOf,
    on_progress: Callable[[float], None] | None,
) -> list[DocumentScores]:
    """The scores of each query's documents, as far as its best `screen.top_k` need them; other logits are -inf."""
    scores: list[DocumentScores] = []
    done, total = 0, sum(len(texts) for _, texts in lists)
    for query, texts in lists:
        passes = screening_passes(texts, screen)
        try:
            asked = next(passes)
            while True:

                def advance(share: float, done: int = done, some: int = len(texts), asked: Pass = asked) -> None:
                    first, last = asked.shares
                    if on_progress:
                        on_progress((done + (first + (last - first) * share) * some) / total)

                asked = passes.send((exact if asked.is_exact else screened)(query, asked.texts, advance))
        except StopIteration as ended:
            scores.append(ended.value)
        done += len(texts)
        if on_progress and total:
            on_progress(done / total)
    return scores


def screening_passes(texts: Sequence[str], screen: Screen) -> Generator[Pass, DocumentScores, DocumentScores]:
    """What to score of one query's documents, pass by pass; each is sent its scores. Returns the exact ones.

    Equal texts are rechecked once; where nearly all had to be, nothing is screened.
    """
    best, count = max(screen.top_k, _LEAST_BEST), len(set(texts))
    if count <= best + _SPREAD:
        screening = Screening(screen.precision, screen.confidence, 0, len(texts))
        return replace((yield Pass(True, texts, (0, 1))), screening=screening)
    found = RecheckedTexts(texts, (yield Pass(False, texts, (0, 0.5))))
    spread = best + (np.arange(_SPREAD) + 0.5) / _SPREAD * (count - best)
    chosen, done = found.order_U[[*range(best), *spread.astype(int)]], 0.5
    # How many rounds follow is not known: each gets half of what is left.
    while len(chosen):
        done, before = (1 + done) / 2, done
        found.add(chosen, (yield Pass(True, found.of(chosen), (before, done))))
        chosen = _undecided(found, screen)
    screening = Screening(screen.precision, screen.confidence, len(texts), found.rechecked)
    return replace(found.scores(), screening=screening)


def _undecided(found: RecheckedTexts, screen: Screen) -> NDArray[np.intp]:
    """The texts to recheck next, best by screen first; none if the best are found with this confidence."""
    screen_U, exact_U = found.first_U, found.second_U
    is_known_U = np.isfinite(exact_U)
    drift = exact_U[is_known_U].astype(np.float64) - screen_U[is_known_U]
    # The mean of few samples is off itself, so the next one is farther from it than they are from one another.
    scale = max(float(drift.std(ddof=1)) * math.sqrt(1 + 1 / len(drift)), _LEAST_SCALE)
    threshold = np.sort(exact_U[found.place_N])[-screen.top_k]
    unknown = np.flatnonzero(~is_known_U)
    unknown = unknown[np.argsort(-screen_U[unknown], kind="stable")]
    # If all from one on are left out, this is how likely one of them is among the best.
    chances = _upper_tail((threshold - screen_U[unknown] - drift.mean()) / scale)
    chance_from = np.cumsum(chances[::-1])[::-1]
    return unknown[chance_from > 1 - screen.confidence]


def _upper_tail(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often drift exceeds its mean by so many of its scales: Student's t with 8 degrees of freedom.

    Its tails are as heavy as those of drift in 8 bits. It needs nine samples, and there are always ten.
    """
    ratio = deviations / np.sqrt(8 + deviations**2)
    cosine = 1 - ratio**2
    tail: NDArray[np.float64] = 0.5 - 0.5 * ratio * (1 + cosine / 2 + 3 / 8 * cosine**2 + 5 / 16 * cosine**3)
    return tail
