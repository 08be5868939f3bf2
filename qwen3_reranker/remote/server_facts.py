"""ServerFacts: what a few requests show of a rerank server: its route, its scale, where an instruction goes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qwen3_reranker.endpoints import probes
from qwen3_reranker.endpoints.address import nothing_answers
from qwen3_reranker.endpoints.connection import ServerConnection
from qwen3_reranker.endpoints.endpoint_errors import EndpointError, MalformedReplyError, RefusedError
from qwen3_reranker.endpoints.score_transforms import Numbers, logit, sigmoid
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.endpoints.wire_formats import ReportedUsage, WireFormat, aligned, nested, reported_usage
from qwen3_reranker.remote.quick_check import faults
from qwen3_reranker.remote.server_identity import RemoteModel

# Requests of the first contact: a server that starts may need a moment, one that is not there need not be waited for.
_FIRST_RETRIES = 2
# A raw score is the logit of the plain one: 16-bit servers keep this distance between probabilities.
_SAME = 0.02


@dataclass(frozen=True, slots=True)
class ListReply:
    """The scores of documents in input order, and what the server says of its work."""

    scores_N: Numbers
    usage: ReportedUsage


@dataclass(slots=True)
class ServerFacts:
    """What is known of a server.

    raw: the field that asks for logits, empty if none does. is_logit: whether scores, asked so, are logits. faults: a
    line for each. instruction: the path of its field; () if the server takes none, None while nobody has asked.
    probe: the logits of the first probe. served: what the server says of its model, None while nobody has asked.
    """

    wire: WireFormat
    path: str
    raw: Mapping[str, bool] = field(default_factory=dict)
    is_logit: bool = False
    faults: tuple[str, ...] = ()
    instruction: tuple[str, ...] | None = None
    probe: tuple[float, ...] = ()
    served: RemoteModel | None = None


class ScoreClient:
    """Asks one server for the scores of one list at a time."""

    def __init__(self, connection: ServerConnection, options: ServerOptions) -> None:
        self._connection, self._options = connection, options

    async def ask(
        self,
        wire: WireFormat,
        path: str,
        query: str,
        documents: Sequence[str],
        extra: Mapping[str, Any],
        deadline: float = math.inf,
        retries: int | None = None,
    ) -> ListReply:
        """The scores of documents. Raises EndpointError, RefusedError, MalformedReplyError."""
        body = {**wire.body(query, documents), **extra}
        if self._options.served_name is not None:
            body["model"] = self._options.served_name
        try:
            listed, answer = await self._connection.scores(path, body, deadline, retries=retries)
        except RefusedError as error:
            raise RefusedError(error.status, f"{path} answers with {error}") from None
        return ListReply(np.array(aligned(listed, documents)), reported_usage(answer))

    async def facts(self) -> ServerFacts:
        """What the first requests show. Raises EndpointError if no rerank server responds there."""
        deadline = time.monotonic() + (self._options.deadline or math.inf)
        facts, plain_N = await self._found(deadline)
        checked: Mapping[str, bool] = {}
        facts.is_logit = outside = bool(np.any((plain_N < 0) | (plain_N > 1)))
        for name, value in () if facts.is_logit else facts.wire.raw:
            try:
                raw = await self._probe(facts, 0, {name: value}, deadline)
            except (RefusedError, MalformedReplyError):
                continue
            if np.max(np.abs(raw - plain_N)) <= _SAME:
                continue
            if np.max(np.abs(sigmoid(raw) - plain_N)) >= _SAME:
                if not await self._is_calibrated(facts):
                    continue
                # What a calibration does to a probability is no fault.
                checked, plain_N, outside = {name: value}, raw, True
            facts.raw, facts.is_logit = {name: value}, True
            break
        facts.probe = tuple((plain_N if outside else logit(plain_N)).tolist())
        if self._options.check != "off":
            # As sent without a raw field: what happens to a probability on its way is a fault of its own.
            others = range(1, len(probes.CLEAR_QUERIES))
            asked = (self._probe(facts, number, checked, deadline) for number in others)
            facts.faults = tuple(faults(np.stack([plain_N, *await asyncio.gather(*asked)])))
        return facts

    async def _is_calibrated(self, facts: ServerFacts) -> bool:
        """Whether the server says that a calibration gives its probabilities."""
        facts.served = facts.served or await self.served()
        return "calibration" in facts.served.facts

    async def served(self) -> RemoteModel:
        """What the server says of its model, in the two places where servers do."""
        deadline = time.monotonic() + (self._options.deadline or math.inf)
        paths = self._connection.address.info_paths()
        info, models = await asyncio.gather(*(self._connection.said(each, deadline, _FIRST_RETRIES) for each in paths))
        return RemoteModel.of(info, models, self._options.served_name)

    async def instruction_path(self, facts: ServerFacts, deadline: float) -> tuple[str, ...]:
        """Where an instruction goes: the first field that moves a score. () if there is none."""
        query, documents = probes.GOLDEN_QUERY, probes.GOLDEN_DOCUMENTS

        async def scores(extra: Mapping[str, Any]) -> Numbers:
            return (await self.ask(facts.wire, facts.path, query, documents, {**facts.raw, **extra}, deadline)).scores_N

        plain_N = await scores({})
        unmoved = 1e-6 + 3 * float(np.max(np.abs(await scores({}) - plain_N)))
        for path in facts.wire.instructions:
            try:
                moved_N = np.abs(await scores(nested(path, probes.OTHER_INSTRUCTION)) - plain_N)
            except (RefusedError, MalformedReplyError):
                continue
            if np.max(moved_N) > unmoved:
                return path
        return ()

    async def _found(self, deadline: float) -> tuple[ServerFacts, Numbers]:
        """The first route that answers, and the scores of the first probe."""
        failures: dict[str, list[str]] = {}
        for wire, path in self._connection.address.attempts(self._options.dialect):
            facts = ServerFacts(wire, path)
            try:
                return facts, await self._probe(facts, 0, {}, deadline)
            except RefusedError as error:
                if error.status in (401, 403, 429, 503):
                    raise
                failures.setdefault(str(error), []).append(f"{path} ({wire.name})")
        raise EndpointError(nothing_answers(self._connection.address, failures))

    async def _probe(self, facts: ServerFacts, number: int, extra: Mapping[str, Any], deadline: float) -> Numbers:
        query = probes.CLEAR_QUERIES[number]
        documents = probes.CLEAR_DOCUMENTS
        reply = await self.ask(facts.wire, facts.path, query, documents, extra, deadline, _FIRST_RETRIES)
        return reply.scores_N
