"""docs/remote.md shows what a server of the bundled model answers."""

import contextlib
import io
from itertools import pairwise
from typing import Any

from testing.live_server import live_server
from tests.test_readme import ROOT, blocks_of, same


def test_the_python_of_the_page_prints_what_it_shows_with_a_server() -> None:
    blocks = blocks_of((ROOT / "docs/remote.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    with live_server() as live:
        for (language, code), (_, shown) in pairwise(blocks):
            if language != "python":
                continue
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code.replace("http://localhost:8000", live.url), "remote.md", "exec"), names)
            assert same(shown.rstrip(), output.getvalue().rstrip()), output.getvalue()
        names["reranker"].close()
