"""Endpoint of everything that is judged: a body in some dialect -> the reply in the same."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.ask import Answer
from qwen3_reranker.serve.call import Call, respond
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.routes import Route
from qwen3_reranker.serve.judging import Caller, judge


class RerankEndpoint:
    """Answers one route of the dialects'."""

    def __init__(self, context: Context, route: Route) -> None:
        self._context = context
        self._route = route

    async def answer(self, request: Request) -> Response:
        """The reply, or the problem as the dialect writes it."""
        return await respond(
            self._context,
            request,
            scope="rerank",
            writer=lambda body: self._route.dialect if body is None else self._route.choose(body),
            answer=self._judged,
        )

    async def _judged(self, call: Call) -> Reply:
        context = self._context
        dialect = self._route.choose(call.body)
        ask = dialect.read(call.body, self._route.path)
        ask = replace(ask, warnings=(*call.warnings, *ask.warnings))
        model = context.models.reranker(ask.model)
        call.choose_model(model.id)
        caller = Caller(call.passing.request_id, context.owner(call.passing.key), call.deadline)
        answer = await call.finish(judge(ask, model, context.models, caller, call.charge))
        context.metrics.on_answer(answer)
        call.passing.facts |= _seconds(answer)
        call.settle(
            documents=len(ask.documents),
            prompt_tokens=answer.spent.prompt_tokens,
            computed_tokens=answer.spent.computed_tokens,
        )
        reply = dialect.write(ask, answer)
        timing = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in _seconds(answer).items())
        return Reply(reply.body, {"server-timing": timing, **reply.headers})


def _seconds(answer: Answer) -> dict[str, float]:
    timings = answer.timings
    parts = {"tokenising": timings.tokenising, "waiting": timings.waiting, "computing": timings.computing}
    return {name: round(seconds, 5) for name, seconds in parts.items()}
