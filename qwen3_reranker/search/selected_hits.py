"""Hits of a search, best first -> the set of them that was asked for: without copies, diverse, within tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qwen3_reranker.errors import InputError
from qwen3_reranker.search.results import SearchHit, SearchSelection
from qwen3_reranker.selection import choose
from qwen3_reranker.selection_options import SelectionOptions

# Of a passage that was not judged. The order of a search has it between those with a larger and a smaller one.
_UNKNOWN = 0.5
# What an option takes from a reranker.
_NEEDED = {"diversity": "the probabilities", "fit": "the tokens"}


def unjudged_option(options: SelectionOptions) -> tuple[str, str] | None:
    """The first option that needs a reranker, and why a search without one refuses it; None if there is none."""
    name = next((each for each in _NEEDED if getattr(options, each) is not None), None)
    return None if name is None else (name, f"{name} needs {_NEEDED[name]} of a reranker, and this search has none")


def refuse_selection(options: SelectionOptions, judges: bool) -> None:
    """Raise InputError for options that need a judge, where there is none."""
    if not judges and (found := unjudged_option(options)):
        raise InputError(found[1])


def refuse_uncounted(options: SelectionOptions, count_tokens: Callable[[str], int] | None) -> None:
    """Raise InputError for a budget of tokens that nothing counts."""
    if options.fit is not None and count_tokens is None:
        raise InputError("fit counts tokens with a reranker on this machine: it is a server, or was not open in time")


def selected_hits(
    hits: Sequence[SearchHit],
    limit: int,
    options: SelectionOptions,
    count_tokens: Callable[[str], int] | None,
) -> tuple[tuple[SearchHit, ...], SearchSelection]:
    """At most `limit` hits, in the order of choice, and what became of the others. Raises InputError.

    With diversity a hit counts with the probability that has its place among all, the largest first: so joined orders
    of two stages stay. Where nothing was judged there is no probability to weigh, and the order stays.
    """
    if not hits:
        return (), SearchSelection(0, None if options.fit is None else 0, (), ())
    texts = [hit.text for hit in hits]
    refuse_uncounted(options, count_tokens)
    if all(hit.probability is None for hit in hits):
        options = replace(options, diversity=None)
    relevance = sorted((_UNKNOWN if hit.probability is None else hit.probability for hit in hits), reverse=True)
    tokens = None if count_tokens is None else lambda place: count_tokens(texts[place])
    choice = choose(texts, relevance, options, limit, tokens=tokens)

    def places(chosen: Sequence[int]) -> tuple[str, ...]:
        return tuple(hits[each].place for each in chosen)

    chosen = tuple(replace(hits[each], duplicates=places(choice.duplicates[each])) for each in choice.chosen)
    folded = sum(map(len, choice.duplicates.values()))
    return chosen, SearchSelection(folded, choice.tokens, places(choice.too_long), places(choice.left_out))
