"""Threads that leave Ctrl-C to the thread that waits."""

from __future__ import annotations

import signal
from threading import Thread


def start_uninterrupted(thread: Thread) -> None:
    """Start a thread that no SIGINT reaches, nor those that it starts: threads inherit what is blocked.

    A signal that another thread took would not end what the main one waits in.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
