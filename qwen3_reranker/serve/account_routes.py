"""What a key may ask of itself: /v1/key, /v1/credits, /v1/usage, /v1/check-api-key."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.key_records import KeyRecord
from qwen3_reranker.serve.accounts.replies import (
    CheckReply,
    CreditsReply,
    KeyReply,
    UsageReply,
    check_body,
    credits_body,
    key_body,
    read_usage_query,
    usage_body,
)
from qwen3_reranker.serve.context import Context, JsonResponse, passing_of
from qwen3_reranker.serve.noted_route import NotedRoute
from qwen3_reranker.serve.openapi import Operation, errors
from qwen3_reranker.serve.problems import Problem

_STATUSES = (401, 404, 503)


class AccountRoutes:
    """Routes that a key reads its own account by; 404 where keys are off."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[NotedRoute]:
        """All of them."""
        return [
            *(NotedRoute(f"{before}/v1/key", self._key) for before in ("", "/api")),
            *(NotedRoute(f"{before}/v1/credits", self._credits) for before in ("", "/api")),
            NotedRoute("/v1/usage", self._usage),
            *(NotedRoute(f"{before}/v1/check-api-key", self._check, methods=["POST"]) for before in ("", "/cohere")),
        ]

    @staticmethod
    def operations() -> list[Operation]:
        """The same for the OpenAPI document."""
        told = errors(*_STATUSES)
        return [
            *(
                Operation("get", f"{before}/v1/key", "This key", "account", replies=(KeyReply,), errors=told)
                for before in ("", "/api")
            ),
            *(
                Operation("get", f"{before}/v1/credits", "Its credit", "account", replies=(CreditsReply,), errors=told)
                for before in ("", "/api")
            ),
            Operation(
                "get", "/v1/usage", "What it used", "account", replies=(UsageReply,), errors=errors(400, *_STATUSES)
            ),
            *(
                Operation(
                    "post", f"{before}/v1/check-api-key", "Is it valid", "account", replies=(CheckReply,), errors=told
                )
                for before in ("", "/cohere")
            ),
        ]

    def _account(self, request: Request) -> tuple[Accounts, KeyRecord]:
        key = passing_of(request).key
        if self._context.accounts is None or key is None:
            raise Problem(404, "not_found_error", "keys_off", "this server asks for no keys, so there are no accounts")
        return self._context.accounts, key

    async def _key(self, request: Request) -> Response:
        accounts, key = self._account(request)
        return JsonResponse(key_body(await asyncio.to_thread(accounts.key_facts, key)))

    async def _credits(self, request: Request) -> Response:
        accounts, key = self._account(request)
        facts = await asyncio.to_thread(accounts.key_facts, key)
        return JsonResponse(credits_body(facts.key))

    async def _usage(self, request: Request) -> Response:
        accounts, key = self._account(request)
        query = read_usage_query(request.query_params, time.time())
        sums = await asyncio.to_thread(accounts.usage, key, query.since, query.until, query.width)
        return JsonResponse(usage_body(query, sums))

    async def _check(self, request: Request) -> Response:
        _, key = self._account(request)
        return JsonResponse(check_body(key))
