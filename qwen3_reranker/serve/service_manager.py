"""Messages to the service manager that started the server, such as systemd: ready, stopping, alive."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(state: str) -> None:
    """Send a state of sd_notify(3), such as "READY=1"; without a service manager that listens, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # A name that begins with @ is no file: Linux's abstract names begin with a zero byte.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send(state.encode())


def notify_reloading() -> None:
    """Tell that the settings are read again, until the next "READY=1"."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds() -> int | None:
    """Whole seconds between two signs of life that the service manager asks for; None if it asks for none."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(limit) // 2_000_000


async def notify_alive() -> None:
    """Send a sign of life."""
    notify("WATCHDOG=1")
