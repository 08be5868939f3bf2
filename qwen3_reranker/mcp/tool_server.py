"""A server of the Model Context Protocol: tools/list and tools/call over IndexTools."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio.to_thread
from mcp.server import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations
from pydantic import TypeAdapter, ValidationError

from qwen3_reranker.errors import InputError, RerankerError, unknown
from qwen3_reranker.mcp.index_tools import IndexTools
from qwen3_reranker.mcp.tool_fields import (
    FoundDocuments,
    GetArguments,
    IndexState,
    RankedDocuments,
    RerankArguments,
    SearchArguments,
    StatusArguments,
    ToolArguments,
)
from qwen3_reranker.search.indexed_lines import IndexedLines

_log = logging.getLogger(__name__)
_READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
# What each tool takes and gives; the tools are methods of IndexTools.
_KINDS: dict[str, tuple[type[ToolArguments], TypeAdapter[Any]]] = {
    "search": (SearchArguments, TypeAdapter(FoundDocuments)),
    "rerank": (RerankArguments, TypeAdapter(RankedDocuments)),
    "get": (GetArguments, TypeAdapter(IndexedLines)),
    "status": (StatusArguments, TypeAdapter(IndexState)),
}


def tool_server(tools: IndexTools, version: str) -> Server[Any]:
    """The server. Whatever goes wrong in a call is that call's result, as one sentence."""
    listed = [_described(tools, name) for name in _KINDS]

    async def on_list(_context: object, _params: object) -> ListToolsResult:
        return ListToolsResult(tools=listed)

    async def on_call(_context: object, params: CallToolRequestParams) -> CallToolResult:
        try:
            if params.name not in _KINDS:
                raise unknown("tool", params.name, _KINDS)
            takes, gives = _KINDS[params.name]
            call: Callable[[ToolArguments], object] = getattr(tools, params.name)
            arguments = _validated(takes, params.arguments or {})
            # What a client no longer waits for ends by itself when its budget does.
            answer = await anyio.to_thread.run_sync(call, arguments, abandon_on_cancel=True)
        except RerankerError as error:
            return _failed(str(error))
        except Exception as error:
            _log.exception("the tool %s failed", params.name)
            return _failed(f"{params.name} failed: {type(error).__name__}")
        text = gives.dump_json(answer, exclude_none=True).decode()
        structured = gives.dump_python(answer, mode="json", exclude_none=True)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)

    return Server(
        "qwen3-reranker",
        title="Search of files on this machine",
        version=version,
        instructions=tools.instructions(),
        on_list_tools=on_list,
        on_call_tool=on_call,
    )


def _described(tools: IndexTools, name: str) -> Tool:
    takes, gives = _KINDS[name]
    return Tool(
        name=name,
        description=" ".join(getattr(tools, name).__doc__.split()),
        input_schema=takes.model_json_schema(),
        output_schema=gives.json_schema(mode="serialization"),
        annotations=_READ_ONLY,
    )


def _validated(kind: type[ToolArguments], given: dict[str, Any]) -> ToolArguments:
    """The arguments. Raises InputError with a sentence for each one that cannot be used."""
    for name in given:
        if name not in kind.model_fields:
            raise unknown("parameter", name[:100], kind.model_fields, "this tool takes")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)[:5]]
        raise InputError("; ".join(f"{name}: {message}" for name, message in wrong)) from None


def _failed(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=message)], is_error=True)
