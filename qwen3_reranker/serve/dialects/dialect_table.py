"""The table of dialects and their paths. Those that differ only in names and envelopes are declared here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qwen3_reranker.serve.dialects.base import (
    Dialect,
    DialectPath,
    ErrorFormat,
    JsonArray,
    JsonObject,
    JsonValue,
    ScoredPair,
    fill,
)
from qwen3_reranker.serve.dialects.bodies import EchoingBody, RerankBody, renamed
from qwen3_reranker.serve.dialects.dashscope import DASHSCOPE, DASHSCOPE_NATIVE
from qwen3_reranker.serve.dialects.hosted_services import DEEPINFRA, PINECONE, VERTEX, ZEROENTROPY
from qwen3_reranker.serve.dialects.openai_decisions import OPENAI_DECISIONS
from qwen3_reranker.serve.dialects.reply_parts import (
    ABSTENTION,
    COST,
    CREATED,
    ID,
    INDEX,
    LOGIT,
    MODEL,
    PROMPT_TOKENS,
    RESULTS,
    SCORE,
    SEARCH_UNITS,
    SELECTION,
    TEXT,
    TOKEN_USAGE,
)
from qwen3_reranker.serve.dialects.tei import TEI, TEI_PREDICT
from qwen3_reranker.serve.dialects.vllm import VLLM, VLLM_SCORE
from qwen3_reranker.serve.protocol import ScoreRequest


def _ranked(name: str, version: str, **more: Any) -> JsonObject:
    """The reply of a version of Cohere's API, and what other clients read as well."""
    return JsonObject(
        name,
        "Results, best first; ties keep the order of the documents.",
        id=ID,
        object="list",
        model=MODEL,
        results=RESULTS,
        abstention=ABSTENTION,
        selection=SELECTION,
        usage=JsonObject(
            "Usage",
            "prompt_tokens: all pairs as separate rows, which is charged; computed_tokens: each distinct prefix once. "
            "cost: US dollars, where the model has a price.",
            prompt_tokens=PROMPT_TOKENS,
            total_tokens=PROMPT_TOKENS,
            computed_tokens=JsonValue(int, lambda pair: pair.result.usage.computed_tokens),
            truncated_documents=JsonValue(int, lambda pair: pair.result.usage.truncated_documents),
            search_units=SEARCH_UNITS,
            cost=COST,
        ),
        meta=JsonObject(
            "Meta",
            "Cohere's facts of a request; warnings: what was requested and is ignored.",
            api_version=JsonObject("Version", "The version of Cohere's API.", version=version, is_experimental=False),
            billed_units=JsonObject(
                "BilledUnits", "Cohere's units.", search_units=SEARCH_UNITS, total_tokens=PROMPT_TOKENS
            ),
            tokens=JsonObject("Tokens", "Tokens in and out.", input_tokens=PROMPT_TOKENS, output_tokens=0),
            cached_tokens=0,
            warnings=JsonValue(list[str], lambda pair: list(dict.fromkeys(pair.request.warnings))),
        ),
        **more,
    )


def _read_canonical(body: Mapping[str, Any], max_documents: int) -> ScoreRequest:
    # Clients of Voyage expect documents as strings, all others as objects.
    is_voyage = ("top_k" in body or "truncation" in body) and "top_n" not in body
    return RerankBody.read(body, max_documents, echo_texts=is_voyage)


