"""docs/ as the site builder reads it: pages that are made from the code beside it, links out of docs/ to the source."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from website.command_reference import command_reference
from website.library_reference import library_reference
from website.notebook_pages import notebook_page

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs"
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))
#: Pages that no file of docs/ holds, and what makes each.
GENERATED: Mapping[str, Callable[[], str]] = {
    "library-reference.md": library_reference,
    "command-reference.md": command_reference,
    "changelog.md": lambda: (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    **{f"{notebook.stem}.md": partial(notebook_page, notebook) for notebook in NOTEBOOKS},
}


def stage(folder: Path, source_url: str) -> None:
    """Write all pages into `folder`, anew. source_url: where the repository's files are read in a browser."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PAGES, folder)
    for name, make in GENERATED.items():
        (folder / name).write_text(make(), encoding="utf-8")
    for page in folder.glob("*.md"):
        page.write_text(_with_links(page.read_text(encoding="utf-8"), source_url), encoding="utf-8")


def _with_links(text: str, source_url: str) -> str:
    """A page whose links to files outside docs/ lead to the source."""

    def replaced(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        inside = PAGES / target
        generated = {"../CHANGELOG.md": "changelog.md"}.get(target, Path(target).with_suffix(".md").name)
        if generated in GENERATED:
            return f"]({generated}{anchor})"
        if inside.exists() and inside.resolve().is_relative_to(PAGES):
            return match[0]
        return f"]({source_url}/{os.path.relpath(os.path.normpath(inside), ROOT)}{anchor})"

    return re.sub(r"\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)", replaced, text)
