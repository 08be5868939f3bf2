"""EPUB books -> their text, chapter after chapter."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from qwen3_reranker.documents.extracted_text import ExtractedText, TextBuilder
from qwen3_reranker.documents.html_text import html_text
from qwen3_reranker.documents.passages import headings
from qwen3_reranker.documents.zipped_xml import ZippedFiles, xml_events
from qwen3_reranker.errors import InputError


def book_text(files: ZippedFiles) -> ExtractedText:
    """The text of an .epub in the order in which it is read. Raises InputError for one that is locked to a reader."""
    package = next(
        attributes.get("full-path", "")
        for kind, name, attributes in xml_events(files.read("META-INF/container.xml"))
        if kind == "start" and name == "rootfile"
    )
    members: dict[str, str] = {}
    chapters: list[str] = []
    title, in_title = "", False
    for kind, name, attributes in xml_events(files.read(package)):
        if kind == "text":
            title += name if in_title else ""
        elif name == "title":
            in_title = kind == "start"
        elif kind == "start" and name == "item":
            target = posixpath.join(posixpath.dirname(package), unquote(attributes.get("href", "")))
            members[attributes.get("id", "")] = posixpath.normpath(target)
        elif kind == "start" and name == "itemref":
            chapters.append(members.get(attributes.get("idref", ""), ""))
    locked = {
        attributes.get("URI")
        for kind, name, attributes in xml_events(files.read_if_there("META-INF/encryption.xml"))
        if kind == "start" and name == "CipherReference"
    }
    if locked.intersection(chapters):
        raise InputError("book that is locked to one reader (DRM)")
    builder = TextBuilder()
    for number, chapter in enumerate(chapters, start=1):
        _, text, _ = html_text(files.read_if_there(chapter).decode("utf-8-sig", "replace"))
        if text.strip():
            builder.begin_page(f"chapter {number}")
            for line, depth, words in headings(text):
                builder.add_heading(builder.next_line + line - 1, depth, words)
            for each in text.split("\n"):
                builder.add_line(each)
    return builder.built(title)
