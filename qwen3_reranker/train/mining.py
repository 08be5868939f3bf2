"""Examples and candidates -> hard negatives: near the top of a first stage, and not answers that nobody labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search import Bm25
from qwen3_reranker.train.examples import Example, normal
from qwen3_reranker.train.trec_run import Candidate

SAMPLING = ("top", "random")


@dataclass(frozen=True, slots=True)
class MiningOptions:
    """Which candidates become negatives.

    first, last: ranks in the first stage, counted from 1. margin: a candidate whose first-stage score is above
    (1 - margin) times the positive's is taken for an answer (TopK-PercPos of NV-Retriever, arXiv 2407.15831).
    teacher_margin: one that the teacher gives more than its probability of the positive minus this goes too.
    """

    negatives: int = 7
    first: int = 1
    last: int = 100
    margin: float = 0.05
    teacher_margin: float = 0.1
    sampling: str = "top"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLING:
            raise InputError(f"sampling must be one of {', '.join(SAMPLING)}, got {self.sampling!r}")
        if self.negatives < 1:
            raise InputError(f"negatives must be at least 1, got {self.negatives}")
        if not 1 <= self.first <= self.last:
            raise InputError(f"ranks must go up from 1 or more, as in 2-60, got {self.first}-{self.last}")
        for name in ("margin", "teacher_margin"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")


@dataclass(slots=True)
class Mined:
    """What became of candidates. unmatched: queries whose positive the first stage does not score: no margin there."""

    queries: int = 0
    candidates: int = 0
    labelled: int = 0
    too_near: int = 0
    doubted: int = 0
    kept: int = 0
    unmatched: int = 0
    short: int = 0


class RunCandidates:
    """Candidates of a TREC run over a corpus; queries are found by their id, positives by their text."""

    def __init__(self, run: Mapping[str, Sequence[Candidate]], corpus: Mapping[str, str]) -> None:
        self._run, self._corpus = run, corpus
        missing = sorted({each.document for some in run.values() for each in some} - set(corpus))
        if missing:
            raise InputError(f"the run names {len(missing)} documents that the corpus lacks, first {missing[0]!r}")

    def __call__(self, example: Example, last: int) -> list[tuple[str, float]]:
        """(text, score) of the example's candidates, best first; the positives' scores are among them."""
        if example.id not in self._run:
            raise InputError(
                f"{example.place or 'an example'}: the run has no query {example.id!r}; set each line's id to the run's"
            )
        return [(self._corpus[each.document], each.score) for each in self._run[example.id]]


class Bm25Candidates:
    """Candidates by BM25 over a corpus, or over the documents of all examples."""

    def __init__(self, documents: Sequence[str], seed: int = 0) -> None:
        self._documents = list(dict.fromkeys(documents))
        self._index = Bm25(self._documents, seed)
        self._places: dict[str, list[int]] = {}
        for place, text in enumerate(self._documents):
            self._places.setdefault(normal(text), []).append(place)

    def __call__(self, example: Example, last: int) -> list[tuple[str, float]]:
        """(text, score), best first: `last` beside the positives, which come whatever their rank."""
        scores_N = self._index.scores(example.query)
        places = dict.fromkeys(self._index.top(example.query, last + len(example.positives))[0].tolist())
        for text in example.positives:
            places |= dict.fromkeys(self._places.get(normal(text), ()))
        found = [(self._documents[place], float(scores_N[place])) for place in places]
        return sorted(found, key=lambda each: -each[1])


def mine(
    examples: Sequence[Example],
    candidates: Callable[[Example, int], list[tuple[str, float]]],
    options: MiningOptions,
    teacher: Reranker | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[list[Example], Mined]:
    """The examples with mined negatives in place of their own, and what became of the candidates.

    With a teacher its scores of what is kept come along. An example without positives is an InputError.
    """
    mined, found = Mined(), []
    for number, example in enumerate(examples):
        if not example.positives:
            raise InputError(f"{example.place or f'example {number + 1}'}: no positive, so no margin can be kept")
        found.append(_mined(example, candidates(example, options.last), options, teacher, number, mined))
        if on_progress:
            on_progress((number + 1) / len(examples))
    return found, mined


def _mined(
    example: Example,
    ranked: Sequence[tuple[str, float]],
    options: MiningOptions,
    teacher: Reranker | None,
    number: int,
    mined: Mined,
) -> Example:
    known = {normal(text) for text in example.positives}
    reached = [score for text, score in ranked if normal(text) in known]
    # Against the least of the positives: what lies above any of them may be an answer too.
    highest = (1.0 - options.margin) * min(reached) if reached and min(reached) > 0 else np.inf
    others: dict[str, tuple[str, float]] = {}
    for text, score in ranked:
        # A corpus may hold documents without text, which are no examples.
        if text.strip() and normal(text) not in known:
            others.setdefault(normal(text), (text, score))
    within = list(others.values())[options.first - 1 : options.last]
    near = [text for text, score in within if score <= highest]
    positive_scores: tuple[float, ...] | None = None
    scores: dict[str, float] = {}
    kept = near
    if teacher is not None and near:
        texts = [*example.positives, *near]
        logits = teacher.logits([(example.query, text) for text in texts], example.instruction).tolist()
        positive_scores = tuple(logits[: len(example.positives)])
        scores = dict(zip(texts, logits, strict=True))
        bar = _probability(min(positive_scores)) - options.teacher_margin
        kept = [text for text in near if _probability(scores[text]) <= bar]
    chosen = kept[: options.negatives]
    if options.sampling == "random":
        order = np.random.default_rng((options.seed, number)).permutation(len(kept))[: options.negatives]
        chosen = [kept[place] for place in sorted(order.tolist())]
    mined.queries += 1
    mined.candidates += len(within)
    mined.labelled += len(ranked) - len(others)
    mined.too_near += len(within) - len(near)
    mined.doubted += len(near) - len(kept)
    mined.kept += len(chosen)
    mined.unmatched += not reached
    mined.short += len(chosen) < options.negatives
    negative_scores = tuple(scores[text] for text in chosen) if scores else None
    return replace(example, negatives=tuple(chosen), positive_scores=positive_scores, negative_scores=negative_scores)


def _probability(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-logit)))
