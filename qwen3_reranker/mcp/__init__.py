"""Tools for agents: search, rerank, get and status, over the Model Context Protocol."""

from qwen3_reranker.mcp.index_tools import IndexTools
from qwen3_reranker.mcp.tool_server import tool_server
from qwen3_reranker.mcp.transports import serve_http, serve_stdio

__all__ = ["IndexTools", "serve_http", "serve_stdio", "tool_server"]
