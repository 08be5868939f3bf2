"""chat_template: a stored template is read as text, and what it is taken for is what Jinja prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import prompt
from qwen3_reranker.convert.hf_folder import chat_template
from qwen3_reranker.weights.chat_template import read_chat_template, read_placeholders
from testing.chat_templates import ASSISTANT, CONVERSATION, OWN, TURNS, ZERANK, blocks, looped, plain, rendered
from testing.model_card import PREFIX, SUFFIX

KNOWN = {
    "plain text": (plain(), "card"),
    "a loop and quoted strings": (looped(), "card"),
    "blocks on lines of their own": (blocks(), "card"),
    "vLLM's, which loses a newline": (plain().removesuffix("\n"), "card-lost-newline"),
    "SGLang's, without a think block": (plain(suffix=ASSISTANT), "card-no-think-block"),
    "a loop without a think block": (looped(ASSISTANT), "card-no-think-block"),
    "the card's vLLM code": (plain(separator="\n\n", suffix=f"<|im_end|>\n{SUFFIX}"), "card-vllm"),
    "zerank's": (ZERANK, "zerank"),
    **{f"ours: {name}": (chat_template(each), name) for name, each in prompt.TEMPLATES.items() if each.prefix},
}
PAIR = [{"role": "query", "content": "a query"}, {"role": "document", "content": "a document"}]


@pytest.mark.parametrize(("source", "name"), KNOWN.values(), ids=KNOWN)
def test_a_known_template_is_the_prompt_that_jinja_prints(source: str, name: str) -> None:
    read = read_chat_template(source)
    assert (read.prompt, read.exact, read.reads_pairs) == (name, True, True)
    template = prompt.template(name, read.instruction)
    assert rendered(source, PAIR) == template.written(template.default_instruction or "", "a query", "a document")


@pytest.mark.parametrize(
    "source",
    [plain(instruction="Find the answer."), chat_template(prompt.template("card", 'Find "it" now'))],
    ids=["a default", "ours"],
)
def test_the_instruction_of_a_template_is_read(source: str) -> None:
    instruction = read_chat_template(source).instruction
    assert instruction in ("Find the answer.", 'Find "it" now')
    assert rendered(source, PAIR) == prompt.template("card").written(instruction or "", "a query", "a document")


UNKNOWN = {
    "a sentence of its own": OWN,
    "another system prompt": plain(prefix="<|im_start|>system\nIs it relevant?<|im_end|>\n<|im_start|>user\n"),
    "more words before the query": plain(separator="\nOn yes, say why.\n"),
    "another end": plain(suffix=f"{ASSISTANT}<think>\n"),
    "bare texts": "{{ messages[0].content }}{{ messages[1].content }}",
    "the beginning of the card's alone": PREFIX,
    "nothing": "",
}


@pytest.mark.parametrize("source", UNKNOWN.values(), ids=UNKNOWN)
def test_a_template_with_other_words_is_no_prompt_of_ours(source: str) -> None:
    read = read_chat_template(source)
    assert (read.prompt, read.reads_pairs) == (None, source != "")


def test_the_same_words_with_other_blank_space_are_the_cards_prompt_and_said_to_differ() -> None:
    read = read_chat_template(plain(separator=" \n"))
    assert (read.prompt, read.exact) == ("card", False)


@pytest.mark.parametrize("source", [CONVERSATION, TURNS], ids=["any role", "a system's and a user's turn"])
def test_a_template_for_conversations_reads_no_pairs(source: str) -> None:
    read = read_chat_template(source)
    assert (read.prompt, read.reads_pairs) == (None, False)


def test_placeholders_of_llama_cpp_are_read_with_their_instruction() -> None:
    card = prompt.template("card")
    usual = read_placeholders(card.written(card.default_instruction or "", "{query}", "{document}"))
    own = read_placeholders(card.written("Find code", "{query}", "{document}"))
    assert (usual.prompt, usual.instruction) == ("card", None)
    assert (own.prompt, own.instruction) == ("card", "Find code")
    assert read_placeholders("Question: {query}\nPassage: {document}").prompt is None


@pytest.mark.parametrize("piece", ["{{", "{{'", "{{ '\\'", "{% set x = '", "{{ a + '", "{{((", "{{'a' + }}"])
def test_a_hostile_template_is_read_in_no_time_and_is_no_prompt_of_ours(piece: str) -> None:
    for size in (90_000, 2_000_000):
        assert read_chat_template(piece * (size // len(piece))).prompt is None


PIECES = ["{{", "}}", "{%", "%}", "{#", "#}", "-", "'", '"', "\\", "\n", " ", "+", "~", "(", "set x = ", "query", "\0"]


@given(st.lists(st.sampled_from([*PIECES, *plain().split(" ")]), max_size=60).map("".join))
def test_damaged_templates_are_read_without_an_error(source: str) -> None:
    read_chat_template(source)
