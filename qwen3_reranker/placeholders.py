"""The first bytes of a file -> what a failed download saved in its place."""

from __future__ import annotations

#: As many bytes as `placeholder` looks at.
NUM_BYTES = 64
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<error")


def placeholder(beginning: bytes) -> str:
    """What lies there instead of the file, and what to do. An empty text where nothing is known to be wrong."""
    if beginning.startswith(_POINTER):
        return (
            "a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or fetch the file from the Hub"
        )
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a web page, not the file itself, as an error or a login page is saved under its name: fetch it again"
    return ""
