"""Pages for people: a playground, the models, and a key's own usage, as HTML and small scripts without a build step."""

from qwen3_reranker.serve.pages.routes import not_found, routes
from qwen3_reranker.serve.pages.site import ServedModel, Site

__all__ = ["ServedModel", "Site", "not_found", "routes"]
