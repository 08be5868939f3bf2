"""FlagReranker: FlagEmbedding's class, pairs to a list of scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qwen3_reranker import score
from qwen3_reranker.arguments import refuse_below
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.compat.model_options import device_options, opened
from qwen3_reranker.compat.text_pairs import is_single_pair, text_pairs
from qwen3_reranker.errors import InputError
from qwen3_reranker.records import Limits
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights import HubAccess, hub_access


class FlagReranker:
    """`FlagEmbedding.FlagReranker` and `FlagLLMReranker`, which have no Qwen3-Reranker: scores are logits yes - no.

    model_name_or_path: what Reranker opens, or an open one. use_bf16: run in bfloat16. use_fp16: run in float16 on a
    GPU; on a CPU it has no effect, as there. devices: one device. prompt: the instruction. max_length counts the whole
    row, the prompt included; None takes Reranker's 8192 tokens, where FlagEmbedding takes 512. query_max_length: tokens
    of a query that are read. normalize: give probabilities. options: those of Reranker.
    Raises InputError for the instructions that other models want written before their texts: give `prompt` instead.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Reranker,
        *,
        use_fp16: bool = False,
        use_bf16: bool = False,
        peft_path: None = None,
        query_instruction_for_rerank: str | None = None,
        passage_instruction_for_rerank: str | None = None,
        devices: object = None,
        cache_dir: str | Path | None = None,
        trust_remote_code: bool | None = False,
        batch_size: int = 128,
        query_max_length: int | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        normalize: bool = False,
        **options: Any,
    ) -> None:
        if query_instruction_for_rerank is not None or passage_instruction_for_rerank is not None:
            raise InputError("a Qwen3-Reranker reads one instruction, not one before each text: give it as prompt=")
        if peft_path is not None:
            raise InputError("pass the folder of the adapter as the model: it names its base")
        chosen = device_options(devices)
        if use_bf16 or (use_fp16 and chosen):
            chosen["precision"] = "bfloat16" if use_bf16 else "float16"
        with hub_access(HubAccess(cache_dir=cache_dir)):
            self.reranker = opened(model_name_or_path, {**chosen, "max_length": max_length, **options})
        self.query_max_length, self.prompt, self.normalize = query_max_length, prompt, normalize

    def compute_score(
        self,
        sentence_pairs: Any,
        *,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        use_dataloader: bool = False,
        num_workers: int | None = None,
    ) -> list[float]:
        """The score of each pair (query, passage), in input order; of one pair, a list of one, as in 1.4.

        Arguments that are not None take the place of the constructor's. batch_size, use_dataloader and num_workers
        change nothing. Raises InputError and QueryTooLongError.
        """
        pairs = text_pairs([sentence_pairs] if is_single_pair(sentence_pairs) else sentence_pairs)
        if not pairs:
            return []
        limits = Limits(
            query_tokens=_length("query_max_length", self.query_max_length, query_max_length),
            row_tokens=_length("max_length", max_length),
        )
        instruction = self.prompt if prompt is None else prompt
        queries, passages = ([pair[place] for pair in pairs] for place in (0, 1))
        logits_N = run_all(self.reranker.judge(self.reranker.rows(queries, passages, instruction, limits=limits)))
        is_normalized = self.normalize if normalize is None else normalize
        scores: list[float] = (score.probabilities(logits_N) if is_normalized else logits_N).tolist()
        return scores

    def stop_self_pool(self) -> None:
        """Give the model's memory back; scores cannot be computed afterwards."""
        self.reranker.close()


FlagLLMReranker = FlagReranker


def _length(name: str, *lengths: int | None) -> int | None:
    """The last length that is not None. Raises InputError unless it is a whole number of at least 1."""
    length = next((each for each in reversed(lengths) if each is not None), None)
    if length is not None:
        refuse_below(name, length, 1)
    return length


class FlagAutoReranker:
    """`FlagEmbedding.FlagAutoReranker`, which makes a FlagReranker of any name."""

    @staticmethod
    def from_finetuned(
        model_name_or_path: str | os.PathLike[str], model_class: str | None = None, **options: Any
    ) -> FlagReranker:
        """The FlagReranker of a model; model_class has no effect. Options and errors are those of FlagReranker."""
        return FlagReranker(model_name_or_path, **options)
