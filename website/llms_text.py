"""llms.txt, a list of the pages for language models (https://llmstxt.org), and llms-full.txt, all of them in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def llms_text(name: str, description: str, site_url: str, pages: Sequence[Path]) -> str:
    """The pages in the order of the navigation, each with its first sentence."""
    lines = [f"# {name}", "", f"> {description}", "", "## Pages", ""]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        lines.append(f"- [{_title(text)}]({site_url}{page.name}): {_first_sentence(text)}")
    return "\n".join(lines) + "\n"


def llms_full_text(pages: Sequence[Path]) -> str:
    """All pages, one after the other."""
    return "\n\n".join(page.read_text(encoding="utf-8").strip() for page in pages) + "\n"


def _title(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("# ")).removeprefix("# ")


def _first_sentence(text: str) -> str:
    """The first sentence of prose: no heading, code, table or picture."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    paragraphs = (part.strip() for part in re.split(r"\n\s*\n", prose))
    first = next((part for part in paragraphs if re.match(r"[A-Z`*\[]", part)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(first.split()))
    return re.split(r"(?<=[.:?]) ", plain, maxsplit=1)[0]
