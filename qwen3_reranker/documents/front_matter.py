"""The fields between --- lines at the beginning of a Markdown file."""

from __future__ import annotations

import re
from typing import Any

_BLOCK = re.compile(r"---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"([A-Za-z_][\w .-]*?)\s*:(?:\s+(.*))?$")
_ITEM = re.compile(r"\s*-\s+(.+)$")


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The fields, and the text with blank lines in their place, so that line numbers stay.

    It reads `name: value`, `name: [a, b]` and lists of `- item`: what notes use of YAML. Values are strings or lists of
    strings; other lines are left out.
    """
    found = _BLOCK.match(text)
    if not found:
        return {}, text
    fields: dict[str, Any] = {}
    name = ""
    for line in (found[1] or "").split("\n"):
        if field := _FIELD.match(line):
            name, value = field[1], (field[2] or "").strip()
            fields[name] = _value(value)
        elif name and (item := _ITEM.match(line)):
            held = fields[name]
            fields[name] = [*(held if isinstance(held, list) else [held] if held else []), _unquoted(item[1])]
    return fields, "\n" * found[0].count("\n") + text[found.end() :]


def _value(written: str) -> str | list[str]:
    if written.startswith("[") and written.endswith("]"):
        return [_unquoted(part) for part in written[1:-1].split(",") if part.strip()]
    return _unquoted(written)


def _unquoted(written: str) -> str:
    written = written.strip()
    if len(written) > 1 and written[0] == written[-1] and written[0] in "\"'":
        return written[1:-1]
    return written.split(" #")[0].rstrip()
