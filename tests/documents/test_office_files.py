"""A passage of a PDF knows its page, of slides its slide, of a workbook its sheet and row, of a text its headings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qwen3_reranker.documents.extracted_text import ExtractedText
from qwen3_reranker.documents.file_documents import extracted_document
from qwen3_reranker.documents.text_extractor import TextExtractor
from testing import office_files


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor() as extractor:
        yield extractor


def places(extracted: ExtractedText, passage_tokens: int = 200) -> list[tuple[str, str, str]]:
    """The part, the headings and the text of each passage."""
    document = extracted_document(extracted, passage_tokens)
    return [
        (each.part, above, each.text.strip()) for each, above in zip(document.passages, document.headings, strict=True)
    ]


def test_a_passage_of_a_pdf_knows_its_page_and_the_headings_of_the_outline(extractor: TextExtractor) -> None:
    pages = [[("Travel", "Book trains early.")], [("", "Never by car."), ("Refunds", "Within thirty days.")]]
    extracted = extractor.text(office_files.pdf(pages, "Handbook"), "a.pdf")
    assert extracted.title == "Handbook"
    assert extracted.fields == {"pages": 2}
    assert places(extracted) == [
        ("page 1", "Travel", "Travel\nBook trains early."),
        ("page 2", "Travel", "Never by car.\nRefunds\nWithin thirty days."),
    ]
    assert places(extracted, 4)[-1] == ("page 2", "Refunds", "Within thirty days.")


def test_a_pdf_that_everybody_may_read_is_read_though_it_is_encrypted(extractor: TextExtractor) -> None:
    extracted = extractor.text(office_files.pdf([[("", "Readable")]], owner="secret"), "a.pdf")
    assert places(extracted) == [("page 1", "", "Readable")]


def test_a_word_document_has_headings_tables_and_breaks(extractor: TextExtractor) -> None:
    extracted = extractor.text(office_files.word(), "a.docx")
    assert extracted.title == "Handbook"
    assert extracted.text == (
        "# Travel\n\nBook trains early\nand never by car.\n\n## Refunds\n\nReceipts within thirty days\n\n"
        "| City | Rate\n| Lisbon | 95 euros\n"
    )
    assert places(extracted, 12)[-1][:2] == ("", "Travel > Refunds")


def test_a_passage_of_a_presentation_knows_its_slide(extractor: TextExtractor) -> None:
    assert places(extractor.text(office_files.slides(), "a.pptx")) == [
        ("slide 1", "Roadmap", "# Roadmap\n\nShip the parser\n\nMeasure it"),
        ("slide 2", "Costs", "# Costs\n\n| Quarter | Sum\n| Q3 | 41,000\n\nMention the discount"),
    ]


def test_rows_of_a_workbook_stay_whole_and_know_their_sheet_and_number(extractor: TextExtractor) -> None:
    extracted = extractor.text(office_files.workbook(300), "a.xlsx")
    found = places(extracted, 60)
    above = "Orders > City | Date | Amount"
    assert found[0][:2] == ("sheet Orders, row 3", above)
    row = 3
    for part, headings, text in found[:-1]:
        assert (part, headings) == (f"sheet Orders, row {row}", above)
        assert all(line.count(" | ") == 2 for line in text.split("\n"))
        row += len(text.split("\n"))
    assert row == 304
    assert "Lisbon | 2026-03-01 | 2.5" in found[0][2]
    assert found[-1] == ("sheet Sums, row 1", "Sums", "7")


def test_open_documents_and_books_are_read(extractor: TextExtractor) -> None:
    text = extractor.text(office_files.open_document_text(), "a.odt")
    assert [heading.words for heading in text.headings] == ["Travel", "Refunds"]
    assert "| Lisbon | 95 euros" in text.text
    slides = extractor.text(office_files.open_document_slides(), "a.odp")
    assert places(slides)[1] == ("slide 2", "Costs", "# Costs\n\nMention the discount")
    sheet = extractor.text(office_files.open_document_sheet(), "a.ods")
    assert places(sheet) == [("sheet Orders, row 1", "Orders > City | Amount", "City | Amount\nLisbon | 95")]
    book = extractor.text(office_files.book(), "a.epub")
    assert book.title == "Sea"
    assert places(book)[0] == ("chapter 1", "The beginning", "# The beginning\n\nWhales sing.")


def test_a_passage_of_a_page_gives_its_lines_of_the_whole_text(extractor: TextExtractor) -> None:
    extracted = extractor.text(office_files.pdf([[("", f"Line {page}.")] * 30 for page in range(3)]), "a.pdf")
    lines = extracted.text.split("\n")
    for each in extracted_document(extracted, 40).passages:
        assert "\n".join(lines[each.first_line - 1 : each.last_line]) == each.text
        assert each.part == f"page {int(each.text.split()[1][0]) + 1}"
