"""A file that is no text is named as what it is, with the tool that makes text of it."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import decoded


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return held.getvalue()


KINDS = {
    "a PDF": (b"%PDF-1.7\n\xe2\xe3", "a PDF; convert it with pdftotext"),
    "gzip": (gzip.compress(b"text"), "a gzip file; unpack it with zcat"),
    "xz": (lzma.compress(b"text"), "an xz file; unpack it with xzcat"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", "a zstd file; unpack it with zstdcat"),
    "zip": (zipped("a.txt"), "a zip archive; unpack it with unzip"),
    "docx": (zipped("word/document.xml", "[Content_Types].xml"), "a Word document; save it as text"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook; save its sheet as CSV"),
    "an old doc": (b"\xd0\xcf\x11\xe0\xa1", "an office document of the old kind (doc, xls, ppt)"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "an image; take its text with OCR"),
    "JPEG": (b"\xff\xd8\xff\xe0", "an image; take its text with OCR"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; fetch the file itself"),
    "UTF-16": ("text".encode("utf-16"), "UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
    "UTF-16 without a mark": ("some text".encode("utf-16-be"), "UTF-16; convert it: iconv -f UTF-16BE -t UTF-8"),
    "UTF-32": ("text".encode("utf-32"), "UTF-32; convert it: iconv -f UTF-32 -t UTF-8"),
    "NUL bytes": (b"a\0b\0\0c", "a binary file (it holds NUL bytes)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_text_is_named_with_what_makes_text_of_it(kind: str) -> None:
    content, expected = KINDS[kind]
    with pytest.raises(InputError) as caught:
        decoded(content, "file")
    assert str(caught.value).startswith("file: expected ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "a\n\u201cquoted\u201d".encode("cp1252"),
            "file:2: expected UTF-8, got the byte 0x93; convert it, e.g. iconv -f CP1252",
        ),
        ("na\u00efve".encode("latin-1"), "file:1: expected UTF-8, got the byte 0xef; convert it, e.g. iconv -f CP1252"),
        (b"\x81\x8d", "file:1: expected UTF-8, got the byte 0x81; convert it with iconv -f ENCODING"),
    ],
)
def test_another_encoding_is_suggested_only_where_all_bytes_belong_to_it(content: bytes, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        decoded(content, "file")
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "a", "BZ", "II", "PK", "{}", "version 2", "%PDF", "\u65e5\u672c\u8a9e"])
def test_text_that_begins_like_something_else_is_text(text: str) -> None:
    assert decoded(text.encode(), "file") == text
