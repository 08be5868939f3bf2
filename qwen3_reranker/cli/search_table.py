"""Search results -> lines for a terminal: where each passage lies, how it was ranked, and its matching lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from qwen3_reranker.cli.explanation_table import reasons, work_done
from qwen3_reranker.cli.terminal import console_for, filled, one_line, print_line
from qwen3_reranker.explanation import Explanation
from qwen3_reranker.row_table import cut_end
from qwen3_reranker.search.results import SearchHit, SearchResults
from qwen3_reranker.search.words import words_and_parts

_SHOWN_LINES = 2
_INDENT = "   "


def write_results(
    results: SearchResults, query: str, stream: TextIO, explanations: Sequence[Sequence[Explanation]] = ()
) -> None:
    """Write hits as wide as the terminal, and a line on what was judged and how long it took.

    explanations: of each hit, or of none.
    """
    console = console_for(stream)
    asked = frozenset(words_and_parts(query))
    for rank, hit in enumerate(results, start=1):
        place, scored = one_line(hit.place), _scored(hit)
        room = console.width - len(scored) - len(_INDENT) - 1
        shown = _fitted(place, room)
        gap = " " * max(1, room - cell_len(shown) + 1)
        style = "green" if (hit.probability or 0) > 0.5 else "dim"
        print_line(console, f"{rank:>2} ", Text(shown, style="cyan"), gap, Text(scored, style=style))
        for number, line in matching_lines(hit, asked):
            label = f"{number:>5} "
            part = _fitted(one_line(line), console.width - len(_INDENT) - len(label))
            print_line(console, _INDENT, Text(label, style="dim"), _marked(part, asked))
        if hit.duplicates:
            copies = f"      also {one_line(', '.join(hit.duplicates))}"
            print_line(console, _INDENT, Text(_fitted(copies, console.width - len(_INDENT)), style="dim"))
        for reason in reasons(explanations[rank - 1], console.width - len(_INDENT)) if explanations else ():
            print_line(console, _INDENT, reason)
    if results:
        console.print()
    told = [work_done(explanations)] if explanations else []
    for text in filled([*_closing(results), *told], console.width):
        print_line(console, Text(text, style="dim"))


def matching_lines(hit: SearchHit, asked: frozenset[str]) -> list[tuple[int, str]]:
    """The lines of a passage that hold the most words of the query, in their order, with their numbers."""
    lines = [(hit.first_line + number, line) for number, line in enumerate(hit.text.split("\n")) if line.strip()]
    found = {number: len(asked.intersection(words_and_parts(line))) for number, line in lines}
    best = sorted(lines, key=lambda each: (-found[each[0]], each[0]))[:_SHOWN_LINES]
    return sorted(best)


def _fitted(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else cut_end(text, cells)[0]


def _scored(hit: SearchHit) -> str:
    return "not judged" if hit.probability is None else f"{hit.probability:.3f}"


def _marked(line: str, asked: frozenset[str]) -> Text:
    text = Text(line)
    for word in asked:
        text.highlight_words([word], "bold", case_sensitive=False)
    return text


def _closing(results: SearchResults) -> list[str]:
    parts = [f"{len(results):,} {'document' if len(results) == 1 else 'documents'}"]
    if results.judged:
        known = f", {results.cached:,} of them known" if results.cached else ""
        parts.append(f"{results.judged:,} of {results.candidates:,} candidates judged{known}")
    elif results.candidates:
        parts.append(f"none of {results.candidates:,} candidates judged")
    if (selection := results.selection) is not None:
        parts += [] if selection.tokens is None else [f"{selection.tokens:,} tokens"]
        parts += [f"{selection.folded:,} folded"] * (selection.folded > 0)
        parts += [f"{len(selection.too_long):,} too long to fit"] * bool(selection.too_long)
        parts += [f"{len(selection.left_out):,} left out"] * bool(selection.left_out)
    missing = [f"no time for {' and '.join(results.left_out)}"] if results.left_out else []
    return [*(parts if results else ["nothing found"]), *missing, f"{results.seconds.total:.2f} s"]
