"""Examples and candidates -> hard negatives: high in a first stage, but no unlabelled answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.search import Bm25
from qwen3_reranker.text_reranker import TextReranker
from qwen3_reranker.train.example_file import TrainExample, normal
from qwen3_reranker.train.mining_options import MiningOptions


@dataclass(slots=True)
class MiningCounts:
    """Counts of a mining run.

    candidates: within the ranks. labelled: positives and repeated texts. too_near: above the margin. doubted: by the
    teacher. unmatched: queries without a first-stage score of a positive, so without a margin. short: queries with
    fewer negatives than requested.
    """

    queries: int = 0
    candidates: int = 0
    labelled: int = 0
    too_near: int = 0
    doubted: int = 0
    kept: int = 0
    unmatched: int = 0
    short: int = 0


class RunCandidates:
    """Candidates of a run, {query id: {document id: score}}, and a corpus, {document id: text}."""

    def __init__(self, run: Mapping[str, Mapping[str, float]], corpus: Mapping[str, str]) -> None:
        self._run, self._corpus = run, corpus
        missing = sorted({document for scores in run.values() for document in scores} - set(corpus))
        if missing:
            raise InputError(f"the run names {len(missing)} documents that the corpus lacks, first {missing[0]!r}")

    def __call__(self, example: TrainExample, last: int) -> list[tuple[str, float]]:
        """(text, score) of the example's candidates, best first, including the positives."""
        if example.id not in self._run:
            raise InputError(
                f"{example.location or 'an example'}: the run has no query {example.id!r}; set the id of each line to "
                "that of the run"
            )
        ranked = sorted(self._run[example.id].items(), key=lambda entry: -entry[1])
        return [(self._corpus[document], score) for document, score in ranked]


class Bm25Candidates:
    """Candidates by BM25 over a corpus, or over the documents of all examples."""

    def __init__(self, documents: Sequence[str], seed: int = 0) -> None:
        self._documents = list(dict.fromkeys(documents))
        self._index = Bm25(self._documents, seed)
        self._indices_of: dict[str, list[int]] = {}
        for index, text in enumerate(self._documents):
            self._indices_of.setdefault(normal(text), []).append(index)

    def __call__(self, example: TrainExample, last: int) -> list[tuple[str, float]]:
        """(text, score), best first: the `last` best, and all positives at any rank."""
        scores_N = self._index.scores(example.query)
        indices = dict.fromkeys(self._index.top(example.query, last + len(example.positives))[0].tolist())
        for text in example.positives:
            indices |= dict.fromkeys(self._indices_of.get(normal(text), ()))
        found = [(self._documents[index], float(scores_N[index])) for index in indices]
        return sorted(found, key=lambda each: -each[1])


def mine(
    examples: Sequence[TrainExample],
    candidates: Callable[[TrainExample, int], list[tuple[str, float]]],
    options: MiningOptions,
    teacher: TextReranker | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[list[TrainExample], MiningCounts]:
    """The examples with mined negatives instead of their own, and the counts.

    With a teacher, they get its scores too. Raises InputError for an example without positives.
    """
    mined, found = MiningCounts(), []
    for number, example in enumerate(examples):
        if not example.positives:
            raise InputError(
                f"{example.location or f'example {number + 1}'}: no positive, so there is no margin to keep"
            )
        found.append(_mined(example, candidates(example, options.last), options, teacher, number, mined))
        if on_progress:
            on_progress((number + 1) / len(examples))
    return found, mined


def _mined(
    example: TrainExample,
    ranked: Sequence[tuple[str, float]],
    options: MiningOptions,
    teacher: TextReranker | None,
    number: int,
    mined: MiningCounts,
) -> TrainExample:
    known = {normal(text) for text in example.positives}
    reached = [score for text, score in ranked if normal(text) in known]
    # Relative to the lowest positive: any document above one of the positives may be an answer.
    highest = (1.0 - options.margin) * min(reached) if reached and min(reached) > 0 else np.inf
    others: dict[str, tuple[str, float]] = {}
    for text, score in ranked:
        # A corpus may hold empty documents, which are no valid negatives.
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
        chosen = [kept[index] for index in sorted(order.tolist())]
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
