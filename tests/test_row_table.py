"""One table, four ways to write it: each keeps what a cell says, and the terminal's fits its width."""

import pytest
from rich.cells import cell_len

from qwen3_reranker.row_table import Column, RowTable, cut_end, wrapped

TABLE = RowTable(
    [Column("system", fit=cut_end), Column("mean", right=True), Column("note", fit=wrapped)],
    [["nano", "0.5", "a|b\nc"], ["a name of many words 日本語", "12.25", "<tab>\t\\ and more words than fit"]],
)


def test_markdown_is_one_line_a_row_with_numbers_to_the_right() -> None:
    assert TABLE.markdown().split("\n")[:3] == [
        "| system | mean | note |",
        "| --- | ---: | --- |",
        "| nano | 0.5 | a\\|b c |",
    ]


def test_html_escapes_cells_and_marks_numbers() -> None:
    assert '<th>system</th><th class="number">mean</th>' in TABLE.html()
    assert "<td>&lt;tab&gt;\t\\ and" in TABLE.html()


def test_tab_separated_values_can_be_split_again() -> None:
    lines = TABLE.tsv(str.upper).split("\n")
    assert [len(line.split("\t")) for line in lines] == [3, 3, 3, 1]
    assert lines[1] == "NANO\t0.5\tA|B\\NC"
    assert "\\T\\\\ AND" in lines[2]


@pytest.mark.parametrize("width", [20, 33, 40, 60, 100])
def test_a_terminal_shows_numbers_whole_and_fits_the_other_columns_or_leaves_them_out(width: int) -> None:
    plain = RowTable(TABLE.columns, [["nano", "0.5", "short"], ["a name of many words 日本語", "12.25", "words " * 6]])
    lines = [line.plain for line in plain.terminal(width)]
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith("system")
    assert any(" 12.25" in line for line in lines)
    assert (" ".join(" ".join(lines).split()).count("words") >= 6) == (width >= 33), "a wrapped column loses no word"
    assert plain.is_within(width) == (width >= 70)


def test_the_last_cell_of_a_short_row_may_go_on_past_its_column() -> None:
    table = RowTable([Column(), Column(), Column(fit=wrapped)], [["a", "1", "why"], ["path", "/a/very/long/one"]])
    assert [line.plain for line in table.terminal(20, headed=False)] == ["a     1  why", "path  /a/very/long/one"]
