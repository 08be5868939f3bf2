"""Texts of which a first pass scored all, and a second some: the second's scores, and what both took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.records import DocumentScores, Usage
from qwen3_reranker.score import probabilities


class RecheckedTexts:
    """The distinct texts of one query's documents, with two scores each as far as there are two.

    Shapes: N documents, U distinct texts, in the order in which they first come. first: the scores of all documents.
    """

    def __init__(self, texts: Sequence[str], first: DocumentScores) -> None:
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        self.texts = list(places)
        #: The text of each document.
        self.place_N = np.array([places[text] for text in texts], np.intp)
        self.first_U = np.empty(len(places), np.float32)
        self.first_U[self.place_N] = first.logits
        #: Best first by the first pass.
        self.order_U = np.argsort(-self.first_U, kind="stable")
        #: -inf where the second pass has not scored.
        self.second_U = np.full(len(places), -np.inf, np.float32)
        self._first, self._seconds = first, list[DocumentScores]()
        self._saturated_U = np.zeros(len(places), np.bool_)
        self._receipts = dict(zip(self.place_N.tolist(), first.receipts, strict=True))

    def of(self, chosen: NDArray[np.intp]) -> list[str]:
        """The texts of these places, for the second pass."""
        return [self.texts[place] for place in chosen]

    def add(self, chosen: NDArray[np.intp], second: DocumentScores) -> None:
        """Take the second pass's scores of the texts of these places."""
        self.second_U[chosen] = second.logits
        self._receipts |= zip(chosen.tolist(), second.receipts, strict=True)
        if second.saturated is not None:
            self._saturated_U[chosen] = second.saturated
        self._seconds.append(second)

    @property
    def rechecked(self) -> int:
        """How many documents have the score of the second pass."""
        return int(np.isfinite(self.second_U[self.place_N]).sum())

    @property
    def second_usage(self) -> Usage:
        """What the second pass took."""
        return Usage.total([each.usage for each in self._seconds])

    def scores(self) -> DocumentScores:
        """The second pass's scores; others are -inf. The usage is that of both; documents cut are the first's."""
        logits_N = self.second_U[self.place_N]
        usage = Usage.total([self._first.usage, self.second_usage])
        return DocumentScores(
            logits_N,
            probabilities(logits_N),
            tuple(self._receipts[place] for place in self.place_N.tolist()),
            replace(usage, truncated_documents=self._first.usage.truncated_documents),
            self._saturated_U[self.place_N] if self._saturated_U.any() else None,
        )
