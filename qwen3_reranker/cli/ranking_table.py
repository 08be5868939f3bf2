"""A ranking -> a table with bars as wide as the terminal, and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from qwen3_reranker.cli.explanation_table import reasons, work_done
from qwen3_reranker.cli.rank_selection import selection_words
from qwen3_reranker.cli.ranking_output import RankingReport
from qwen3_reranker.cli.rate_text import seconds_text
from qwen3_reranker.cli.terminal import console_for, filled, one_line, print_line, print_table
from qwen3_reranker.row_table import GAP, Column, RowTable, cut_end

_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_NUMBER = len("0.123 ")
_LOGIT = len("+12.34")
_NARROWEST_TEXT = 12
# More than any terminal shows of a document on one line; the rest need not be laid out.
_MOST_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class _Widths:
    """Cells of each column; a document width of 0 leaves that column out."""

    rank: int
    bar: int
    source: int
    document: int

    @classmethod
    def within(cls, terminal: int, last_rank: int, longest_source: int) -> _Widths:
        """Columns for a terminal of that many cells. Sources take what they need, up to half of the space."""
        rank = len(str(last_rank))
        bar = 6 if terminal < 70 else 10 if terminal < 110 else 16
        room = terminal - rank - _NUMBER - bar - _LOGIT - 4 * len(GAP)
        source = min(longest_source, max(10, room // 2))
        if room - source < _NARROWEST_TEXT:
            return cls(rank, bar, max(4, room + len(GAP)), 0)
        return cls(rank, bar, source, room - source)


def write_ranking_table(report: RankingReport, stream: TextIO) -> None:
    """Write the table to a stream, as wide as the terminal or COLUMNS say. One of several queries stands above it."""
    console = console_for(stream)
    if report.query_id is not None:
        title = one_line(f"{report.query_id}: {report.query[:_MOST_LETTERS]}")
        fitted = title if cell_len(title) <= console.width else cut_end(title, console.width)[0]
        print_line(console, Text(fitted, style="bold"))
    if len(report.ranking):
        print_table(_table(report, console), console)
        console.print()
    for text in filled(_footer(report), console.width):
        print_line(console, Text(text, style="dim"))


def _table(report: RankingReport, console: Console) -> RowTable:
    documents = [report.documents[hit.index] for hit in report.ranking]
    named = all(document.id is not None for document in documents)
    sources = [one_line(str(document.id) if named else document.source) for document in documents]
    last = len(sources) if report.selection is None else max(report.selection.ranks)
    widths = _Widths.within(console.width, last, max(map(cell_len, sources)))
    if widths.source < max(map(cell_len, sources)) and not named:
        sources = _below_common_folder(sources)
        widths = _Widths.within(console.width, last, max(map(cell_len, sources)))
    columns = [
        Column("#", right=True, width=widths.rank),
        Column("probability" if _NUMBER + widths.bar > len("probability") else "prob.", width=_NUMBER + widths.bar),
        Column("logit", right=True, width=_LOGIT),
        Column("id" if named else "source", width=widths.source, style="cyan", fit=_without_beginning),
        Column("document", width=widths.document, fit=cut_end),
    ][: 5 if widths.document else 4]
    rows: list[list[str | Text]] = []
    ranks = range(1, len(sources) + 1) if report.selection is None else report.selection.ranks
    for place, (rank, hit, source) in enumerate(zip(ranks, report.ranking, sources, strict=True)):
        probability = Text.assemble(f"{hit.probability:.3f} ", _bar(hit.probability, widths.bar, console))
        document = [one_line(hit.document[:_MOST_LETTERS])] if widths.document else []
        rows.append([str(rank), probability, f"{hit.logit:+.2f}", source, *document])
        if report.explanations is not None:
            room = console.width - widths.rank - len(GAP)
            rows += [["", reason] for reason in reasons(report.explanations[place], room)]
    return RowTable(columns, rows)


def _bar(share: float, width: int, console: Console) -> Text:
    style = "green" if share > 0.5 else "yellow"
    if console.options.ascii_only:
        return Text(("#" * round(share * width)).ljust(width), style=style)
    full, part = divmod(round(share * width * 8), 8)
    return Text(("█" * full + _EIGHTHS[part]).ljust(width), style=style)


def _below_common_folder(sources: list[str]) -> list[str]:
    """The sources without the folders that all of them begin with. The caller has just named those."""
    paths = [source.split("/") for source in sources]
    levels = zip(*(path[:-1] for path in paths), strict=False)
    depth = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    return ["/".join(path[depth:]) for path in paths]


def _without_beginning(source: str, width: int) -> list[str]:
    """The end of a source that is too long. Folders go first, as the file and its line matter most."""
    folders = source.split("/")
    for candidate in (f"…/{'/'.join(folders[first:])}" for first in range(1, len(folders))):
        if cell_len(candidate) <= width:
            return [candidate]
    end = folders[-1]
    while cell_len(end) >= width:
        end = end[1:]
    return [f"…{end}"]


def _footer(report: RankingReport) -> list[str]:
    usage, shown, read = report.ranking.usage, len(report.ranking), len(report.documents)
    documents = f"{read:,} {'document' if read == 1 else 'documents'}"
    parts = [documents if shown == read else f"best {shown:,} of {read:,}"]
    if report.selection is not None:
        # With diversity or fit the best are not what is shown.
        parts = selection_words([report.selection])
        parts[0] += f" selected from {read:,}"
    if report.calibration is not None:
        parts[0] += ", calibrated"
    if report.least is not None:
        parts[0] += f" with a probability of {report.least:g} or more"
    if screening := report.ranking.screening:
        parts.append(f"rechecked {screening.rechecked:,} of {read:,}")
    if cascade := report.ranking.cascade:
        parts.append(f"{cascade.then_judged:,} of {read:,} scored by {one_line(report.then or '')}")
    if usage.prompt_tokens:
        saved = 1 - usage.computed_tokens / usage.prompt_tokens
        parts.append(f"{usage.prompt_tokens:,} tokens, {usage.computed_tokens:,} computed ({saved:.0%} saved)")
        receipt, cut = next((hit.receipt for hit in report.ranking), None), usage.truncated_documents
        if cut:
            parts.append(f"{cut:,} cut" + (f" to {report.max_length:,} tokens" if report.max_length else ""))
        if receipt is not None and receipt.query_truncated:
            whole = f"{'at least ' * receipt.is_lower_bound}{receipt.query_tokens:,}"
            parts.append(f"query cut to {receipt.kept_query_tokens:,} of its {whole} tokens")
        elif not cut:
            parts.append("none cut")
        parts.append(seconds_text(report.seconds))
    if report.explanations:
        parts += [work_done(report.explanations), seconds_text(report.explaining_seconds)]
    return parts
