"""The title that an office document gives itself."""

from __future__ import annotations

from qwen3_reranker.documents.zipped_xml import ZippedFiles, xml_events

# In Office Open XML, and in OpenDocument.
_MEMBERS = ("docProps/core.xml", "meta.xml")


def office_title(files: ZippedFiles) -> str:
    """The title among the properties, empty if there is none."""
    content = next(filter(None, map(files.read_if_there, _MEMBERS)), b"")
    title, inside = "", False
    for kind, name, _ in xml_events(content):
        if kind == "text":
            title += name if inside else ""
        elif name == "title":
            inside = kind == "start"
    return title
