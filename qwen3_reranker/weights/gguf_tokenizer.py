"""The tokenizer in a .gguf file's metadata -> the fields that Qwen3's tokenizer.json has.

GGUF holds words, merges and which words are control tokens; how text is normalised and split it holds as a name alone,
"qwen2", for which this file has what the published tokenizer.json says.
"""

from __future__ import annotations

from typing import Any

from qwen3_reranker.added_tokens import QWEN_CONTROL
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.tokens import TokenizerJson
from qwen3_reranker.weights.gguf_metadata import Metadata

_MODEL, _PRE = "tokenizer.ggml.model", "tokenizer.ggml.pre"
_TOKENS, _TYPES, _MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"

# llama_token_type of llama.h. Unused ones fill a vocabulary up to a round number and never occur in text.
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5

# How single bytes are written in a vocabulary.
_BYTES = frozenset(map(chr, (*range(33, 127), *range(161, 173), *range(174, 324))))
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_gguf_tokenizer(metadata: Metadata) -> TokenizerJson:
    """The tokenizer's fields; raises CheckpointError for one that is not Qwen's, or is damaged.

    A converter may call a control token what tokenizer.json lists with special = false, and the other way round for
    Qwen's own. What else is user-defined are words that a fine-tuning added, read as its library adds them by default:
    in normalised text, anywhere.
    """
    for key, expected in ((_MODEL, "gpt2"), (_PRE, "qwen2")):
        if metadata.text(key) != expected:
            raise CheckpointError(
                f"{metadata.path}: {key} must be {expected!r}, got {shown(metadata.text(key))}; no Qwen3 tokenizer"
            )
    words, added = _words(metadata)
    merges = _merges(metadata)
    # A word of the vocabulary may have been added once more, and merges and bytes still need it.
    made = {"".join(merge) for merge in merges} | _BYTES
    words |= {token["content"]: token["id"] for token in added if token["content"] in made}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": words,
        "merges": merges,
    }
    fields = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False},
                _byte_level(add_prefix_space=False, trim_offsets=True, use_regex=False),
            ],
        },
        "post_processor": _byte_level(add_prefix_space=False, trim_offsets=False, use_regex=False),
        "decoder": _byte_level(add_prefix_space=True, trim_offsets=True, use_regex=True),
        "model": model,
    }
    return TokenizerJson(fields, f"{metadata.path}: tokenizer")


def _words(metadata: Metadata) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Words of the vocabulary with their ids, and the tokens that are listed apart."""
    tokens, kinds = metadata.texts(_TOKENS), metadata.numbers(_TYPES).tolist()
    if len(tokens) != len(kinds):
        raise CheckpointError(
            f"{metadata.path}: {_TYPES} must say what each of the {len(tokens):,} tokens is, got {len(kinds):,} types"
        )
    words: dict[str, int] = {}
    added = []
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind == _NORMAL:
            if words.setdefault(token, number) != number:
                raise CheckpointError(
                    f"{metadata.path}: {_TOKENS}: {shown(token)} is token {words[token]} and {number}; "
                    "the file is damaged"
                )
        elif kind in (_CONTROL, _USER_DEFINED):
            added.append(
                {
                    "id": number,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": kind == _USER_DEFINED and token not in QWEN_CONTROL,
                    "special": kind == _CONTROL,
                }
            )
        elif kind != _UNUSED:
            raise CheckpointError(
                f"{metadata.path}: {_TYPES}: token {number} is of type {kind}; a Qwen3 tokenizer has none of those"
            )
    return words, added


def _merges(metadata: Metadata) -> list[list[str]]:
    merges = [merge.split(" ") for merge in metadata.texts(_MERGES)]
    for number, parts in enumerate(merges):
        if len(parts) != 2:
            raise CheckpointError(
                f"{metadata.path}: {_MERGES}: merge {number} must be two parts with a space between, got {shown(parts)}"
            )
    return merges


def _byte_level(**options: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", **options}
