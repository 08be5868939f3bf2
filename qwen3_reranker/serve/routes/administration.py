"""Keys as the scope `admin` manages them: /v1/keys, and what is below it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, get_type_hints

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.key_fields import (
    KeyFieldError,
    checked_fields,
    creation,
    dollar_amount,
    seconds_of,
)
from qwen3_reranker.serve.accounts.key_records import KeyFacts, KeyRecord
from qwen3_reranker.serve.accounts.store import KeyChangeError, Store
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import fill, type_of
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.log import log_key_change
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.routes.account import account_of
from qwen3_reranker.serve.routes.account_replies import KEY_REPLY, USAGE_REPLY, UsageBuckets, read_usage_query
from qwen3_reranker.serve.routes.administration_bodies import (
    KEYS_REPLY,
    NEW_KEY_REPLY,
    KeyCreationBody,
    KeyFieldsBody,
    RotationBody,
    TopUpBody,
    read_page,
)
from qwen3_reranker.serve.routes.base import HttpEndpoint, errors

# A bucket of an hour may hold a row of every key and model.
_MAX_USAGE_ROWS = 100_000
_MAX_IDEMPOTENCY_KEY = 255
_STATUSES = {"key_not_found": (404, "not_found_error"), "too_much_credit": (400, "invalid_request_error")}
# What JSON calls differently from the store's columns.
_FIELDS = {"expires_at": "expires"}

Changed = TypeVar("Changed", KeyRecord, tuple[str, KeyRecord])


class AdministrationRoutes:
    """Routes by which a key with the scope admin manages all keys; 404 where keys are off."""

    def __init__(self, context: Context) -> None:
        self._accounts = context.accounts
        self._bodies = context.bodies

    def endpoints(self) -> Iterator[HttpEndpoint]:
        """All of them."""
        for method, path, answer, summary, body, reply in (
            ("GET", "/v1/keys", self._list, "All keys", None, KEYS_REPLY),
            ("POST", "/v1/keys", self._create, "Create a key", KeyCreationBody, NEW_KEY_REPLY),
            ("GET", "/v1/keys/usage", self._all_usage, "Usage of all keys", None, USAGE_REPLY),
            ("GET", "/v1/keys/{id}", self._get, "One key", None, KEY_REPLY),
            ("PATCH", "/v1/keys/{id}", self._change, "Change a key", KeyFieldsBody, KEY_REPLY),
            ("GET", "/v1/keys/{id}/usage", self._usage, "Usage of one key", None, USAGE_REPLY),
            ("POST", "/v1/keys/{id}/rotate", self._rotate, "Give a key a new text", RotationBody, NEW_KEY_REPLY),
            ("POST", "/v1/keys/{id}/revoke", self._revoke, "Revoke a key for good", None, KEY_REPLY),
            ("POST", "/v1/keys/{id}/top-up", self._top_up, "Grant a key more credit", TopUpBody, KEY_REPLY),
        ):
            statuses = [401, 403, 404, 429, 503]
            statuses += [] if body is None and reply is KEY_REPLY else [400]
            statuses += [] if method == "GET" else [409]
            statuses += [] if body is None else [408, 413, 415]
            yield HttpEndpoint(
                method,
                path,
                answer,
                summary,
                "administration",
                requests=() if body is None else (body,),
                replies=(type_of(reply),),
                errors=errors(*sorted(statuses)),
            )

    @contextmanager
    def _administrator(self, request: Request) -> Iterator[Accounts]:
        """The accounts, for an administrator. Raises Problem."""
        accounts, _ = account_of(self._accounts, request)
        try:
            with state_of(request).admitted(accounts, "admin"):
                yield accounts
        except KeyFieldError as error:
            field = next((shown for shown, name in _FIELDS.items() if name == error.field), error.field)
            raise invalid("invalid_value", f"`{field}` {error.rule}", field) from None
        except KeyChangeError as error:
            status, kind = _STATUSES.get(error.code, (409, "conflict_error"))
            raise Problem(status, kind, error.code, str(error)) from None

    async def _body(self, request: Request, shape: Any) -> dict[str, Any]:
        """A body with the fields of a shape alone: a misspelt limit must not become no limit. Raises Problem."""
        with self._bodies.hold(request, state_of(request).tenant):
            body = await self._bodies.read_object(request)
        known = get_type_hints(shape)
        if not body.keys() <= known.keys():
            raise invalid("unknown_field", f"the body may have {', '.join(known)}, and has something else")
        for name in sorted(shape.__required_keys__ - body.keys()):
            raise invalid("missing_required_parameter", f"`{name}` is required", name)
        return body

    async def _columns(self, request: Request, shape: Any) -> dict[str, Any]:
        fields = {_FIELDS.get(name, name): value for name, value in (await self._body(request, shape)).items()}
        return checked_fields(fields, time.time())

    async def _administer(
        self, request: Request, accounts: Accounts, action: str, change: Callable[[Store], Changed], **details: Any
    ) -> Response:
        """Run a change, log who did what to which key, and tell of the key after it."""
        changed = await asyncio.to_thread(accounts.administer, change)
        text, record = changed if isinstance(changed, tuple) else (None, changed)
        state = state_of(request)
        by = state.key.id if state.key else None
        log_key_change({"id": state.request_id, "by": by, "action": action, "key": record.id, **details})
        facts = await self._facts(accounts, record.id)
        return JsonResponse(fill(KEY_REPLY, facts) if text is None else fill(NEW_KEY_REPLY, (text, facts)))

    async def _facts(self, accounts: Accounts, key_id: str) -> KeyFacts:
        facts = await asyncio.to_thread(accounts.key_facts, key_id)
        if facts is None:
            raise KeyChangeError("key_not_found", "no key has this id")
        return facts

    async def _list(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            after, limit = read_page(request.query_params)
            facts = await asyncio.to_thread(accounts.all_facts, after, limit + 1)
            return JsonResponse(fill(KEYS_REPLY, (facts[:limit], len(facts) > limit)))

    async def _get(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            return JsonResponse(fill(KEY_REPLY, await self._facts(accounts, request.path_params["id"])))

    async def _create(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            columns = await self._columns(request, KeyCreationBody)
            fields = creation(columns)
            return await self._administer(
                request, accounts, "create", lambda store: store.create_key(**fields), set=columns
            )

    async def _change(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            columns = await self._columns(request, KeyFieldsBody)
            id = request.path_params["id"]
            return await self._administer(
                request, accounts, "change", lambda store: store.change_key(id, columns, keep_admin=True), set=columns
            )

    async def _rotate(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            grace = seconds_of("grace", (await self._body(request, RotationBody)).get("grace") or 0)
            id = request.path_params["id"]
            return await self._administer(
                request, accounts, "rotate", lambda store: store.rotate(id, grace), grace_seconds=grace
            )

    async def _revoke(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            id = request.path_params["id"]
            return await self._administer(request, accounts, "revoke", lambda store: store.revoke(id, keep_admin=True))

    async def _top_up(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            amount = dollar_amount("dollars", (await self._body(request, TopUpBody))["dollars"])
            if amount == 0:
                raise KeyFieldError("dollars", "must be above 0")
            name = request.headers.get("idempotency-key")
            if name is not None and not (0 < len(name) <= _MAX_IDEMPOTENCY_KEY and name.isascii()):
                raise invalid("invalid_idempotency_key", f"Idempotency-Key may have {_MAX_IDEMPOTENCY_KEY} characters")
            id = request.path_params["id"]
            return await self._administer(
                request, accounts, "top-up", lambda store: store.top_up(id, amount, name), nanodollars=amount
            )

    async def _usage(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            facts = await self._facts(accounts, request.path_params["id"])
            return await self._usage_of(accounts, facts.key.id, request.query_params)

    async def _all_usage(self, request: Request) -> Response:
        with self._administrator(request) as accounts:
            return await self._usage_of(accounts, None, request.query_params)

    async def _usage_of(self, accounts: Accounts, key_id: str | None, parameters: Mapping[str, str]) -> Response:
        query = read_usage_query(parameters, time.time())
        limit = _MAX_USAGE_ROWS + 1
        sums = await asyncio.to_thread(accounts.usage, key_id, query.since, query.until, query.width, limit)
        if len(sums) == limit:
            raise invalid("too_many_rows", f"more than {_MAX_USAGE_ROWS:,} rows: ask for fewer buckets", "limit")
        return JsonResponse(fill(USAGE_REPLY, UsageBuckets(query, sums)))
