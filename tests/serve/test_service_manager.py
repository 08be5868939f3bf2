"""What a service manager such as systemd is told, and the socket that it hands over."""

import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.serve.service_manager import notify, watchdog_seconds
from testing.live_server import server_process
from testing.patience import PATIENCE_SECONDS

# As systemd does: the socket is descriptor 3, and the environment names the process.
HANDED_OVER = (
    "import os, socket, sys; listening = socket.create_server(('127.0.0.1', 0));"
    "os.dup2(listening.fileno(), 3); os.set_inheritable(3, True);"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execvp(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.slow
def test_a_service_manager_is_told_of_the_start_of_life_of_a_reload_and_of_the_end(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("max_documents = 5\n", encoding="utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}

        def hear(expected: str) -> None:
            while (told := manager.recv(1000).decode()) != expected:
                assert told == "WATCHDOG=1" or told.startswith("RELOADING=1\nMONOTONIC_USEC="), told

        with server_process("--config", str(file), environment=environment) as server:
            assert manager.recv(1000) == b"READY=1"
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            file.write_text("max_documents = 6\n", encoding="utf-8")
            server.tell(signal.SIGHUP)
            hear("READY=1")
            server.tell(signal.SIGTERM)
            hear("STOPPING=1")
            assert server.wait() == 0


def test_an_abstract_name_is_told_as_well_and_without_a_service_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{tmp_path.name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path.name}")
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    for name in ("@nobody-listens", str(tmp_path / "none"), "vsock:2:1", ""):
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")


def test_signs_of_life_are_sent_if_they_are_asked_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert watchdog_seconds() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_seconds() == 15
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_seconds() is None


@pytest.mark.slow
def test_a_server_takes_the_socket_that_a_service_manager_hands_over() -> None:
    program = (sys.executable, "-c", HANDED_OVER, sys.executable, "-m", "qwen3_reranker")
    with server_process("--host", "192.0.2.1", "--allow-public", program=program) as server:
        assert httpx2.get(f"http://127.0.0.1:{server.port}/health/live").status_code == 200
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
