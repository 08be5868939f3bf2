"""A process on a terminal of our own: what it wrote, and how many columns it was told it has."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

_UNSET = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")


def on_terminal(
    arguments: Sequence[str], *, columns: int, environment: Mapping[str, str] | None = None, with_stderr: bool = False
) -> str:
    """What `python ARGUMENTS` shows on a terminal that wide, lines ending with \\n; its stderr too if asked."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in _UNSET}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower if with_stderr else None,
        env={**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(environment or {})},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # Linux says so when the last process has closed its end
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(timeout=30) == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")
