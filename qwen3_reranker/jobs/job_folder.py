"""A job's folder: what the job is (`_job.json`), its parts, and which of them are done.

A part is `part-00012.jsonl`. It gets that name when it is whole and on the disk. A part that has its name is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.errors import InputError, JobChangedError, UnavailableError
from qwen3_reranker.jobs.job_files import JobFiles
from qwen3_reranker.storage_urls import open_bytes

# Readers of Parquet folders leave out names that begin with _.
_MANIFEST = "_job.json"
_VERSION = 1
_FIELDS = {"input", "settings", "parts"}

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class JobInput(Generic[Row]):
    """What a job reads. rows: all rows from the first, as often as it is called; cut: the same in parts.

    settings: how it is read, as far as the rows depend on it.
    """

    stream: RecordStream
    rows: Callable[[], Iterator[Row]]
    cut: Callable[[Iterator[Row]], Iterator[list[Row]]]
    settings: Mapping[str, Any]


class JobFolder(Generic[Row]):
    """A job that is new, or that went on before. Use `opened`, which holds the lock.

    counts: the rows of each part. done: whether each part was done when the folder was opened. first_rows: those of the
    first part, once `parts_left` has given a part.
    """

    def __init__(
        self, files: JobFiles, given: JobInput[Row], form: str, counts: list[int], refuse_if_lost: Callable[[], None]
    ) -> None:
        self.counts = counts
        self.first_rows: list[Row] = []
        self._files, self._input, self._form, self._refuse_if_lost = files, given, form, refuse_if_lost
        names = files.names()
        self.done = [self._part(number) in names for number in range(len(counts))]

    @property
    def rows_done(self) -> int:
        """Rows of the parts that were done when the folder was opened."""
        return sum(count for count, done in zip(self.counts, self.done, strict=True) if done)

    def parts_left(self) -> Iterator[tuple[int, list[Row]]]:
        """The number and the rows of each part that is not done, in the order of the input."""
        if all(self.done):
            return
        rows = self._input.rows()
        last = max(number for number, done in enumerate(self.done) if not done)
        for number, count in enumerate(self.counts[: last + 1]):
            part = list(islice(rows, count))
            if len(part) != count:
                raise JobChangedError(f"{self._input.stream.path}: changed while the job read it; name another folder")
            if not number:
                self.first_rows = part
            if not self.done[number]:
                yield number, part

    def write(self, number: int, write: Callable[[Path], None]) -> None:
        """Write a part, whole or not at all. write: writes the file of that path."""
        self._refuse_if_lost()
        with _writing(self._files), self._files.written(self._part(number)) as path:
            write(path)

    def _part(self, number: int) -> str:
        return f"part-{number:05d}.{self._form}"


@contextmanager
def opened(
    files: JobFiles, given: JobInput[Row], form: str, settings: Callable[[], Mapping[str, Any]]
) -> Iterator[JobFolder[Row]]:
    """The folder of a job, made if it is new, for this process alone.

    form: the format of the parts. settings: everything else that the parts depend on; called once the input is checked.
    Raises JobChangedError where the folder holds a job of another input or other settings, InputError for a bad record,
    which is found before anything is written, and UnavailableError where another process works on the job.
    """
    if given.stream.reads_once:
        raise InputError("a job reads its input again when it goes on, so it cannot be a pipe; name a file")
    written = _manifest(files)
    content = _content(given.stream)
    if written is None:
        counts = [len(part) for part in given.cut(given.rows())]
    else:
        # An input that has not changed was checked when the job began.
        _refuse_changes(files, "input ", written["input"], content)
        counts = written["parts"]
    about = {"format": form, **given.settings, **settings()}
    with ExitStack() as held:
        with _writing(files):
            if written is not None:
                _refuse_changes(files, "", written["settings"], about)
            refuse_if_lost = held.enter_context(files.held())
            manifest = {"version": _VERSION, "input": content, "settings": about, "parts": counts}
            text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
            if written is None and not files.create(_MANIFEST, text.encode()):
                raise UnavailableError(f"{files.name}: another process has just begun a job here; try again")
        yield JobFolder(files, given, form, counts, refuse_if_lost)


def _manifest(files: JobFiles) -> dict[str, Any] | None:
    """What the folder says of its job, or None for a new one."""
    name = f"{files.name}/{_MANIFEST}"
    try:
        names = files.names()
        content = (files.read(_MANIFEST) or b"") if _MANIFEST in names else None
    except OSError as error:
        raise InputError(f"{files.name}: cannot be read ({error.strerror or error})") from None
    if content is None:
        if names:
            raise InputError(f"{files.name}: holds files that belong to no job; name a new or an empty folder")
        return None
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION or not manifest.keys() >= _FIELDS:
        raise InputError(f"{name}: not a job of this version; name another folder")
    return manifest


def _content(stream: RecordStream) -> dict[str, Any]:
    """What tells an input from a changed one; a copy elsewhere is the same."""
    try:
        with open_bytes(stream.path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"format": stream.form, "bytes": file.tell(), "sha256": digest}
    except FileNotFoundError:
        raise InputError(f"{stream.path}: no such file") from None
    except OSError as error:
        raise InputError(f"{stream.path}: cannot be read ({error.strerror or error})") from None


def _refuse_changes(files: JobFiles, what: str, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changes = [
        f"{what}{name} was {json.dumps(begun.get(name), ensure_ascii=False)} and is "
        f"{json.dumps(now.get(name), ensure_ascii=False)}"
        for name in {**begun, **now}
        if begun.get(name) != now.get(name)
    ]
    if changes:
        raise JobChangedError(
            f"{files.name} holds a job that began otherwise: {'; '.join(changes)}. Go on as it began, or name another "
            "folder"
        )


@contextmanager
def _writing(files: JobFiles) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{files.name}: cannot be written ({error.strerror or error})") from None
