"""Explanations -> a line each below a document in a table, and what they took, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from qwen3_reranker.cli.terminal import one_line
from qwen3_reranker.explanation import Explanation
from qwen3_reranker.row_table import GAP, cut_end

# More than any terminal shows on one line; the rest need not be laid out.
_MOST_LETTERS = 1000
_ASKED = 'if asked "{}": '


def reasons(explanations: Sequence[Explanation], width: int) -> list[Text]:
    """A line for each explanation: what the evidence scores alone, or the document under another instruction."""
    own, *others = explanations
    if own.evidence is None:
        return [Text("a document without text", style="dim")]
    found = [_line(f"alone {own.evidence.alone:+.2f}", "", own, width)]
    for each in others:
        logit, instruction = f"{each.logit:+.2f}", one_line((each.instruction or "")[:_MOST_LETTERS])
        # At least half of the line is the sentence's.
        asked = _fitted(instruction, (width - len(logit)) // 2 - len(_ASKED.format("")))
        found.append(_line(logit, _ASKED.format(asked), each, width))
    return found


def _line(number: str, asked: str, explanation: Explanation, width: int) -> Text:
    assert explanation.evidence is not None
    is_whole = len(explanation.sentences) == 1
    sentence = "all of it: one sentence" if is_whole else one_line(explanation.evidence.text[:_MOST_LETTERS])
    fitted = _fitted(sentence, width - len(number) - len(GAP) - cell_len(asked))
    return Text.assemble((number, "green"), GAP, (asked, "dim"), (fitted, "italic"))


def _fitted(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else cut_end(text, cells)[0]


def work_done(explanations: Sequence[Sequence[Explanation]]) -> str:
    """What all explanations took, in words."""
    count = sum(len(each.sentences) for some in explanations for each in some[:1])
    others = len(explanations[0]) - 1 if explanations else 0
    left_out = any(each.contribution is not None for some in explanations for each in some[0].sentences)
    words = f"{count:,} sentences scored alone{' and left out' if left_out else ''}"
    return f"{words}, under {others + 1} instructions" if others else words
