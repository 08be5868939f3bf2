"""Tokens of a text and the text of tokens, as clients of vLLM, llama.cpp, Cohere and TEI ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonValue
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_QUERY
from qwen3_reranker.serve.dialects.embedding_table import MAX_TEXTS
from qwen3_reranker.serve.dialects.fields import Flag, RequestBody, wrong

#: Characters of all texts of a request, some 50 ms of work. Every token is wanted, so nothing is cut.
MAX_CHARACTERS = 1 << 17
_MAX_TOKENS = 1 << 16
_LARGEST_ID = (1 << 31) - 1


def _texts(value: object) -> list[str]:
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str)]
    if not given or len(texts) < len(given):
        raise wrong("invalid_type", "must be a string or a list of strings")
    if len(texts) > MAX_TEXTS or sum(map(len, texts)) > MAX_CHARACTERS:
        raise wrong("text_too_long", f"must hold at most {MAX_TEXTS:,} texts and {MAX_CHARACTERS:,} characters")
    return texts


def _ids(value: object) -> list[int]:
    if not isinstance(value, list) or len(value) > _MAX_TOKENS:
        raise wrong("invalid_type", f"must be a list of at most {_MAX_TOKENS:,} token ids")
    if any(not isinstance(each, int) or isinstance(each, bool) or not 0 <= each <= _LARGEST_ID for each in value):
        raise wrong("invalid_type", "must hold token ids, which are whole numbers")
    return value


class TokenizeBody(RequestBody):
    """A text, or several under TEI's name, which then have its reply."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "texts": ("prompt", "text", "content", "inputs"),
        "add_special_tokens": ("add_special_tokens", "add_special"),
    }
    understood: ClassVar[frozenset[str]] = frozenset({"return_token_strs", "with_pieces"})

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    texts: Annotated[
        list[str],
        BeforeValidator(_texts),
        Schema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}),
    ] = Field(description="A text. It is read alone, without the prompt of the model.")
    add_special_tokens: Flag = Field(True, description="Add the token that ends each text of an embedder.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A text."""
        return {"prompt": EXAMPLE_QUERY}


class DetokenizeBody(RequestBody):
    """Token ids."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {"tokens": ("tokens", "ids")}

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    tokens: Annotated[
        list[int],
        BeforeValidator(_ids),
        Schema({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": _LARGEST_ID}}),
    ] = Field(description="Token ids.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two tokens."""
        return {"tokens": [9707, 1879]}


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token and its place in a text, in characters; special for one that no text can become."""

    id: int
    text: str
    start: int
    stop: int
    special: bool = False


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The source of a reply: the tokens of each text, and how many the model reads at once."""

    texts: Sequence[Sequence[TextToken]]
    max_length: int

    def tokens(self) -> Iterator[TextToken]:
        """The tokens of all texts."""
        return (token for tokens in self.texts for token in tokens)


_IDS = JsonArray(JsonValue(int, lambda token: token.id), Tokenized.tokens)
_STRINGS = JsonArray(JsonValue(str, lambda token: token.text), Tokenized.tokens)
TOKENIZED = JsonObject(
    "Tokenized",
    "The tokens of the text, and the text of each, under vLLM's name and under Cohere's.",
    count=JsonValue(int, lambda source: sum(map(len, source.texts))),
    max_model_len=JsonValue(int, lambda source: source.max_length),
    tokens=_IDS,
    token_strs=_STRINGS,
    token_strings=_STRINGS,
)
TEI_TOKENIZED = JsonArray(
    JsonArray(
        JsonObject(
            "TEIToken",
            "A token and its place in its text, in characters.",
            id=JsonValue(int, lambda token: token.id),
            text=JsonValue(str, lambda token: token.text),
            special=JsonValue(bool, lambda token: token.special),
            start=JsonValue(int, lambda token: token.start),
            stop=JsonValue(int, lambda token: token.stop),
        ),
        lambda tokens: tokens,
    ),
    lambda source: source.texts,
)
_TEXT = JsonValue(str, lambda text: text)
DETOKENIZED = JsonObject(
    "Detokenized", "The text, under vLLM's, Cohere's and llama.cpp's name.", prompt=_TEXT, text=_TEXT, content=_TEXT
)
