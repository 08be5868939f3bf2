"""The table of endpoints of a server that holds no model."""

from __future__ import annotations

from qwen3_reranker.serve.application import all_endpoints
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.models import Models
from qwen3_reranker.serve.pages import Site
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.settings import ServerSettings


def endpoints() -> tuple[HttpEndpoint, ...]:
    """Everything that a server answers, whatever it serves."""
    models = Models([])
    context = Context.of(ServerSettings(), models, None, Metrics("0"), "0")
    return all_endpoints(context, Site.of(models, keys_required=False, version="0"))
