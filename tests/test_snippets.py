"""Every snippet of the pages on the library and the command line runs, and prints what the page shows below it."""

import contextlib
import io
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.test_readme import blocks_of, same

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["library.md"])
def test_the_python_of_a_page_prints_what_the_page_shows(page: str) -> None:
    blocks = blocks_of((DOCS / page).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    ran = 0
    for (language, code), (following, shown) in zip_longest(blocks, blocks[1:], fillvalue=("", "")):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, page, "exec"), names)
        printed = re.sub(r" +$", "", output.getvalue(), flags=re.MULTILINE)
        assert same(shown.rstrip() if following == "text" else "", printed.rstrip()), printed
        ran += 1
    assert ran
