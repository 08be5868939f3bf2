"""A hostile, damaged or locked file is left out with its reason, within bounds, and the next one is read."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from qwen3_reranker.documents.kinds import document_kind, reading
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from testing import office_files

ROOT = Path(__file__).parents[2]
CONTENT = {
    "a.pdf": office_files.pdf([[("Travel", "Book trains early.")]]),
    "a.docx": office_files.word(),
    "a.pptx": office_files.slides(),
    "a.xlsx": office_files.workbook(),
    "a.odt": office_files.open_document_text(),
    "a.epub": office_files.book(),
}


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor() as extractor:
        yield extractor


def reason(extractor: TextExtractor, content: bytes, name: str) -> str:
    with pytest.raises(InputError) as raised:
        extractor.text(content, name)
    return str(raised.value)


RELATION = "<Relationships><Relationship Id='1' Type='x/officeDocument' Target='word/document.xml'/></Relationships>"


def word_with(body: str) -> bytes:
    return office_files.zipped({"_rels/.rels": RELATION, "word/document.xml": body})


def endless_pdf() -> bytes:
    """A page that draws a form ten times, which draws a form ten times, and so on."""
    levels = 9
    forms = [
        f"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {level + 6} 0 R>>>>/Length {len(draw)}>>"
        f"stream\n{draw}\nendstream"
        for level, draw in enumerate(["/X Do " * 10] * (levels - 1) + ["BT /F 9 Tf (x) Tj ET"])
    ]
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>"
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", page]
    objects += ["<</Length 5>>stream\n/X Do\nendstream", *forms]
    body, offsets = "%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF"
    )
    return (body + end).encode()


def test_a_locked_file_says_so(extractor: TextExtractor) -> None:
    assert reason(extractor, office_files.pdf([[("", "Secret")]], password="x"), "a.pdf") == "encrypted PDF"
    package = b"\xd0\xcf\x11\xe0" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    for name in ("a.docx", "a.pptx", "a.xlsx"):
        assert reason(extractor, package, name) == "password-protected"
    manifest = office_files.zipped({"META-INF/manifest.xml": "<m><encryption-data/></m>", "content.xml": b"\7" * 99})
    assert reason(extractor, manifest, "a.odt") == "password-protected"
    assert "locked to one reader" in reason(extractor, office_files.book(locked=True), "a.epub")


def test_a_pdf_of_pictures_needs_ocr(extractor: TextExtractor) -> None:
    assert reason(extractor, office_files.picture_pdf(), "a.pdf") == "PDF without text, needs OCR"


def test_xml_that_grows_when_it_is_read_is_refused(extractor: TextExtractor) -> None:
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    body = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><d><p><t>&l9;</t></p></d>'
    assert reason(extractor, word_with(body), "a.docx") == "XML that declares entities"


def test_an_archive_that_grows_when_it_is_unpacked_is_refused(extractor: TextExtractor) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("_rels/.rels", RELATION)
        with archive.open("word/document.xml", "w") as member:
            for _ in range(257):
                member.write(bytes(1 << 20))
    for name in ("a.xlsx", "a.docx"):
        assert reason(extractor, buffer.getvalue(), name) == "larger than 256 MiB when unpacked"
    # One that lies about its size is cut there.
    lying = buffer.getvalue().replace((257 << 20).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    assert reason(extractor, lying, "a.xlsx") == "damaged workbook"
    assert reason(extractor, lying, "a.docx") == "damaged Word document"


def test_a_file_that_takes_too_long_or_too_much_is_left_out_and_the_next_one_is_read() -> None:
    # What is endless in time grows in memory too, and a fast processor meets the lower limit first.
    with TextExtractor(seconds=1.0) as extractor:
        assert reason(extractor, endless_pdf(), "a.pdf") == "PDF that takes longer than 1 s to read"
        assert extractor.text(CONTENT["a.docx"], "a.docx").title == "Handbook"
    with TextExtractor(seconds=0.2) as extractor:
        deep = word_with("<d>" + "<p><r><t>word </t></r></p>" * 1_000_000 + "</d>")
        assert reason(extractor, deep, "a.docx") == "Word document that takes longer than 0.2 s to read"
    with TextExtractor(memory_bytes=400 << 20) as extractor:
        assert reason(extractor, endless_pdf(), "a.pdf") == "PDF that is damaged or needs too much memory"
        assert extractor.text(CONTENT["a.docx"], "a.docx").title == "Handbook"
        assert extractor.text(CONTENT["a.pdf"], "a.pdf").fields == {"pages": 1}


@pytest.mark.parametrize("name", CONTENT)
def test_a_damaged_file_is_read_in_part_or_left_out(extractor: TextExtractor, name: str) -> None:
    chance = random.Random(name)
    content = CONTENT[name]
    for _ in range(40):
        damaged = bytearray(content[: chance.choice([len(content), chance.randrange(9, len(content))])])
        for _ in range(chance.choice([1, 8, 64])):
            damaged[chance.randrange(8, len(damaged))] = chance.randrange(256)
        with suppress(InputError):
            extractor.text(bytes(damaged), name)
    assert extractor.text(content, name).text


def test_a_kind_is_known_by_name_and_beginning_together() -> None:
    assert document_kind(CONTENT["a.pdf"], "A.PDF") == "PDF"
    assert document_kind(CONTENT["a.pdf"], "a.txt") == ""
    assert document_kind(b"<html>", "sheet.xls") == ""
    assert document_kind(CONTENT["a.docx"], "a.zip") == ""


def test_without_the_extra_the_reason_says_how_to_install_it(tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    program = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from qwen3_reranker.documents.folder import SkippedFiles, files_below
from qwen3_reranker.documents.text_extractor import TextExtractor
skipped = SkippedFiles()
with TextExtractor() as extractor:
    print([path[-4:] for path, _ in files_below({str(tmp_path)!r}, None, skipped, extractor)], skipped)
"""
    # -S: the standard library alone.
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    install = "pip install 'qwen3_reranker[documents]'"
    assert ran.stdout.startswith("['docx', 'epub', '.odt', 'pptx']")
    assert f"PDF ({install})" in ran.stdout
    assert f"workbook ({install})" in ran.stdout


def test_how_a_name_is_read_differs_between_kinds() -> None:
    assert reading("a.py") == reading("b.txt") != reading("a.pdf") != reading("a.docx")
