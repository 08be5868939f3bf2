"""A run and judgements -> each query's value, with the range of ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.evaluate.instruction_following import p_mrr
from qwen3_reranker.evaluate.labelled import LabelledSet, Run
from qwen3_reranker.evaluate.measures import P_MRR, Measure, RankedLabels, ranked
from qwen3_reranker.evaluate.significance import Values


@dataclass(frozen=True, slots=True, eq=False)
class RunScores:
    """One measure of one run. values_Q is the expectation over orders of tied documents, 0 for a missing query.

    trec_eval_Q breaks ties by id; lowest_Q and highest_Q are what orders of tied documents can give. missing: judged
    queries that the run lacks. tied: queries with equal scores in their lists.
    """

    measure: Measure
    queries: tuple[str, ...]
    values_Q: Values
    trec_eval_Q: Values
    lowest_Q: Values
    highest_Q: Values
    missing: tuple[str, ...]
    tied: int

    @property
    def mean(self) -> float:
        """The mean over all judged queries."""
        return float(self.values_Q.mean())


def score_run(labelled: LabelledSet, run: Run, measures: Sequence[Measure]) -> dict[Measure, RunScores]:
    """Each measure of a run. Raises InputError for p-MRR of a set that names no changed documents."""
    lists = [(labels, ranked(labels, run[query])) if query in run else None for query, labels in labelled.qrels.items()]
    missing = tuple(query for query in labelled.qrels if query not in run)
    tied = sum(each is not None and each[1].has_ties for each in lists)
    scored = {}
    for measure in measures:
        if measure.kind == P_MRR:
            scored[measure] = _of_pairs(labelled, run, measure)
            continue
        rows = [(0.0, 0.0, 0.0, 0.0) if each is None else _row(measure, each[1]) for each in lists]
        expected_Q, trec_eval_Q, lowest_Q, highest_Q = np.array(rows).T
        queries = tuple(labelled.qrels)
        scored[measure] = RunScores(measure, queries, expected_Q, trec_eval_Q, lowest_Q, highest_Q, missing, tied)
    return scored


def _row(measure: Measure, query: RankedLabels) -> tuple[float, float, float, float]:
    expected = measure.expected(query)
    if not query.has_ties:
        return expected, expected, expected, expected
    return expected, measure.in_trec_eval_order(query), *measure.range(query)


def _of_pairs(labelled: LabelledSet, run: Run, measure: Measure) -> RunScores:
    values, missing = p_mrr(run, labelled.changed)
    values_Q = np.array(list(values.values()))
    return RunScores(measure, tuple(values), values_Q, values_Q, values_Q, values_Q, missing, tied=0)
