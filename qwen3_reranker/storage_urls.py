"""Addresses of files on object storage, such as s3://bucket/pairs.parquet -> what reads and writes them, by fsspec."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from qwen3_reranker.errors import InputError, RerankerError, UnavailableError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# What is read of an object at once.
_BUFFER_BYTES = 1 << 20


def is_url(place: str | Path) -> TypeGuard[str]:
    """Whether a place is a URL, and no path of this machine."""
    return isinstance(place, str) and _URL.match(place) is not None


def protocol_of(url: str) -> str:
    """The part of a URL before ://."""
    return url.partition("://")[0].lower()


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path there.

    Raises InputError for a protocol that it does not know, and UnavailableError where a package is missing.
    """
    try:
        import fsspec
    except ImportError:
        raise UnavailableError(f"{url}: a URL needs fsspec: pip install 'qwen3_reranker[jobs]'") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        # Such as "Install s3fs to access S3".
        raise UnavailableError(f"{url}: {first_line(error)}") from None
    except ValueError as error:
        raise InputError(f"{url}: {first_line(error)}") from None
    except Exception as error:
        raise UnavailableError(f"{url}: {first_line(error)}") from None
    return system, path


def open_bytes(place: str) -> io.BufferedReader:
    """The file at a path or URL. Raises what opening one raises."""
    return open_url(place) if is_url(place) else open(place, "rb")


def open_url(url: str) -> io.BufferedReader:
    """The file at a URL, buffered. Raises what `file_system` raises, and OSError, now and where it is read."""
    system, path = file_system(url)
    with storage_errors_as_os_errors():
        try:
            raw = _StoredFile(system.open(path, "rb"))
        except FileNotFoundError as error:
            # fsspec says this of a web server that it cannot reach, or that answers otherwise than 404, too.
            cause = error.__cause__ or error
            if isinstance(cause, OSError) or getattr(cause, "status", 404) != 404:
                raise cause from None
            raise
    return io.BufferedReader(raw, _BUFFER_BYTES)


@contextmanager
def storage_errors_as_os_errors() -> Iterator[None]:
    """Raise OSError for the errors of the libraries behind fsspec, which have trees of their own."""
    try:
        yield
    except (OSError, RerankerError):
        raise
    except Exception as error:
        raise OSError(first_line(error)) from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class _StoredFile(io.RawIOBase):
    """A file of fsspec whose errors are OSErrors."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        with storage_errors_as_os_errors():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with storage_errors_as_os_errors():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
