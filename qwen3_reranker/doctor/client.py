"""Requests to an endpoint -> scores in document order, or a finding if malformed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qwen3_reranker.doctor.endpoint import Endpoint, EndpointResponse
from qwen3_reranker.endpoints.score_transforms import Numbers
from qwen3_reranker.endpoints.wire_formats import aligned


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
        scores_N = np.array(aligned(answer.entries, documents))
        self._check_order([entry.score for entry in answer.entries if entry.score is not None])
        return scores_N

    def _check_order(self, scores: list[float]) -> None:
        if self._endpoint.dialect.ranked and self.unsorted is None and scores != sorted(scores, reverse=True):
            self.unsorted = "scores came as " + ", ".join(f"{score:.4g}" for score in scores[:6])
