"""`mcp`: the index as tools of an agent."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar

from qwen3_reranker import __version__
from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.index import IndexOptions, opened_index
from qwen3_reranker.cli.shared_options import ModelOrServerOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import RerankerError, UnavailableError
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.search.search_index import Index


@dataclass(frozen=True, kw_only=True)
class ToolOptions:
    """How agents reach the tools, and how long a call may take."""

    group: ClassVar[str] = "Tools"
    http: bool = option(False, "Serve streamable HTTP on 127.0.0.1 instead of stdin and stdout.")
    port: int = option(8008, "The port for --http; 0 takes a free one.", unit="PORT", least=0, most=65535)
    budget: float = option(5.0, "End a call that names no time of its own within this time.", unit="SECONDS", above=0)


@declared
def mcp(
    *,
    tools: ToolOptions,
    index: IndexOptions,
    model: ModelOrServerOptions,
    engine: Annotated[EngineOptions, without("prompt", "special_tokens")],
    server: ServerOptions,
) -> None:
    """Let agents search what was indexed, over the Model Context Protocol.

    An agent's program starts this command and speaks to it through stdin and stdout. It offers four tools, none of
    which changes anything: search, rerank, get (lines of an indexed file) and status. `index add` says what may be
    found and read. docs/search.md has the settings for the usual agents.

    Examples:
      qwen3-reranker index add ~/notes
      qwen3-reranker mcp
      qwen3-reranker mcp --model Qwen/Qwen3-Reranker-0.6B --precision int8 --budget 10
      qwen3-reranker mcp --model http://localhost:8000
      qwen3-reranker mcp --http --port 8008
    """
    if find_spec("mcp") is None:
        raise UnavailableError('mcp needs the library mcp, which is missing: pip install "qwen3_reranker[mcp]"')

    from qwen3_reranker.mcp import IndexTools, serve_http, serve_stdio, tool_server

    with opened_index(index, model, engine, server, tools.budget) as opened:
        offered = IndexTools(opened, by_meaning=index.embedder is not None, budget=tools.budget)
        served = tool_server(offered, __version__)
        threading.Thread(target=_open_models, args=(opened,), daemon=True).start()
        if tools.http:
            serve_http(served, tools.port, lambda url, _: note(f"serving {url}; Ctrl-C ends it"))
        else:
            serve_stdio(served)


def _open_models(opened: Index) -> None:
    try:
        opened.open_models()
    except RerankerError as error:
        note(f"searches fail, as the reranker does not open: {error}")
