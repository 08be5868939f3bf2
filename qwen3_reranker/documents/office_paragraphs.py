"""The XML of texts and slides -> paragraphs and rows of tables, in Office Open XML and in OpenDocument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from qwen3_reranker.documents.zipped_xml import XmlEvent, xml_events

_ROWS, _CELLS, _BREAKS = ("tr", "table-row"), ("tc", "table-cell"), ("br", "cr", "line-break")
# What a reader does not see, or sees twice: older forms of a drawing, text that was deleted or moved away, comments;
# and the stops of tabs, which are named as tabs are.
_HIDDEN = frozenset({"Fallback", "moveFrom", "tracked-changes", "annotation", "tabs"})


class OfficeParagraph(NamedTuple):
    """A paragraph, or a row of a table with ` | ` between its cells.

    style: its name in the file. depth: of a heading that says so itself, from 1, else 0. holder: what its place on a
    slide is for, such as title.
    """

    text: str
    style: str = ""
    depth: int = 0
    holder: str = ""
    is_row: bool = False


@dataclass(slots=True)
class _Open:
    """A paragraph that has begun. Those in a text box stand in the middle of another."""

    pieces: list[str] = field(default_factory=list)
    style: str = ""
    depth: int = 0


def office_paragraphs(content: bytes, *, is_open_document: bool = False) -> Iterator[OfficeParagraph | XmlEvent]:
    """The paragraphs of a member, in order; between them the events that begin a slide (`page`) of OpenDocument."""
    opened: list[_Open] = []
    rows: list[list[str]] = []
    cells: list[list[str]] = []
    holder, in_text = "", is_open_document
    for event in xml_events(content, _HIDDEN):
        kind, name, attributes = event
        if kind == "text":
            if opened and in_text:
                opened[-1].pieces.append(" ".join(name.split("\n")) if is_open_document else name)
        elif kind == "start":
            if name in ("p", "h"):
                opened.append(_Open(depth=max(1, _number(attributes.get("outline-level"))) if name == "h" else 0))
            elif name in _ROWS:
                rows.append([])
            elif name in _CELLS:
                cells.append([])
            elif name in ("sp", "frame"):
                holder = attributes.get("class", "")
            elif name == "ph":
                holder = attributes.get("type", "")
            elif name == "page":
                yield event
            elif opened:
                in_text = in_text or name == "t"
                _format(opened[-1], name, attributes)
        elif name in ("p", "h") and opened:
            paragraph = opened.pop()
            if text := "".join(paragraph.pieces).strip():
                if cells:
                    cells[-1].append(text)
                else:
                    yield OfficeParagraph(text, paragraph.style, paragraph.depth, holder)
        elif name in _CELLS and cells:
            cell = " ".join(cells.pop())
            if rows:
                rows[-1].append(cell)
        elif name in _ROWS and rows:
            row = " | ".join(rows.pop())
            if cells:
                cells[-1].append(row)
            elif row.strip(" |"):
                yield OfficeParagraph(row, is_row=True)
        elif name in ("sp", "frame"):
            holder = ""
        elif name == "t":
            in_text = is_open_document


def _format(paragraph: _Open, name: str, attributes: Mapping[str, str]) -> None:
    if name == "pStyle":
        paragraph.style = attributes.get("val", "")
    elif name == "outlineLvl":
        level = _number(attributes.get("val"))
        # Word counts from 0, and 9 is text.
        paragraph.depth = level + 1 if level < 9 else 0
    elif name in _BREAKS:
        paragraph.pieces.append("\n")
    elif name == "tab":
        paragraph.pieces.append("\t")
    elif name == "s":
        paragraph.pieces.append(" ")
    elif name == "noBreakHyphen":
        paragraph.pieces.append("-")


def _number(written: str | None) -> int:
    return int(written) if written and written.isascii() and written.isdigit() and len(written) < 4 else 0