def _holds(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda body: body.get(name) is not None and body.get("documents") is None


_CANONICAL = _ranked("CanonicalRanked", "2", data=RESULTS)
_JINA = JsonObject("JinaRanked", "Results, best first.", model=MODEL, object="list", usage=TOKEN_USAGE, results=RESULTS)
_VOYAGE_BODY = renamed(
    RerankBody,
    "VoyageBody",
    "The same fields, Voyage's names first.",
    top_n="top_k top_n",
    truncate="truncation truncate",
)
_MIXEDBREAD_BODY = renamed(
    RerankBody,
    "MixedbreadBody",
    "The same fields, Mixedbread's names first.",
    documents="input documents texts passages items docs",
    top_n="top_k top_n",
    return_documents="return_input return_documents return_text",
)
_NVIDIA_BODY = renamed(
    RerankBody,
    "NvidiaBody",
    "The same fields, NVIDIA's name of the documents first.",
    documents="passages documents texts items input docs",
)
_WEAVIATE_BODY = renamed(RerankBody, "WeaviateBody", "The same fields, recognised by `property`.")
_WEAVIATE_ERROR = JsonObject(
    "WeaviateError", "Weaviate's error.", error=JsonValue(str, lambda problem: problem.message)
)

#: Paths that several clients share speak the canonical dialect. A client that expects something else (Jina's gets
#: documents back unasked, SGLang's reads a bare list) has the same path below its dialect's name.
DIALECTS: tuple[Dialect, ...] = (
    Dialect("canonical", RerankBody, _read_canonical, _CANONICAL, paths=("/v1/rerank", "/rerank")),
    # Cohere's SDK appends its paths to a base URL that already ends with /v1.
    Dialect(
        "cohere-v1", RerankBody, RerankBody.read, _ranked("Ranked", "1"), paths=("/v1/v1/rerank", "/cohere/v1/rerank")
    ),
    Dialect(
        "cohere-v2",
        RerankBody,
        RerankBody.read,
        _ranked("Ranked", "2"),
        paths=("/v2/rerank", "/v1/v2/rerank", "/cohere/v2/rerank", "/providers/cohere/v2/rerank"),
    ),
    Dialect("jina", EchoingBody, EchoingBody.read, _JINA, paths=("/jina/v1/rerank",)),
    Dialect(
        "llama.cpp",
        RerankBody,
        RerankBody.read,
        _JINA,
        paths=("/reranking", "/v1/reranking", "/llama.cpp/rerank", "/llama.cpp/v1/rerank"),
    ),
    Dialect(
        "voyage",
        _VOYAGE_BODY,
        partial(_VOYAGE_BODY.read, echo_texts=True),
        JsonObject(
            "VoyageRanked",
            "Results, best first.",
            object="list",
            data=RESULTS,
            model=MODEL,
            usage=JsonObject("TotalTokens", "Tokens of all pairs as separate rows.", total_tokens=PROMPT_TOKENS),
        ),
        paths=("/voyage/v1/rerank",),
    ),
    Dialect(
        "mixedbread",
        _MIXEDBREAD_BODY,
        partial(_MIXEDBREAD_BODY.read, echo_texts=True),
        JsonObject(
            "MixedbreadRanked",
            "Results, best first.",
            usage=JsonObject(
                "MixedbreadUsage",
                "Tokens of all pairs as separate rows.",
                prompt_tokens=PROMPT_TOKENS,
                total_tokens=PROMPT_TOKENS,
                completion_tokens=0,
            ),
            model=MODEL,
            data=JsonArray(
                JsonObject(
                    "MixedbreadResult",
                    "One document's score.",
                    index=INDEX,
                    score=SCORE,
                    object="rank_result",
                    input=TEXT,
                ),
                ScoredPair.best_first,
            ),
            object="list",
            top_k=JsonValue(int, lambda pair: len(pair.result.order)),
            return_input=JsonValue(bool, lambda pair: pair.request.echoes is not None),
        ),
        paths=("/mixedbread/v1/reranking",),
        shared={"/reranking": _holds("input"), "/v1/reranking": _holds("input")},
    ),
    TEI,
    TEI_PREDICT,
    VLLM,
    VLLM_SCORE,
    Dialect(
        "sglang",
        EchoingBody,
        partial(EchoingBody.read, echo_texts=True),
        JsonArray(
            JsonObject(
                "SGLangResult", "One document's score.", score=SCORE, index=INDEX, meta_info=None, document=TEXT
            ),
            ScoredPair.best_first,
        ),
        paths=("/sglang/v1/rerank",),
    ),
    DASHSCOPE,
    DASHSCOPE_NATIVE,
    Dialect(
        "openrouter",
        EchoingBody,
        EchoingBody.read,
        JsonObject(
            "OpenRouterRanked",
            "Results, best first.",
            id=ID,
            model=MODEL,
            provider="qwen3_reranker",
            results=RESULTS,
            usage=JsonObject(
                "OpenRouterUsage",
                "cost: US dollars, where the model has a price.",
                search_units=SEARCH_UNITS,
                total_tokens=PROMPT_TOKENS,
                cost=COST,
            ),
        ),
        paths=("/api/v1/rerank", "/openrouter/api/v1/rerank"),
    ),
    # Ollama has no rerank route; its clients (Dify's plugin) read a document only if it is a string.
    Dialect(
        "ollama",
        RerankBody,
        partial(RerankBody.read, echo_texts=True),
        _CANONICAL,
        paths=("/api/rerank", "/ollama/api/rerank"),
    ),
    # Scores are logits, whatever a body says.
    Dialect(
        "nvidia",
        _NVIDIA_BODY,
        _NVIDIA_BODY.read,
        JsonObject(
            "NvidiaRanked",
            "Passages, best first.",
            rankings=JsonArray(
                JsonObject("Ranking", "One passage's logit, yes - no.", index=INDEX, logit=LOGIT),
                ScoredPair.best_first,
            ),
            usage=TOKEN_USAGE,
        ),
        paths=(
            "/v1/ranking",
            "/nvidia/v1/ranking",
            "/v1/retrieval/nvidia/reranking",
            "/v1/retrieval/{model:path}/reranking",
        ),
    ),
    Dialect(
        "infinity",
        RerankBody,
        partial(RerankBody.read, echo_texts=True),
        JsonObject(
            "InfinityRanked",
            "Results, best first; a document is a string.",
            object="rerank",
            id=ID,
            created=CREATED,
            model=MODEL,
            results=RESULTS,
            usage=TOKEN_USAGE,
        ),
        paths=("/infinity/rerank", "/infinity/v1/rerank"),
    ),
    # Weaviate's module reranker-transformers matches scores to its documents by their order, and sends no key.
    Dialect(
        "weaviate",
        _WEAVIATE_BODY,
        _WEAVIATE_BODY.read,
        JsonObject(
            "WeaviateScored",
            "Scores in the order of the documents.",
            query=JsonValue(str, lambda pair: pair.request.queries[0]),
            scores=JsonArray(
                JsonObject(
                    "WeaviateScore",
                    "One document's score.",
                    document=JsonValue(str, lambda pair: pair.request.documents[pair.index]),
                    score=SCORE,
                ),
                ScoredPair.in_order,
            ),
        ),
        paths=(),
        shared={"/rerank": lambda body: "property" in body},
        error=ErrorFormat(_WEAVIATE_ERROR.type, lambda problem, _id: (problem.status, fill(_WEAVIATE_ERROR, problem))),
    ),
    ZEROENTROPY,
    PINECONE,
    DEEPINFRA,
    VERTEX,
    OPENAI_DECISIONS,
)


#: Every path that scores pairs.
DIALECT_PATHS = tuple(
    DialectPath(path, dialect, tuple(other for other in DIALECTS if path in other.shared))
    for dialect in DIALECTS
    for path in dialect.paths
)
