"""RemoteReranker: a rerank server at a URL, used as a Reranker is."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self, Unpack

import numpy as np

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.endpoints.address import KEY_VARIABLE, ServerAddress
from qwen3_reranker.endpoints.connection import ServerConnection, refuse_without_client
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.endpoints.request_loop import RequestLoop
from qwen3_reranker.endpoints.score_transforms import Numbers
from qwen3_reranker.endpoints.server_options import RemoteOptions, ServerOptions
from qwen3_reranker.endpoints.wire_formats import ReportedUsage, nested
from qwen3_reranker.errors import InputError, NotUnicodeError
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.records import DocumentScores, Receipt, Screen, Usage
from qwen3_reranker.remote.pair_scoring import PairScoring
from qwen3_reranker.remote.server_facts import ScoreClient, ServerFacts
from qwen3_reranker.remote.server_identity import RemoteModel
from qwen3_reranker.score import probabilities
from qwen3_reranker.text_reranker import QueryTexts, Result, TextReranker

_LOG = logging.getLogger(__name__)
# A server does not say what it cut.
_UNKNOWN = Receipt(0, 0, 0, 0)
# The largest logit with a probability below 1, and the smallest with one above 0, in 64 bits.
_HIGHEST, _LOWEST = 36.7368, -745.1332
# What this process knows of servers, by address, dialect, name and key.
_KNOWN: dict[tuple[object, ...], ServerFacts] = {}
_LOCAL = ("checkpoint", "config", "head", "options", "engine", "runner", "tokens", "answer_ids")


class RemoteModelError(InputError, AttributeError):
    """What needs the weights or the tokenizer was asked of a server, which takes texts and gives scores."""


class RemoteReranker(TextReranker):
    """A rerank server that ranks as a Reranker does. `Reranker(url)` makes one.

    url: its base ("https://host/v1"), or the full address of one route. The options are those of ServerOptions; the
    API key is taken from QWEN3_RERANKER_API_KEY where none is given. revision, plan_only: of models on this machine.
    Raises InputError for an unusable address or option, and EndpointError if no rerank server answers there.
    Calls from several threads are safe, and share the connections.
    """

    def __init__(
        self, url: str, *, revision: str | None = None, plan_only: bool = False, **options: Unpack[RemoteOptions]
    ) -> None:
        self.address = ServerAddress.of(url)
        self.url = url
        local = {"revision": revision, **({"plan_only": True} if plan_only else {})}
        self.server_options = chosen = ServerOptions.of(
            {**{name: value for name, value in local.items() if value is not None}, **options}, url
        )
        refuse_without_client()
        self._arguments = options
        self._key = os.environ.get(KEY_VARIABLE) if chosen.api_key is None else chosen.api_key
        self._connect()
        renew_in_children(self)
        self.is_closed = False
        self._has_told_of_saturation = False
        try:
            self.facts = self._known_facts()
            for fault in self.facts.faults:
                self._tell(fault)
        except BaseException:
            self.close()
            raise

    @property
    def default_instruction(self) -> str | None:
        """None: the server has its own, and does not say which."""
        return None

    @property
    def gives_logits(self) -> bool:
        """Whether the server sends logits. If not, they are made of probabilities."""
        return self.facts.is_logit

    @property
    def served(self) -> RemoteModel:
        """What the server says of its model."""
        if self.facts.served is None:
            self.facts.served = self._loop.result(self._server.served())
        return self.facts.served

    @property
    def probe_logits(self) -> tuple[float, ...]:
        """The logits of the first probe, (5,): another model, prompt or default instruction gives others."""
        return self.facts.probe

    def identity(self) -> dict[str, Any]:
        """What its scores depend on, as far as the server lets it be seen: its weights are not among that."""
        return {
            "model": self.url,
            "route": self.facts.path,
            "api": self.facts.wire.name,
            "scores": "logits" if self.gives_logits else "probabilities",
            "served_name": self.server_options.served_name,
            "served": dict(self.served.facts),
        }

    def score_by(
        self, query: str, documents: Sequence[str], instruction: str | None, deadline: float
    ) -> DocumentScores | None:
        """The scores of documents, None where they are not there by the deadline (time.monotonic()).

        Requests under way are dropped then. Such a deadline counts in place of that of the options. Raises what
        `score` raises.
        """
        seconds = self.server_options.deadline if math.isinf(deadline) else None
        scored = self._scored([(query, documents)], instruction, None, seconds)
        return self._loop.result(_by(deadline, scored))

    def close(self) -> None:
        """Close the connections. It cannot be used afterwards."""
        if not self.is_closed:
            self.is_closed = True
            self._loop.close()

    def in_forked_child(self) -> None:
        """Use other connections than the parent."""
        self._connect()

    def rows(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises RemoteModelError: a server takes texts, not tokens."""
        raise self._has_no("rows")

    def judge(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises RemoteModelError: a server takes texts, not tokens."""
        raise self._has_no("judge")

    def tree(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises RemoteModelError: what a server computes is its own affair."""
        raise self._has_no("tree")

    def __getattr__(self, name: str) -> Any:
        raise self._has_no(name) if name in _LOCAL else AttributeError(f"RemoteReranker has no attribute {name!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        return partial(type(self), self.url, **self._arguments), ()

    def __repr__(self) -> str:
        return f"<{'closed ' if self.is_closed else ''}RemoteReranker({self.url!r}, {self.facts.wire.name})>"

    def _refuse_screen(self, precision: str) -> None:
        raise self._has_no("screen")

    def _score_lists(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        screen: Screen | None = None,
    ) -> list[DocumentScores]:
        return self._loop.result(self._scored(lists, instruction, on_progress, self.server_options.deadline))

    async def _awaited(
        self,
        asked: QueryTexts,
        instruction: str | None,
        on_progress: OnProgress | None,
        finish: Callable[[DocumentScores], Result],
        screen: Screen | None = None,
    ) -> Result:
        scored = self._scored([asked], instruction, on_progress, self.server_options.deadline)
        [scores] = await asyncio.wrap_future(self._loop.submit(scored))
        return finish(scores)

    def _scored(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        seconds: float | None,
    ) -> Coroutine[Any, Any, list[DocumentScores]]:
        if self.is_closed:
            raise InputError("this Reranker is closed; make a new one")
        texts = (text for query, texts in lists for text in (query, *texts))
        if any(lone_surrogate(text) is not None for text in (instruction or "", *texts)):
            raise NotUnicodeError("a text is not valid Unicode: it holds a lone surrogate")
        return self._answered(lists, instruction, on_progress, seconds)

    async def _answered(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        seconds: float | None,
    ) -> list[DocumentScores]:
        deadline = time.monotonic() + (seconds or math.inf)
        extra: dict[str, Any] = dict(self.facts.raw)
        if instruction is not None:
            if self.facts.instruction is None:
                self.facts.instruction = await self._server.instruction_path(self.facts, deadline)
            if not self.facts.instruction:
                raise InputError(
                    f"{self.url} takes no instruction: in no known field does one move a score; leave it out, or write "
                    "it into the server's template"
                )
            extra |= nested(self.facts.instruction, instruction)
        scoring = PairScoring(self._server, self.facts, self.server_options, lists, extra, deadline, on_progress)
        scores = await scoring.run()
        return [self._document_scores(*each) for each in zip(scores, scoring.usages, strict=True)]

    def _document_scores(self, scores_N: Numbers, reported: Sequence[ReportedUsage]) -> DocumentScores:
        prompt = sum(each.prompt_tokens or 0 for each in reported)
        # A server that does not say so is taken to compute everything.
        computed = sum(
            (each.prompt_tokens or 0) if each.computed_tokens is None else each.computed_tokens for each in reported
        )
        usage = Usage(prompt, computed, 0, sum(each.truncated_documents or 0 for each in reported))
        receipts = (_UNKNOWN,) * len(scores_N)
        if self.facts.is_logit:
            logits_N = scores_N.astype(np.float32)
            return DocumentScores(logits_N, probabilities(logits_N), receipts, usage)
        if outside := [score for score in scores_N.tolist() if not 0 <= score <= 1]:
            raise EndpointError(
                f"{self.url} sends probabilities, but {outside[0]:g} is none: the document has no score"
            )
        saturated_N = (scores_N <= 0) | (scores_N >= 1)
        if saturated_N.any() and not self._has_told_of_saturation:
            self._has_told_of_saturation = True
            _LOG.warning(
                "%s sends probabilities, and some are exactly 0 or 1: their logits are bounds (`saturated`)", self.url
            )
        with np.errstate(divide="ignore"):
            logits_N = np.clip(np.log(scores_N) - np.log1p(-scores_N), _LOWEST, _HIGHEST).astype(np.float32)
        return DocumentScores(logits_N, scores_N.astype(np.float32), receipts, usage, saturated_N)

    def _connect(self) -> None:
        self._connection = ServerConnection(self.address, self.server_options, self._key)
        self._server = ScoreClient(self._connection, self.server_options)
        self._loop = RequestLoop(self._connection.close)

    def _known_facts(self) -> ServerFacts:
        """What this process knows of the server; the first to ask finds it out.

        Nobody waits for another's requests: a server that does not answer must not hold up who has less time.
        """
        chosen = self.server_options
        key = (self.url, chosen.dialect, chosen.served_name, self._key, chosen.check == "off")
        facts = _KNOWN.get(key)
        return facts or _KNOWN.setdefault(key, self._loop.result(self._server.facts()))

    def _tell(self, fault: str) -> None:
        more = f"qwen3-reranker doctor {self.url} --reference MODEL says more"
        if self.server_options.check == "error":
            raise EndpointError(f'{self.url} does not score as a reranker does: {fault} ({more}; check="off" goes on)')
        _LOG.warning("%s: %s (%s)", self.url, fault, more)

    def _has_no(self, name: str) -> RemoteModelError:
        return RemoteModelError(
            f"{name} needs the model on this machine; {self.url} is a server, which takes texts and gives scores"
        )


async def _by(deadline: float, scored: Coroutine[Any, Any, list[DocumentScores]]) -> DocumentScores | None:
    try:
        async with asyncio.timeout(None if math.isinf(deadline) else max(deadline - time.monotonic(), 0)):
            [scores] = await scored
            return scores
    except TimeoutError:
        return None
