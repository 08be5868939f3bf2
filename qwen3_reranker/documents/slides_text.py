"""Presentations -> their text, slide by slide, with titles and notes."""

from __future__ import annotations

from qwen3_reranker.documents.extracted_text import ExtractedText, TextBuilder
from qwen3_reranker.documents.office_paragraphs import OfficeParagraph, office_paragraphs
from qwen3_reranker.documents.office_title import office_title
from qwen3_reranker.documents.zipped_xml import ZippedFiles, main_member, relations, xml_events

_TITLES = ("title", "ctrTitle")
# What is the same on every slide.
_REPEATED = ("dt", "ftr", "hdr", "sldNum", "sldImg", "date-time", "footer", "header", "page-number")


def slides_text(files: ZippedFiles) -> ExtractedText:
    """The text of a .pptx: each slide, and below it its notes."""
    main = main_member(files)
    related = relations(files, main)
    builder = TextBuilder()
    slides = [
        related[attributes["id"]][1]
        for kind, name, attributes in xml_events(files.read(main), {"extLst"})
        if kind == "start" and name == "sldId" and attributes.get("id") in related
    ]
    for number, slide in enumerate(slides, start=1):
        builder.begin_page(f"slide {number}")
        notes = [target for kind, target in relations(files, slide).values() if kind == "notesSlide"]
        for member in [slide, *notes]:
            for paragraph in office_paragraphs(files.read_if_there(member)):
                if isinstance(paragraph, OfficeParagraph):
                    _add(builder, paragraph)
    return builder.built(office_title(files) or builder.first_heading, slides=len(slides))


def open_document_slides(files: ZippedFiles) -> ExtractedText:
    """The text of an .odp."""
    builder = TextBuilder()
    slides = 0
    for paragraph in office_paragraphs(files.read("content.xml"), is_open_document=True):
        if isinstance(paragraph, OfficeParagraph):
            _add(builder, paragraph)
        else:
            slides += 1
            builder.begin_page(f"slide {slides}")
    return builder.built(office_title(files) or builder.first_heading, slides=slides)


def _add(builder: TextBuilder, paragraph: OfficeParagraph) -> None:
    if paragraph.is_row:
        builder.add_row(paragraph.text)
    elif paragraph.holder not in _REPEATED:
        builder.add_paragraph(paragraph.text, 1 if paragraph.holder in _TITLES else 0)
