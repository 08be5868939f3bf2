"""The lists that are reranked: BM25's, a stored run's or the data's own; and what can be made of them without a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.labelled import LabelledSet, Run
from qwen3_reranker.evaluate.trec import missing_documents, read_run, write_run
from qwen3_reranker.search import Bm25

#: The constant of reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
FUSION_CONSTANT = 60


@dataclass(frozen=True, slots=True)
class FirstStage:
    """The best `depth` documents of each judged query; sha256: of all the lists these were taken from."""

    name: str
    depth: int
    run: Run
    sha256: str


def bm25(
    labelled: LabelledSet, depth: int, seed: int, kept: Path, on_progress: Callable[[float], None] | None = None
) -> FirstStage:
    """BM25's lists, read from the folder `kept` where these texts were ranked before, and written there otherwise.

    Documents without a word of the query fill a list up, tied at 0 in an order drawn by the seed. Raises
    UnavailableError where bm25s is not installed, InputError for a set without documents.
    """
    if not labelled.documents:
        raise InputError(f"{labelled.name}: BM25 needs documents, and the set has judgements alone; name a stored run")
    path = kept / f"bm25-{depth}-{seed}-{labelled.digest()[:12]}.trec"
    if not path.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        write_run(path, _retrieved(labelled, depth, seed, on_progress), "bm25")
    # Read back even when it was just made, so that its hash is that of the file.
    return _of_run("BM25", labelled, read_run(path), depth)


def _retrieved(
    labelled: LabelledSet, depth: int, seed: int, on_progress: Callable[[float], None] | None
) -> dict[str, dict[str, float]]:
    ids = list(labelled.documents)
    index = Bm25(list(labelled.documents.values()), seed)
    run = {}
    for number, (query, text) in enumerate(labelled.queries.items(), start=1):
        places, scores = index.top(text, depth)
        run[query] = {ids[place]: float(score) for place, score in zip(places, scores, strict=True)}
        if on_progress:
            on_progress(number / len(labelled.queries))
    return run


def given(labelled: LabelledSet, depth: int | None) -> FirstStage:
    """The lists that came with the data; raises InputError where there are none."""
    if labelled.candidates is None:
        raise InputError(f"{labelled.name}: the data hold no lists to rerank; take --first-stage bm25 or a run")
    return _of_run("lists of the data", labelled, labelled.candidates, depth)


def stored(labelled: LabelledSet, path: Path, depth: int | None) -> FirstStage:
    """The lists of a TREC run; raises InputError if it is of other queries or names documents that are not there."""
    run = read_run(path)
    if not run.keys() & labelled.qrels.keys():
        raise InputError(f"{path}: none of its queries is judged in {labelled.name}; it belongs to another set")
    if labelled.documents and (missing := missing_documents(run, labelled.documents)):
        raise InputError(f"{path}: {missing:,} of its entries name documents that {labelled.name} does not hold")
    return _of_run(path.name, labelled, run, depth)


def _of_run(name: str, labelled: LabelledSet, run: Run, depth: int | None) -> FirstStage:
    chosen = {query: best(run[query], depth) for query in labelled.qrels if query in run}
    content = json.dumps(run, sort_keys=True, default=dict).encode()
    return FirstStage(name, max(map(len, chosen.values()), default=0), chosen, hashlib.sha256(content).hexdigest())


def best(scores: Mapping[str, float], depth: int | None) -> dict[str, float]:
    """The best documents, equal ones by id backwards as trec_eval does."""
    ids = sorted(scores, reverse=True)
    ids.sort(key=lambda document: -scores[document])
    return {document: scores[document] for document in ids[:depth]}


def with_positives(labelled: LabelledSet, stage: FirstStage) -> FirstStage:
    """The same lists, relevant documents that they lack added below: the quality of a reranker alone."""
    run = {}
    for query, scores in stage.run.items():
        lowest = min(scores.values(), default=0.0) - 1
        lacking = [d for d, label in labelled.qrels[query].items() if label > 0 and d not in scores]
        run[query] = {**scores, **dict.fromkeys((d for d in lacking if d in labelled.documents), lowest)}
    return replace(stage, name=f"{stage.name} with all relevant", depth=max(map(len, run.values()), default=0), run=run)


def oracle(labelled: LabelledSet, stage: FirstStage) -> Run:
    """The best order of these lists: by label."""
    return {
        query: {document: float(labelled.qrels[query].get(document, 0)) for document in scores}
        for query, scores in stage.run.items()
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
