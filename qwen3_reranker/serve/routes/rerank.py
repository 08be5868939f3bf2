"""The routes that score pairs: a body -> the reply in its dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import DialectPath, ErrorFormat, type_of
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.models import UNCALIBRATED
from qwen3_reranker.serve.problems import Problem, busy, invalid
from qwen3_reranker.serve.protocol import ScoreResult
from qwen3_reranker.serve.routes.base import HttpEndpoint, errors
from qwen3_reranker.serve.scoring import score

# One of each kind of problem; a dialect may give each a status of its own.
PROBLEMS = (
    invalid("invalid_json", ""),
    invalid("no_documents", ""),
    *(Problem(status, "", "", "") for status in (401, 402, 403, 404, 408, 413, 415, 429, 500, 504)),
    busy("overloaded", "", 1),
    busy("draining", "", 1),
)


def rerank_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """One endpoint for each path of the dialects."""
    for path in DIALECT_PATHS:
        yield HttpEndpoint(
            "POST",
            path.path,
            RerankHandler(context, path).answer,
            f"Score pairs ({' or '.join(dialect.name for dialect in path.dialects)})",
            path.dialect.name,
            requests=tuple(dialect.request for dialect in path.dialects),
            replies=tuple(type_of(dialect.reply) for dialect in path.dialects),
            errors=dialect_errors(*(dialect.error for dialect in path.dialects)),
        )


def dialect_errors(*formats: ErrorFormat) -> dict[int, tuple[Any, ...]]:
    """The errors of a path that speaks these formats, by status."""
    # The middleware, and the handler of bugs, answer before the dialect is known.
    found = errors(401, 500, 503)
    for form in formats:
        for problem in PROBLEMS:
            status, _ = form.write(problem, "")
            if form.type not in found.setdefault(status, ()):
                found[status] += (form.type,)
    return dict(sorted(found.items()))


class RerankHandler:
    """Answers one path of the dialects."""

    def __init__(self, context: Context, path: DialectPath) -> None:
        self._context = context
        self._path = path

    async def answer(self, request: Request) -> Response:
        """Read the body, reserve the quota, score, charge, and write the reply."""
        state = state_of(request)
        state.error_format = self._path.dialect.error
        async with open_request(request, self._context, "rerank") as admitted:

            async def answered(body: dict[str, Any], warnings: tuple[str, ...]) -> Response:
                if "model" in request.path_params:
                    body["model"] = request.path_params["model"]
                dialect = self._path.choose(body)
                state.error_format = dialect.error
                most = self._context.settings.max_documents
                asked = await admitted.run("read", lambda: dialect.read(body, most))
                asked = replace(asked, warnings=(*warnings, *asked.warnings))
                model = self._context.models.reranker(asked.model)
                state.use_model(model.id)
                result = await score(asked, model, admitted)
                if result.is_calibrated is False:
                    asked = replace(asked, warnings=(*asked.warnings, UNCALIBRATED))
                stages = stages_of(result)
                state.log_fields |= stages
                timing = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in stages.items())
                headers = {"server-timing": timing, **_told(result), **dialect.headers(asked, result)}
                return await admitted.respond(lambda: dialect.write(asked, result).body, headers)

            return await admitted.answer(answered)


def _told(result: ScoreResult) -> dict[str, str]:
    """Headers that say of a model with a calibration whether it gave the probabilities, and what other models did."""
    told = {}
    if result.is_calibrated is not None:
        told["x-calibrated"] = str(result.is_calibrated).lower()
    if result.judged is not None:
        told["x-cascade"] = "first={}, then={}".format(*result.judged)
    if screening := result.screening:
        told["x-screening"] = (
            f"precision={screening.precision}, screened={screening.screened}, rechecked={screening.rechecked}"
        )
    return told


def stages_of(result: ScoreResult) -> dict[str, float]:
    """The seconds of each stage, by the names that logs and headers have."""
    seconds = result.seconds
    stages = {"tokenising": seconds.tokenizing, "waiting": seconds.queueing, "computing": seconds.computing}
    return {name: round(value, 5) for name, value in stages.items()}
