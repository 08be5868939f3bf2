"""A plan -> the logit of each row, by vLLM, which gets the rows in the order of the tree so that its blocks are found.

What a pair's logit is depends in its last bits on the rows that vLLM computes with it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.backends.classifier_outputs import logit, logit_columns
from qwen3_reranker.backends.vllm.opened_engine import close_engine, open_engine, vllm_errors
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.plan import Plan
from qwen3_reranker.weights import Checkpoint

# Batches of one call: others run between two calls, and at the end of each vLLM has less to compute at once.
_BATCHES_PER_CALL = 8


def open_backend(checkpoint: Checkpoint, options: EngineOptions, _constant_prefix: NDArray[np.int32]) -> VllmBackend:
    """vLLM with the checkpoint in it, in this process. Raises what `open_engine` raises."""
    engine = open_engine(checkpoint, options)
    tokens_at_once = engine.llm_engine.vllm_config.scheduler_config.max_num_batched_tokens
    return VllmBackend(
        engine,
        logit_columns(checkpoint),
        call_tokens=_BATCHES_PER_CALL * tokens_at_once,
        keeps_prefixes=options.prefix_cache_tokens > 0,
        num_threads=options.num_threads,
    )


class VllmBackend:
    """Runs plans with one LLM of vLLM.

    columns: those of yes and of no in its outputs, or of the one output. call_tokens: tokens of the rows of one call.
    keeps_prefixes: whether blocks of earlier plans are used. num_threads: threads that compute on a processor, None for
    vLLM's own number.
    """

    def __init__(
        self,
        engine: Any,
        columns: Sequence[int],
        *,
        call_tokens: int,
        keeps_prefixes: bool = True,
        num_threads: int | None = None,
    ) -> None:
        self.engine: Any = engine
        self._columns = columns
        self._call_tokens = call_tokens
        self._keeps_prefixes = keeps_prefixes
        self._num_threads = num_threads
        self._is_forked = False

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The logit of each row, (num_rows, 1), call by call. Equal rows are computed once.

        computed_tokens: those of the rows that vLLM did not find in its blocks. cached_tokens: what the tree would have
        had to compute beyond that, so it was known from an earlier plan.
        """
        if self._is_forked:
            raise UnavailableError(
                "vLLM does not survive a fork; fork before the model is opened and open it in each process"
            )
        if not self._keeps_prefixes:
            self.engine.reset_prefix_cache()
        # Segments stand in the order of the tree, so rows that begin alike follow one another.
        ends_R, row_N = np.unique(plan.ends(), return_inverse=True)
        logits_R = np.empty(len(ends_R), np.float32)
        computed_tokens = start = 0
        for prompts in self._calls(plan, ends_R):
            if start:
                yield
            outputs = self._classified(prompts)
            stop = start + len(prompts)
            logits_R[start:stop] = [logit(output.outputs.probs, self._columns) for output in outputs]
            computed_tokens += sum(len(each["prompt_token_ids"]) for each in prompts)
            computed_tokens -= sum(output.num_cached_tokens or 0 for output in outputs)
            start = stop
            if on_progress:
                on_progress(start / len(ends_R))
        return Executed(logits_R[row_N, None], computed_tokens, max(0, plan.num_tokens - computed_tokens))

    def close(self) -> None:
        """End the engine; the backend cannot be used afterwards."""
        if self._is_forked:
            return
        close_engine(self.engine)
        self.engine = None
        # What vLLM holds is in cycles, and a model that is opened next needs the memory.
        gc.collect()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """The same backend, which raises UnavailableError from now on."""
        self._is_forked = True
        return self

    def _calls(self, plan: Plan, ends_R: NDArray[np.int64]) -> Iterator[list[dict[str, Any]]]:
        """The prompts of each call, at least one."""
        prompts: list[dict[str, Any]] = []
        tokens = 0
        for end in ends_R.tolist():
            ids = plan.path(end).tolist()
            if prompts and tokens + len(ids) > self._call_tokens:
                yield prompts
                prompts, tokens = [], 0
            salt = int(plan.cache_salts_S[end])
            prompts.append({"prompt_token_ids": ids, **({"cache_salt": str(salt)} if salt else {})})
            tokens += len(ids)
        if prompts:
            yield prompts

    def _classified(self, prompts: list[dict[str, Any]]) -> list[Any]:
        threads = torch.get_num_threads()
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        try:
            return self._answered(prompts)
        finally:
            torch.set_num_threads(threads)

    def _answered(self, prompts: list[dict[str, Any]]) -> list[Any]:
        from vllm import PoolingParams

        with vllm_errors("could not compute"):
            # A call that Ctrl-C ended left rows behind, whose results would be taken for those of this one.
            while self.engine.llm_engine.has_unfinished_requests():
                self.engine.llm_engine.step()
            outputs: list[Any] = self.engine.classify(
                prompts, pooling_params=PoolingParams(use_activation=False), use_tqdm=False
            )
            return outputs
