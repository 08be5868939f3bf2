"""What the middleware of Ray's proxies makes of a replica that dies and of Ray's own refusals."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3_reranker.serve.ray.proxy import RetryMiddleware

Replica = Callable[[bytes, Send], Awaitable[None]]
BODY = [b'{"query": "q", ', b'"documents": ["d"]}']


async def dies(_body: bytes, _send: Send) -> None:
    """Ray ends a request without a reply if the replica's process ends."""


async def answers(body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"server-timing", b"total;dur=1")]})
    await send({"type": "http.response.body", "body": body})


async def is_busy(_body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"server-timing", b"total;dur=1")]})
    await send({"type": "http.response.body", "body": b"busy"})


async def is_refused_by_ray(_body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Deployment is unavailable"})


def exchange(
    replicas: Sequence[Replica], *, method: str = "POST", path: str = "/v1/rerank", body: Sequence[bytes] = BODY
) -> tuple[int, dict[str, str], bytes, list[bytes]]:
    """Status, headers and body of the reply, and the body that each replica got; the client goes after the request."""
    left, received = list(replicas), []
    messages: list[Message] = [{"type": "http.request", "body": each, "more_body": True} for each in body]
    messages[-1]["more_body"] = False
    sent: list[Message] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        whole, more = b"", True
        while more:
            message = await receive()
            whole, more = whole + message["body"], message["more_body"]
        received.append(whole)
        scope["path"] = "changed by Ray"
        await left.pop(0)(whole, send)

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(RetryMiddleware(proxy)(scope, receive, send))
    assert not left
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(each["body"] for each in rest), received


def test_a_request_whose_replica_died_goes_to_another_one_whole() -> None:
    status, _, reply, received = exchange([dies, answers])
    assert (status, reply, received) == (200, b"".join(BODY), [b"".join(BODY)] * 2)


def test_a_request_whose_second_replica_died_too_is_answered_503_in_the_form_of_every_client() -> None:
    status, headers, reply, _ = exchange([dies, dies])
    assert (status, headers["retry-after"]) == (503, "2")
    told = json.loads(reply)
    assert (told["error"]["code"], told["id"]) == ("replica_lost", headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/keys/1/top-up", "/below/v1/keys"])
def test_a_change_of_keys_is_never_sent_twice(path: str) -> None:
    assert exchange([dies], path=path)[0] == 503
    assert exchange([dies, answers], path=path, method="GET")[0] == 200


def test_a_body_that_is_too_large_to_keep_is_passed_on_once() -> None:
    parts = [b"a" * (1 << 20)] * 5
    assert exchange([answers], body=parts)[3] == [b"".join(parts)]
    assert exchange([dies], body=parts)[0] == 503


def test_a_refusal_of_ray_is_written_anew_and_one_of_the_server_stays() -> None:
    status, headers, reply, _ = exchange([is_refused_by_ray])
    assert (status, headers["retry-after"], json.loads(reply)["error"]["code"]) == (503, "2", "no_replica")
    assert exchange([is_busy])[2] == b"busy"


def test_what_ray_says_of_itself_stays() -> None:
    assert exchange([is_refused_by_ray], path="/-/healthz")[2] == b"Deployment is unavailable"


def test_a_client_that_went_gets_nothing_and_no_second_replica_works_for_it() -> None:
    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        attempts.append(await receive())

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    attempts: list[Message] = []
    scope = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": []}
    waiting: ASGIApp = waits
    asyncio.run(RetryMiddleware(waiting)(scope, receive, send))
    assert len(attempts) == 1


def test_an_id_of_the_request_is_given_to_ray_where_the_client_gives_none() -> None:
    seen: list[Any] = []

    async def notes(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await answers(b"", send)

    async def send(message: Message) -> None:
        pass

    async def receive() -> Message:
        raise AssertionError

    asyncio.run(RetryMiddleware(notes)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send))
    [(name, value)] = seen
    assert name == b"x-request-id"
    assert value.startswith(b"req_")
