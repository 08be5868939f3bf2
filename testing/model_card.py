"""The model card's transformers code, rewritten from its description: the independent oracle of our logits."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
MOST_PADDED_TOKENS = 16_384


def padded_batches(rows: list[list[int]]) -> Iterator[list[int]]:
    """Indices of rows, sorted by length into batches that fit in memory; the card does not define batches."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    while order:
        count = 1
        while count < len(order) and (count + 1) * len(rows[order[count]]) <= MOST_PADDED_TOKENS:
            count += 1
        batch, order = order[:count], order[count:]
        yield batch


class ModelCard:
    """Padded batches, special tokens parsed, the head's logits at the last token, as the card does it."""

    def __init__(self, folder: Path, max_length: int = 8192, dtype: torch.dtype = torch.float32) -> None:
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"),
            pad_token="<|endoftext|>",
            eos_token="<|im_end|>",
            padding_side="left",
        )
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self.yes = self.tokenizer.convert_tokens_to_ids("yes")
        self.no = self.tokenizer.convert_tokens_to_ids("no")
        self.prefix = self.tokenizer.encode(PREFIX, add_special_tokens=False)
        self.suffix = self.tokenizer.encode(SUFFIX, add_special_tokens=False)
        self.max_length = max_length

    def cutting(self, max_length: int) -> ModelCard:
        """The same model and tokenizer with another limit."""
        other = copy(self)
        other.max_length = max_length
        return other

    def rows(self, pairs: list[tuple[str, str]], instruction: str = INSTRUCTION) -> list[list[int]]:
        """Token ids of each pair."""
        texts = [f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}" for query, document in pairs]
        room = self.max_length - len(self.prefix) - len(self.suffix)
        encoded = self.tokenizer(
            texts, padding=False, truncation="longest_first", return_attention_mask=False, max_length=room
        )
        return [self.prefix + ids + self.suffix for ids in encoded["input_ids"]]

    @torch.no_grad()
    def logits(self, pairs: list[tuple[str, str]], instruction: str = INSTRUCTION) -> np.ndarray:
        """yes - no of each pair, (num_pairs,) float32."""
        rows = self.rows(pairs, instruction)
        result = np.empty(len(rows), dtype=np.float32)
        for batch in padded_batches(rows):
            inputs = self.tokenizer.pad({"input_ids": [rows[index] for index in batch]}, return_tensors="pt")
            # Only the last position: logits of 151,669 words at every token would not fit in memory.
            last = self.model(**inputs, logits_to_keep=1).logits[:, -1, :].float()
            result[batch] = (last[:, self.yes] - last[:, self.no]).numpy()
        return result
