"""Training texts -> a byte-level BPE tokenizer like Qwen's: same normaliser, pre-tokenisation and control tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from qwen3_reranker.prompt import TEMPLATES
from recipes.nano.data import Record
from recipes.nano.pool import NO_WORD

# The pattern of the Qwen2 and Qwen3 tokenizers (tokenizer.json, Apache-2.0): digits stand alone.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
NOT_SPECIAL = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip
# Words that must be one token each come often enough to be merged before anything else.
SURE_REPEATS = 20_000


def train(texts: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """The fields of a tokenizer.json with `vocab_size` base entries and the 26 control tokens after them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    fields: dict[str, Any] = json.loads(tokenizer.to_str())
    first = len(fields["model"]["vocab"])
    fields["added_tokens"] = [
        {"id": first + index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": content in SPECIAL}
        for index, content in enumerate(SPECIAL + NOT_SPECIAL)
    ]  # fmt: skip
    return fields


def literal(fields: dict[str, Any]) -> Tokenizer:
    """A tokenizer to which control tokens are unknown: how user text is read."""
    return Tokenizer.from_str(json.dumps({**fields, "added_tokens": [], "post_processor": None}))


def save(fields: dict[str, Any], path: Path) -> None:
    """Write a tokenizer.json."""
    path.write_text(json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """The fields of a tokenizer.json."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return fields


def label(fields: dict[str, Any]) -> list[int]:
    """The tokens of the document's label, with which every query in the cache ends.

    The line break before it is not among them: it may have become one token with the query's last mark.
    """
    read = literal(fields)
    heads, _ = TEMPLATES["card"].pieces(None, ["query"], [])
    line_break, *ids = read.encode(heads[0].closing).ids
    assert [line_break] == read.encode("\n").ids, "the document's label must follow its line break"
    return ids


def words(fields: dict[str, Any]) -> NDArray[np.int32]:
    """The word that each token spells, (V,): one for " Word" and "word", NO_WORD without a letter or digit."""
    entries = literal(fields)
    numbers: dict[str, int] = {}
    found_V = np.full(len(fields["model"]["vocab"]) + len(fields["added_tokens"]), NO_WORD, np.int32)
    for entry in range(len(fields["model"]["vocab"])):
        text = entries.decode([entry]).strip().lower()
        if any(character.isalnum() for character in text):
            found_V[entry] = numbers.setdefault(text, len(numbers))
    return found_V


def sample(records: Sequence[Record], seed: int, characters_per_pool: int) -> Iterator[str]:
    """Queries and documents, limited in characters per pool, and the words that must be one token."""
    rng = random.Random(seed)
    room: dict[str, int] = {}
    for record in rng.sample(records, len(records)):
        texts = (record.query, *record.positives[:1], *record.negatives[:1])
        left = room.get(record.pool, characters_per_pool)
        if left > 0:
            room[record.pool] = left - sum(map(len, texts))
            yield from (f" {text}" for text in texts)
    heads, _ = TEMPLATES["card"].pieces(None, ["query"], [])
    for text in ("yes", "no", "system", "user", "assistant", heads[0].text, TEMPLATES["card"].prefix):
        yield from [text] * SURE_REPEATS
    for instruction in sorted({record.instruction for record in records}):
        yield from [f" {instruction}"] * (SURE_REPEATS // 100)
