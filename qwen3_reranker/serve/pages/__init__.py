"""HTML pages: a playground, the models, and a key's own usage. Small scripts without a build step."""

from qwen3_reranker.serve.pages.routes import page_endpoints, page_not_found
from qwen3_reranker.serve.pages.site import Site

__all__ = ["Site", "page_endpoints", "page_not_found"]
