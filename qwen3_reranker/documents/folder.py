"""A folder -> its files with text, sorted. What holds no text is left out and counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.documents.extracted_text import ExtractedText
from qwen3_reranker.documents.kinds import document_kind
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import ENOUGH, decoded, is_binary, other_kind


@dataclass(slots=True)
class SkippedFiles:
    """Files left out, by reason. As text, one line."""

    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        """Leave out one file, or one hidden folder with all in it."""
        self.reasons.setdefault(reason, []).append(path)

    def __str__(self) -> str:
        return ", ".join(f"{reason} ({_first(paths)})" for reason, paths in self.reasons.items())


def files_below(
    folder: str, glob: str | None, skipped: SkippedFiles, extractor: TextExtractor
) -> Iterator[tuple[str, str | ExtractedText]]:
    """Path and text of each file with text below a folder, by path. glob: for names, or for paths if it has a /."""
    for below in paths_below(folder, glob, skipped):
        path = os.path.join(folder, below)
        reason, text = _read(path, extractor)
        if reason:
            skipped.add(reason, path)
        else:
            yield path, text


def readable_text(content: bytes, path: str, extractor: TextExtractor) -> str | ExtractedText:
    """The text of a file's bytes. Raises InputError that says why there is none, in words for many files."""
    if document_kind(content, path):
        return extractor.text(content, path)
    if found := other_kind(content[:ENOUGH]):
        raise InputError(found[0].removeprefix("an ").removeprefix("a "))
    if is_binary(content):
        raise InputError("binary")
    try:
        return decoded(content, path)
    except InputError:
        raise InputError("not UTF-8") from None


def paths_below(folder: str, glob: str | None, skipped: SkippedFiles) -> Iterator[str]:
    """The paths of files below a folder, relative to it with / between, sorted; `glob` as in `files_below`."""
    beginning = len(os.path.join(folder, ""))
    for path in _paths(folder, skipped):
        below = path[beginning:].replace(os.sep, "/")
        if glob is None or fnmatchcase(below if "/" in glob else os.path.basename(path), glob):
            yield below


def _paths(folder: str, skipped: SkippedFiles) -> Iterator[str]:
    # A stack of our own: folders may be nested deeper than Python calls.
    try:
        waiting = _entries(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from None
    while waiting:
        entry = waiting.pop()
        if lone_surrogate(entry.name) is not None:
            # Nothing that this path is written to could hold it.
            skipped.add("names that are not UTF-8", entry.path.encode("utf-8", "replace").decode())
        elif entry.name.startswith("."):
            skipped.add("hidden", entry.path)
        elif entry.is_dir(follow_symlinks=False):
            try:
                waiting.extend(_entries(entry.path))
            except OSError:
                skipped.add("unreadable", entry.path)
        else:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds, the last by name first."""
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name, reverse=True)


def _read(path: str, extractor: TextExtractor) -> tuple[str, str | ExtractedText]:
    """Why the file is left out, or nothing and its text."""
    # A pipe or a device would block or never end.
    if not os.path.isfile(path):
        if os.path.isdir(path):
            return "linked folders", ""
        return "pipes and devices" if os.path.exists(path) else "broken links", ""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return "unreadable", ""
    try:
        text = readable_text(content, path, extractor)
    except InputError as error:
        return str(error), ""
    written = text.text if isinstance(text, ExtractedText) else text
    return ("", text) if written.strip() else ("empty", "")


def _first(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths):,}: {paths[0]} …"
