"""SearchResults: what a search found, which stage ranked it, and how far judging came."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qwen3_reranker import score
from qwen3_reranker.records import HitSequence
from qwen3_reranker.search.index_store import StoredPassage
from qwen3_reranker.search.passage_scorer import PassageLogits
from qwen3_reranker.search.retrieval import FoundPassage


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A document, by its best passage.

    path: of its file below the collection's folder; absolute_path: on this machine, empty for records. name: of a
    record, empty for a whole file. first_line, last_line: where the passage lies, from 1; of a PDF or office
    document, in the text that is taken from it. part: its page, slide or sheet, such as `page 3`; empty where there is
    none. stage: what ranked it, "judged" by the reranker or "first stage". bm25 and cosine: of the passage, None where
    that search did not find it. fused: the reciprocal ranks of the first stage, summed. logit and probability: None
    where it was not judged. duplicates: places of documents that were folded into it.
    """

    path: str
    absolute_path: str
    collection: str
    name: str
    title: str
    headings: str
    first_line: int
    last_line: int
    part: str
    text: str
    fields: Mapping[str, Any]
    stage: str
    fused: float
    bm25: float | None = None
    cosine: float | None = None
    logit: float | None = None
    probability: float | None = None
    truncated: bool = False
    duplicates: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the passage lies: `path:line`, as editors read it, or `path:page 3`."""
        return f"{self.path}:{self.part or self.first_line}" if self.absolute_path else self.path

    def to_dict(self) -> dict[str, Any]:
        """All fields, as plain values."""
        return asdict(self)


def text_to_judge(headings: str, text: str) -> str:
    """What the reranker reads of a passage: its text below the headings that it does not hold itself."""
    above = " > ".join(heading for heading in headings.split(" > ") if heading and heading not in text)
    return f"{above}\n\n{text}" if above else text


@dataclass(frozen=True, slots=True)
class SearchSeconds:
    """Seconds of each stage, and of all of them."""

    retrieving: float = 0.0
    judging: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchSelection:
    """What became of the documents that a selection did not choose; they are named by their places.

    folded: documents that are duplicates of others. tokens: of the chosen passages together, None without `fit`.
    too_long: passages of more tokens than `fit` alone. left_out: those that did not fit, or are beyond the limit.
    """

    folded: int
    tokens: int | None
    too_long: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchResults(HitSequence[SearchHit]):
    """Hits, best first.

    candidates: passages that the first stage gave; judged: how many of them the reranker judged, and cached: how many
    of those it knew from an earlier search. left_out: what there was no time for: "words", "vectors", "judging".
    selection: None where the hits are the first of all.
    """

    hits: tuple[SearchHit, ...]
    candidates: int
    judged: int
    cached: int
    seconds: SearchSeconds
    left_out: tuple[str, ...] = ()
    selection: SearchSelection | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all candidates were judged."""
        return self.judged == self.candidates

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)


def found_hit(stored: StoredPassage, candidate: FoundPassage, judged: PassageLogits, place: int) -> SearchHit:
    """The hit of a candidate, whose passage is `stored`, at `place` in the list that was judged."""
    logit = judged.logits.get(place)
    return SearchHit(
        path=stored.path,
        absolute_path="" if stored.folder is None else os.path.join(stored.folder, stored.path),
        collection=stored.collection,
        name=stored.name,
        title=stored.title,
        headings=stored.headings,
        first_line=stored.first_line,
        last_line=stored.last_line,
        part=stored.part,
        text=stored.text,
        fields=json.loads(stored.fields),
        stage="first stage" if logit is None else "judged",
        fused=candidate.fused,
        bm25=candidate.bm25,
        cosine=candidate.cosine,
        logit=logit,
        probability=None if logit is None else float(score.probabilities(np.array([logit], np.float32))[0]),
        truncated=place in judged.truncated,
    )
