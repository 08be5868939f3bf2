"""The lists to rerank (BM25's, a stored run's, the data's own), fusions and oracle. Those of an index: index_lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.labelled import LabelledSet, Run
from qwen3_reranker.evaluate.logits_file import file_name
from qwen3_reranker.evaluate.trec import missing_documents, read_run, write_run
from qwen3_reranker.search import Bm25, Dense
from qwen3_reranker.search.retrieval import FUSION_CONSTANT

#: The name of lists without an order: their measures are means over all orders.
RANDOM_ORDER = "random order"


@dataclass(frozen=True, slots=True)
class FirstStage:
    """The best `depth` documents of each judged query. sha256: of all the lists these were taken from.

    The lists of an index hold passages. texts, document_of: by passage; empty where the lists hold documents. parts:
    the searches that it consists of, each by itself. seconds: by query, where they are known.
    """

    name: str
    depth: int
    run: Run
    sha256: str
    texts: Mapping[str, str] = field(default_factory=dict)
    document_of: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[FirstStage, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def of_documents(self, run: Run) -> Run:
        """The same lists of documents: each has the score of its best passage."""
        if not self.document_of:
            return run
        return {query: self._best_of_documents(scores) for query, scores in run.items()}

    def _best_of_documents(self, scores: Mapping[str, float]) -> dict[str, float]:
        best: dict[str, float] = {}
        for passage, score in scores.items():
            document = self.document_of.get(passage, passage)
            best[document] = max(score, best.get(document, score))
        return best

    @property
    def is_ordered(self) -> bool:
        """Whether any list has an order: all documents of all others score alike."""
        return not self.run or any(len(scores) < 2 or len(set(scores.values())) > 1 for scores in self.run.values())


def bm25(
    labelled: LabelledSet, depth: int, seed: int, kept: Path, on_progress: Callable[[float], None] | None = None
) -> FirstStage:
    """BM25's lists. They are read from the folder `kept` if it has them, and else written there.

    Documents without a word of the query fill a list up, tied at 0 in an order drawn by the seed. Raises
    UnavailableError where bm25s is not installed, InputError for a set without documents.
    """
    if not labelled.documents:
        raise InputError(f"{labelled.name}: BM25 needs documents, and the set has judgements alone; name a stored run")

    def retriever() -> _Top:
        index = Bm25(list(labelled.documents.values()), seed)
        return lambda query, count: index.top(labelled.queries[query], count)

    return _kept("BM25", f"bm25-{depth}-{seed}", labelled, depth, kept, retriever, on_progress)


def dense(
    labelled: LabelledSet,
    embedder: Embedder,
    depth: int,
    kept: Path,
    on_progress: Callable[[float], None] | None = None,
) -> FirstStage:
    """An embedding model's lists, by cosine over all documents, kept like those of `bm25`.

    Queries carry the instructions of the data, or else the model's own. Raises InputError for a set without documents.
    """
    name = embedder.checkpoint.name
    made_by = f"{file_name(name)}-{embedder.options.precision}-{embedder.dim}-{embedder.tokens.max_length}-{depth}"

    def retriever() -> _Top:
        index = Dense(embedder, list(labelled.documents.values()), on_progress)
        return lambda query, count: index.top(labelled.queries[query], count, labelled.instruction_of(query))

    return _kept(name, made_by, labelled, depth, kept, retriever, None)


_Top = Callable[[str, int], tuple[NDArray[np.int64], NDArray[np.float32]]]


def _kept(
    name: str,
    made_by: str,
    labelled: LabelledSet,
    depth: int,
    kept: Path,
    retriever: Callable[[], _Top],
    on_progress: Callable[[float], None] | None,
) -> FirstStage:
    """A retriever's lists of all queries, or its earlier ones of the same texts."""
    if not labelled.documents:
        raise InputError(f"{labelled.name}: {name} needs documents, and the set has none; name a stored run")
    path = kept / f"{made_by}-{labelled.digest()[:12]}.trec"
    if not path.is_file():
        ids, top, run = list(labelled.documents), retriever(), {}
        for number, query in enumerate(labelled.queries, start=1):
            places, scores = top(query, depth + labelled.excludes_itself)
            run[query] = {ids[place]: float(score) for place, score in zip(places, scores, strict=True)}
            if on_progress:
                on_progress(number / len(labelled.queries))
        kept.mkdir(parents=True, exist_ok=True)
        write_run(path, run, made_by)
    # Read back even when it was just made, so that the lists are those of the file.
    return _of_run(name, labelled, read_run(path), depth)


