"""p-MRR: whether documents move when the instruction makes them irrelevant (FollowIR, 2403.15246)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qwen3_reranker.errors import InputError

#: What the names of a query's two versions end with: the original instruction, and the changed one.
ORIGINAL, CHANGED = "-og", "-changed"


def p_mrr(
    run: Mapping[str, Mapping[str, float]], changed: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Each query's p-MRR, above 0 where the instruction was followed, and missing queries.

    changed: by query, the documents that the changed instruction makes irrelevant. A document that a list lacks comes
    after its end. A query of which the run lacks a version counts as 0. Raises InputError where there are none.
    """
    if not changed:
        raise InputError("p-MRR needs documents whose relevance changed (FollowIR), and this set names none")
    missing = tuple(query for query in changed if f"{query}{ORIGINAL}" not in run or f"{query}{CHANGED}" not in run)
    values = {}
    for query, documents in changed.items():
        if query in missing or not documents:
            values[query] = 0.0
            continue
        before, after = (_ranks(run[f"{query}{version}"], documents) for version in (ORIGINAL, CHANGED))
        values[query] = float(
            np.mean([new / old - 1 if old >= new else 1 - old / new for old, new in zip(before, after, strict=True)])
        )
    return values, missing


def _ranks(scores: Mapping[str, float], documents: Sequence[str]) -> list[int]:
    # In float64, as in mteb, to get its numbers; equal scores are ordered by id, backwards.
    order = sorted(scores, key=lambda document: (scores[document], document), reverse=True)
    rank_of = {document: place for place, document in enumerate(order, start=1)}
    return [rank_of.get(document, len(order) + 1) for document in documents]
