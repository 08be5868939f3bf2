"""The template's constants are the published ones, token for token."""

import pytest

from qwen3_reranker import prompt
from qwen3_reranker.errors import InputError
from qwen3_reranker.tokens import TokenizerJson, Tokens

PREFIX_IDS = (
    "151644 8948 198 60256 3425 279 11789 20027 279 8502 3118 389 279 11361 323 279 758 1235 3897 13 7036 429 279 4226 "
    "646 1172 387 330 9693 1 476 330 2152 3263 151645 198 151644 872 198"
)
SUFFIX_IDS = "151645 198 151644 77091 198 151667 271 151668 271"
GOLDEN_ROW = (
    PREFIX_IDS + " 27 641 1235 26818 16246 264 3482 2711 3239 11 17179 9760 46769 429 4226 279 3239 198 27 2859 26818 "
    "15920 11580 374 3881 438 279 3731 28835 5267 75692 26818 48976 374 3545 2598 9237 594 27397 1576 315 1181 4428 "
    "1379 323 36743 13 " + SUFFIX_IDS
)


def ids(text: str) -> list[int]:
    return [int(each) for each in text.split()]


def test_the_card_prompt_has_the_published_prefix_suffix_and_answer_ids(qwen3_tokens: Tokens) -> None:
    assert qwen3_tokens.prefix_ids.tolist() == ids(PREFIX_IDS)
    assert qwen3_tokens.suffix_ids.tolist() == ids(SUFFIX_IDS)
    assert (qwen3_tokens.yes_id, qwen3_tokens.no_id) == (9693, 2152)
    assert qwen3_tokens.num_entries == 151_669


def test_a_published_example_gives_the_published_token_row(qwen3_tokens: Tokens) -> None:
    heads, tails = prompt.template("card").pieces(
        None,
        ["Which planet is known as the Red Planet?"],
        ["Venus is often called Earth's twin because of its similar size and proximity."],
    )
    [row] = qwen3_tokens.encode(heads, tails)
    assert row.ids.tolist() == ids(GOLDEN_ROW)
    assert row.boundaries == (39, 60, 71)


def test_the_vllm_prompt_doubles_newlines_and_the_end_of_the_turn(qwen3_tokenizer: TokenizerJson) -> None:
    doubled = prompt.template("card-vllm")
    tokens = Tokens(qwen3_tokenizer, prefix=doubled.prefix, suffix=doubled.suffix, max_length=8192)
    assert tokens.prefix_ids.tolist() == ids(PREFIX_IDS)
    assert tokens.suffix_ids.tolist() == ids("151645 198 " + SUFFIX_IDS)
    [head], [tail] = prompt.template("card-vllm").pieces("i", ["q"], ["d"])
    assert head.text + tail == "<Instruct>: i\n\n<Query>: q\n\n<Document>: d"


def test_no_instruction_takes_the_cards_own_and_an_empty_one_stays_empty() -> None:
    template = prompt.template("card")
    [default], _ = template.pieces(None, ["q"], ["d"])
    [empty], _ = template.pieces("", ["q"], ["d"])
    assert default.text == (
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
        "<Query>: q\n<Document>:"
    )
    assert empty.text == "<Instruct>: \n<Query>: q\n<Document>:"


def test_placeholders_and_labels_in_user_text_change_nothing_but_that_text() -> None:
    hostile = "{document} {query} %s <Document>: x <Query>: y"
    [head], [tail] = prompt.template("card").pieces("{query}", [hostile], ["{instruction}"])
    assert head.text + tail == f"<Instruct>: {{query}}\n<Query>: {hostile}\n<Document>: {{instruction}}"


def test_an_unknown_prompt_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown prompt 'jinja': expected one of card, card-vllm"):
        prompt.template("jinja")


def test_a_checkpoints_own_instruction_takes_the_place_of_the_cards_where_one_is_read() -> None:
    assert prompt.template("card", "Find code").default_instruction == "Find code"
    assert prompt.template("card", "Find code").prefix == prompt.template("card").prefix
    assert prompt.template("pair", "Find code") == prompt.template("pair")


def test_a_prompt_without_an_instruction_refuses_one() -> None:
    for name in ("pair", "zerank"):
        with pytest.raises(InputError, match=f"the prompt {name} reads no instruction"):
            prompt.template(name).pieces("Find code", ["q"], ["d"])


def test_the_written_prompt_is_its_pieces_in_order() -> None:
    for template in prompt.TEMPLATES.values():
        [head], [tail] = template.pieces(None, ["q"], ["d"])
        written = template.written(template.default_instruction or "", "q", "d")
        assert written == template.prefix + head.text + template.middle + tail + template.suffix
