"""The ending of a file's name -> how its text is read."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

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
_PDF, _WORD, _SLIDES, _SHEETS = "PDF", "Word document", "presentation", "workbook"
_ODT, _ODP, _BOOK = "OpenDocument text", "OpenDocument presentation", "EPUB book"
#: Endings of files that are no text but hold some, and the kind of each.
DOCUMENTS = {
    **{"pdf": _PDF, "docx": _WORD, "docm": _WORD, "dotx": _WORD, "odt": _ODT, "odp": _ODP, "epub": _BOOK},
    **dict.fromkeys(("pptx", "pptm", "ppsx"), _SLIDES),
    **dict.fromkeys(("xlsx", "xlsm", "xlsb", "xls", "ods"), _SHEETS),
}
#: Kinds that a library of the extra reads.
LIBRARIES = {_PDF: "pypdfium2", _SHEETS: "python_calamine"}
# Raised when another text is made of the same file, so that indexes read it again.
_READING = 1
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PDF_WITHIN = 1024


def ending(name: str) -> str:
    """The last part of a file's name, in lower case and without its dot; empty if there is none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")


def document_kind(beginning: bytes, name: str) -> str:
    """The kind in DOCUMENTS of a file that begins so, by the ending of its name; empty for text and other files."""
    kind = DOCUMENTS.get(ending(name), "")
    if kind == _PDF:
        return kind if b"%PDF-" in beginning[:_PDF_WITHIN] else ""
    # What a program writes under such a name may be text: HTML as .xls, for one.
    return kind if beginning.startswith((_ZIP, _OLE)) else ""


@cache
def is_readable(kind: str) -> bool:
    """Whether the library that a kind of DOCUMENTS needs is installed."""
    return kind not in LIBRARIES or find_spec(LIBRARIES[kind]) is not None


def reading(name: str) -> str:
    """How a file of that name is read here. An index reads a file again when this differs from what it was."""
    kind = DOCUMENTS.get(ending(name), "text")
    return f"{kind} {_READING}" if is_readable(kind) else f"{kind} is left out"
