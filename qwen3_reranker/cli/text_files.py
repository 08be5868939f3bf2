"""Bytes of a file or of standard input -> text, UTF-8 only; what is not text is named with its line."""

from __future__ import annotations

import sys
from pathlib import Path

from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.errors import InputError

STDIN = "-"


def read_text(path: str) -> str:
    """A file's text, or that of standard input for `-`; raises InputError if it is not there or not UTF-8 text."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed, so - cannot be read")
        if on_terminal(sys.stdin):
            note("reading from the terminal; end with Ctrl-D")
        return decoded(sys.stdin.buffer.read(), "stdin")
    if not path:
        raise InputError("expected the name of a file or folder, got an empty one")
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return decoded(content, path)


def decoded(content: bytes, name: str) -> str:
    """UTF-8 bytes as text with `\\n` ends of line, without a byte-order mark; raises InputError for anything else."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{name}: expected UTF-8, got UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
    if is_binary(content):
        raise InputError(f"{name}: expected text, got a binary file (it holds NUL bytes)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name}:{line}: expected UTF-8, got the byte 0x{content[error.start]:02x}; "
            "convert it, e.g. iconv -f LATIN1 -t UTF-8"
        ) from None
    # Not str.splitlines: it also breaks at form feeds and U+2028, and line numbers must be those of an editor.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_binary(content: bytes) -> bool:
    """Whether no text editor would have written this, by the rule that git and grep use."""
    return b"\0" in content
