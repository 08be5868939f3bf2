"""A key's own account: /v1/key, /v1/credits, /v1/usage and /v1/check-api-key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.key_records import KeyFacts, KeyRecord
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import fill
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.problems import Problem, invalid_api_key
from qwen3_reranker.serve.routes.account_replies import (
    CHECK_REPLY,
    CREDITS_REPLY,
    KEY_REPLY,
    USAGE_REPLY,
    UsageBuckets,
    read_usage_query,
)
from qwen3_reranker.serve.routes.base import HttpEndpoint, errors


class AccountRoutes:
    """Routes by which a key reads its own account; 404 where keys are off."""

    def __init__(self, context: Context) -> None:
        self._accounts = context.accounts

    def endpoints(self) -> Iterator[HttpEndpoint]:
        """All of them."""
        for method, paths, handler, summary, reply in (
            ("GET", ("/v1/key", "/api/v1/key"), self._key, "The key", KEY_REPLY),
            ("GET", ("/v1/credits", "/api/v1/credits"), self._credits, "Credit of the key", CREDITS_REPLY),
            ("GET", ("/v1/usage",), self._usage, "Usage of the key", USAGE_REPLY),
            (
                "POST",
                ("/v1/check-api-key", "/cohere/v1/check-api-key"),
                self._check,
                "Validity of the key",
                CHECK_REPLY,
            ),
        ):
            statuses = (400, 401, 404, 503) if reply is USAGE_REPLY else (401, 404, 503)
            for path in paths:
                yield HttpEndpoint(
                    method, path, handler, summary, "account", replies=(reply.type,), errors=errors(*statuses)
                )

    async def _key(self, request: Request) -> Response:
        accounts, key = account_of(self._accounts, request)
        return JsonResponse(fill(KEY_REPLY, await self._facts(accounts, key)))

    async def _credits(self, request: Request) -> Response:
        accounts, key = account_of(self._accounts, request)
        facts = await self._facts(accounts, key)
        return JsonResponse(fill(CREDITS_REPLY, facts.key))

    async def _facts(self, accounts: Accounts, key: KeyRecord) -> KeyFacts:
        facts = await asyncio.to_thread(accounts.key_facts, key.id)
        if facts is None:
            raise invalid_api_key()
        return facts

    async def _usage(self, request: Request) -> Response:
        accounts, key = account_of(self._accounts, request)
        query = read_usage_query(request.query_params, time.time())
        sums = await asyncio.to_thread(accounts.usage, key.id, query.since, query.until, query.width)
        return JsonResponse(fill(USAGE_REPLY, UsageBuckets(query, sums)))

    async def _check(self, request: Request) -> Response:
        _, key = account_of(self._accounts, request)
        return JsonResponse(fill(CHECK_REPLY, key))


def account_of(accounts: Accounts | None, request: Request) -> tuple[Accounts, KeyRecord]:
    """The accounts, and the key of a request. Raises Problem 404 where keys are off."""
    key = state_of(request).key
    if accounts is None or key is None:
        raise Problem(404, "not_found_error", "keys_off", "this server asks for no keys, so there are no accounts")
    return accounts, key
