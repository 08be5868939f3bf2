"""llama.cpp's rerank: Jina's reply, without documents; a body with `texts` is TEI's on the same path (routes.py)."""

from __future__ import annotations

from qwen3_reranker.serve.dialects.jina import Jina
from qwen3_reranker.serve.dialects.rerank import RerankBody


class LlamaCpp(Jina):
    """As Jina's, but documents come back only if they are asked for."""

    name = "llama.cpp"
    request: type[RerankBody] = RerankBody
