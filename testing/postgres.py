"""A real Postgres server that can stop and start, and a connection that can break."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from threading import Event, Thread

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """The path of a Postgres program, None if it is missing."""
    return shutil.which(name) or next((str(each / name) for each in _FOLDERS if (each / name).exists()), None)


class Postgres:
    """One server, reached through a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        # The server refuses to run as root; the user nobody may own this folder.
        self._user = {"user": "nobody"} if os.geteuid() == 0 else {}
        self._folder = folder
        if self._user:
            shutil.chown(folder, "nobody")
        options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"]
        self._run("initdb", *options, "-D", str(folder / "data"))
        self.start()

    @property
    def socket(self) -> Path:
        """The socket itself."""
        return self._folder / ".s.PGSQL.5432"

    def url(self, database: str, folder: Path | None = None) -> str:
        """The address of a database, through a socket in another folder if one is named."""
        return f"postgresql://postgres@/{database}?host={folder or self._folder}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", str(self._folder / "data"), "-o", options)

    def stop(self) -> None:
        """Stop at once, as if the power had gone."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._folder / "data"))

    def create(self, database: str) -> str:
        """A new database; gives its address."""
        self._run("psql", "-h", str(self._folder), "-U", "postgres", "-c", f"CREATE DATABASE {database}")
        return self.url(database)

    def _run(self, name: str, *arguments: str) -> None:
        path = program(name)
        assert path
        log = self._folder / "log"
        with log.open("ab") as output:
            subprocess.run([path, *arguments], check=True, cwd="/", stdout=output, stderr=output, **self._user)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    # Only the owner can enter pytest's folders, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = Postgres(folder)
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class CutLine:
    """Passes bytes to a server while `open` is set.

    If `cut_at` is set, it cuts the line once at a commit: "before" it arrives, or "after" it and before the reply.
    """

    def __init__(self, server: Postgres) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="line-"))
        self.cut_at: str | None = None
        self.open = Event()
        self.open.set()
        self._target = str(server.socket)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._target)
            while True:
                ready, _, _ = select([client, server], [], [])
                self.open.wait()
                if client in ready:
                    sent = client.recv(1 << 16)
                    if self.cut_at is not None and b"COMMIT\0" in sent:
                        when, self.cut_at = self.cut_at, None
                        if when == "after":
                            server.sendall(sent)
                            server.recv(1 << 16)  # by now it is written, and the client never hears of it
                        return
                    if not sent:
                        return
                    server.sendall(sent)
                if server in ready:
                    received = server.recv(1 << 16)
                    if not received:
                        return
                    client.sendall(received)
