"""The table of routes that judge: which path speaks which dialect, and how shared paths tell by the body's shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.canonical import Canonical
from qwen3_reranker.serve.dialects.cohere import Cohere
from qwen3_reranker.serve.dialects.dashscope import DashScope, DashScopeNative
from qwen3_reranker.serve.dialects.jina import Jina
from qwen3_reranker.serve.dialects.llama_cpp import LlamaCpp
from qwen3_reranker.serve.dialects.mixedbread import Mixedbread
from qwen3_reranker.serve.dialects.nvidia import Nvidia
from qwen3_reranker.serve.dialects.ollama import Ollama
from qwen3_reranker.serve.dialects.openai_decisions import OpenAIDecisions
from qwen3_reranker.serve.dialects.openrouter import OpenRouter
from qwen3_reranker.serve.dialects.rerank import MAX_DOCUMENTS
from qwen3_reranker.serve.dialects.sglang import SGLang
from qwen3_reranker.serve.dialects.tei import TEIPredict, TEIRerank
from qwen3_reranker.serve.dialects.vllm import VLLMRerank, VLLMScore
from qwen3_reranker.serve.dialects.voyage import Voyage

Shape = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """A path that takes POST.

    dialect: what it speaks, also in errors that come before a body is read. others: what else it speaks, and the shape
    of the bodies for which it does.
    """

    path: str
    dialect: Dialect
    others: tuple[tuple[Shape, Dialect], ...] = ()

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """All that it speaks."""
        return (self.dialect, *(other for _, other in self.others))

    def choose(self, body: Mapping[str, Any]) -> Dialect:
        """The dialect of a body."""
        return next((other for shape, other in self.others if shape(body)), self.dialect)


def judging_routes(max_documents: int = MAX_DOCUMENTS) -> tuple[Route, ...]:
    """Every route that judges; max_documents: how many pairs a request may hold.

    Paths that several clients share speak the canonical dialect. Where that is not what a client expects (Jina's gives
    documents back unasked, SGLang answers with a bare list), the same path below the dialect's name is that dialect.
    """
    canonical, cohere_v1, cohere_v2 = Canonical(max_documents), Cohere(1, max_documents), Cohere(2, max_documents)
    tei, predict = TEIRerank(max_documents), TEIPredict(max_documents)
    vllm, score = VLLMRerank(max_documents), VLLMScore(max_documents)
    dashscope, native = DashScope(max_documents), DashScopeNative(max_documents)
    llama_cpp, mixedbread = LlamaCpp(max_documents), Mixedbread(max_documents)
    jina, voyage, sglang = Jina(max_documents), Voyage(max_documents), SGLang(max_documents)
    openrouter, ollama, nvidia = OpenRouter(max_documents), Ollama(max_documents), Nvidia(max_documents)
    texts = ((_holds("texts"), tei),)
    shared = (
        Route("/v1/rerank", canonical),
        Route("/v2/rerank", cohere_v2),
        # TEI knows no top_n, but Dify can be told to call the documents of its Jina-like body `texts`.
        Route("/rerank", canonical, ((lambda body: _holds("texts")(body) and body.get("top_n") is None, tei),)),
        # Cohere's SDK appends its paths to a base URL that already ends with /v1.
        Route("/v1/v1/rerank", cohere_v1),
        Route("/v1/v2/rerank", cohere_v2),
        Route("/reranking", llama_cpp, ((_holds("input"), mixedbread), *texts)),
        Route("/v1/reranking", llama_cpp, ((_holds("input"), mixedbread), *texts)),
        Route("/v1/reranks", dashscope, ((_nests, native),)),
        Route("/compatible-api/v1/reranks", dashscope, ((_nests, native),)),
        Route("/api/v1/services/rerank/text-rerank/text-rerank", native),
        Route("/api/v1/rerank", openrouter),
        Route("/api/rerank", ollama),
        Route("/v1/retrieval/nvidia/reranking", nvidia),
        Route("/score", score),
        Route("/v1/score", score),
        Route("/predict", predict),
        Route("/v1/decisions", OpenAIDecisions()),
    )
    named = (
        Route("/cohere/v1/rerank", cohere_v1),
        Route("/cohere/v2/rerank", cohere_v2),
        Route("/jina/v1/rerank", jina),
        Route("/voyage/v1/rerank", voyage),
        Route("/tei/rerank", tei),
        Route("/tei/predict", predict),
        Route("/vllm/rerank", vllm),
        Route("/vllm/v1/rerank", vllm),
        Route("/vllm/v2/rerank", vllm),
        Route("/vllm/score", score),
        Route("/vllm/v1/score", score),
        Route("/sglang/v1/rerank", sglang),
        Route("/llama.cpp/rerank", llama_cpp, texts),
        Route("/llama.cpp/v1/rerank", llama_cpp, texts),
        Route("/mixedbread/v1/reranking", mixedbread),
        Route("/dashscope/compatible-api/v1/reranks", dashscope),
        Route("/dashscope/api/v1/services/rerank/text-rerank/text-rerank", native),
        Route("/openrouter/api/v1/rerank", openrouter),
        Route("/ollama/api/rerank", ollama),
        Route("/nvidia/v1/ranking", nvidia),
    )
    return (*shared, *named)


def _holds(name: str) -> Shape:
    return lambda body: body.get(name) is not None and body.get("documents") is None


def _nests(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("input"), Mapping)
