"""PDF, office documents and books, written by libraries other than those that read them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date

import docx
import pptx
import xlsxwriter
from docx.enum.style import WD_STYLE_TYPE
from fpdf import FPDF
from odfdo import Cell, DrawPage, Frame, Header, Paragraph, Row, Table
from odfdo import Document as OpenDocument


def pdf(pages: Sequence[Sequence[tuple[str, str]]], title: str = "", password: str = "", owner: str = "") -> bytes:
    """Pages of (heading, text); a heading with words is in the outline."""
    written = FPDF()
    written.set_title(title)
    written.set_font("helvetica", size=12)
    if password or owner:
        written.set_encryption(owner_password=owner or password, user_password=password)
    for page in pages:
        written.add_page()
        for heading, text in page:
            if heading:
                written.start_section(heading)
                written.multi_cell(0, 8, heading, new_x="LMARGIN", new_y="NEXT")
            if text:
                written.multi_cell(0, 8, text, new_x="LMARGIN", new_y="NEXT")
    return bytes(written.output())


def picture_pdf() -> bytes:
    """A page with a drawing and no text, as a scan is."""
    written = FPDF()
    written.add_page()
    written.rect(10, 10, 50, 50)
    return bytes(written.output())


def word() -> bytes:
    """A title, headings of three kinds, a paragraph with a tab and a break, a list and a table."""
    written = docx.Document()
    written.core_properties.title = "Handbook"
    written.add_heading("Travel", 1)
    paragraph = written.add_paragraph("Book trains")
    paragraph.add_run("\tearly")
    paragraph.add_run().add_break()
    paragraph.add_run("and never by car.")
    own = written.styles.add_style("Kapitel", WD_STYLE_TYPE.PARAGRAPH)
    own.base_style = written.styles["Heading 2"]
    written.add_paragraph("Refunds", style="Kapitel")
    written.add_paragraph("Receipts within thirty days", style="List Bullet")
    table = written.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("City", "Rate"), ("Lisbon", "95 euros")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    return _saved(written.save)


def slides() -> bytes:
    """Two slides: a title and points; a table, and notes."""
    written = pptx.Presentation()
    first = written.slides.add_slide(written.slide_layouts[1])
    first.shapes.title.text = "Roadmap"
    first.placeholders[1].text = "Ship the parser\nMeasure it"
    second = written.slides.add_slide(written.slide_layouts[5])
    second.shapes.title.text = "Costs"
    table = second.shapes.add_table(2, 2, 0, 0, 914400, 914400).table
    for row, cells in enumerate((("Quarter", "Sum"), ("Q3", "41,000"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    second.notes_slide.notes_text_frame.text = "Mention the discount"
    return _saved(written.save)


def workbook(rows: int = 3) -> bytes:
    """A sheet of orders from its third row and second column on, a hidden sheet, and one with a formula."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"default_date_format": "yyyy-mm-dd"}) as written:
        orders = written.add_worksheet("Orders")
        orders.write_row(2, 1, ["City", "Date", "Amount"])
        for number in range(rows):
            orders.write(3 + number, 1, "Lisbon" if number == 1 else f"Town {number}")
            orders.write_datetime(3 + number, 2, date(2026, 3, 1))
            orders.write(3 + number, 3, number * 2.5)
        secret = written.add_worksheet("Lists")
        secret.write(0, 0, "Hidden")
        secret.hide()
        written.add_worksheet("Sums").write_formula(0, 0, "=1+1", None, 7)
    return buffer.getvalue()


def open_document_text() -> bytes:
    """Two headings, a paragraph and a table."""
    written = OpenDocument("text")
    written.body.clear()
    table = Table("Rates")
    table.append(_row("Lisbon", "95 euros"))
    for each in (Header(1, "Travel"), Header(2, "Refunds"), Paragraph("Receipts within thirty days"), table):
        written.body.append(each)
    return _saved(written.save)


def open_document_slides() -> bytes:
    """Two slides with a title each."""
    written = OpenDocument("presentation")
    written.body.clear()
    for number, (title, text) in enumerate((("Roadmap", "Ship the parser"), ("Costs", "Mention the discount"))):
        page = DrawPage(f"page{number}", name=f"page{number}")
        page.append(Frame.text_frame(title, presentation_class="title"))
        page.append(Frame.text_frame(text, presentation_class="outline"))
        written.body.append(page)
    return _saved(written.save)


def open_document_sheet() -> bytes:
    """A sheet of two rows."""
    written = OpenDocument("spreadsheet")
    written.body.clear()
    table = Table("Orders")
    table.append(_row("City", "Amount"))
    table.append(_row("Lisbon", 95))
    written.body.append(table)
    return _saved(written.save)


def book(locked: bool = False) -> bytes:
    """A book of two chapters, the second file of which is read first; locked: to the buyer's program."""
    package = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
        <metadata><dc:title>Sea</dc:title></metadata>
        <manifest><item id="a" href="text/a%20b.xhtml"/><item id="b" href="text/b.xhtml"/></manifest>
        <spine><itemref idref="b"/><itemref idref="a"/></spine></package>"""
    container = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
        <rootfile full-path="OPS/package.opf"/></rootfiles></container>"""
    chapter = "<html><head><title>x</title></head><body><h1>{}</h1><p>{}</p></body></html>"
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": container,
        "OPS/package.opf": package,
        "OPS/text/a b.xhtml": chapter.format("The end", "The harbour sleeps."),
        "OPS/text/b.xhtml": chapter.format("The beginning", "Whales sing."),
    }
    if locked:
        members["META-INF/encryption.xml"] = "<e><CipherReference URI='OPS/text/b.xhtml'/></e>"
    return zipped(members)


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _row(*values: str | int) -> Row:
    row = Row()
    for value in values:
        row.append_cell(Cell(value))
    return row


def _saved(save: object) -> bytes:
    assert callable(save)
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
