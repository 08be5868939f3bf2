"""Listening: the socket that a server listens on: an address, a unix socket, or the one that systemd hands over."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.serve.settings import ServerSettings

# Connections that are not accepted yet: enough that a burst gets 503 and not a closed connection.
_BACKLOG = 2048
# Readable and writable for the user and the group of the server, such as those of a proxy.
_UNIX_SOCKET_MASK = 0o117
_FIRST_INHERITED = 3
# As in linux/filter.h and asm-generic/socket.h: load byte 13 of the TCP header, its flags, keep SYN and ACK of them,
# and drop a packet with SYN alone.
_SO_ATTACH_FILTER = 26
_DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


@dataclass(frozen=True)
class Listening:
    """A listening socket. file: device and number of a unix socket's file. is_inherited: systemd goes on listening."""

    socket: socket.socket
    file: tuple[int, int] | None = None
    is_inherited: bool = False

    @property
    def address(self) -> str:
        """What clients connect to: http://HOST:PORT or unix:PATH."""
        name = self.socket.getsockname()
        if not isinstance(name, tuple):
            return f"unix:{name}"
        return f"http://{f'[{name[0]}]' if ':' in name[0] else name[0]}:{name[1]}"

    @property
    def port(self) -> int:
        """The port of an address."""
        return int(self.socket.getsockname()[1])

    def refuse_new(self) -> None:
        """From now on clients cannot connect; connections that are queued stay so.

        On Linux alone; elsewhere new connections come until `close`.
        """
        if self.is_inherited:
            return
        if self.file:
            path = self.socket.getsockname()
            with suppress(FileNotFoundError):
                # Another server may have put its own there.
                if _file_at(path) == self.file:
                    os.unlink(path)
        elif sys.platform == "linux":
            # Without its SYN a connection does not begin, and the client's system tries again, until `close` refuses.
            program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
            pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

    def close(self) -> None:
        """Close the socket, and remove a unix socket's file."""
        if self.socket.fileno() >= 0:
            self.refuse_new()
            self.socket.close()

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def listen_as_set(settings: ServerSettings) -> Listening:
    """The socket of these settings. Raises UnavailableError if it cannot be had."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return Listening(socket.socket(fileno=_FIRST_INHERITED), is_inherited=True)
    if settings.unix_socket:
        return listen_unix(settings.unix_socket)
    return listen(settings.host, settings.port)


def listen(host: str, port: int) -> Listening:
    """Listen on an address. Raises UnavailableError for one that is taken or not of this machine."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return Listening(socket.create_server((host, port), family=family, backlog=_BACKLOG))
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another with --port"
        ) from None


def listen_unix(path: str) -> Listening:
    """Listen on a unix socket, for the user and the group of this process; replace one that nobody listens on.

    Raises UnavailableError for one that a server listens on, for another file, and for a folder that is not writable.
    """
    listening = socket.socket(socket.AF_UNIX)
    mask = os.umask(_UNIX_SOCKET_MASK)
    try:
        _remove_stale(path)
        listening.bind(path)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UnavailableError(f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    return Listening(listening, _file_at(path))


def _file_at(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(None, "there is a file that is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
        return
    raise FileExistsError(None, "another server listens there")
