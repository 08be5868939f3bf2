"""Word documents and OpenDocument texts -> their text, with headings."""

from __future__ import annotations

import re

from qwen3_reranker.documents.extracted_text import ExtractedText, TextBuilder
from qwen3_reranker.documents.office_paragraphs import OfficeParagraph, office_paragraphs
from qwen3_reranker.documents.office_title import office_title
from qwen3_reranker.documents.zipped_xml import ZippedFiles, main_member, relations, xml_events

# Names of styles stay English in files of every language.
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_NOTES = ("footnotes", "endnotes")


def word_text(files: ZippedFiles) -> ExtractedText:
    """The text of a .docx: its body, then its footnotes."""
    main = main_member(files)
    related = list(relations(files, main).values())
    depth_of = _heading_depths(next((files.read_if_there(target) for kind, target in related if kind == "styles"), b""))
    builder = TextBuilder()
    notes = [files.read_if_there(target) for kind, target in related if kind in _NOTES]
    for content in [files.read(main), *notes]:
        for paragraph in office_paragraphs(content):
            _add(builder, paragraph, depth_of)
    return builder.built(office_title(files) or builder.first_heading)


def open_document_text(files: ZippedFiles) -> ExtractedText:
    """The text of an .odt."""
    builder = TextBuilder()
    for paragraph in office_paragraphs(files.read("content.xml"), is_open_document=True):
        _add(builder, paragraph, {})
    return builder.built(office_title(files) or builder.first_heading)


def _add(builder: TextBuilder, paragraph: object, depth_of: dict[str, int]) -> None:
    if not isinstance(paragraph, OfficeParagraph):
        return
    if paragraph.is_row:
        builder.add_row(paragraph.text)
    else:
        builder.add_paragraph(paragraph.text, paragraph.depth or depth_of.get(paragraph.style, 0))


def _heading_depths(styles: bytes) -> dict[str, int]:
    """The depth of each style of headings; a style that says nothing has that of the style it is based on."""
    depth_of: dict[str, int] = {}
    based_on: dict[str, str] = {}
    style = ""
    for kind, name, attributes in xml_events(styles):
        if kind != "start":
            continue
        value = attributes.get("val", "")
        if name == "style":
            style = attributes.get("styleId", "")
        elif name == "name" and (found := _HEADING.fullmatch(value)):
            depth_of[style] = int(found[1])
        elif name == "name" and value.lower() == "title":
            depth_of[style] = 1
        elif name == "outlineLvl" and value in "012345678" and value:
            depth_of.setdefault(style, int(value) + 1)
        elif name == "basedOn":
            based_on[style] = value
    for style in based_on:
        seen, base = {style}, style
        while base not in depth_of and (base := based_on.get(base, "")) and base not in seen:
            seen.add(base)
        if base in depth_of:
            depth_of[style] = depth_of[base]
    return depth_of
