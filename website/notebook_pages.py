"""A notebook as a page: its text, its code, and what the code printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def notebook_page(notebook: Path) -> str:
    """The cells as Markdown. Raises ValueError for an output that is no text, as the page would lack it."""
    return "\n\n".join(_parts(json.loads(notebook.read_text(encoding="utf-8"))["cells"], notebook.name)) + "\n"


def _parts(cells: list[dict[str, Any]], name: str) -> Iterator[str]:
    for cell in cells:
        source = _text(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            if output["output_type"] != "stream":
                raise ValueError(f"{name}: a cell gives {output['output_type']}, and a page shows what cells print")
            yield f"```text\n{_text(output['text']).rstrip()}\n```"


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
