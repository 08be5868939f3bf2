"""Qwen3-Embedding's transformers code, rewritten from its model card: the independent oracle of our vectors."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from testing.model_card import padded_batches

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


def query_text(query: str, instruction: str = INSTRUCTION) -> str:
    """A query as the card writes it."""
    return f"Instruct: {instruction}\nQuery:{query}"


class EmbeddingCard:
    """Batches padded on the left, special tokens parsed, the last position's state, as the card does it."""

    def __init__(self, folder: Path, max_length: int = 8192) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.max_length = max_length
        self._states: dict[tuple[str, ...], torch.Tensor] = {}

    def cutting(self, max_length: int) -> EmbeddingCard:
        """The same model and tokenizer with another limit."""
        other = copy(self)
        other.max_length, other._states = max_length, {}
        return other

    def rows(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text."""
        ids: list[list[int]] = self.tokenizer(texts, truncation=True, max_length=self.max_length)["input_ids"]
        return ids

    def vectors(self, texts: list[str], dim: int | None = None) -> np.ndarray:
        """A vector of length 1 for each text, (num_texts, dim) float32; the states of a list are computed once."""
        if (listed := tuple(texts)) not in self._states:
            self._states[listed] = self._computed(texts)
        return torch.nn.functional.normalize(self._states[listed][:, :dim], p=2, dim=1).numpy()

    @torch.no_grad()
    def _computed(self, texts: list[str]) -> torch.Tensor:
        rows = self.rows(texts)
        states = torch.empty(len(rows), self.model.config.hidden_size)
        for batch in padded_batches(rows):
            inputs = self.tokenizer.pad({"input_ids": [rows[index] for index in batch]}, return_tensors="pt")
            assert inputs["attention_mask"][:, -1].all(), "padding is on the left"
            states[batch] = self.model(**inputs).last_hidden_state[:, -1]
        return states
