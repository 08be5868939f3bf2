"""The routes that tokenize and detokenize with a model's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR, fill, type_of
from qwen3_reranker.serve.dialects.tokenizing import (
    DETOKENIZED,
    TEI_TOKENIZED,
    TOKENIZED,
    DetokenizeBody,
    TextToken,
    TokenizeBody,
    Tokenized,
)
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.models import ServedEmbedder, ServedReranker
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors

AnyModel = ServedReranker | ServedEmbedder


def tokenizing_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """One endpoint for each path."""
    endpoint = partial(HttpEndpoint, "POST", errors=dialect_errors(CANONICAL_ERROR))
    for path in ("/tokenize", "/v1/tokenize", "/v1/v1/tokenize", "/cohere/v1/tokenize", "/tei/tokenize"):
        yield endpoint(
            path,
            partial(_answer, context, TokenizeBody, _tokenize),
            "Tokens of a text",
            "tokens",
            requests=(TokenizeBody,),
            replies=(type_of(TOKENIZED), type_of(TEI_TOKENIZED)),
        )
    for path in ("/detokenize", "/v1/detokenize", "/v1/v1/detokenize", "/cohere/v1/detokenize"):
        yield endpoint(
            path,
            partial(_answer, context, DetokenizeBody, _detokenize),
            "Text of tokens",
            "tokens",
            requests=(DetokenizeBody,),
            replies=(type_of(DETOKENIZED),),
        )


async def _answer(
    context: Context,
    shape: type[TokenizeBody | DetokenizeBody],
    work: Callable[[Any, AnyModel], Any],
    request: Request,
) -> Response:
    """Read the body and answer it. It is free, and counts as a request of the key."""
    state = state_of(request)
    state.error_format = CANONICAL_ERROR
    async with open_request(request, context, "rerank") as admitted:

        async def answered(body: dict[str, Any], _warnings: tuple[str, ...]) -> Response:
            asked = await admitted.run("read", lambda: shape.of(body))
            model = context.models.any(asked.model or None)
            state.use_model(model.id)
            reply = await admitted.run("tokenize", lambda: work(asked, model))
            return await admitted.respond(lambda: reply)

        return await admitted.answer(answered)


def _tokenize(asked: TokenizeBody, model: AnyModel) -> Any:
    tokens = model.model.tokens
    # Each text of an embedder ends with a token. The prompt of a reranker is no part of a text.
    added = tokens.suffix_ids.tolist() if isinstance(model, ServedEmbedder) and asked.add_special_tokens else []
    texts = []
    for text in asked.texts:
        read = [TextToken(id, text[start:stop], start, stop) for id, start, stop in tokens.spans(text)]
        texts.append([*read, *(TextToken(id, tokens.decode([id]), len(text), len(text), True) for id in added)])
    reply = TEI_TOKENIZED if asked.field("texts") == "inputs" else TOKENIZED
    return fill(reply, Tokenized(texts, tokens.max_length))


def _detokenize(asked: DetokenizeBody, model: AnyModel) -> Any:
    tokens = model.model.tokens
    try:
        return fill(DETOKENIZED, tokens.decode(asked.tokens))
    except InputError:
        field = asked.field("tokens")
        raise invalid(
            "invalid_value", f"`{field}` holds an id that this model's tokenizer does not have", field
        ) from None
