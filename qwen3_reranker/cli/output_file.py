"""-o FILE -> where a verb writes: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from qwen3_reranker.cli.terminal import note
from qwen3_reranker.errors import InputError


@contextmanager
def scratch_path(place: str, *, keep: bool = False) -> Iterator[Path]:
    """A new file FILE.part that takes the name `place` at the end. keep: after an error it stays, with a note."""
    target = Path(place)
    if not target.name or target.is_dir():
        raise InputError(f"{place or 'an empty name'} is a folder: name a file")
    scratch = target.with_name(f"{target.name}.part")
    try:
        scratch.touch()
    except (OSError, ValueError) as error:
        raise InputError(f"{place}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    try:
        yield scratch
        os.replace(scratch, target)
    except BaseException:
        if keep and scratch.stat().st_size:
            note(f"what was done so far is in {scratch}")
        else:
            scratch.unlink(missing_ok=True)
        raise


@contextmanager
def text_output(place: str | None, *, keep: bool = False) -> Iterator[TextIO]:
    """A stream of UTF-8 text to the file, or standard output for None."""
    if place is None:
        yield sys.stdout
        return
    with scratch_path(place, keep=keep) as scratch, scratch.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def format_of(given: str | None, place: str | None, endings: Mapping[str, str], otherwise: str) -> str:
    """The format that was named, or that of the file's ending, or `otherwise`. Raises InputError for Parquet on stdout.

    endings: the format for each ending of a file's name.
    """
    form = given or endings.get(os.path.splitext(place or "")[1].lower().removeprefix("."), otherwise)
    if form == "parquet" and place is None:
        raise InputError("Parquet is no text: name a file with -o FILE")
    return form
