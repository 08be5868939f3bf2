"""added_tokens of a tokenizer.json -> control tokens, for no text, and added words, for any."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown

#: Those of Qwen3, control tokens whatever a file says of them: some are listed with special = false.
QWEN_CONTROL = frozenset(
    (
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
        *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
        *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<tool_response>"),
        *("</tool_response>", "<think>", "</think>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
        *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
    )
)
# No vocabulary comes near; ids beyond it are damage, and would make the embedding's check meaningless.
_MOST_ENTRIES = 2**31


class AddedTokens:
    """The two kinds of tokens that are listed apart from a vocabulary.

    control: id by content; words: the same for the others. control_fields, word_fields: what the file says of them, as
    tokenizers reads it. Raises CheckpointError for entries that are no tokens, and for ids that two tokens share.
    """

    def __init__(self, fields: Mapping[str, Any], vocabulary: Mapping[str, int], source: str) -> None:
        listed = fields.get("added_tokens")
        self.control: dict[str, int] = {}
        self.words: dict[str, int] = {}
        self.word_fields: list[dict[str, Any]] = []
        self.control_fields: list[dict[str, Any]] = []
        for token in listed if isinstance(listed, list) else []:
            content, token_id = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
            if not isinstance(content, str) or not isinstance(token_id, int) or not 0 <= token_id < _MOST_ENTRIES:
                raise CheckpointError(
                    f"{source}: added_tokens must list objects with content and id, got {shown(token)}"
                )
            if token.get("special") or content in QWEN_CONTROL:
                self.control[content] = token_id
                self.control_fields.append(token)
            elif content:
                self.words[content] = token_id
                self.word_fields.append(token)
        self._source = source
        self._refuse_shared_ids(vocabulary)
        self._spans = TokenSpans(self.word_fields)

    def _refuse_shared_ids(self, vocabulary: Mapping[str, int]) -> None:
        base_ids = set(vocabulary.values())
        if leaks := sorted((base_ids | set(self.words.values())).intersection(self.control.values())):
            raise CheckpointError(
                f"{self._source}: the ids {leaks[:5]} belong to control tokens and to words of the vocabulary, so "
                "text could become control tokens; this is no Qwen3 tokenizer"
            )
        for word, token_id in self.words.items():
            # A word that the vocabulary has already may be listed again, with the same id.
            if vocabulary.get(word, token_id) != token_id or (word not in vocabulary and token_id in base_ids):
                raise CheckpointError(
                    f"{self._source}: the added word {shown(word)} has the id {token_id}, which is another word's; "
                    "save the tokenizer again with the library that added it"
                )

    def refuse_span(self, left: str, right: str) -> None:
        """Raise CheckpointError if an added word could lie across `left` and `right`."""
        if self._spans.possible(left, right):
            raise CheckpointError(
                f"{self._source}: an added word could begin in {left[-20:]!r} of the prompt and end in the text behind "
                "it; the two are encoded apart, so it would not be found: take it out of added_tokens"
            )

    def refuse_end_in(self, suffix: str) -> None:
        """Raise CheckpointError if a word could end in a row's suffix. Such words are found before control tokens."""
        for token in self.word_fields:
            content = token["content"]
            # Normalised words are looked for in what control tokens have left over.
            if not token.get("normalized") and any(suffix.startswith(content[cut:]) for cut in range(1, len(content))):
                raise CheckpointError(
                    f"{self._source}: the added word {shown(content)} could begin in a text and end in the prompt's "
                    f"{suffix[:20]!r} behind it; take it out of added_tokens"
                )


class TokenSpans:
    """Where tokens that are found in texts may lie across a cut. fields: what a tokenizer.json says of them."""

    def __init__(self, fields: Sequence[Mapping[str, Any]]) -> None:
        self._fields = fields
        #: No token is longer, in any normal form.
        self.longest = max((4 * len(token["content"]) for token in fields), default=0)
        # By the character that follows: the beginnings of words, as far as texts are cut after them.
        self._beginnings: dict[str, tuple[str, ...]] = {}

    def possible(self, left: str, right: str) -> bool:
        """Whether a token could lie across `left` and `right`.

        Where none can, the tokens of the two are those of their sum: the words are found from left to right, the
        longest first, so they are found at the same places.
        """
        if not self._fields or not left or not right:
            return False
        normal = unicodedata.normalize("NFC", left)
        begins = self._begun_before(right[0])
        return left.endswith(begins) or normal.endswith(begins) or self._looks_back(left[-1], right)

    def _begun_before(self, character: str) -> tuple[str, ...]:
        if character not in self._beginnings:
            self._beginnings[character] = tuple(
                content[:cut]
                for token in self._fields
                for content in _forms(token["content"])
                for cut in _cuts(token, content, character)
            )
        return self._beginnings[character]

    def _looks_back(self, character: str, right: str) -> bool:
        """Whether a word at the beginning of `right` depends on the character before it."""
        normal = unicodedata.normalize("NFC", right)
        return any(
            right.startswith(_forms(token["content"])) or normal.startswith(_forms(token["content"]))
            for token in self._fields
            if (token.get("lstrip") and character.isspace()) or (token.get("single_word") and _is_word(character))
        )


def _forms(content: str) -> tuple[str, ...]:
    """As it is and as texts are normalised; which one counts depends on a flag."""
    return tuple({content, unicodedata.normalize("NFC", content)})


def _cuts(token: Mapping[str, Any], content: str, character: str) -> Iterable[int]:
    """After how many characters a word could go on with `character`, or look at it."""
    yield from (cut for cut in range(1, len(content)) if content[cut] == character)
    if (token.get("rstrip") and character.isspace()) or (token.get("single_word") and _is_word(character)):
        yield len(content)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
