"""The name of a file, or - for standard input -> its text."""

from __future__ import annotations

import sys
from pathlib import Path

from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import decoded

STDIN = "-"


def read_text(path: str) -> str:
    """A file's text, or that of standard input for `-`. Raises InputError if it is not there or not UTF-8 text."""
    return decoded(read_bytes(path), "stdin" if path == STDIN else path)


def read_bytes(path: str) -> bytes:
    """A file's bytes, or those of standard input for `-`. Raises InputError if it cannot be read."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed, so - cannot be read")
        if on_terminal(sys.stdin):
            note("reading from the terminal; end with Ctrl-D")
        return sys.stdin.buffer.read()
    if not path:
        raise InputError("expected the name of a file or folder, got an empty one")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
