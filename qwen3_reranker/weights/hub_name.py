"""What people type for a model of the Hub -> repository, file or quantisation, revision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = rf"(?P<repository>{_NAME}/{_NAME})"
_FILE = rf"(?P<file>(?:{_NAME}/)*{_NAME}\.gguf)"
_TAG = r"(?P<tag>[A-Za-z][\w-]{0,31})"
_PLAIN = re.compile(rf"{_REPOSITORY}(?::(?:{_FILE}|{_TAG}))?", re.ASCII)
# hf:owner/name, hf://owner/name@revision/file.gguf, hf.co/owner/name, https://huggingface.co/owner/name.
_PREFIX = re.compile(r"(?P<scheme>hf:(?://)?)|(?P<web>https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_WITH_FILE = re.compile(rf"{_REPOSITORY}(?:@(?P<revision>[^/:@]+))?(?:[/:]{_FILE}|:{_TAG})?/?", re.ASCII)
_ADDRESS = re.compile(
    rf"{_REPOSITORY}(?:/(?:tree|blob|resolve|raw)/(?P<revision>refs/pr/\d+|[^/:]+)(?:/(?P<file>[^:]+?))?)?/?", re.ASCII
)
_REVISION = re.compile(r"(?!.*\.\.)[\w./-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubName:
    """A model of the Hub. file: its path in the repository. tag: a quantisation, such as Q8_0. At most one is given."""

    repository: str
    file: str = ""
    tag: str = ""
    revision: str | None = None


def read_hub_name(name: str) -> HubName | None:
    """The model of the Hub that `name` means in any form that people write. None for no such form."""
    prefix = _PREFIX.match(name)
    if prefix is None:
        # A path of this form is one of this machine.
        found = None if name.endswith(".gguf") and ":" not in name else _PLAIN.fullmatch(name)
        return _made(found, None)
    rest, revision = name[prefix.end() :], None
    if prefix["scheme"]:
        # node-llama-cpp writes the branch after a #.
        rest, _, revision = rest.partition("#")
        return _made(_WITH_FILE.fullmatch(rest), revision or None)
    if prefix["web"]:
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    return _made(_ADDRESS.fullmatch(rest), None) or _made(_WITH_FILE.fullmatch(rest), None)


def is_address(name: str) -> bool:
    """Whether it is a web address of the Hub."""
    prefix = _PREFIX.match(name)
    return prefix is not None and prefix["web"] is not None


def is_server(name: str) -> bool:
    """Whether it is the address of a rerank server: a web address that is none of the Hub."""
    return name.lower().startswith(("http://", "https://")) and not is_address(name)


def _made(found: re.Match[str] | None, revision: str | None) -> HubName | None:
    if found is None:
        return None
    groups = found.groupdict()
    revision = revision or groups.get("revision")
    revision = unquote(revision) if revision is not None else None
    file = unquote(groups.get("file") or "")
    parts = [groups["repository"].partition("/")[0], *file.split("/")]
    if (revision is not None and _REVISION.fullmatch(revision) is None) or ".." in parts or not file.isprintable():
        return None
    return HubName(groups["repository"], file, groups.get("tag") or "", revision)
