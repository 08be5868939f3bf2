"""Bytes of a file -> its text in UTF-8, or the kind of file instead."""

from __future__ import annotations

from qwen3_reranker.errors import InputError

#: Bytes from a file's beginning by which it is recognised.
ENOUGH = 4096

_UTF16 = "convert it: iconv -f {} -t UTF-8"
_OFFICE = "save it as text, e.g. with pandoc -t plain"
_IMAGE = "an image", "take its text with OCR, e.g. tesseract"
# The first bytes, what they begin, and what to do. Longer ones stand before those that they begin with.
_KINDS = (
    (b"%PDF-", "a PDF", "convert it with pdftotext"),
    (b"\x1f\x8b", "a gzip file", "unpack it with zcat"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it with xzcat"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it with zstdcat"),
    (b"BZh", "a bzip2 file", "unpack it with bzcat"),
    (b"\x04\x22\x4d\x18", "an lz4 file", "unpack it with lz4cat"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it with 7z x"),
    (b"\xd0\xcf\x11\xe0", "an office document of the old kind (doc, xls, ppt)", "save it as text"),
    (b"{\\rtf", "a rich text document", _OFFICE),
    (b"PAR1", "a Parquet file", "write its rows as JSON lines"),
    (b"SQLite format 3\0", "an SQLite database", "write its rows as JSON lines"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
    (b"\x89PNG\r\n", *_IMAGE),
    (b"\xff\xd8\xff", *_IMAGE),
    (b"GIF8", *_IMAGE),
    (b"II*\0", *_IMAGE),
    (b"MM\0*", *_IMAGE),
    (b"\xff\xfe\0\0", "UTF-32", _UTF16.format("UTF-32")),
    (b"\0\0\xfe\xff", "UTF-32", _UTF16.format("UTF-32")),
    (b"\xff\xfe", "UTF-16", _UTF16.format("UTF-16")),
    (b"\xfe\xff", "UTF-16", _UTF16.format("UTF-16")),
)
_ZIP = b"PK\x03\x04"
# Names at the beginning of an archive that say what it is.
_ZIPPED = (
    (b"word/", "a Word document", _OFFICE),
    (b"xl/", "an Excel workbook", "save its sheet as CSV"),
    (b"ppt/", "a PowerPoint presentation", "save it as text"),
    (b"opendocument", "an OpenDocument file", _OFFICE),
    (b"epub+zip", "an EPUB book", _OFFICE),
    (b"[Content_Types].xml", "an office document (docx, xlsx, pptx)", "save it as text"),
)


def decoded(content: bytes, name: str) -> str:
    """The text with `\\n` ends of line and without a byte-order mark. Raises InputError for what is not UTF-8 text."""
    refuse_other_kinds(content[:ENOUGH], name)
    if is_binary(content):
        raise InputError(f"{name}: expected text, got a binary file (it holds NUL bytes)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise not_utf8(content, error.start, f"{name}:{line}") from None
    # Not str.splitlines: it also breaks at form feeds and U+2028, and line numbers must be those of an editor.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def refuse_other_kinds(beginning: bytes, name: str) -> None:
    """Raise InputError if a file that begins so is known not to be text."""
    if found := other_kind(beginning):
        what, remedy = found
        raise InputError(f"{name}: expected UTF-8 text, got {what}; {remedy}")


def other_kind(beginning: bytes) -> tuple[str, str] | None:
    """The kind of a file that begins so, and how to make text of it. None for text and the unknown."""
    if beginning.startswith(_ZIP):
        named = ((what, remedy) for name, what, remedy in _ZIPPED if name in beginning)
        return next(named, ("a zip archive", "unpack it with unzip"))
    for magic, what, remedy in _KINDS:
        if beginning.startswith(magic):
            return what, remedy
    # Western text in UTF-16 without its mark: every other byte is 0.
    for encoding, high in (("UTF-16LE", beginning[1::2]), ("UTF-16BE", beginning[::2])):
        if len(high) > 1 and 2 * high.count(0) > len(high) and beginning.count(0) == high.count(0):
            return "UTF-16", _UTF16.format(encoding)
    return None


def not_utf8(content: bytes, place: int, name: str) -> InputError:
    """An error for the byte at `place`, with the encoding that it probably is in."""
    try:
        content.decode("cp1252")
        remedy = "convert it, e.g. iconv -f CP1252 -t UTF-8"
    except UnicodeDecodeError:
        remedy = "convert it with iconv -f ENCODING -t UTF-8"
    return InputError(f"{name}: expected UTF-8, got the byte 0x{content[place]:02x}; {remedy}")


def is_binary(content: bytes) -> bool:
    """Whether this is no text, by the rule of git and grep."""
    return b"\0" in content
