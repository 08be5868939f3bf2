"""Where the files of a job are: a folder of this machine, or one on object storage. A file is there whole or not."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.lease import held_lease
from qwen3_reranker.storage_urls import file_system, is_url, protocol_of, storage_errors_as_os_errors
from qwen3_reranker.weights.replaced_file import PARTIAL

# Storage on which a new object is seen when all of it is there. Elsewhere a crash would leave half a part.
_ATOMIC = ("s3", "gs")
# Readers of Parquet folders leave out names that begin with a dot.
_LOCK = ".lock"


class JobFiles(Protocol):
    """The files of one job. Errors of the place are OSErrors.

    name: what messages call it.
    """

    name: str

    def names(self) -> set[str]:
        """The names that begin with no dot; none where there is no folder. Raises InputError where it is a file."""

    def read(self, name: str) -> bytes | None:
        """A file's content, None where it is not there."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet. False where it is."""

    def written(self, name: str) -> AbstractContextManager[Path]:
        """A file of this machine to write. At the end it, or a copy, gets the name."""

    def held(self) -> AbstractContextManager[Callable[[], None]]:
        """The folder, made if need be, for this process alone.

        Yields what raises UnavailableError once it is no longer. Raises it where another process has the folder.
        """


def job_files(place: str) -> JobFiles:
    """The files at a path or URL. Raises InputError and UnavailableError for a URL that cannot be used."""
    if not is_url(place):
        return DiskFiles(Path(place))
    protocol = protocol_of(place)
    if protocol not in ("file", "memory", *_ATOMIC):
        known = " or ".join(f"{each}://" for each in _ATOMIC)
        raise InputError(f"{place}: parts go to a folder of this machine, or to {known}, where none is seen half")
    system, path = file_system(place)
    if protocol == "file":
        return DiskFiles(Path(path))
    return StoredFiles(place.rstrip("/"), system, path.rstrip("/"))


class DiskFiles:
    """A folder of this machine. Its lock ends with the process that holds it, however that dies."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.name = folder, str(folder)

    def names(self) -> set[str]:
        try:
            return {each.name for each in self._folder.iterdir() if not each.name.startswith(".")}
        except FileNotFoundError:
            return set()
        except NotADirectoryError:
            raise InputError(f"{self.name} is a file: name a folder") from None

    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def create(self, name: str, content: bytes) -> bool:
        if (self._folder / name).exists():
            return False
        with self.written(name) as partial:
            partial.write_bytes(content)
        return True

    @contextmanager
    def written(self, name: str) -> Iterator[Path]:
        partial = self._folder / f".{name}{PARTIAL}"
        yield partial
        _flush_to_disk(partial)
        partial.rename(self._folder / name)
        _flush_to_disk(self._folder)

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnavailableError(f"{self.name}: another process works on this job") from None
            yield lambda: None


class StoredFiles:
    """A folder on object storage, reached by fsspec.

    Its lock is a lease. The lease is an object with a number in its name, and whoever finds the last one run out makes
    the next, which only one can: so no object has to be changed on a condition, which few storages can do.
    """

    def __init__(self, name: str, system: Any, path: str) -> None:
        self.name, self._system, self._path = name, system, path
        self._holder, self._number = uuid.uuid4().hex, 0

    def names(self) -> set[str]:
        return {name for name in self._names(self._path) if not name.startswith(".")}

    def read(self, name: str) -> bytes | None:
        with storage_errors_as_os_errors():
            try:
                content: bytes = self._system.cat_file(f"{self._path}/{name}")
            except FileNotFoundError:
                return None
            return content

    def create(self, name: str, content: bytes) -> bool:
        try:
            with storage_errors_as_os_errors():
                self._system.pipe_file(f"{self._path}/{name}", content, mode="create")
        except OSError:
            # There is no error that all storages have for this.
            if self.read(name) is None:
                raise
            return False
        return True

    @contextmanager
    def written(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="qwen3-reranker-") as folder:
            local = Path(folder, name)
            yield local
            with storage_errors_as_os_errors():
                self._system.put_file(str(local), f"{self._path}/{name}")

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        busy = f"{self.name}: another process works on this job, or died less than a minute ago; try again then"
        lost = f"{self.name}: storage did not answer for so long that another process may work on this job; try again"
        with held_lease(self, busy=busy, lost=lost, wait=0) as refuse_if_lost:
            yield refuse_if_lost

    def take(self, expires: float) -> bool:
        """As LeaseKeeper."""
        with _unavailable(self.name):
            numbers = self._numbers()
            if numbers and self._lease(numbers[-1]).get("expires", 0.0) >= time.time():
                return False
            self._number = (numbers or [0])[-1] + 1
            taken = self.create(_lock_name(self._number), self._content(expires))
            for number in numbers if taken else ():
                self._system.rm_file(f"{self._path}/{_lock_name(number)}")
            return taken

    def renew(self, expires: float) -> bool:
        """As LeaseKeeper."""
        with _unavailable(self.name):
            is_held = self._numbers()[-1:] == [self._number] and self._lease(self._number).get("holder") == self._holder
            if is_held:
                self._system.pipe_file(f"{self._path}/{_lock_name(self._number)}", self._content(expires))
            return is_held

    def give_back(self) -> None:
        """As LeaseKeeper."""
        self.renew(0.0)

    def _names(self, folder: str) -> list[str]:
        with storage_errors_as_os_errors():
            self._system.invalidate_cache()
            try:
                found = self._system.ls(folder, detail=False)
            except FileNotFoundError:
                return []
            # The page of a storage makes an empty folder by an object of its name and a slash.
            return sorted(path.rpartition("/")[2] for path in found if not path.endswith("/"))

    def _numbers(self) -> list[int]:
        """The numbers of the leases, the last one being that which counts. They have a folder, as parts are many."""
        return [int(name) for name in self._names(f"{self._path}/{_LOCK}") if name.isdecimal()]

    def _lease(self, number: int) -> Any:
        return json.loads(self.read(_lock_name(number)) or b"{}")

    def _content(self, expires: float) -> bytes:
        return json.dumps({"holder": self._holder, "expires": expires}).encode()


def _lock_name(number: int) -> str:
    return f"{_LOCK}/{number:010d}"


@contextmanager
def _unavailable(name: str) -> Iterator[None]:
    try:
        with storage_errors_as_os_errors():
            yield
    except OSError as error:
        raise UnavailableError(f"{name}: the lease to write cannot be taken ({error})") from error


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
