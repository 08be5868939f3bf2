"""A ranking -> a table with bars that fits the terminal, and one line on what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from qwen3_reranker.cli.ranking_output import RankingReport
from qwen3_reranker.cli.terminal import coloured, one_line

_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_GAP = "  "
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
    def within(cls, terminal: int, hits: int, longest_source: int) -> _Widths:
        """Columns for a terminal of that many cells: sources take what they need, up to half of the room."""
        rank = len(str(hits))
        bar = 6 if terminal < 70 else 10 if terminal < 110 else 16
        room = terminal - rank - _NUMBER - bar - _LOGIT - 4 * len(_GAP)
        source = min(longest_source, max(10, room // 2))
        if room - source < _NARROWEST_TEXT:
            return cls(rank, bar, max(4, room + len(_GAP)), 0)
        return cls(rank, bar, source, room - source)


def write_ranking_table(report: RankingReport, stream: TextIO) -> None:
    """Write the table to a stream, as wide as the terminal or COLUMNS say."""
    console = Console(file=stream, color_system="auto" if coloured(stream) else None, highlight=False)
    if len(report.ranking):
        for line in _lines(report, console):
            line.rstrip()
            console.print(line, no_wrap=True, crop=True)
        console.print()
    for text in _filled(_footer(report), console.width):
        console.print(Text(text, style="dim"))


def _lines(report: RankingReport, console: Console) -> Iterator[Text]:
    documents = [report.documents[hit.index] for hit in report.ranking]
    named = all(document.id is not None for document in documents)
    sources = [one_line(str(document.id) if named else document.source) for document in documents]
    widths = _Widths.within(console.width, len(sources), max(map(cell_len, sources)))
    if widths.source < max(map(cell_len, sources)) and not named:
        sources = _below_common_folder(sources)
        widths = _Widths.within(console.width, len(sources), max(map(cell_len, sources)))
    probability = "probability" if _NUMBER + widths.bar > len("probability") else "prob."
    heads = ("#".rjust(widths.rank), probability.ljust(_NUMBER + widths.bar), "logit".rjust(_LOGIT))
    source, last = "id" if named else "source", ("document",) if widths.document else ()
    yield Text(_GAP.join((*heads, set_cell_size(source, widths.source), *last)), style="dim")
    for rank, (hit, source) in enumerate(zip(report.ranking, sources, strict=True), start=1):
        cells = [
            Text(str(rank).rjust(widths.rank)),
            Text.assemble(f"{hit.probability:.3f} ", _bar(hit.probability, widths.bar, console)),
            Text(f"{hit.logit:+.2f}".rjust(_LOGIT)),
            Text(set_cell_size(_without_beginning(source, widths.source), widths.source), style="cyan"),
        ]
        if widths.document:
            document = Text(one_line(hit.document[:_MOST_LETTERS]))
            document.truncate(widths.document, overflow="ellipsis")
            cells.append(document)
        yield Text(_GAP).join(cells)


def _bar(share: float, width: int, console: Console) -> Text:
    style = "green" if share > 0.5 else "yellow"
    if console.options.ascii_only:
        return Text(("#" * round(share * width)).ljust(width), style=style)
    full, part = divmod(round(share * width * 8), 8)
    return Text(("█" * full + _EIGHTHS[part]).ljust(width), style=style)


def _below_common_folder(sources: list[str]) -> list[str]:
    """The sources without the folders that all of them begin with; the caller has just named those."""
    paths = [source.split("/") for source in sources]
    levels = zip(*(path[:-1] for path in paths), strict=False)
    depth = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    return ["/".join(path[depth:]) for path in paths]


def _without_beginning(source: str, width: int) -> str:
    """The end of a source that is too long, whole folders left out first: the file and its line tell the most."""
    folders = source.split("/")
    for candidate in (source, *(f"…/{'/'.join(folders[first:])}" for first in range(1, len(folders)))):
        if cell_len(candidate) <= width:
            return candidate
    end = folders[-1]
    while cell_len(end) >= width:
        end = end[1:]
    return f"…{end}"


def _filled(parts: list[str], width: int) -> list[str]:
    """The parts joined by dots, as many on a line as fit."""
    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]} · {part}"
        if cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _footer(report: RankingReport) -> list[str]:
    usage, shown, read = report.ranking.usage, len(report.ranking), len(report.documents)
    documents = f"{read:,} {'document' if read == 1 else 'documents'}"
    parts = [documents if shown == read else f"best {shown:,} of {read:,}"]
    if usage.prompt_tokens:
        saved = 1 - usage.computed_tokens / usage.prompt_tokens
        parts.append(f"{usage.prompt_tokens:,} tokens, {usage.computed_tokens:,} computed ({saved:.0%} saved)")
        receipt, cut = report.ranking[0].receipt, usage.truncated_documents
        if cut:
            parts.append(f"{cut:,} cut to {report.max_length:,} tokens")
        if receipt.query_truncated:
            parts.append(f"query cut to {receipt.kept_query_tokens:,} of its {receipt.query_tokens:,} tokens")
        elif not cut:
            parts.append("none cut")
        parts.append(f"{report.seconds:.{1 if report.seconds >= 1 else 2}f} s")
    return parts
