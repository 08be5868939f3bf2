"""HTML pages: playground, models, a key's own usage, and the reference of the API. Small scripts, no build step."""

from qwen3_reranker.serve.pages.routes import page_endpoints, page_not_found
from qwen3_reranker.serve.pages.site import Site

__all__ = ["Site", "page_endpoints", "page_not_found"]
