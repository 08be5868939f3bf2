"""Zip archives of XML, as office documents are -> their members and events of XML, bounded against bombs."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from xml.parsers import expat

from qwen3_reranker.errors import InputError

#: What is read of one archive at most, unpacked.
MAX_UNPACKED_BYTES = 256 << 20
_AT_ONCE = 1 << 16


class ZippedFiles:
    """The members of a zip archive, by name."""

    def __init__(self, content: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(content))
        self._left = MAX_UNPACKED_BYTES

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises KeyError if it is not there, InputError for MAX_UNPACKED_BYTES in all."""
        # A member that is longer than the archive says is cut there.
        self._take(self._archive.getinfo(name).file_size)
        return self._archive.read(name)

    def read_if_there(self, name: str) -> bytes:
        """As `read`, and no bytes if the member is not there."""
        return self.read(name) if name in self else b""

    def refuse_bomb(self) -> None:
        """Raise InputError if all members together are larger than MAX_UNPACKED_BYTES."""
        self._take(sum(member.file_size for member in self._archive.infolist()))

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InputError(f"larger than {MAX_UNPACKED_BYTES >> 20} MiB when unpacked")


class XmlEvent(NamedTuple):
    """kind: start, end or text. name: of the element, or the text. Names have no namespace."""

    kind: str
    name: str
    attributes: Mapping[str, str]


def xml_events(content: bytes, without: Collection[str] = ()) -> Iterator[XmlEvent]:
    """The elements and texts of an XML file; elements named in `without` are left out with all in them.

    Raises InputError for declarations of entities, with which small files become endless, and expat.ExpatError.
    """
    events: list[XmlEvent] = []
    left_out = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal left_out
        local = name.rpartition(" ")[2]
        if left_out or local in without:
            left_out += 1
        else:
            local_attributes = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
            events.append(XmlEvent("start", local, local_attributes))

    def end(name: str) -> None:
        nonlocal left_out
        if left_out:
            left_out -= 1
        else:
            events.append(XmlEvent("end", name.rpartition(" ")[2], {}))

    def text(data: str) -> None:
        if not left_out:
            events.append(XmlEvent("text", data, {}))

    def entity(*_: object) -> None:
        raise InputError("XML that declares entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.EntityDeclHandler = entity
    for begin in range(0, len(content), _AT_ONCE):
        parser.Parse(content[begin : begin + _AT_ONCE], begin + _AT_ONCE >= len(content))
        yield from events
        events.clear()


def main_member(files: ZippedFiles) -> str:
    """The member that an Office Open XML file begins with. Raises KeyError if there is none."""
    return dict(relations(files, "").values())["officeDocument"]


def relations(files: ZippedFiles, of: str) -> dict[str, tuple[str, str]]:
    """What a member of an Office Open XML file refers to: id -> (last word of its type, name of the member)."""
    folder, name = posixpath.split(of)
    found = {}
    for kind, element, attributes in xml_events(files.read_if_there(f"{folder}/_rels/{name}.rels".lstrip("/"))):
        if kind == "start" and element == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
            found[attributes.get("Id", "")] = (attributes.get("Type", "").rpartition("/")[2], target)
    return found
