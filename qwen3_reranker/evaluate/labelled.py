"""Queries, documents and judgements: what every source becomes, and what an evaluation runs on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.measures import Measure

#: By query, the label of each judged document: 0 not relevant, 1 and above relevant.
Qrels = Mapping[str, Mapping[str, int]]
#: By query, the score of each retrieved document.
Run = Mapping[str, Mapping[str, float]]
NDCG_10 = Measure("nDCG", 10)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One set to evaluate on: the queries of `qrels`, with their texts among `queries`.

    group: sets of one group (the languages of one task) are averaged before groups are. documents: may be empty where
    only stored runs are measured. instruction, instructions: the set's, and those of single queries, which go first.
    candidates: the list that came with the data for each query. changed: for p-MRR, by query, the documents whose
    relevance a changed instruction takes away. measure: what the set is usually judged by. excludes_itself: a document
    with the id of a query is left out of its list, as it is the query itself. language: the queries', as a code.
    """

    name: str
    qrels: Qrels
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    group: str = ""
    instruction: str | None = None
    instructions: Mapping[str, str] = field(default_factory=dict)
    candidates: Run | None = None
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    measure: Measure = NDCG_10
    excludes_itself: bool = False
    language: str = ""

    def instruction_of(self, query: str) -> str | None:
        """What the data say counts as an answer to this query, or None."""
        return self.instructions.get(query, self.instruction)

    def digest(self) -> str:
        """SHA-256 of what is ranked: texts, instructions and lists. No score depends on judgements."""
        content = hashlib.sha256()
        for part in (self.documents, self.queries, self.instruction, self.instructions, self.candidates):
            content.update(json.dumps(part, sort_keys=True, default=dict).encode("utf-8", "surrogatepass"))
            content.update(b"\n")
        return content.hexdigest()

    def drawn(self, most_queries: int | None, seed: int) -> LabelledSet:
        """The same set with at most so many queries, drawn by seed and name. A pair's versions stay together."""
        units = sorted(self.changed or self.qrels)
        if most_queries is None or len(units) <= most_queries:
            return self
        rng = np.random.default_rng((seed, *self.name.encode()))
        return self.of_queries({units[place] for place in rng.permutation(len(units))[:most_queries]})

    def of_queries(self, units: set[str]) -> LabelledSet:
        """The same set with these queries alone. In a set for p-MRR, with both versions of each."""

        def kept(query: str) -> bool:
            return (query.rpartition("-")[0] if self.changed else query) in units

        return replace(
            self,
            qrels={query: labels for query, labels in self.qrels.items() if kept(query)},
            changed={query: documents for query, documents in self.changed.items() if query in units},
        )


def checked(labelled: LabelledSet, place: Path) -> LabelledSet:
    """The set; raises InputError, which names `place`, where it has nothing to measure."""
    if not labelled.qrels:
        raise InputError(f"{place}: no query has judgements; expected labels for the queries of the set")
    if not any(label > 0 for labels in labelled.qrels.values() for label in labels.values()):
        raise InputError(f"{place}: no document is judged relevant (a label of 1 or above), so all is 0")
    return labelled


def weights(sets: Sequence[LabelledSet]) -> list[float]:
    """The weight of each set in the mean: groups alike, and a group's sets alike."""
    groups = [labelled.group or labelled.name for labelled in sets]
    return [1 / (len(set(groups)) * groups.count(group)) for group in groups]
