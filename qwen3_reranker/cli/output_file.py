"""-o FILE -> where a verb writes: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from qwen3_reranker.cli.terminal import note
from qwen3_reranker.errors import InputError

# Endings that promise a format: a file of that name in another one would mislead who opens it.
_FORMATS = ("json", "csv", "tsv", "npy", "trec", "parquet")


@contextmanager
def scratch_path(place: str, *, keep: bool = False) -> Iterator[Path]:
    """A new file FILE.part that takes the name `place` at the end. keep: after an error it stays, with a note.

    Raises InputError for what is no file, such as a pipe, and where no file can be written. A link stays one.
    """
    if not place:
        raise InputError("expected the name of a file after -o, got an empty one")
    # The file that a link leads to is replaced, and not the link.
    target = Path(os.path.realpath(place) if os.path.islink(place) else place)
    if target.is_dir():
        raise InputError(f"{place} is a folder: name a file")
    if is_special(place):
        raise InputError(f"{place} is a pipe or a device, which this format cannot be written to: name a file")
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
    """A stream of UTF-8 text to the file, or standard output for None. A pipe or a device is written to as it is.

    What is no Unicode, half of a surrogate pair alone, is written escaped, as on standard output.
    """
    if place is None:
        yield sys.stdout
        return
    with nullcontext(Path(place)) if is_special(place) else scratch_path(place, keep=keep) as path:
        try:
            file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        except OSError as error:
            raise InputError(f"{place}: cannot be written ({error.strerror or error})") from None
        with file:
            yield file


def is_special(place: str) -> bool:
    """Whether something of that name is neither a file nor a folder: a pipe or a device, as /dev/stderr."""
    return os.path.exists(place) and not os.path.isfile(place) and not os.path.isdir(place)


def format_of(given: str | None, place: str | None, endings: Mapping[str, str], otherwise: str) -> str:
    """The format that was named, or that of the file's ending, or `otherwise`.

    endings: the format for each ending of a file's name. Raises InputError for Parquet on stdout, and for the ending of
    a format that is not among them.
    """
    ending = os.path.splitext(place or "")[1].lower().removeprefix(".")
    if given is None and ending in _FORMATS and ending not in endings:
        known = ", ".join(f".{each}" for each in endings)
        raise InputError(f"{place}: .{ending} is not written here; call it {known}, or name its --format")
    form = given or endings.get(ending, otherwise)
    if form == "parquet" and place is None:
        raise InputError("Parquet is no text: name a file with -o FILE")
    return form
