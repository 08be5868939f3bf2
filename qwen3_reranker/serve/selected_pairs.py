"""The pairs of a reply, best first -> the set of them that the request asks for."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3_reranker.errors import InputError
from qwen3_reranker.records import Receipt
from qwen3_reranker.selection import Choice, choose
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.protocol import ScoreRequest

#: Characters that are compared for one request: some seconds of a thread.
MOST_CHARACTERS = 1_000_000


def refuse_selection(asked: ScoreRequest) -> None:
    """Raise Problem for a selection that would choose everything, or compare too much, before anything is computed."""
    options = asked.selection
    try:
        options.refuse_boundless(asked.top_n, "top_n")
    except InputError as error:
        raise invalid("invalid_value", f"`diversity`: {error}", "diversity") from None
    compared = "fold" if options.fold is not None else "diversity" if options.diversity is not None else None
    if compared is not None and sum(map(len, asked.documents)) > MOST_CHARACTERS:
        message = f"`{compared}` compares documents of at most {MOST_CHARACTERS:,} characters together"
        raise invalid("too_many_characters", message, compared)


def selected_pairs(
    asked: ScoreRequest, ranked: Sequence[int], probabilities: Sequence[float], receipts: Sequence[Receipt]
) -> Choice:
    """The choice among pairs, with their indices in the request. ranked: indices, best first.

    A document that was not read to its end is too long to fit.
    """
    most = asked.selection.fit or 0

    def tokens(place: int) -> int:
        receipt = receipts[ranked[place]]
        # The scores are paid for: what was not read to its end has too many tokens, and is no error.
        return most + 1 if receipt.is_lower_bound else receipt.document_tokens

    texts, relevance = [asked.documents[index] for index in ranked], [probabilities[index] for index in ranked]
    choice = choose(texts, relevance, asked.selection, asked.top_n, tokens=tokens)

    def pairs(places: Sequence[int]) -> tuple[int, ...]:
        return tuple(ranked[place] for place in places)

    duplicates = {ranked[kept]: pairs(folded) for kept, folded in choice.duplicates.items()}
    return Choice(pairs(choice.chosen), duplicates, pairs(choice.too_long), pairs(choice.left_out), choice.tokens)
