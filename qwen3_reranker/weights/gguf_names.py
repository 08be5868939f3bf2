"""Names of GGUF files -> models, their parts, and the one of a quantisation.

As llama.cpp chooses: common/download.cpp and src/llama.cpp of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.ASCII | re.DOTALL)
# Files next to models that are none: projectors of images, importances of weights, heads that predict further words.
_BESIDE = ("mmproj", "imatrix", "mtp-")
# The end of a name that says how its numbers are stored.
_QUANTISATION = re.compile(r"[-._]((?:UD-)?(?:I?Q\d|TQ\d|B?F16|F32|MXFP4)\w*)$", re.ASCII | re.IGNORECASE)


def parts(name: str) -> list[str]:
    """The names of all parts of this part's model, in order. A model in one file has its own."""
    found = _part(name)
    if found is None:
        return [name]
    return [f"{found[1]}-{number:05}-of-{found[3]}.gguf" for number in range(1, int(found[3]) + 1)]


def models(names: Iterable[str]) -> list[str]:
    """One name a model, that of its first part, sorted. Companion files only if there is nothing else."""
    every = sorted({_first(name) for name in names})
    return [name for name in every if not any(word in name.rpartition("/")[2] for word in _BESIDE)] or every


def with_quantisation(names: Iterable[str], tag: str) -> list[str]:
    """The names that end with the quantisation. If none does, those that hold it as a word."""
    every = list(names)
    ending = re.compile(rf"(?:^|[-._/]){re.escape(tag)}$", re.IGNORECASE)
    holding = re.compile(rf"(?:^|[-._/]){re.escape(tag)}(?:[-./]|$)", re.IGNORECASE)
    return [name for name in every if ending.search(_stem(name))] or [
        name for name in every if holding.search(_stem(name))
    ]


def quantisation(name: str) -> str:
    """The quantisation that the name ends with, or an empty text."""
    found = _QUANTISATION.search(_stem(name))
    return found[1] if found else ""


def _part(name: str) -> re.Match[str] | None:
    found = _PART.fullmatch(name)
    return found if found and 1 <= int(found[2]) <= int(found[3]) else None


def _first(name: str) -> str:
    found = _part(name)
    return f"{found[1]}-00001-of-{found[3]}.gguf" if found else name


def _stem(name: str) -> str:
    found = _part(name)
    return found[1] if found else name.removesuffix(".gguf")
