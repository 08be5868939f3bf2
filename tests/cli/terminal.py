"""A process on a terminal of our own: what it wrote, and how many columns it was told it has."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

_UNSET = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")


def on_terminal(
    arguments: Sequence[str],
    *,
    columns: int,
    environment: Mapping[str, str] | None = None,
    with_stderr: bool = False,
    enter_after: str | None = None,
    interrupt_after: str | None = None,
) -> str:
    """What `python ARGUMENTS` shows on a terminal that wide, lines ending with \\n; its stderr too if asked.

    enter_after: Enter is pressed, unseen, once this is shown; it must be. interrupt_after: so is Ctrl-C, and ends it.
    """
    leader, follower = pty.openpty()
    awaited = enter_after or interrupt_after
    if awaited is not None:
        settings = termios.tcgetattr(follower)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(follower, termios.TCSANOW, settings)
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
    shown, entered = b"", awaited is None
    while True:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # Linux says so when the last process has closed its end
            break
        if not piece:
            break
        shown += piece
        if not entered and awaited is not None and awaited.encode() in shown:
            if interrupt_after is not None:
                process.send_signal(signal.SIGINT)
            else:
                os.write(leader, b"\n")
            entered = True
    os.close(leader)
    assert process.wait() == (130 if interrupt_after is not None else 0), shown.decode()
    assert entered, shown.decode()
    return shown.decode().replace("\r\n", "\n")
