"""The set of hits that `rank` shows: which options go together, and words for what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen3_reranker.cli.opened_reranker import is_server
from qwen3_reranker.errors import InputError
from qwen3_reranker.selection_options import SelectionOptions

if TYPE_CHECKING:
    from qwen3_reranker.selection import Selection


@dataclass(frozen=True, kw_only=True)
class RankSelectionOptions(SelectionOptions):
    """The options of a selection, as flags of `rank`."""

    def refuse_selection(self, in_place: str, form: str, shown: int | None, screen: str | None, judge: str) -> None:
        """Raise InputError where nothing would be selected, or the format has no place for it.

        in_place: the flag that prints something else. shown: documents that are shown at most. judge: the model whose
        scores they are.
        """
        if not self.given:
            return
        flag = f"--{min(self.given)}"
        if in_place:
            raise InputError(f"{in_place} ranks nothing, so {flag} has no meaning")
        if screen is not None:
            raise InputError(
                f"--screen finds the N best, and {flag} chooses among all documents: leave one of them out"
            )
        if self.fit is not None and is_server(judge):
            raise InputError(f"--fit counts tokens with the model on this machine; {judge} does not say them")
        if self.diversity is not None and form == "trec":
            raise InputError("--diversity chooses in another order than that of scores, and a TREC run has no other")
        self.refuse_boundless(shown, "-k")


def selection_words(selections: Sequence[Selection]) -> list[str]:
    """Parts of a sentence about one selection, or several together: all were made with the same options."""
    chosen, folded = (sum(count(each) for each in selections) for count in (len, lambda each: each.num_folded))
    options = selections[0].options
    words = [f"{chosen:,} {'document' if chosen == 1 else 'documents'}"]
    if options.fit is not None:
        tokens = max(each.tokens or 0 for each in selections)
        words[0] += f" of {'at most ' * (len(selections) > 1)}{_counted(tokens)}"
    if options.fold is not None:
        words.append(f"{folded:,} folded into others")
    if too_long := sum(len(each.too_long) for each in selections):
        words.append(f"{too_long:,} longer than {_counted(options.fit or 0)} alone")
    if left_out := sum(len(each.left_out) for each in selections):
        words.append(f"{left_out:,} left out")
    return words


def _counted(tokens: int) -> str:
    return f"{tokens:,} {'token' if tokens == 1 else 'tokens'}"
