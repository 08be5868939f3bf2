"""An explanation's numbers are those of each sentence alone, and of truly deleting it, in one tree."""

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest

from qwen3_reranker import Explanation, InputError, Reranker
from testing.live_server import live_server

QUERY = "how do I undo my last commit"
DOCUMENT = (
    "# git reset\n\nThis page is about git, as are others here. To take back the last commit, use git reset --soft "
    "HEAD~1. 天気は今日とても良かったです。Mercurial is another tool, which nobody here uses."
)


@pytest.fixture(scope="module")
def nano() -> Iterator[Reranker]:
    """The bundled model."""
    with Reranker("nano", prefix_cache_tokens=0) as reranker:
        yield reranker


@pytest.fixture(scope="module")
def explained(nano: Reranker) -> Explanation:
    """The explanation of that document."""
    return nano.explain(QUERY, DOCUMENT)


def test_each_contribution_is_what_truly_deleting_the_sentence_costs_bit_by_bit(
    nano: Reranker, explained: Explanation
) -> None:
    whole = nano.score(QUERY, [DOCUMENT]).logits[0]
    assert len(explained.sentences) == 4
    assert explained.logit == whole
    for sentence in explained.sentences:
        [without] = nano.score(QUERY, [DOCUMENT[: sentence.start] + DOCUMENT[sentence.end :]]).logits
        assert sentence.logit_without == without
        assert sentence.contribution == float(whole) - float(without)


def test_each_number_alone_is_the_score_of_the_sentence_bit_by_bit(nano: Reranker, explained: Explanation) -> None:
    texts = [sentence.text for sentence in explained.sentences]
    assert [sentence.alone for sentence in explained.sentences] == nano.score(QUERY, texts).logits.tolist()


def test_the_evidence_is_the_sentence_with_the_answer_and_the_hottest(explained: Explanation) -> None:
    assert explained.evidence is not None
    assert "git reset --soft" in explained.evidence.text
    assert explained.heat[explained.sentences.index(explained.evidence)] == max(explained.heat) == 1


def test_the_texts_are_one_tree_which_computes_less_than_row_by_row(nano: Reranker, explained: Explanation) -> None:
    whole = nano.score(QUERY, [DOCUMENT]).usage.prompt_tokens
    deleting = whole * (1 + len(explained.sentences))
    assert explained.usage.computed_tokens < deleting * 0.6
    quick = nano.explain(QUERY, DOCUMENT, leave_out=False)
    assert quick.usage.computed_tokens < deleting * 0.4
    assert quick.logit == explained.logit
    assert [each.alone for each in quick.sentences] == [each.alone for each in explained.sentences]
    assert {(each.logit_without, each.contribution) for each in quick.sentences} == {(None, None)}


def test_an_event_loop_gets_the_same_explanation(nano: Reranker, explained: Explanation) -> None:
    assert asyncio.run(nano.aexplain(QUERY, DOCUMENT)).sentences == explained.sentences
    with pytest.raises(InputError, match="document must be"):
        asyncio.run(nano.aexplain(QUERY, 3))  # type: ignore[arg-type]


def test_every_instruction_has_an_explanation_of_its_own(nano: Reranker, explained: Explanation) -> None:
    asked = ["Find a forecast of the weather", nano.default_instruction or ""]
    first, second = nano.explain_instructions(QUERY, DOCUMENT, asked)
    assert (first.instruction, second.instruction) == tuple(asked)
    assert first.logit != second.logit
    assert second.sentences == explained.sentences
    [quick] = nano.explain_instructions(QUERY, DOCUMENT, asked[:1], leave_out=False)
    assert [each.alone for each in quick.sentences] == [each.alone for each in first.sentences]


def test_sentences_after_the_cut_of_a_long_document_add_nothing_and_are_marked() -> None:
    lines = "".join(f"Paragraph {number} tells of day {number * 7}.\n" for number in range(60))
    with Reranker("nano", max_length=250) as short:
        explained = short.explain(QUERY, lines)
        quick = short.explain(QUERY, lines, leave_out=False)
    assert explained.receipt.truncated
    read = [sentence.is_read for sentence in explained.sentences]
    assert read == sorted(read, reverse=True)
    assert 3 < sum(read) < 30
    assert all(sentence.contribution == 0 for sentence in explained.sentences if not sentence.is_read)
    assert explained.evidence in explained.sentences[: sum(read)]
    # Without leaving out it is estimated from the tokens of each.
    assert abs(sum(sentence.is_read for sentence in quick.sentences) - sum(read)) <= 1


def test_a_sentence_that_the_text_after_it_repeats_is_read_although_nothing_changes_without_it() -> None:
    with Reranker("nano", max_length=250) as short:
        explained = short.explain(QUERY, "Take the commit back. " * 200)
    read = [sentence.is_read for sentence in explained.sentences]
    assert not any(sentence.contribution for sentence in explained.sentences)
    assert read == sorted(read, reverse=True)
    assert 3 < sum(read) < 30
    assert explained.evidence == explained.sentences[0]


def test_more_sentences_than_asked_for_are_joined_and_a_document_without_text_has_none(nano: Reranker) -> None:
    assert len(nano.explain(QUERY, DOCUMENT, most_sentences=2).sentences) == 2
    empty = nano.explain(QUERY, " ")
    assert (empty.sentences, empty.evidence, empty.heat) == ((), None, ())
    assert np.isfinite(empty.logit)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((" ", "text"), "query"), ((QUERY, 3), "document must be"), ((QUERY, "a \ud800"), "document: not valid Unicode")],
)
def test_what_cannot_be_explained_is_refused_by_its_name(
    nano: Reranker, arguments: tuple[str, str], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        nano.explain(*arguments)
    with pytest.raises(InputError, match="most_sentences"):
        nano.explain(QUERY, DOCUMENT, most_sentences=0)


def test_an_explanation_prints_as_lines_as_json_and_as_shaded_text_that_is_text(nano: Reranker) -> None:
    explained = nano.explain(QUERY, "The <b>first</b> line of it all. The second line of it all.")
    assert repr(explained).count("\n") == 3
    assert "adds" in repr(explained)
    assert "adds" not in repr(nano.explain(QUERY, explained.document, leave_out=False))
    assert json.loads(json.dumps(explained.to_dict()))["sentences"][0]["start"] == 0
    assert "&lt;b&gt;" in explained._repr_html_()


@pytest.mark.slow
def test_a_server_explains_with_the_same_numbers(explained: Explanation) -> None:
    with live_server() as live, Reranker(live.url) as remote:
        found = remote.explain(QUERY, DOCUMENT)
    assert [each.text for each in found.sentences] == [each.text for each in explained.sentences]
    for name in ("alone", "contribution"):
        numbers = [getattr(each, name) for each in found.sentences]
        assert numbers == pytest.approx([getattr(each, name) for each in explained.sentences], abs=1e-3)
