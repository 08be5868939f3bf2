"""IndexedLines: lines of a file that an index holds, and of no other file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.documents.kinds import document_kind
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import decoded
from qwen3_reranker.search.index_store import IndexStore
from qwen3_reranker.search.prepared_file import FileStamp, most_bytes, stamp_of

#: What one call gives at most: lines, and characters.
MAX_LINES = 500
MAX_CHARACTERS = 40_000
# An error repeats this much of a path.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class IndexedLines:
    """Lines of a file, joined by `\\n`; of a PDF or office document, lines of the text that is taken from it.

    first_line, last_line: which ones, from 1. num_lines: of the whole file. truncated: whether more was asked for than
    is given at once; the last line may then be cut. changed: whether the file changed since the index was updated.
    """

    path: str
    collection: str
    first_line: int
    last_line: int
    num_lines: int
    text: str
    truncated: bool
    changed: bool


def indexed_lines(
    store: IndexStore,
    extractor: TextExtractor,
    path: str,
    collection: str | None,
    first_line: int,
    last_line: int | None,
) -> IndexedLines:
    """Lines first_line to last_line of the file at `path`, spelt as the index holds it; the extractor is closed after.

    Raises InputError for a path that is not in the index or now leads to a file that is not, for a path in several
    collections if none is named, for a file that is gone, too large or no text, and for lines that are not there.
    """
    shown = repr(path if len(path) <= _SHOWN else path[:_SHOWN] + "…")
    if lone_surrogate(path) is not None or (collection is not None and lone_surrogate(collection) is not None):
        raise InputError(f"{shown} is not valid Unicode")
    found = store.stamps_at(path, collection)
    if not found:
        raise InputError(f"{shown} is not in the index; give a path as a search returns it, below its collection")
    if len(found) > 1:
        raise InputError(f"{shown} is in several collections: name one of {', '.join(found)}")
    [(name, indexed)] = found.items()
    folder = store.collections()[name].folder
    if folder is None:
        raise InputError(f"{shown} is a record, which has no file; a search returns its passages")
    real = os.path.relpath(os.path.realpath(os.path.join(folder, path)), os.path.realpath(folder))
    # A link may have taken the place of the file or of a folder above it. Where it leads must be in the index too.
    if not store.stamps_at(real, name):
        raise InputError(f"{shown} now leads to a file that is not in the index")
    try:
        content, stamp = _content(folder, real)
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror or error}); update the index") from None
    if len(content) > most_bytes(path):
        raise InputError(f"{shown} is now larger than {most_bytes(path) >> 20} MiB; update the index")
    lines = _text(content, path, shown, extractor).split("\n")
    num_lines = len(lines) - (lines[-1] == "")
    if not 1 <= first_line <= num_lines or (last_line is not None and last_line < first_line):
        raise InputError(f"{shown} has lines 1 to {num_lines:,}; there is no such range of lines")
    wanted = lines[first_line - 1 : min(last_line or num_lines, num_lines)]
    kept = _beginning(wanted)
    text = "\n".join(kept)[:MAX_CHARACTERS]
    return IndexedLines(
        path,
        name,
        first_line,
        first_line + len(kept) - 1,
        num_lines,
        text,
        truncated=len(kept) < len(wanted) or len(text) < len("\n".join(kept)),
        changed=stamp != indexed,
    )


def _text(content: bytes, path: str, shown: str, extractor: TextExtractor) -> str:
    if not document_kind(content, path):
        return decoded(content, path)
    try:
        with extractor:
            return extractor.text(content, path).text
    except InputError as error:
        raise InputError(f"{shown} cannot be read now: {error}") from None


def _beginning(lines: list[str]) -> list[str]:
    """As many lines as are given at once, one at the least."""
    characters = 0
    for count, line in enumerate(lines[:MAX_LINES]):
        characters += len(line) + 1
        if characters > MAX_CHARACTERS + 1 and count:
            return lines[:count]
    return lines[:MAX_LINES]


def _content(folder: str, path: str) -> tuple[bytes, FileStamp]:
    """A regular file's bytes, one more than the most at most. No link below the folder is followed. Raises OSError."""
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        *above, name = path.split(os.sep)
        for part in above:
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        # A pipe must not block.
        opened.append(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened[-1]))
        status = os.fstat(opened[-1])
        if not stat.S_ISREG(status.st_mode):
            raise OSError("no regular file")
        with os.fdopen(os.dup(opened[-1]), "rb") as file:
            return file.read(most_bytes(path) + 1), stamp_of(status, path)
    finally:
        for each in opened:
            os.close(each)
