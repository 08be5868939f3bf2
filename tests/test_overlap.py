"""Parts cover the texts in order, and one is prepared while the caller uses the one before."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.overlap import made_ahead, parts
from qwen3_reranker.registry import SPECS
from testing.patience import PATIENCE_SECONDS


@given(sizes=st.lists(st.integers(0, 20), max_size=30), most=st.integers(1, 40))
def test_parts_cover_all_texts_in_order_and_are_full_but_for_the_last(sizes: list[int], most: int) -> None:
    texts = ["x" * size for size in sizes]
    ranges = parts(texts, most)
    assert [text for each in ranges for text in texts[each]] == texts
    for each in ranges[:-1]:
        held = [len(text) for text in texts[each]]
        assert sum(held) >= most > sum(held[:-1])


def test_no_texts_are_one_part() -> None:
    assert parts([], 5) == [slice(0, 0)]


def test_the_next_part_is_prepared_while_the_caller_is_at_one() -> None:
    started = [threading.Event() for _ in range(3)]

    def prepare(each: slice) -> int:
        started[each.start].set()
        return int(each.start)

    made: Iterator[int] = made_ahead(prepare(slice(place, place + 1)) for place in range(3))
    for place in range(3):
        assert next(made) == place
        if place < 2:
            assert started[place + 1].wait(PATIENCE_SECONDS), "the next one waits for the caller"


def test_what_fails_in_a_later_part_is_raised_and_the_thread_ends() -> None:
    def prepare(each: slice) -> slice:
        if each.start:
            raise InputError("the second part")
        return each

    before = threading.active_count()
    with pytest.raises(InputError, match="the second part"):
        list(made_ahead(map(prepare, [slice(0, 1), slice(1, 2)])))
    assert threading.active_count() == before


@pytest.mark.slow
def test_a_call_of_several_parts_scores_as_one_and_remembers_what_they_share() -> None:
    documents = [f"Document {number}: " + "revert the commit with git, then push it. " * 130 for number in range(40)]
    assert sum(map(len, documents)) > SPECS["torch"].overlap_characters
    pairs = [("how do I undo my last commit", document) for document in documents]
    shares: list[float] = []
    with Reranker("nano", max_length=200) as cpu, Reranker("nano", max_length=200, **TORCH) as torch:
        expected = cpu.logits(pairs)
        ranking = torch.rank(pairs[0][0], documents, on_progress=shares.append)
        assert np.abs(torch.logits(pairs) - expected).max() < 1e-5
        one = cpu.rank(pairs[0][0], documents).usage
    # Two parts; the second finds the template and the query's head.
    assert ranking.usage.prompt_tokens == one.prompt_tokens
    assert ranking.usage.truncated_documents == 40
    assert 0 < ranking.usage.cached_tokens < 100
    assert [hit.index for hit in ranking] == np.argsort(-expected, kind="stable").tolist()
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


TORCH = {"backend": "torch", "device": "cpu"}
