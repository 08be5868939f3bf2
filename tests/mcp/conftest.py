"""An index of a small folder, and calls of the tools over it with the client of the official SDK."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types import CallToolResult

from qwen3_reranker.mcp import IndexTools, tool_server
from qwen3_reranker.search import Index

NOTES = {
    "git.md": "# Undo\n\nMove the branch one commit back.\nThe commit leaves the history.\n",
    "rice.md": "# Rice\n\nSimmer the rice for twelve minutes.\n",
    "sub/deep.md": "---\ndate: 2024-05-01\n---\n# Tags\n\nList all tags.\n",
    "résumé.md": "My résumé.\n",
    ".hidden.md": "a hidden secret\n",
    "picture.bin": "a binary\0secret\n",
}
SECRET = "the secret of another folder"

Call = Callable[..., CallToolResult]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of notes, beside one that is not indexed."""
    folder = tmp_path / "notes"
    for path, text in NOTES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (tmp_path / "other/sub").mkdir(parents=True)
    for path in ("git.md", "deep.md", "sub/deep.md"):
        (tmp_path / "other" / path).write_text(SECRET, encoding="utf-8")
    return folder


@pytest.fixture
def index(notes: Path, tmp_path: Path) -> Iterator[Index]:
    """The notes, indexed, and judged by nano."""
    with Index(tmp_path / "index", reranker="nano") as opened:
        opened.add(notes)
        yield opened


@pytest.fixture
def call(index: Index) -> Call:
    """Call a tool by its name and arguments."""

    def called(name: str, **arguments: Any) -> CallToolResult:
        async def through_client() -> CallToolResult:
            async with Client(tool_server(IndexTools(index), "1")) as client:
                return await client.call_tool(name, arguments)

        return anyio.run(through_client)

    return called


def error_of(result: CallToolResult) -> str:
    """The sentence of a call that was refused."""
    assert result.is_error
    assert result.structured_content is None
    [content] = result.content
    assert content.type == "text"
    assert "\n" not in content.text
    assert "Traceback" not in content.text
    return content.text


def answer_of(result: CallToolResult) -> dict[str, Any]:
    """The structured answer of a call that succeeded."""
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


def environment() -> dict[str, str]:
    """That of this process, for one that is started."""
    return dict(os.environ)
