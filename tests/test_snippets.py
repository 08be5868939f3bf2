"""Every snippet of a page runs, and prints what the page shows below it."""

import contextlib
import io
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.test_readme import ROOT, blocks_of, same

DOCS = ROOT / "docs"
#: tests/integrations runs these, with an embedding model of its own.
ELSEWHERE = {"integrations.md"}
PAGES = [
    pytest.param(page.name, marks=[pytest.mark.slow] if page.name in ("search.md", "train.md") else [])
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in ELSEWHERE and "```python" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_prints_what_the_page_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of((DOCS / page).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for (language, code), (following, shown) in zip_longest(blocks, blocks[1:], fillvalue=("", "")):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, page, "exec"), names)
        printed = re.sub(r" +$", "", output.getvalue(), flags=re.MULTILINE)
        # What search and training print is not the same twice.
        assert following != "text" or same(shown.rstrip(), printed.rstrip()), printed
