"""PDF and office documents are found with their page, slide, sheet or headings, and what is left out is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen3_reranker.search import Index
from qwen3_reranker.search.index_tables import open_database
from testing import office_files

FILES = {
    "handbook.pdf": office_files.pdf([[("", "Trains.")], [("Refunds", "Within thirty days.")]]),
    "handbook.docx": office_files.word(),
    "plan.pptx": office_files.slides(),
    "orders.xlsx": office_files.workbook(),
    "scan.pdf": office_files.picture_pdf(),
    "broken.docx": office_files.word()[:700],
    "locked.pdf": office_files.pdf([[("", "Secret")]], password="x"),
    "note.txt": b"A plain note.\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_office_documents_are_found_where_they_are_and_the_others_are_named(folder: Path, tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        changes = index.add(folder)
        assert changes.added == 5
        assert changes.skipped.reasons == {
            "PDF without text, needs OCR": ["scan.pdf"],
            "damaged Word document": ["broken.docx"],
            "encrypted PDF": ["locked.pdf"],
        }
        places = {"thirty days pdf": "handbook.pdf:page 2", "discount": "plan.pptx:slide 2"}
        places |= {"Lisbon 2026": "orders.xlsx:sheet Orders, row 3", "receipts": "handbook.docx:1"}
        for query, place in places.items():
            assert index.search(query)[0].place == place
        hit = index.search("receipts")[0]
        assert (hit.title, hit.headings) == ("Handbook", "Travel")
        assert index.update().changed == 0


def test_lines_of_a_pdf_are_those_of_its_text(folder: Path, tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        index.add(folder)
        hit = index.search("thirty days pdf")[0]
        lines = index.lines(hit.path, hit.first_line, hit.last_line)
        assert lines.text == hit.text == "Refunds\nWithin thirty days."
        assert not lines.changed
        (folder / "handbook.pdf").write_bytes(office_files.pdf([[("", "Other.")]]))
        assert index.lines("handbook.pdf").text == "Other."
        assert index.lines("handbook.pdf").changed


def test_a_file_is_read_again_once_its_kind_is_read_in_another_way(folder: Path, tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        index.add(folder)
        # What an index holds that was made before the extra was installed.
        database = open_database(tmp_path / "index" / "index.db")
        database.execute("UPDATE files SET reading = 'PDF is left out', sha256 = x'00' WHERE path LIKE '%.pdf'")
        database.close()
        assert index.stale().changed == 3
        assert index.update().changed == 3
        assert index.update().unchanged == len(FILES)


def test_the_one_long_document_of_a_folder_is_judged_in_more_than_three_passages(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    pages = [[("", f"Page {page} says something about trains.")] for page in range(9)]
    (tmp_path / "files" / "long.pdf").write_bytes(office_files.pdf(pages))
    (tmp_path / "files" / "short.txt").write_text("Trains run late.")
    with Index(tmp_path / "index", reranker=None) as index:
        index.add(tmp_path / "files")
        found = [hit.path for hit in index.candidates("trains", 8)]
        assert found.count("long.pdf") == 7
        assert found.index("short.txt") < 4
