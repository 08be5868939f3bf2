"""A job's folder: what the job is (`_job.json`), its parts, and which of them are done.

A part is `part-00012.jsonl`. It gets that name when it is whole and on the disk. A part that has its name is done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.errors import InputError, JobChangedError, UnavailableError
from qwen3_reranker.jobs.pairs import Pair, PairOptions, pairs_of, pairs_with_queries_whole
from qwen3_reranker.weights.replaced_file import PARTIAL, replacing

# Readers of Parquet folders leave out names that begin with _ or a dot.
_MANIFEST, _LOCK = "_job.json", ".lock"
_VERSION = 1

Records = Sequence[Mapping[str, Any]]
#: Opens a new file of records like these, and gives what writes records to it.
OpenRecords = Callable[[Path, Records], AbstractContextManager[Callable[[Records], None]]]


class JobFolder:
    """A job that is new, or that went on before. Use `opened`, which holds the lock.

    counts: the rows of each part. done: whether each part was done when the folder was opened.
    """

    def __init__(self, folder: Path, stream: RecordStream, options: PairOptions, form: str, counts: list[int]) -> None:
        self.folder, self.counts = folder, counts
        self._stream, self._options, self._form = stream, options, form
        self._first: Records = []
        self.done = [self._path(number).exists() for number in range(len(counts))]

    @property
    def rows_done(self) -> int:
        """Rows of the parts that were done when the folder was opened."""
        return sum(count for count, done in zip(self.counts, self.done, strict=True) if done)

    def parts_left(self) -> Iterator[tuple[int, list[Pair]]]:
        """The number and the pairs of each part that is not done, in the order of the input."""
        if all(self.done):
            return
        pairs = pairs_of(self._stream, self._options)
        last = max(number for number, done in enumerate(self.done) if not done)
        for number, count in enumerate(self.counts[: last + 1]):
            part = list(islice(pairs, count))
            if not number:
                self._first = [pair.record for pair in part]
            if not self.done[number]:
                yield number, part

    def write(self, number: int, records: Records, open_records: OpenRecords) -> None:
        """Write a part, whole or not at all. All parts have the columns of the first."""
        try:
            path = self._path(number)
            partial = path.with_name(f".{path.name}{PARTIAL}")
            with open_records(partial, self._first) as write:
                write(records)
            _flush_to_disk(partial)
            partial.rename(path)
            _flush_to_disk(self.folder)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror or error})") from None

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.{self._form}"


@contextmanager
def opened(
    folder: Path,
    stream: RecordStream,
    options: PairOptions,
    form: str,
    part_rows: int,
    settings: Callable[[], Mapping[str, Any]],
) -> Iterator[JobFolder]:
    """The folder of a job, made if it is new, for this process alone.

    form: the format of the parts. settings: everything else that the parts depend on; called once the input is checked.
    Raises JobChangedError where the folder holds a job of another input or other settings, InputError for a bad record,
    which is found before anything is written, and UnavailableError where another process works on the job.
    """
    if stream.reads_once:
        raise InputError("a job reads its input again when it goes on, so it cannot be a pipe; name a file")
    written = _manifest(folder)
    if written is None and folder.is_dir() and any(each.name != _LOCK for each in folder.iterdir()):
        raise InputError(f"{folder}: holds files that belong to no job; name a new or an empty folder")
    fields = {"query_field": options.query_field, "document_field": options.document_field}
    about = {"format": form, "part_rows": part_rows, **fields}
    content = _content(stream)
    if written is None:
        counts = [len(part) for part in pairs_with_queries_whole(pairs_of(stream, options), part_rows)]
        manifest = {"version": _VERSION, "input": content, "settings": {**about, **settings()}, "parts": counts}
    else:
        # An input that has not changed was checked when the job began.
        _refuse_changes(folder, "input ", written["input"], content)
        _refuse_changes(folder, "", written["settings"], {**about, **settings()})
        manifest, counts = written, written["parts"]
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(_one_process(folder))
            if written is None:
                with replacing(folder / _MANIFEST) as partial:
                    partial.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
                    _flush_to_disk(partial)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from None
        yield JobFolder(folder, stream, options, form, counts)


def _manifest(folder: Path) -> dict[str, Any] | None:
    """What the folder says of its job, or None for a new one."""
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"{folder} is a file: name a folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION:
        raise InputError(f"{path}: not a job of this version; name another folder")
    return manifest


def _content(stream: RecordStream) -> dict[str, Any]:
    """What tells an input from a changed one; a copy elsewhere is the same."""
    try:
        with open(stream.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"format": stream.form, "bytes": file.tell(), "sha256": digest}
    except FileNotFoundError:
        raise InputError(f"{stream.path}: no such file") from None
    except OSError as error:
        raise InputError(f"{stream.path}: cannot be read ({error.strerror or error})") from None


def _refuse_changes(folder: Path, what: str, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changes = [
        f"{what}{name} was {json.dumps(begun.get(name), ensure_ascii=False)} and is "
        f"{json.dumps(now.get(name), ensure_ascii=False)}"
        for name in {**begun, **now}
        if begun.get(name) != now.get(name)
    ]
    if changes:
        raise JobChangedError(
            f"{folder} holds a job that began otherwise: {'; '.join(changes)}. Go on as it began, or name another "
            "folder"
        )


@contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """The lock of the job. It ends with the process that holds it, however that dies."""
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UnavailableError(f"{folder}: another process works on this job") from None
        yield


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
