"""What the pages tell people to write into their agents starts this server, and the registry's entry names it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import __version__
from tests.cli.conftest import Run
from tests.cli.conftest import run as run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/search.md").read_text(encoding="utf-8")
ENTRY = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where each program looks for its servers: Claude Desktop and Cursor, VS Code, Zed, Codex.
KEYS = ["mcpServers", "servers", "context_servers", "mcp_servers"]


def settings() -> list[dict[str, Any]]:
    blocks = re.findall(r"^```(json|toml)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return [json.loads(text) if kind == "json" else tomllib.loads(text) for kind, text in blocks]


def test_the_settings_of_agents_start_the_command_that_the_package_installs() -> None:
    assert [key for each in settings() for key in each] == KEYS
    for each in settings():
        [servers] = each.values()
        [server] = servers.values()
        assert server["command"] in PROJECT["scripts"]
        assert server["args"] == ["mcp"]


def test_the_command_of_the_settings_explains_itself(run: Run) -> None:
    outcome = run("mcp", "--help")
    assert outcome.code == 0
    for flag in ("--http", "--port", "--budget", "--index", "--embedder", "--model"):
        assert f" {flag} " in outcome.out


def test_the_registrys_entry_is_of_this_version_and_the_readme_owns_its_name() -> None:
    [package] = ENTRY["packages"]
    assert ENTRY["version"] == package["version"] == __version__ == PROJECT["version"]
    assert package["identifier"] == PROJECT["name"].replace("_", "-")
    assert f"mcp-name: {ENTRY['name']}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(ENTRY["description"]) <= 100
    [extra] = PROJECT["optional-dependencies"]["mcp"]
    assert package["runtimeArguments"] == [{"type": "named", "name": "--with", "value": extra}]


@pytest.mark.parametrize("flag", [each["name"] for each in ENTRY["packages"][0]["packageArguments"] if "name" in each])
def test_the_registrys_entry_names_flags_that_exist(run: Run, flag: str) -> None:
    assert flag in run("mcp", "--help").out
