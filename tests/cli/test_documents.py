"""Documents and their sources: lines, JSON objects, whole files, folders, standard input, and what is left out."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from qwen3_reranker.cli.documents import Document, DocumentOptions, read_documents
from qwen3_reranker.errors import InputError
from testing import office_files

Capture = pytest.CaptureFixture[str]


def pairs(documents: list[Document]) -> list[tuple[str, str]]:
    return [(document.source, document.text) for document in documents]


@pytest.mark.usefixtures("notes")
def test_a_text_file_is_a_document_a_line_and_blank_lines_count_but_are_none() -> None:
    assert pairs(read_documents(["notes.txt"], DocumentOptions())) == [
        ("notes.txt:1", "first note"),
        ("notes.txt:3", "second note"),
        ("notes.txt:4", "third note"),
    ]


def test_line_numbers_are_those_of_an_editor_for_every_end_of_line_and_a_byte_order_mark(notes: Path) -> None:
    (notes / "ends.txt").write_bytes("\ufeffa\r\nb\x0cb\u2028b\rc\n".encode())
    assert pairs(read_documents(["ends.txt"], DocumentOptions())) == [
        ("ends.txt:1", "a"),
        ("ends.txt:2", "b\x0cb\u2028b"),
        ("ends.txt:3", "c"),
    ]


def test_json_lines_give_the_field_that_was_asked_for_and_keep_empty_texts(notes: Path) -> None:
    content = '{"text": "a\\nb", "body": "x"}\n\n{"body": "y", "text": ""}\n'
    (notes / "notes.jsonl").write_text(content, encoding="utf-8")
    (notes / "notes.data").write_text(content, encoding="utf-8")
    assert pairs(read_documents(["notes.jsonl"], DocumentOptions())) == [
        ("notes.jsonl:1", "a\nb"),
        ("notes.jsonl:3", ""),
    ]
    assert pairs(read_documents(["notes.data"], DocumentOptions(input_format="jsonl", field="body"))) == [
        ("notes.data:1", "x"),
        ("notes.data:3", "y"),
    ]


def test_a_markdown_file_is_one_document_unless_lines_are_asked_for(notes: Path) -> None:
    (notes / "page.md").write_text("# A\n\nb\n", encoding="utf-8")
    assert pairs(read_documents(["page.md"], DocumentOptions())) == [("page.md", "# A\n\nb")]
    assert [source for source, _ in pairs(read_documents(["page.md"], DocumentOptions(input_format="lines")))] == [
        "page.md:1",
        "page.md:3",
    ]


def test_a_folder_is_read_by_path_and_what_is_no_text_is_left_out_with_one_note(notes: Path, capsys: Capture) -> None:
    folder = notes / "folder"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("hidden", encoding="utf-8")
    for name in ("c.txt", "a.md", "b/deep/z.txt", "b/a.rst"):
        (folder / name).write_text(f"{name}\ntwo\n", encoding="utf-8")
    (folder / "logo.bin").write_bytes(b"a\0")
    for name in ("logo.png", "logo2.png"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (folder / "old.txt").write_bytes(b"na\xefve")
    (folder / "void.txt").write_bytes(b"\n")
    os.mkfifo(folder / "pipe")
    expected = ["a.md", "b/a.rst", "b/deep/z.txt", "c.txt"]
    assert pairs(read_documents(["folder"], DocumentOptions())) == [
        (f"folder/{name}", f"{name}\ntwo") for name in expected
    ]
    assert capsys.readouterr().err == (
        "note: left out: hidden (folder/.git), binary (folder/logo.bin), image (2: folder/logo.png …), "
        "not UTF-8 (folder/old.txt), pipes and devices (folder/pipe), empty (folder/void.txt)\n"
    )


@pytest.mark.parametrize(
    ("glob", "expected"), [("*.md", ["a.md", "b/c.md"]), ("b/*", ["b/c.md", "b/d.txt"]), ("[!a]*.txt", ["b/d.txt"])]
)
def test_a_glob_chooses_files_by_name_or_with_a_slash_by_path(notes: Path, glob: str, expected: list[str]) -> None:
    for name in ("a.md", "a.txt", "b/c.md", "b/d.txt"):
        path = notes / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    assert [document.text for document in read_documents(["folder"], DocumentOptions(glob=glob))] == expected


def test_places_of_all_kinds_mix_and_keep_their_order(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (notes / "page.md").write_text("whole\n", encoding="utf-8")
    with io.TextIOWrapper(io.BytesIO(b"from a pipe\n")) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        found = read_documents(["page.md", "-", "notes.txt"], DocumentOptions())
    assert [document.source for document in found] == [
        "page.md",
        "stdin:1",
        "notes.txt:1",
        "notes.txt:3",
        "notes.txt:4",
    ]


def test_chunks_of_a_file_name_their_lines_and_those_of_a_json_line_name_that_line(notes: Path) -> None:
    (notes / "long.txt").write_text("one two three\n\nfour five\nsix\n\nseven\n", encoding="utf-8")
    (notes / "long.jsonl").write_text('{"text": "one two. three four"}\n', encoding="utf-8")
    assert pairs(read_documents(["long.txt", "long.jsonl"], DocumentOptions(chunk_words=3))) == [
        ("long.txt:1", "one two three"),
        ("long.txt:3-4", "four five\nsix"),
        ("long.txt:6", "seven"),
        ("long.jsonl:1", "one two."),
        ("long.jsonl:1", "three four"),
    ]


def test_a_pdf_is_one_document_and_with_chunks_a_page_or_less_each(notes: Path, capsys: Capture) -> None:
    (notes / "report.pdf").write_bytes(office_files.pdf([[("", "Book trains.")], [("", "Never by car.")]]))
    (notes / "scan.pdf").write_bytes(office_files.picture_pdf())
    assert pairs(read_documents(["report.pdf"], DocumentOptions())) == [("report.pdf", "Book trains.\n\nNever by car.")]
    assert pairs(read_documents(["."], DocumentOptions(chunk=True, glob="*.pdf"))) == [
        (os.path.join(".", "report.pdf:page 1"), "Book trains."),
        (os.path.join(".", "report.pdf:page 2"), "Never by car."),
    ]
    assert "left out: PDF without text, needs OCR (./scan.pdf)" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"^scan\.pdf: cannot be read: PDF without text, needs OCR$"):
        read_documents(["scan.pdf"], DocumentOptions())
