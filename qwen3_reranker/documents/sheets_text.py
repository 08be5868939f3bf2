"""Workbooks -> their text: a line for each row of each sheet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice

import python_calamine

from qwen3_reranker.documents.extracted_text import ExtractedText, TextBuilder
from qwen3_reranker.documents.zipped_xml import ZippedFiles
from qwen3_reranker.errors import InputError

_ZIP = b"PK\x03\x04"


def sheets_text(content: bytes) -> ExtractedText:
    """The text of the visible sheets of an .xlsx, .xlsm, .xlsb, .xls or .ods; formulas are their last values.

    A first row of words names the columns and is a heading of the rows below it, as the sheet's name is.
    """
    if content.startswith(_ZIP):
        ZippedFiles(content).refuse_bomb()
    try:
        book = python_calamine.load_workbook(io.BytesIO(content))
    except python_calamine.PasswordError:
        raise InputError("password-protected") from None
    builder = TextBuilder()
    for sheet in book.sheets_metadata:
        is_visible = sheet.visible == python_calamine.SheetVisibleEnum.Visible
        if is_visible and sheet.typ == python_calamine.SheetTypeEnum.WorkSheet:
            _add_sheet(builder, book.get_sheet_by_name(sheet.name))
    return builder.built(sheets=len(book.sheet_names))


def _add_sheet(builder: TextBuilder, sheet: python_calamine.CalamineSheet) -> None:
    if sheet.start is None:
        return
    first = builder.next_line
    builder.begin_page(f"sheet {sheet.name}", sheet.start[0] + 1)
    builder.add_heading(first, 1, sheet.name)
    rows = _rows(sheet)
    beginning = list(islice(rows, 2))
    if len(beginning) == 2 and _names_columns(beginning[0]):
        builder.add_heading(first, 2, " | ".join(map(_shown, filter(None, beginning[0]))))
    for row in (*beginning, *rows):
        while row and row[-1] == "":
            row.pop()
        builder.add_line(" | ".join(map(_shown, row)))


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[list[object]]:
    """The rows from the first that holds anything; the library begins with the first such column, but with row 1."""
    assert sheet.start is not None
    return map(list, islice(sheet.iter_rows(), sheet.start[0], None))


def _names_columns(row: list[object]) -> bool:
    cells = [cell for cell in row if cell != ""]
    return len(cells) > 1 and all(isinstance(cell, str) for cell in cells)


def _shown(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ")
    if isinstance(cell, date | time | timedelta):
        return str(cell)
    return " ".join(str(cell).split())
