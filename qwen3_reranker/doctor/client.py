"""Requests to an endpoint -> scores in document order, or a finding if malformed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qwen3_reranker.doctor.endpoint import Endpoint, EndpointResponse
from qwen3_reranker.doctor.matching import Numbers


class MalformedReplyError(Exception):
    """A response that lacks a valid score for each document.

    fault: its name in the catalogue. evidence: what shows it.
    """

    def __init__(self, fault: str, evidence: str) -> None:
        super().__init__(evidence)
        self.fault = fault
        self.evidence = evidence


class Client:
    """Scores pairs with an endpoint. `unsorted`: evidence of the first response in a wrong order."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._alone: dict[tuple[str, str], float] = {}
        self.unsorted: str | None = None

    def together(self, query: str, documents: Sequence[str], **extra: Any) -> Numbers:
        """Scores of documents sent in one request, (num_documents,). Raises MalformedReplyError."""
        return self._aligned(self._endpoint.ask(query, documents, **extra), documents)

    def alone(self, query: str, document: str, **extra: Any) -> float:
        """The score of a document sent by itself. Raises MalformedReplyError."""
        if extra or (query, document) not in self._alone:
            score = float(self.together(query, [document], **extra)[0])
            if extra:
                return score
            self._alone[query, document] = score
        return self._alone[query, document]

    def each_alone(self, pairs: Sequence[tuple[str, str]], **extra: Any) -> Numbers:
        """The score of each pair, one request each, (num_pairs,). Raises MalformedReplyError."""
        return np.array([self.alone(query, document, **extra) for query, document in pairs])

    def prompt_tokens(self, query: str, document: str) -> int | None:
        """The token count that the server reports for this pair, if any."""
        return self._endpoint.ask(query, [document]).prompt_tokens

    def _aligned(self, answer: EndpointResponse, documents: Sequence[str]) -> Numbers:
        scores = [entry.score for entry in answer.entries]
        for score in scores:
            if score is None or not math.isfinite(score):
                shown = "no number" if score is None else str(score)
                raise MalformedReplyError("not-a-number", f"{shown} as a score, in {len(scores)} entries")
        indices = [entry.index for entry in answer.entries]
        if sorted(index for index in indices if index is not None) != list(range(len(documents))):
            listed = ", ".join("none" if index is None else str(index) for index in indices[:8]) or "nothing"
            raise MalformedReplyError(
                "response-shape", f"{len(documents)} documents were sent, and the indices that came back are {listed}"
            )
        aligned_N = np.empty(len(documents))
        for entry in answer.entries:
            assert entry.index is not None
            assert entry.score is not None
            # The echoed text may be cut or cleaned. It is a fault only if it equals another document of ours.
            if entry.document is not None and entry.document != documents[entry.index] and entry.document in documents:
                raise MalformedReplyError(
                    "index-mapping",
                    f"index {entry.index} comes with the text of document {documents.index(entry.document)}",
                )
            aligned_N[entry.index] = entry.score
        self._check_order([score for score in scores if score is not None])
        return aligned_N

    def _check_order(self, scores: list[float]) -> None:
        if self._endpoint.dialect.ranked and self.unsorted is None and scores != sorted(scores, reverse=True):
            self.unsorted = "scores came as " + ", ".join(f"{score:.4g}" for score in scores[:6])
