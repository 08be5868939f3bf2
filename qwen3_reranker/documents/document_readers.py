"""The bytes of a PDF, office document or book -> its text, in the process that reads them."""

from __future__ import annotations

from qwen3_reranker.documents.extracted_text import ExtractedText
from qwen3_reranker.documents.kinds import document_kind
from qwen3_reranker.documents.zipped_xml import ZippedFiles
from qwen3_reranker.errors import InputError

# "EncryptedPackage" in UTF-16: what Office makes of a document with a password.
_LOCKED = "EncryptedPackage".encode("utf-16-le")


def read_document(content: bytes, name: str) -> ExtractedText:
    """The text of a file of `DOCUMENTS`. Raises InputError that says why there is none, in words for many files."""
    kind = document_kind(content, name)
    try:
        return _read(kind, content)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{kind} that needs too much memory") from None
    except Exception:
        # Hostile files make readers raise nearly anything.
        raise InputError(f"damaged {kind}") from None


def _read(kind: str, content: bytes) -> ExtractedText:
    # Each reader is imported when it is needed, as two of them need an extra.
    if kind == "PDF":
        from qwen3_reranker.documents.pdf_text import pdf_text

        return pdf_text(content)
    if _LOCKED in content:
        raise InputError("password-protected")
    if kind == "workbook":
        from qwen3_reranker.documents.sheets_text import sheets_text

        return sheets_text(content)
    from qwen3_reranker.documents import book_text, slides_text, word_text

    readers = {
        "Word document": word_text.word_text,
        "OpenDocument text": word_text.open_document_text,
        "presentation": slides_text.slides_text,
        "OpenDocument presentation": slides_text.open_document_slides,
        "EPUB book": book_text.book_text,
    }
    files = ZippedFiles(content)
    if b"encryption-data" in files.read_if_there("META-INF/manifest.xml"):
        raise InputError("password-protected")
    return readers[kind](files)
