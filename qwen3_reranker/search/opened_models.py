"""OpenedModels: the reranker and the embedder of an index, opened when they are first needed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search.passage_judges import passage_judge
from qwen3_reranker.search.passage_scorer import KnownScores, PassageScorer
from qwen3_reranker.uninterrupted import start_uninterrupted
from qwen3_reranker.weights.hub_name import is_server

#: Numbers of a vector on disk: the first of them, as published embedding models are trained to be cut.
INDEX_DIM = 256


#: An open model or server, a name or URL, or what opens one.
GivenReranker = Reranker | RemoteReranker | str | Callable[[], Reranker | RemoteReranker]
GivenEmbedder = Embedder | str | Callable[[], Embedder]


class OpenedModels:
    """Models that were not given open are opened here, once, and closed; others belong to the caller."""

    def __init__(self, reranker: GivenReranker | None, embedder: GivenEmbedder | None, scores: KnownScores) -> None:
        self._reranker = reranker
        self._embedder = embedder
        self._scores = scores
        self._owned: list[Reranker | RemoteReranker | Embedder] = []
        self._scorer: PassageScorer | None = None
        self._opened: Reranker | RemoteReranker | None = None
        self._error: Exception | None = None
        # One for each: a search without an embedder in time must not wait for it to ask for the reranker.
        self._reranker_lock, self._embedder_lock = threading.Lock(), threading.Lock()
        self._opening: threading.Thread | None = None
        self._closing, self._is_closed = threading.Lock(), False

    def scorer(self, deadline: float = math.inf, is_shared: bool = False) -> PassageScorer | None:
        """What judges; None without a reranker, or while one still opens at the deadline. Raises what it raises.

        is_shared: another thread computes its rows, so its speed is not measured here.
        """
        if self._scorer is None and self._reranker is not None:
            with self._reranker_lock:
                if self._opening is None:
                    # A thread: opening cannot be stopped, and a search may have to answer before it ends.
                    self._opening = threading.Thread(
                        target=self._open, args=(is_shared,), name="opening a reranker", daemon=True
                    )
                    start_uninterrupted(self._opening)
                opening = self._opening
            opening.join(None if math.isinf(deadline) else max(0.0, deadline - time.monotonic()))
            if (error := self._error) is not None:
                if isinstance(error, EndpointError):
                    # A server may be there the next time.
                    self._opening = self._error = None
                raise error
        return self._scorer

    def reranker(self) -> Reranker | RemoteReranker | None:
        """What judges, opened; None without one. Raises what it raises."""
        self.scorer(is_shared=True)
        return self._opened

    @property
    def has_reranker(self) -> bool:
        """Whether there is one, open or not."""
        return self._reranker is not None

    def embedder(self) -> Embedder | None:
        """What embeds, None without one. Raises what Embedder raises."""
        with self._embedder_lock:
            if not (self._embedder is None or isinstance(self._embedder, Embedder)):
                name = self._embedder
                self._embedder = Embedder(name, dim=INDEX_DIM) if isinstance(name, str) else name()
                self._owned.append(self._embedder)
            return self._embedder

    def close(self) -> None:
        """Close what was opened here."""
        with self._closing:
            self._is_closed = True
        # A server that does not answer must not keep its caller: what still connects is closed by its thread.
        if self._opening is not None and not (isinstance(self._reranker, str) and is_server(self._reranker)):
            self._opening.join()
        if self._scorer is not None:
            self._scorer.close()
        for model in self._owned:
            model.close()
        self._owned.clear()

    def _open(self, is_shared: bool) -> None:
        try:
            assert self._reranker is not None
            reranker = self._reranker
            if not isinstance(reranker, Reranker | RemoteReranker):
                reranker = Reranker(reranker) if isinstance(reranker, str) else reranker()
                with self._closing:
                    if self._is_closed:
                        reranker.close()
                        return
                    self._owned.append(reranker)
            judge = passage_judge(reranker)
            scorer = PassageScorer(judge, self._scores)
            if not (is_shared or judge.keeps_deadline):
                scorer.measure()
            self._opened, self._scorer = reranker, scorer
        except Exception as error:
            self._error = error