def given(labelled: LabelledSet, depth: int | None) -> FirstStage:
    """The lists that came with the data. Raises InputError where there are none, or no order to cut them by."""
    if labelled.candidates is None:
        raise InputError(f"{labelled.name}: the data hold no lists to rerank; take --first-stage bm25 or a run")
    whole = _of_run("lists of the data", labelled, labelled.candidates, None)
    if whole.is_ordered:
        return _of_run(whole.name, labelled, labelled.candidates, depth)
    if depth is not None and depth < whole.depth:
        raise InputError(f"{labelled.name}: its lists have no order, so there are no best {depth:,}; rerank them whole")
    return replace(whole, name=RANDOM_ORDER)


def stored(labelled: LabelledSet, path: Path, depth: int | None) -> FirstStage:
    """The lists of a TREC run. Raises InputError if it is of other queries or names documents that are not there."""
    run = read_run(path)
    if not run.keys() & labelled.qrels.keys():
        raise InputError(f"{path}: none of its queries is judged in {labelled.name}; it belongs to another set")
    if labelled.documents and (missing := missing_documents(run, labelled.documents)):
        raise InputError(f"{path}: {missing:,} of its entries name documents that {labelled.name} does not hold")
    return _of_run(path.name, labelled, run, depth)


def _of_run(name: str, labelled: LabelledSet, run: Run, depth: int | None) -> FirstStage:
    chosen = {query: best(_others(labelled, query, run[query]), depth) for query in labelled.qrels if query in run}
    content = json.dumps(run, sort_keys=True, default=dict).encode()
    return FirstStage(name, max(map(len, chosen.values()), default=0), chosen, hashlib.sha256(content).hexdigest())


def _others(labelled: LabelledSet, query: str, scores: Mapping[str, float]) -> Mapping[str, float]:
    if not (labelled.excludes_itself and query in scores):
        return scores
    return {document: score for document, score in scores.items() if document != query}


def best(scores: Mapping[str, float], depth: int | None) -> dict[str, float]:
    """The best documents, equal ones by id backwards as trec_eval does."""
    ids = sorted(scores, reverse=True)
    ids.sort(key=lambda document: -scores[document])
    return {document: scores[document] for document in ids[:depth]}


def with_positives(labelled: LabelledSet, stage: FirstStage) -> FirstStage:
    """The same lists with missing relevant documents below: the quality of a reranker alone."""
    run = {}
    listed = stage.of_documents(stage.run)
    for query, scores in stage.run.items():
        lowest = min(scores.values(), default=0.0) - stage.is_ordered
        lacking = [d for d, label in labelled.qrels[query].items() if label > 0 and d not in listed[query]]
        run[query] = {**scores, **dict.fromkeys((d for d in lacking if d in labelled.documents), lowest)}
    return replace(stage, name=f"{stage.name} with all relevant", depth=max(map(len, run.values()), default=0), run=run)


def oracle(labelled: LabelledSet, stage: FirstStage) -> Run:
    """The best order of these lists: by label."""
    return {
        query: {document: float(labelled.qrels[query].get(document, 0)) for document in scores}
        for query, scores in stage.of_documents(stage.run).items()
    }


def fused(first: Run, second: Run) -> Run:
    """Reciprocal-rank fusion of two runs; documents with equal scores share the mean of their ranks."""
    run = {}
    for query, scores in first.items():
        ids = list(scores)
        total_N = np.zeros(len(ids))
        for each in (scores, second.get(query, {})):
            total_N += 1 / (FUSION_CONSTANT + _mean_ranks([each.get(document, -np.inf) for document in ids]))
        run[query] = dict(zip(ids, total_N.tolist(), strict=True))
    return run


def _mean_ranks(scores: list[float]) -> np.ndarray:
    _, group_N, sizes = np.unique(-np.array(scores, np.float32), return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group_N]
