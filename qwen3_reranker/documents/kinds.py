"""The ending of a file's name -> how its text is read."""

from __future__ import annotations

import os

#: Endings of files of records, and the format of each.
RECORDS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "tsv": "tsv"}
MARKDOWN = frozenset({"md", "markdown"})
HTML = frozenset({"html", "htm", "xhtml"})
MARKUP = MARKDOWN | HTML | {"rst", "adoc", "org", "tex", "xml"}
_LANGUAGES = (
    "py pyi ipynb js mjs cjs jsx ts tsx java kt kts scala c h cc cpp cxx hh hpp cu cs go rs rb php pl pm lua swift m "
    "mm r jl hs ml ex exs clj sh bash zsh fish ps1 bat sql css scss vue yaml yml toml ini cfg proto cmake gradle tf"
)
SOURCE_CODE = frozenset(_LANGUAGES.split())


def ending(name: str) -> str:
    """The last part of a file's name, in lower case and without its dot; empty if there is none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")
