"""TextExtractor: files of `DOCUMENTS` -> their text, in a process of its own that may crash, hang or want memory."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from qwen3_reranker.documents.document_readers import read_document
from qwen3_reranker.documents.extracted_text import ExtractedText
from qwen3_reranker.documents.kinds import document_kind, is_readable
from qwen3_reranker.errors import InputError, UnavailableError

#: A larger file is left out.
MAX_DOCUMENT_BYTES = 128 << 20
#: How long reading one file may take, and how much memory.
MAX_SECONDS, MAX_MEMORY_BYTES = 60.0, 2 << 30
EXTRA = "pip install 'qwen3_reranker[documents]'"
# How a process ends at its limit of processor time; Windows has no such limit.
_OUT_OF_TIME = -signal.SIGXCPU if hasattr(signal, "SIGXCPU") else None
_LENGTH = struct.Struct("<Q")
_READY, _TEXT, _REASON = b"\0", b"\1", b"\2"


class TextExtractor:
    """Reads one file after another in one process, which is started when it is first needed and after each death.

    seconds, memory_bytes: what one file may take. Any thread may use it, one at a time. The last text is remembered,
    also when it is closed; a closed one may be used again.
    """

    def __init__(self, seconds: float = MAX_SECONDS, memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._last: tuple[bytes, ExtractedText] | None = None

    def text(self, content: bytes, name: str) -> ExtractedText:
        """The text of a file for which `document_kind` is not empty.

        Raises InputError that says why a file is left out, in words that fit many files, and UnavailableError if no
        process can be started here.
        """
        kind = document_kind(content, name)
        if not is_readable(kind):
            raise InputError(f"{kind} ({EXTRA})")
        if len(content) > MAX_DOCUMENT_BYTES:
            raise InputError(f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
        digest = hashlib.sha256(kind.encode())
        digest.update(content)
        with self._lock:
            if self._last is not None and self._last[0] == digest.digest():
                return self._last[1]
            process = self._process = self._process or self._started()
            is_late = threading.Event()

            def stop() -> None:
                is_late.set()
                process.kill()

            timer = threading.Timer(self._seconds, stop)
            timer.daemon = True
            timer.start()
            try:
                answer = _asked(process, content, name)
            except BaseException:
                # Ctrl-C: its answer must not be taken for that of the next file.
                self._end()
                raise
            finally:
                timer.cancel()
            if answer is None or is_late.is_set():
                self._end()
        if answer is None:
            if is_late.is_set() or process.returncode == _OUT_OF_TIME:
                raise InputError(f"{kind} that takes longer than {self._seconds:g} s to read")
            # The library that read it ended the process: no memory, or a fault.
            raise InputError(f"{kind} that is damaged or needs too much memory")
        if answer[:1] == _REASON:
            raise InputError(answer[1:].decode())
        extracted = ExtractedText.of_json(answer[1:])
        self._last = digest.digest(), extracted
        return extracted

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        # The same path, as the current folder may hold another qwen3_reranker; a session of its own, so that Ctrl-C
        # reaches only the process that started it.
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({self._limits!r})"
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"no process can be started to read documents ({error.strerror or error})") from None
        assert process.stdout is not None
        if _message(process.stdout) != _READY:
            process.kill()
            raise UnavailableError("the process that reads documents does not start")
        return process

    @property
    def _limits(self) -> tuple[int, int]:
        return int(self._seconds) + 1, self._memory_bytes

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


def serve(limits: tuple[int, int]) -> None:
    """The process: reads names and contents of files from stdin, and answers on stdout until that closes."""
    seconds, memory_bytes = limits
    # What a library prints must not come between the answers.
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_memory(memory_bytes)
    with suppress(BrokenPipeError, KeyboardInterrupt):
        _send(target, _READY)
        while (name := _message(source)) is not None and (content := _message(source)) is not None:
            _limit_time(seconds)
            try:
                answer = _TEXT + read_document(content, name.decode()).to_json()
            except InputError as error:
                answer = _REASON + str(error).encode()
            except MemoryError:
                answer = _REASON + b"document that needs too much memory"
            _send(target, answer)


def _limit_memory(most: int) -> None:
    """Limit memory, and write no files. Not every system limits everything, and Windows nothing."""
    with suppress(ImportError):
        import resource

        for what, limit in ((resource.RLIMIT_AS, most), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
            with suppress(ValueError, OSError):
                resource.setrlimit(what, (limit, limit))


def _limit_time(seconds: int) -> None:
    """End this process after so many more seconds of processor time, should the other one have died."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        spent = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _asked(process: subprocess.Popen[bytes], content: bytes, name: str) -> bytes | None:
    """The answer of the process, None if it died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        _send(process.stdin, name.encode("utf-8", "replace"))
        _send(process.stdin, content)
    except BrokenPipeError:
        return None
    return _message(process.stdout)


def _send(target: IO[bytes], message: bytes) -> None:
    target.write(_LENGTH.pack(len(message)))
    target.write(message)
    target.flush()


def _message(source: IO[bytes]) -> bytes | None:
    """What `_send` sent, None at the end."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    [length] = _LENGTH.unpack(head)
    message = source.read(length)
    return message if len(message) == length else None
